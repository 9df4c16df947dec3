//! The roster: the signed set of a person's devices.
//!
//! **Records** form a hash DAG: each names its parents, its author with the author's key, and one change. The first
//! (genesis) names the first device, and its hash is the [`Roster::id`] that everything else is bound to. An added device has
//! also signed its own join, and the heads in a removal are signed by the removed device. Signatures are checked outside
//! (`seal`); here only [`Verified`] records count.
//!
//! **Any order, any repetition.** The roster is a pure function of the set of records ([`evaluate`]): records whose parents are
//! missing wait; among concurrent names the greatest (stamp, record hash) wins.
//!
//! **Removal is final.** It names where each source of the removed device ends ([`Removed::end`]). The device never comes back
//! under its id: it joins anew with other keys.
//!
//! **Epochs** of the group secret are minted by records, so that everybody agrees which of them no removed device knows ([`crate::epoch`]).
//!
//! Kinds from a newer version are kept and forwarded, and have no effect here. Room is kept for relays, recovery key and keepers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::clock::Stamp;
use crate::epoch::{Epoch, NewEpoch};
use crate::ids::{DeviceId, Hash, IdentityKey, Seq, SourceId};
use crate::parcel::SignedHead;
use crate::vector::Head;

mod evaluate;
mod record;

pub use self::record::{RecordError, name_fits};

/// Something whose signature `seal` has checked. Only `seal` may vouch; the tidy test holds that.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// States that the signature over `inner` was checked under the key that `inner` names.
    pub fn vouch(inner: T) -> Self {
        Self(inner)
    }

    /// What was vouched for.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// A roster record as it is stored and sent: the exact bytes that were signed.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SignedRecord {
    /// The encoded [`Record`].
    pub bytes: Bytes,
    /// Ed25519 over the bytes, by the key the record names; 64 bytes.
    pub signature: Bytes,
}

impl SignedRecord {
    /// The record's name.
    pub fn id(&self) -> Hash {
        Hash::of(&self.bytes)
    }
}

/// One statement about the person's devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Which roster; `None` only in its genesis.
    pub roster: Option<Hash>,
    /// Who says it.
    pub author: DeviceId,
    /// The key it is signed with.
    pub author_key: IdentityKey,
    /// The records its author had seen last.
    pub parents: BTreeSet<Hash>,
    /// When.
    pub stamp: Stamp,
    /// What.
    pub change: RosterChange,
}

/// What a record changes.
#[derive(Clone, Debug, PartialEq)]
pub enum RosterChange {
    /// The first device.
    Genesis(Device),
    /// A further device, added by the author.
    Add(Addition),
    /// A new name for a device.
    Rename {
        /// Which device.
        device: DeviceId,
        /// Its name from now on.
        name: String,
    },
    /// A device leaves, for good.
    Remove(Removal),
    /// The group takes a new secret.
    Epoch(NewEpoch),
    /// From a newer version: kept, forwarded, without effect.
    Unknown,
}

/// A device joining: its record, and its own signature that it wants to.
#[derive(Clone, Debug, PartialEq)]
pub struct Addition {
    /// The device.
    pub device: Device,
    /// The exact bytes that the new device signed: its encoded [`Device`].
    pub device_bytes: Bytes,
    /// Ed25519 of the new device over (roster id, card hash, device bytes).
    pub join_signature: Bytes,
    /// SHA-256 of the pairing card that was used.
    pub card_hash: Hash,
}

/// A device leaving: who, and what of its sources still counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Removal {
    /// The device.
    pub device: DeviceId,
    /// Its key: the one that signed the ends.
    pub key: IdentityKey,
    /// Where its sources end, at most [`MAX_ENDS`]; a source that is not named ends before its first bundle.
    pub ends: Vec<End>,
}

/// The last bundle of a source that counts, as its device signed it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct End {
    /// Which source.
    pub source: SourceId,
    /// Its last bundle.
    pub head: Head,
    /// Ed25519 by the removed device over (device, source, seq, hash); 64 bytes.
    pub signature: Bytes,
}

/// One device as the roster knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Its Ed25519 identity.
    pub key: IdentityKey,
    /// Its name, 1 to [`MAX_NAME`] bytes.
    pub name: String,
    /// Operating system, for display.
    pub platform: String,
    /// The encryption prekey it joined with. Newer ones travel in parcels.
    pub prekey: Prekey,
}

/// An encryption prekey's public half and the slot that names it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Prekey {
    /// Its number; senders use the greatest they know.
    pub slot: u32,
    /// The X-Wing public key, [`PREKEY_BYTES`] long.
    pub public: Bytes,
}

/// Longest device name, in bytes.
pub const MAX_NAME: usize = 64;
/// Length of an X-Wing public key.
pub const PREKEY_BYTES: usize = 1216;
/// Most records kept. 16 devices with a few hundred renames and relay changes each.
pub const MAX_RECORDS: usize = 4096;
/// Largest record, in bytes.
pub const MAX_RECORD_BYTES: usize = 8 * 1024;
/// Most sources that a removal names: 48 × 133 bytes leave room for the rest of a record.
pub const MAX_ENDS: usize = 48;

/// The person's devices, as all valid records together say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roster {
    id: Option<Hash>,
    records: BTreeMap<Hash, (SignedRecord, Record)>,
    devices: BTreeMap<DeviceId, Member>,
    removed: BTreeMap<DeviceId, Removed>,
    epochs: BTreeMap<Epoch, Minted>,
}

/// An epoch that a record minted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Minted {
    /// What its secret must have.
    pub commitment: Hash,
    /// Whether its minter knew of every removal that counts: no removed device was given it.
    pub fit: bool,
}

