//! What a device seals and opens with, shared by the driver and the relay workers.
//!
//! The store holds the secrets, wrapped; the [`Keyring`] is a cache of it. When the driver has committed a change of epochs or prekeys, or the time has
//! come to look into fewer mailboxes, it reads them anew ([`Credentials::refresh`]) before anything that rests on them leaves; workers that
//! watch mailboxes are rung.
//!
//! Secrets of epochs leave the store for two places: the keyring, and gifts that are sealed to a sibling ([`seal::gift`]).

use std::fmt;
use std::sync::Arc;

use kinfolk_core::epoch::{Epoch, KeptEpoch, NewEpoch};
use kinfolk_core::ids::{DeviceId, Hash, Millis};
use kinfolk_core::parcel::{Letter, VerifiedParcel};
use kinfolk_core::prekey::KeptPrekey;
use kinfolk_core::roster;
use tokio::sync::watch;
use tracing::warn;
use zeroize::Zeroizing;

use crate::seal::wrap::{Place, WrapError};
use crate::seal::{self, GroupSecret, Identity, Kek, Keyring, Prekey, Recipient};
use crate::store::{Store, StoreError};

/// A device's keys.
pub struct Credentials {
    /// This device.
    pub me: DeviceId,
    /// Its identity.
    pub identity: Arc<Identity>,
    kek: Kek,
    keyring: watch::Sender<Arc<Keyring>>,
}

/// Why secrets cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They do not unwrap.
    #[error("the secret of an epoch or a prekey cannot be opened: {0}")]
    Wrap(#[from] WrapError),
    /// It is not 32 bytes.
    #[error("the secret of epoch {0} has another length than 32 bytes")]
    Length(u32),
    /// A seed is not one, or the system gives no randomness.
    #[error("the prekey in slot {0} cannot be made")]
    Prekey(u32),
}

impl Credentials {
    /// The keys of a device with the epochs and prekeys that its store holds, all of them looked into.
    ///
    /// # Errors
    /// When the secrets cannot be read.
    pub(crate) fn open(identity: Identity, kek: Kek, me: DeviceId, store: &Store) -> Result<Self, CredentialsError> {
        let (groups, prekeys) = (secrets(&kek, store)?, seeds(&kek, store)?);
        let roster_id = store.restore()?.roster;
        let keyring = Arc::new(Keyring { me, prekeys, groups, resting: Vec::new(), roster_id });
        Ok(Self { me, identity: Arc::new(identity), kek, keyring: watch::channel(keyring).0 })
    }

