//! The prekeys of a device whose seeds it holds.

use std::collections::BTreeMap;

use kinfolk::store::NewDevice;
use kinfolk_core::epoch::Epoch;
use kinfolk_core::ids::{DeviceId, Millis};
use kinfolk_core::parcel::Receipt;
use kinfolk_core::prekey::{HeldPrekey, KeptPrekey};
use kinfolk_core::roster::Prekey;
use kinfolk_core::step::SavedSibling;

use super::Model;
use crate::sim::broken::{Broken, Held};

/// Prekeys by slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Prekeys(BTreeMap<u32, (HeldPrekey, Prekey)>);

impl Model {
    /// The newest prekey.
    pub fn prekey(&self) -> Prekey {
        self.state.prekeys.newest()
    }
}

/// What is known of siblings that announced a prekey to whoever invited this device.
pub(super) fn announced(birth: &NewDevice) -> BTreeMap<DeviceId, SavedSibling> {
    let sibling = |(device, prekey): &(DeviceId, Prekey)| SavedSibling {
        device: *device,
        receipt: Receipt::default(),
        heard: Millis(0),
        prekey: Some(prekey.clone()),
        knows_slot: None,
        epoch: Epoch::default(),
        under: Epoch::default(),
        relays: Vec::new(),
        posted: Vec::new(),
    };
    birth.announced.iter().map(|known| (known.0, sibling(known))).collect()
}

impl Prekeys {
    pub(super) fn of(first: &KeptPrekey) -> Self {
        let mut prekeys = Self::default();
        prekeys.0.insert(first.prekey.slot, entry(first));
        prekeys
    }

    pub(super) fn newest(&self) -> Prekey {
        self.0.values().next_back().map(|(_, prekey)| prekey.clone()).unwrap_or_default()
    }

    pub(super) fn saved(&self) -> Vec<HeldPrekey> {
        self.0.values().map(|(held, _)| *held).collect()
    }

    pub(super) fn hold(&mut self, kept: &KeptPrekey) -> Held {
        let before = self.0.insert(kept.prekey.slot, entry(kept));
        Broken::unless(before.is_none(), "a slot has one seed", || format!("{}", kept.prekey.slot))
    }

    pub(super) fn note(&mut self, held: &HeldPrekey) -> Held {
        match self.0.get_mut(&held.slot) {
            Some((known, _)) => {
                *known = *held;
                Ok(())
            }
            None => Broken::rule("only a held prekey becomes quiet", format!("{held:?}")),
        }
    }

    pub(super) fn destroy(&mut self, slot: u32) -> Held {
        let before = self.0.remove(&slot);
        Broken::unless(before.is_some(), "only a held seed is destroyed", || format!("{slot}"))
    }
}

fn entry(kept: &KeptPrekey) -> (HeldPrekey, Prekey) {
    (HeldPrekey { slot: kept.prekey.slot, made: kept.made, quiet: None }, kept.prekey.clone())
}
