//! What tests put in: ops, bundles, parcels, roster records.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::disk::FIRST_EPOCH;
use super::world::{EPOCH, Mail, RELAY};
use crate::bundle::{Birth, Body, Bundle};
use crate::clock::Stamp;
use crate::epoch::{Epoch, GivenEpoch, KeptEpoch, NewEpoch};
use crate::ids::{DeviceId, Dot, Hash, IdentityKey, Millis, Seq, SourceId};
use crate::op::{MessageBody, Op};
use crate::parcel::{Letter, Parcel, Receipt, RunBodies, VerifiedParcel, encode};
use crate::roster::{
    Addition, Device, End, MAX_ENDS, PREKEY_BYTES, Prekey, Record, Removal, RosterChange, SignedRecord, Verified,
};
use crate::value::Value;
use crate::vector::{Head, VersionVector};

pub(super) fn id(n: u8) -> DeviceId {
    DeviceId([n; 16])
}

/// The source device `n` writes.
pub(super) fn source(n: u8) -> SourceId {
    SourceId([0x50 + n; 16])
}

pub(super) fn dot(n: u8, seq: u64) -> Dot {
    Dot { source: source(n), seq: Seq(seq) }
}

/// A put of a note.
pub(super) fn note(key: &str) -> Op {
    Op::record_put("notes", key, vec![("title".into(), Some(Value::text("x")))])
}

/// A post.
pub(super) fn post(message: &str) -> Op {
    let text = "hello".into();
    Op::message_post(message, &MessageBody { conversation: "c".into(), text, ..MessageBody::default() })
}

/// A parcel after its way over the wire and the check of its signatures.
pub(super) fn verified(letter: &Letter, runs: &[RunBodies]) -> VerifiedParcel {
    let gift = |given: &GivenEpoch| GivenEpoch { gift: Bytes::from(secret_of(given.epoch)), ..given.clone() };
    let signature = letter.signature.as_ref().map(|_| Bytes::from_static(&[9; 64]));
    let letter = Letter { epochs: letter.epochs.iter().map(gift).collect(), signature, ..letter.clone() };
    let parcel = Parcel::decode(&encode(&letter, runs).unwrap()).unwrap();
    let records = parcel.letter.records.iter().cloned().map(Verified::vouch).collect();
    let epochs = parcel.letter.epochs.iter().map(|given| kept(given.epoch, given.gift.clone())).collect();
    let runs = parcel.runs.into_iter().map(Verified::vouch).collect();
    let evidence = parcel.letter.evidence.iter().cloned().map(Verified::vouch).collect();
    let mut letter = parcel.letter;
    let own = letter.signature.is_some().then(|| letter.statement());
    let statements = std::mem::take(&mut letter.statements).into_iter().chain(own).map(Verified::vouch).collect();
    VerifiedParcel { letter, records, epochs, runs, evidence, statements, rejected: 0 }
}

/// The secret of an epoch, as far as tests go.
pub(super) fn secret_of(epoch: Epoch) -> Vec<u8> {
    epoch.id.map(|byte| byte ^ 0xFF).to_vec()
}

fn kept(epoch: Epoch, secret: Bytes) -> KeptEpoch {
    KeptEpoch { epoch, commitment: Hash::of(&secret), kept: secret }
}

/// The epoch that device `by` mints under `number`: its record and its secret.
pub(super) fn minting(
    by: u8,
    number: u32,
    parents: BTreeSet<Hash>,
    wall: Millis,
) -> (Verified<SignedRecord>, KeptEpoch) {
    let [.., high, low] = number.to_be_bytes();
    let mut id = [by; 16];
    (id[14], id[15]) = (high, low);
    let epoch = kept(Epoch { number, id }, Bytes::from(secret_of(Epoch { number, id })));
    let record = signed(&Record {
        roster: Some(genesis().id()),
        author: super::script::id(by),
        author_key: IdentityKey([by; 32]),
        parents,
        stamp: Stamp(wall.0 << 16),
        change: RosterChange::Epoch(NewEpoch { epoch: epoch.epoch, commitment: epoch.commitment }),
    });
    (Verified::vouch(record), epoch)
}

/// A run of `bundles` by device `n`.
pub(super) fn run_of(n: u8, bundles: &[Bundle]) -> RunBodies {
    RunBodies {
        device: id(n),
        source: bundles[0].dot.source,
        first: bundles[0].dot.seq,
        prev: bundles[0].prev,
        bodies: bundles.iter().map(|bundle| bundle.bytes.clone()).collect(),
        signature: Bytes::from_static(&[9; 64]),
    }
}

