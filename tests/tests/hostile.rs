//! Foreign bytes cannot harm: whatever arrives, a decoder answers; it does not panic, and what it accepts stays within bounds.
//!
//! Two kinds of input: arbitrary bytes, and valid bytes that were damaged in a few places, which reach deeper. `tests/fuzz` has the same
//! decoders for long runs.
#![expect(clippy::unwrap_used, reason = "in a test, what is unexpected fails it")]

use bytes::Bytes;
use kinfolk_core::bundle::{Body, Bundle, MAX_BODY};
use kinfolk_core::clock::Stamp;
use kinfolk_core::ids::{DeviceId, Dot, Hash, IdentityKey, Millis, Seq, SourceId};
use kinfolk_core::op::{Level, MessageBody, Op};
use kinfolk_core::parcel::{self, Letter, MAX_PARCEL, MAX_RUNS, MAX_VECTOR, Parcel, RunBodies, Want};
use kinfolk_core::roster::{Device, MAX_ENDS, MAX_RECORD_BYTES, PREKEY_BYTES, Prekey, Record, RosterChange, name_fits};
use kinfolk_core::value::Value;
use proptest::collection::vec;
use proptest::prelude::*;

const DOT: Dot = Dot { source: SourceId([3; 16]), seq: Seq(7) };

proptest! {
    #[test]
    fn any_bytes_are_a_parcel_or_refused(bytes in vec(any::<u8>(), 0..4096)) {
        read_parcel(&bytes);
    }

    #[test]
    fn a_damaged_parcel_is_a_parcel_or_refused(damage in damages()) {
        read_parcel(&damaged(valid_parcel(), &damage));
    }

    #[test]
    fn any_bytes_are_a_roster_record_or_refused(bytes in vec(any::<u8>(), 0..4096)) {
        read_record(&bytes);
    }

    #[test]
    fn a_damaged_roster_record_is_one_or_refused(damage in damages()) {
        read_record(&damaged(valid_record(), &damage));
    }

    #[test]
    fn any_bytes_are_the_body_of_a_bundle(bytes in vec(any::<u8>(), 0..4096)) {
        read_bundle(bytes);
    }

    #[test]
    fn a_damaged_body_is_the_body_of_a_bundle(damage in damages()) {
        read_bundle(damaged(valid_body(), &damage));
    }

    #[test]
    fn any_bytes_are_a_value_or_refused(bytes in vec(any::<u8>(), 0..512)) {
        if let Some(value) = Value::from_bytes(&bytes) {
            prop_assert_eq!(Value::from_bytes(&value.to_bytes()).map(|again| again.to_bytes()), Some(value.to_bytes()));
        }
    }
}

#[test]
fn undamaged_bytes_are_read() {
    assert!(Parcel::decode(&valid_parcel()).is_ok());
    assert!(Record::decode(&valid_record()).is_ok());
    assert!(Bundle::rebuild(DOT, Hash::default(), valid_body().into()).unwrap().body.is_some());
}

#[test]
fn what_is_longer_than_its_bound_is_refused_before_it_is_read() {
    assert!(Parcel::decode(&vec![0; MAX_PARCEL + 1]).is_err());
    assert!(Record::decode(&vec![0; MAX_RECORD_BYTES + 1]).is_err());
    assert!(Bundle::rebuild(DOT, Hash::default(), vec![0; MAX_BODY + 1].into()).is_err());
}

fn read_parcel(bytes: &[u8]) {
    let Ok(parcel) = Parcel::decode(bytes) else { return };
    assert!(parcel.runs.len() <= MAX_RUNS && parcel.letter.receipt.vector.len() <= MAX_VECTOR);
    for run in &parcel.runs {
        assert!(!run.bundles.is_empty() && run.signature.len() == 64);
        run.bundles.iter().flat_map(Bundle::ops).for_each(|op| drop(op.meaning()));
    }
}

fn read_record(bytes: &[u8]) {
    let Ok(record) = Record::decode(bytes) else { return };
    match &record.change {
        RosterChange::Genesis(device) => assert!(name_fits(&device.name) && device.prekey.public.len() == PREKEY_BYTES),
        RosterChange::Rename { name, .. } => assert!(name_fits(name)),
        RosterChange::Add(addition) => assert!(name_fits(&addition.device.name)),
        RosterChange::Remove(removal) => assert!(removal.ends.len() <= MAX_ENDS),
        RosterChange::Epoch(_) | RosterChange::Unknown => {}
    }
}

fn read_bundle(bytes: Vec<u8>) {
    let bundle = Bundle::rebuild(DOT, Hash::default(), bytes.clone().into()).unwrap();
    assert_eq!(bundle.bytes, bytes);
    bundle.ops().iter().for_each(|op| drop(op.meaning()));
}

/// Where to damage (as a fraction of the length) and what to write there.
fn damages() -> impl Strategy<Value = Vec<(u16, u8)>> {
    vec(any::<(u16, u8)>(), 1..8)
}

fn damaged(mut bytes: Vec<u8>, damage: &[(u16, u8)]) -> Vec<u8> {
    let length = bytes.len();
    for (place, byte) in damage {
        bytes[usize::from(*place) * length / (usize::from(u16::MAX) + 1)] = *byte;
    }
    bytes
}

fn valid_body() -> Vec<u8> {
    let message = MessageBody { conversation: "c".into(), text: "hello".into(), ..MessageBody::default() };
    let ops = vec![
        Op::record_put("notes", "a", vec![("title".into(), Some(Value::text("x"))), ("gone".into(), None)]),
        Op::message_post("m", &message),
        Op::message_status("m", Level::Read, Some(5)),
        Op::message_delete("m", None),
    ];
    let body = Body { stamp: Stamp(1 << 16), ops, ..Body::default() };
    Bundle::write(DOT, Hash::default(), body).unwrap().bytes.to_vec()
}

fn valid_record() -> Vec<u8> {
    let prekey = Prekey { slot: 1, public: Bytes::from(vec![1; PREKEY_BYTES]) };
    let (id, key) = (DeviceId([1; 16]), IdentityKey([1; 32]));
    let device = Device { id, key, name: "desk".into(), platform: "linux".into(), prekey };
    let change = RosterChange::Genesis(device);
    let record = Record { roster: None, author: id, author_key: key, parents: [].into(), stamp: Stamp(1), change };
    record.encode().to_vec()
}

fn valid_parcel() -> Vec<u8> {
    let mut letter = Letter::bare(DeviceId([1; 16]), Millis(1));
    letter.wants = vec![Want { source: DOT.source, after: Seq(1), upto: Seq(2), exact: true }];
    letter.digest = Some(Hash([1; 32]));
    let signature = Bytes::from_static(&[1; 64]);
    let bodies = vec![Bytes::from(valid_body())];
    let run = RunBodies {
        device: letter.sender,
        source: DOT.source,
        first: DOT.seq,
        prev: Hash::default(),
        bodies,
        signature,
    };
    parcel::encode(&letter, &[run]).unwrap()
}
