//! Who is who in a simulated world: devices and the roster records that admit them. Signatures are taken for granted.

use std::collections::BTreeSet;

use bytes::Bytes;
use kinfolk::store::NewDevice;
use kinfolk_core::clock::Stamp;
use kinfolk_core::engine::Engine;
use kinfolk_core::epoch::{Epoch, KeptEpoch, NewEpoch};
use kinfolk_core::ids::{DeviceId, Hash, IdentityKey, Millis, SourceId};
use kinfolk_core::prekey::KeptPrekey;
use kinfolk_core::roster::{
    Addition, Device, End, PREKEY_BYTES, Prekey, Record, Removal, RosterChange, SignedRecord, Verified,
};

/// Wall-clock time when a world begins: 2023-11-14.
pub(super) const EPOCH: Millis = Millis(1_700_000_000_000);

/// The epoch that every world begins with.
const FIRST_EPOCH: Epoch = Epoch { number: 1, id: [0xE1; 16] };

/// An epoch with its secret: as many bytes as it takes to see that it is the right one.
pub(super) fn epoch_of(epoch: Epoch) -> KeptEpoch {
    let secret = epoch.id.map(|byte| !byte);
    kept(epoch, Bytes::copy_from_slice(&secret))
}

/// An epoch with the secret that somebody gave.
pub(super) fn kept(epoch: Epoch, secret: Bytes) -> KeptEpoch {
    KeptEpoch { epoch, commitment: Hash::of(&secret), kept: secret }
}

/// A prekey of a device, made at `made`.
pub(super) fn prekey_of(index: usize, slot: u32, made: Millis) -> KeptPrekey {
    let prekey = Prekey { slot, ..person(index).prekey };
    KeptPrekey { prekey, made, kept: Bytes::from_static(b"seed") }
}

/// The change by which an epoch is minted.
pub(super) fn minting(epoch: &KeptEpoch) -> RosterChange {
    RosterChange::Epoch(NewEpoch { epoch: epoch.epoch, commitment: epoch.commitment })
}

/// The id of the device at `index`.
pub(super) fn device_id(index: usize) -> DeviceId {
    DeviceId([number(index); 16])
}

/// The source that the device at `index` writes.
pub(super) fn source_id(index: usize) -> SourceId {
    SourceId([0x50 + number(index); 16])
}

/// The removal of the device at `index`, whose sources end there.
pub(super) fn removal(index: usize, ends: Vec<End>) -> RosterChange {
    let Device { id, key, .. } = person(index);
    RosterChange::Remove(Removal { device: id, key, ends })
}

/// Which device has that id.
pub(super) fn index_of(id: DeviceId) -> Option<usize> {
    let [first, ..] = id.0;
    usize::from(first).checked_sub(1)
}

/// The record that begins the roster.
pub(super) fn genesis() -> SignedRecord {
    let first = person(0);
    let (author, author_key) = (first.id, first.key);
    let change = RosterChange::Genesis(first);
    signed(&Record { roster: None, author, author_key, parents: BTreeSet::new(), stamp: stamp_at(0), change })
}

/// The record by which the device at `by` admits the one at `newcomer`, before anything else happened.
pub(super) fn founding(by: usize, newcomer: usize, parent: &SignedRecord) -> SignedRecord {
    let stamp = stamp_at(u64::from(number(newcomer)));
    record(by, BTreeSet::from([parent.id()]), stamp, admission(newcomer))
}

/// The record by which a running device makes a change, for its engine.
pub(super) fn authored(by: usize, engine: &mut Engine, wall: Millis, change: RosterChange) -> Verified<SignedRecord> {
    let stamp = engine.stamp(wall);
    Verified::vouch(record(by, engine.roster().heads(), stamp, change))
}

/// The admission of the device at `newcomer`.
pub(super) fn admission(newcomer: usize) -> RosterChange {
    let device = person(newcomer);
    let (join_signature, card_hash) = (Bytes::from_static(&[0; 64]), Hash::default());
    RosterChange::Add(Addition { device_bytes: device.encode(), device, join_signature, card_hash })
}

/// What a device begins with.
pub(super) fn birth(index: usize, records: Vec<SignedRecord>) -> NewDevice {
    NewDevice {
        me: device_id(index),
        source: source_id(index),
        generation: 1,
        roster: genesis().id(),
        records,
        epochs: vec![epoch_of(FIRST_EPOCH)],
        prekey: prekey_of(index, 1, EPOCH),
        announced: Vec::new(),
    }
}

fn person(index: usize) -> Device {
    let n = number(index);
    Device {
        id: device_id(index),
        key: IdentityKey([n; 32]),
        name: format!("device {n}"),
        platform: "linux".into(),
        prekey: Prekey { slot: 1, public: Bytes::from(vec![n; PREKEY_BYTES]) },
    }
}

fn record(by: usize, parents: BTreeSet<Hash>, stamp: Stamp, change: RosterChange) -> SignedRecord {
    let (roster, author, author_key) = (Some(genesis().id()), device_id(by), person(by).key);
    signed(&Record { roster, author, author_key, parents, stamp, change })
}

fn signed(record: &Record) -> SignedRecord {
    SignedRecord { bytes: record.encode(), signature: Bytes::from_static(&[0; 64]) }
}

fn stamp_at(millis: u64) -> Stamp {
    Stamp(EPOCH.plus(Millis(millis)).0 << 16)
}

fn number(index: usize) -> u8 {
    u8::try_from(index + 1).unwrap_or(u8::MAX)
}