/// A member with what is known of how it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// The device.
    pub device: Device,
    /// Who added it; itself for the first.
    pub added_by: DeviceId,
    /// When it was added.
    pub added: Stamp,
    /// The greatest epoch in the past of its addition: what it was given when it joined. None is the one that the roster began with.
    pub epoch: Option<Epoch>,
}

/// A device that was a member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Removed {
    /// The device as it was.
    pub member: Member,
    ends: BTreeMap<SourceId, SignedHead>,
}

impl Removed {
    /// How far `source` counts, if it is one of the device's. What lies beyond has no effect anywhere.
    pub fn end(&self, source: SourceId) -> Seq {
        self.ends.get(&source).map_or(Seq::ZERO, |end| end.head.seq)
    }

    /// The same with the hash there; of nothing where nothing counts.
    pub fn head(&self, source: SourceId) -> Head {
        self.ends.get(&source).map(|end| end.head).unwrap_or_default()
    }

    /// The ends of its sources, signed by itself.
    pub fn ends(&self) -> impl Iterator<Item = &SignedHead> {
        self.ends.values()
    }
}

impl Roster {
    /// The roster that starts with `genesis`, the record whose hash is `id`.
    pub fn new(id: Hash) -> Self {
        Self { id: Some(id), ..Self::default() }
    }

    /// The hash of the genesis record.
    pub fn id(&self) -> Option<Hash> {
        self.id
    }

    /// Takes records in; says which of them are new. Records of another roster, and any beyond [`MAX_RECORDS`], are left out.
    pub fn extend(&mut self, records: impl IntoIterator<Item = Verified<SignedRecord>>) -> Vec<SignedRecord> {
        let mut fresh = Vec::new();
        for Verified(signed) in records {
            let id = signed.id();
            if self.records.contains_key(&id) || self.records.len() >= MAX_RECORDS {
                continue;
            }
            let Ok(record) = Record::decode(&signed.bytes) else { continue };
            if self.id != Some(record.roster.unwrap_or(id)) {
                continue;
            }
            self.records.insert(id, (signed.clone(), record));
            fresh.push(signed);
        }
        if !fresh.is_empty() {
            let made = evaluate::evaluate(&self.records);
            (self.devices, self.removed, self.epochs) = (made.members, made.removed, made.epochs);
        }
        fresh
    }

    /// All members in order of id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.devices.values()
    }

    /// The member with that id.
    pub fn member(&self, id: DeviceId) -> Option<&Member> {
        self.devices.get(&id)
    }

    /// All devices that were removed, in order of id.
    pub fn removed(&self) -> impl Iterator<Item = (DeviceId, &Removed)> {
        self.removed.iter().map(|(id, removed)| (*id, removed))
    }

    /// The removed device with that id.
    pub fn removal(&self, id: DeviceId) -> Option<&Removed> {
        self.removed.get(&id)
    }

    /// The device with that id, a member or removed.
    pub fn known(&self, id: DeviceId) -> Option<&Device> {
        let removed = || self.removed.get(&id).map(|removed| &removed.member);
        self.devices.get(&id).or_else(removed).map(|member| &member.device)
    }

    /// What is known of an epoch; nothing of the one that the roster began with.
    pub fn epoch(&self, epoch: Epoch) -> Option<Minted> {
        self.epochs.get(&epoch).copied()
    }

    /// Whether no removed device knows the secret of that epoch. The one that the roster began with is fit until somebody is removed.
    pub fn is_fit(&self, epoch: Epoch) -> bool {
        self.epoch(epoch).map_or(self.removed.is_empty(), |minted| minted.fit)
    }

    /// The greatest number of an epoch in any record that counts.
    pub fn last_epoch(&self) -> u32 {
        self.epochs.keys().map(|epoch| epoch.number).max().unwrap_or_default()
    }

    /// How many records are held. It only grows.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether no record is held.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether the record with that name is held.
    pub fn contains(&self, record: Hash) -> bool {
        self.records.contains_key(&record)
    }

    /// Whether a record of `author` is held that removes `device`, whether it counts or not.
    pub fn removes(&self, author: DeviceId, device: DeviceId) -> bool {
        self.all_removals().any(|(by, whom)| (by, whom) == (author, device))
    }

    /// How many removals are held, whether they count or not.
    pub fn removals(&self) -> usize {
        self.all_removals().count()
    }

    fn all_removals(&self) -> impl Iterator<Item = (DeviceId, DeviceId)> {
        self.records.values().filter_map(|(_, record)| match &record.change {
            RosterChange::Remove(removal) => Some((record.author, removal.device)),
            RosterChange::Genesis(_)
            | RosterChange::Add(_)
            | RosterChange::Rename { .. }
            | RosterChange::Epoch(_)
            | RosterChange::Unknown => None,
        })
    }

    /// All records, parents before children where both are known.
    pub fn records(&self) -> Vec<SignedRecord> {
        evaluate::causal_order(&self.records).into_iter().map(|id| self.records[&id].0.clone()).collect()
    }

    /// The records no other record names as parent: what the next record names as its parents.
    pub fn heads(&self) -> BTreeSet<Hash> {
        let named: BTreeSet<Hash> = self.records.values().flat_map(|(_, record)| record.parents.clone()).collect();
        self.records.keys().filter(|id| !named.contains(*id)).copied().collect()
    }

    /// One hash over all records: equal on two devices that hold the same ones.
    pub fn hash(&self) -> Hash {
        let ids: Vec<u8> = self.records.keys().flat_map(|id| id.0).collect();
        Hash::of_parts(&[b"kinfolk/1/roster-heads", &ids])
    }

    /// The greatest stamp in any record.
    pub fn latest(&self) -> Stamp {
        self.records.values().map(|(_, record)| record.stamp).filter(|stamp| stamp.is_valid()).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
