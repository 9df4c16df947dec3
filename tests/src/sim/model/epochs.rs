//! The epochs of the group that a device holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use kinfolk_core::epoch::{Epoch, HeldEpoch, KeptEpoch};

use super::Model;
use crate::sim::broken::{Broken, Held};

/// Epochs with their secrets.
#[derive(Clone, Debug, Default)]
pub(super) struct Epochs(BTreeMap<Epoch, (HeldEpoch, Bytes)>);

impl Model {
    /// The secret of an epoch.
    pub fn secret(&self, epoch: Epoch) -> Option<Bytes> {
        self.state.epochs.0.get(&epoch).map(|(_, secret)| secret.clone())
    }

    /// The epochs whose secrets are held.
    pub fn epochs(&self) -> impl Iterator<Item = Epoch> {
        self.state.epochs.0.keys().copied()
    }
}

impl Epochs {
    pub(super) fn of(given: &[KeptEpoch]) -> Self {
        let epoch = |kept: &KeptEpoch| (kept.epoch, (HeldEpoch { epoch: kept.epoch, quiet: None }, kept.kept.clone()));
        Self(given.iter().map(epoch).collect())
    }

    pub(super) fn saved(&self) -> Vec<HeldEpoch> {
        self.0.values().map(|(held, _)| *held).collect()
    }

    pub(super) fn hold(&mut self, kept: &KeptEpoch) -> Held {
        let held = HeldEpoch { epoch: kept.epoch, quiet: None };
        let before = self.0.insert(kept.epoch, (held, kept.kept.clone()));
        Broken::unless(before.is_none(), "a secret is kept once", || format!("{:?}", kept.epoch))
    }

    pub(super) fn note(&mut self, held: &HeldEpoch) -> Held {
        match self.0.get_mut(&held.epoch) {
            Some((known, _)) => {
                *known = *held;
                Ok(())
            }
            None => Broken::rule("only a held epoch becomes quiet", format!("{held:?}")),
        }
    }

    pub(super) fn destroy(&mut self, epoch: Epoch) -> Held {
        let before = self.0.remove(&epoch);
        Broken::unless(before.is_some(), "only a held epoch goes", || format!("{epoch:?}"))
    }
}