    /// What envelopes are opened and sealed with now.
    pub fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring.borrow())
    }

    /// Rings when other mailboxes are to be looked into.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Keyring>> {
        self.keyring.subscribe()
    }

    pub(crate) fn roster_id(&self) -> Hash {
        self.keyring.borrow().roster_id
    }

    /// Reads the secrets of all epochs and prekeys anew; the mailboxes of `polled` are looked into.
    ///
    /// # Errors
    /// When they cannot be read; nothing changes then.
    pub(crate) fn refresh(&self, store: &Store, polled: &[Epoch]) -> Result<(), CredentialsError> {
        let (groups, resting) = secrets(&self.kek, store)?.into_iter().partition(|group| polled.contains(&group.id()));
        let prekeys = seeds(&self.kek, store)?;
        let keyring = Keyring { groups, resting, prekeys, ..Keyring::clone(&self.keyring.borrow()) };
        self.keyring.send_replace(Arc::new(keyring));
        Ok(())
    }

    /// Draws an epoch: what its record says, and its secret to be kept.
    ///
    /// # Errors
    /// When it cannot be wrapped.
    pub(crate) fn mint(&self, number: u32) -> Result<(NewEpoch, KeptEpoch), CredentialsError> {
        let kept = keep(&self.kek, &GroupSecret::generate(number, &mut rand::rng()), self.roster_id())?;
        Ok((NewEpoch { epoch: kept.epoch, commitment: kept.commitment }, kept))
    }

    /// Draws a prekey, at this time of the wall clock.
    ///
    /// # Errors
    /// When the system gives no randomness, or it cannot be wrapped.
    pub(crate) fn rekey(&self, slot: u32, made: Millis) -> Result<KeptPrekey, CredentialsError> {
        let prekey = Prekey::generate(slot, &mut rand::rng()).map_err(|_| CredentialsError::Prekey(slot))?;
        keep_prekey(&self.kek, &prekey, made)
    }

    /// Fills the gifts of a letter that is sealed to `recipient` under `under`. One whose secret is not held any more is left out.
    pub(crate) fn give(&self, letter: &mut Letter, recipient: Recipient<'_>, under: &GroupSecret) {
        let keyring = self.keyring();
        letter.epochs.retain_mut(|given| {
            let Some(group) = keyring.group(given.epoch) else { return false };
            let gift = seal::seal_gift(group, recipient, under, keyring.roster_id, &mut rand::rng());
            gift.map(|gift| given.gift = gift).is_ok()
        });
    }

    /// Opens the gifts of a letter that came in an envelope to `slot` under `under`, and wraps them for the store. What does not open is
    /// left out: whoever gave it gives it again.
    pub(crate) fn receive(&self, parcel: &mut VerifiedParcel, under: Epoch, slot: u32) {
        let keyring = self.keyring();
        for given in std::mem::take(&mut parcel.letter.epochs) {
            let Some(group) = seal::open_gift(&given.gift, given.epoch, under, slot, &keyring) else { continue };
            match keep(&self.kek, &group, keyring.roster_id) {
                Ok(kept) => parcel.epochs.push(kept),
                Err(error) => warn!(%error, "the secret of an epoch cannot be kept"),
            }
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("me", &self.me).finish_non_exhaustive()
    }
}

/// Wraps the secret of an epoch for the store.
pub(crate) fn keep(kek: &Kek, group: &GroupSecret, roster: Hash) -> Result<KeptEpoch, CredentialsError> {
    let epoch = group.id();
    let kept = kek.wrap(place(&epoch), group.secret().as_slice(), &mut rand::rng())?;
    Ok(KeptEpoch { epoch, commitment: group.commitment(roster), kept: kept.into() })
}

/// Wraps the seed of a prekey for the store.
pub(crate) fn keep_prekey(kek: &Kek, prekey: &Prekey, made: Millis) -> Result<KeptPrekey, CredentialsError> {
    let row = prekey.slot().to_be_bytes();
    let kept = kek.wrap(seed_place(&row), prekey.seed().as_slice(), &mut rand::rng())?;
    Ok(KeptPrekey { prekey: announced(prekey), made, kept: kept.into() })
}

/// A prekey as siblings know it.
pub(crate) fn announced(prekey: &Prekey) -> roster::Prekey {
    roster::Prekey { slot: prekey.slot(), public: prekey.public().to_bytes().into() }
}

fn seeds(kek: &Kek, store: &Store) -> Result<Vec<Prekey>, CredentialsError> {
    let reveal = |(slot, wrapped): (u32, Vec<u8>)| {
        let seed = kek.reveal(seed_place(&slot.to_be_bytes()), &wrapped)?;
        let seed = <[u8; 32]>::try_from(seed.as_slice()).map_err(|_| CredentialsError::Prekey(slot))?;
        Prekey::from_seed(slot, &Zeroizing::new(seed)).map_err(|_| CredentialsError::Prekey(slot))
    };
    store.prekey_seeds()?.into_iter().map(reveal).collect()
}

/// Where the wrapped seed of a prekey belongs.
fn seed_place(slot: &[u8; 4]) -> Place<'_> {
    Place { table: "prekey", row: slot, version: 1 }
}

fn secrets(kek: &Kek, store: &Store) -> Result<Vec<GroupSecret>, CredentialsError> {
    let reveal = |(epoch, wrapped): (Epoch, Vec<u8>)| {
        let secret = kek.reveal(place(&epoch), &wrapped)?;
        let secret = <[u8; 32]>::try_from(secret.as_slice()).map_err(|_| CredentialsError::Length(epoch.number))?;
        Ok(GroupSecret::from_secret(epoch, &Zeroizing::new(secret)))
    };
    store.epoch_secrets()?.into_iter().map(reveal).collect()
}