/// A parcel from device `from` to device 1 that brings `runs` and says nothing of what its sender holds.
pub(super) fn mail_of(from: u8, runs: &[RunBodies]) -> Mail {
    let receipt = Receipt { generation: 1, ..Receipt::default() };
    let letter = Letter { receipt, ..Letter::bare(id(from), Millis(EPOCH)) };
    Mail { from, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, runs) }
}

/// Writes bundles as some other program might: device `n`'s source, one bundle a body.
pub(super) fn chain(n: u8, bodies: Vec<Body>) -> Vec<Bundle> {
    let mut bundles: Vec<Bundle> = Vec::new();
    for (index, mut body) in bodies.into_iter().enumerate() {
        body.birth = (index == 0).then_some(Birth { device: id(n), generation: 1 });
        let prev = bundles.last().map_or(Hash::default(), |bundle| bundle.hash);
        bundles.push(Bundle::write(dot(n, index as u64 + 1), prev, body).unwrap());
    }
    bundles
}

/// A body with one note, stamped `millis` after the epoch.
pub(super) fn body(millis: u64) -> Body {
    Body { stamp: Stamp((EPOCH + millis) << 16), ops: vec![note("foreign")], ..Body::default() }
}

/// A vector that names what is given: (device, seq, bundle hash).
pub(super) fn vector(heads: &[(u8, u64)]) -> VersionVector {
    heads.iter().map(|(n, seq)| (source(*n), Head { seq: Seq(*seq), hash: Hash::default() })).collect()
}

pub(super) fn member(n: u8) -> Device {
    Device {
        id: id(n),
        key: IdentityKey([n; 32]),
        name: format!("device {n}"),
        platform: "linux".into(),
        prekey: Prekey { slot: 1, public: Bytes::from(vec![n; PREKEY_BYTES]) },
    }
}

pub(super) fn genesis() -> SignedRecord {
    signed(&Record {
        roster: None,
        author: id(1),
        author_key: IdentityKey([1; 32]),
        parents: BTreeSet::new(),
        stamp: Stamp(EPOCH << 16),
        change: RosterChange::Genesis(member(1)),
    })
}

/// The record by which device `by` adds device `n`.
pub(super) fn addition(by: u8, n: u8, parent: Hash, millis: u64) -> SignedRecord {
    signed(&Record {
        roster: Some(genesis().id()),
        author: id(by),
        author_key: IdentityKey([by; 32]),
        parents: BTreeSet::from([parent]),
        stamp: Stamp((EPOCH + millis) << 16),
        change: RosterChange::Add(Addition {
            device_bytes: member(n).encode(),
            device: member(n),
            join_signature: Bytes::from_static(&[0; 64]),
            card_hash: Hash::default(),
        }),
    })
}

/// The record by which device `by` removes device `n`, of whose sources only the one named counts, up to there.
pub(super) fn removal(
    by: u8,
    n: u8,
    parents: BTreeSet<Hash>,
    millis: u64,
    end: Option<(SourceId, Head)>,
) -> SignedRecord {
    let signature = Bytes::from_static(&[9; 64]);
    let ends = end.map(|(source, head)| End { source, head, signature }).into_iter().collect();
    signed(&Record {
        roster: Some(genesis().id()),
        author: id(by),
        author_key: IdentityKey([by; 32]),
        parents,
        stamp: Stamp((EPOCH + millis) << 16),
        change: RosterChange::Remove(Removal { device: id(n), key: IdentityKey([n; 32]), ends }),
    })
}

/// A record of more than 6 KiB that changes nothing: device `by` removes a device nobody knows.
pub(super) fn bulky(by: u8, parent: Hash, millis: u64) -> SignedRecord {
    let end = |source: u8| {
        let head = Head { seq: Seq(1), hash: Hash([source; 32]) };
        End { source: SourceId([source; 16]), head, signature: Bytes::from_static(&[9; 64]) }
    };
    let ends = (0..MAX_ENDS).map(|source| end(u8::try_from(source).unwrap())).collect();
    signed(&Record {
        roster: Some(genesis().id()),
        author: id(by),
        author_key: IdentityKey([by; 32]),
        parents: BTreeSet::from([parent]),
        stamp: Stamp((EPOCH + millis) << 16),
        change: RosterChange::Remove(Removal { device: id(200), key: IdentityKey([200; 32]), ends }),
    })
}

fn signed(record: &Record) -> SignedRecord {
    SignedRecord { bytes: record.encode(), signature: Bytes::from_static(&[0; 64]) }
}