/// Where the wrapped secret of an epoch belongs.
fn place(epoch: &Epoch) -> Place<'_> {
    Place { table: "epoch", row: &epoch.id, version: epoch.number }
}

#[cfg(test)]
mod tests {
    use kinfolk_core::step::Change;

    use super::*;
    use crate::setup::{Found, Fresh, Opened, Places};

    #[test]
    fn a_minted_epoch_is_found_again_and_only_what_is_asked_for_is_looked_into() {
        let home = tempfile::tempdir().unwrap();
        let places = Places { config: home.path().join("config"), state: home.path().join("state") };
        let mut rng = rand::rng();
        let fresh = Fresh::generate("laptop", &mut rng).unwrap();
        let Opened { mut store, credentials, .. } = places.found(fresh, &mut rng).unwrap();
        let first = credentials.keyring().groups[0].id();
        let (minted, kept) = credentials.mint(2).unwrap();
        assert_eq!((minted.epoch, minted.commitment), (kept.epoch, kept.commitment));
        store.begin().unwrap();
        store.apply(&Change::Epoch(kept)).unwrap();
        store.commit().unwrap();

        let mut rung = credentials.watch();
        rung.mark_unchanged();
        credentials.refresh(&store, &[minted.epoch]).unwrap();
        assert!(rung.has_changed().unwrap());
        let keyring = credentials.keyring();
        assert_eq!(keyring.mailboxes().len(), 2, "of one epoch, with the common one");
        assert_eq!(keyring.groups[0].commitment(keyring.roster_id), minted.commitment);
        assert_eq!(keyring.group(first).map(GroupSecret::id), Some(first), "old mail can still be written");
        drop(store);
        let Found::Device(again) = places.open().unwrap() else { panic!("the device is gone") };
        let held: Vec<Epoch> = again.credentials.keyring().groups.iter().map(GroupSecret::id).collect();
        assert_eq!(held, [first, minted.epoch]);
    }

    #[test]
    fn a_new_prekey_is_looked_for_beside_the_old_one_until_that_is_destroyed() {
        let home = tempfile::tempdir().unwrap();
        let places = Places { config: home.path().join("config"), state: home.path().join("state") };
        let mut rng = rand::rng();
        let opened = places.found(Fresh::generate("laptop", &mut rng).unwrap(), &mut rng).unwrap();
        let Opened { mut store, credentials, .. } = opened;
        let polled: Vec<Epoch> = credentials.keyring().groups.iter().map(GroupSecret::id).collect();
        let slots =
            |credentials: &Credentials| credentials.keyring().prekeys.iter().map(Prekey::slot).collect::<Vec<u32>>();
        let made = credentials.rekey(7, Millis(5)).unwrap();
        let mut commit = |change| {
            store.begin().unwrap();
            store.apply(&change).unwrap();
            store.commit().unwrap();
            credentials.refresh(&store, &polled).unwrap();
        };
        commit(Change::Prekey(made.clone()));
        assert_eq!(slots(&credentials), [1, 7]);
        assert_eq!(announced(&credentials.keyring().prekeys[1]), made.prekey);
        commit(Change::PrekeyGone(1));
        assert_eq!(slots(&credentials), [7]);
        assert_eq!(credentials.keyring().mailboxes().len(), 2, "with the common one");
    }

    #[test]
    fn keys_are_not_shown() {
        let home = tempfile::tempdir().unwrap();
        let places = Places { config: home.path().join("config"), state: home.path().join("state") };
        let mut rng = rand::rng();
        let opened = places.found(Fresh::generate("laptop", &mut rng).unwrap(), &mut rng).unwrap();
        let me = opened.credentials.me;
        assert_eq!(format!("{:?}", opened.credentials), format!("Credentials {{ me: DeviceId({me}), .. }}"));
    }
}
