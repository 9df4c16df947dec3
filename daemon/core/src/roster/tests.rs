use super::*;
use crate::epoch::{Epoch, NewEpoch};

mod removal;

fn device(n: u8) -> Device {
    Device {
        id: DeviceId([n; 16]),
        key: IdentityKey([n; 32]),
        name: format!("device {n}"),
        platform: "linux".into(),
        prekey: Prekey { slot: 1, public: Bytes::from(vec![n; PREKEY_BYTES]) },
    }
}

fn sign(record: &Record) -> Verified<SignedRecord> {
    Verified::vouch(SignedRecord { bytes: record.encode(), signature: Bytes::from_static(&[0; 64]) })
}

fn genesis() -> Verified<SignedRecord> {
    let first = device(1);
    sign(&Record {
        roster: None,
        author: first.id,
        author_key: first.key,
        parents: BTreeSet::new(),
        stamp: Stamp(1),
        change: RosterChange::Genesis(first),
    })
}

fn record(author: u8, parents: &[&Verified<SignedRecord>], stamp: u64, change: RosterChange) -> Verified<SignedRecord> {
    sign(&Record {
        roster: Some(genesis().get().id()),
        author: DeviceId([author; 16]),
        author_key: IdentityKey([author; 32]),
        parents: parents.iter().map(|parent| parent.get().id()).collect(),
        stamp: Stamp(stamp),
        change,
    })
}

fn add(n: u8) -> RosterChange {
    let device = device(n);
    RosterChange::Add(Addition {
        device_bytes: device.encode(),
        device,
        join_signature: Bytes::from_static(&[0; 64]),
        card_hash: Hash::default(),
    })
}

fn roster_of(records: &[Verified<SignedRecord>]) -> Roster {
    let mut roster = Roster::new(genesis().get().id());
    for record in records {
        roster.extend([record.clone()]);
    }
    roster
}

fn ids(roster: &Roster) -> Vec<u8> {
    roster.members().map(|member| member.device.id.0[0]).collect()
}

#[test]
fn a_member_adds_a_device_and_the_added_one_adds_another() {
    let first = genesis();
    let second = record(1, &[&first], 2, add(2));
    let third = record(2, &[&second], 3, add(3));
    let roster = roster_of(&[first, second, third]);
    assert_eq!(ids(&roster), [1, 2, 3]);
    assert_eq!(roster.member(DeviceId([3; 16])).unwrap().added_by, DeviceId([2; 16]));
}

#[test]
fn an_addition_by_a_stranger_has_no_effect() {
    let first = genesis();
    let forged = record(9, &[&first], 2, add(2));
    assert_eq!(ids(&roster_of(&[first, forged])), [1]);
}

#[test]
fn membership_counts_only_in_the_causal_past() {
    let first = genesis();
    let second = record(1, &[&first], 2, add(2));
    let beside = record(2, &[&first], 3, add(3));
    assert_eq!(ids(&roster_of(&[first, second, beside])), [1, 2]);
}

#[test]
fn a_member_id_under_another_key_is_a_stranger() {
    let first = genesis();
    let mut forged = Record::decode(&record(1, &[&first], 2, add(2)).get().bytes).unwrap();
    forged.author_key = IdentityKey([9; 32]);
    assert_eq!(ids(&roster_of(&[first, sign(&forged)])), [1]);
}

#[test]
fn any_order_and_repetition_gives_the_same_roster() {
    let first = genesis();
    let second = record(1, &[&first], 2, add(2));
    let third = record(2, &[&second], 3, add(3));
    let rename_a = record(1, &[&second], 4, RosterChange::Rename { device: DeviceId([2; 16]), name: "a".into() });
    let rename_b = record(2, &[&second], 4, RosterChange::Rename { device: DeviceId([2; 16]), name: "b".into() });
    let all = [first, second, third, rename_a, rename_b];
    let expected = roster_of(&all);
    for rotation in 0..all.len() {
        let mut shuffled = all.to_vec();
        shuffled.rotate_left(rotation);
        shuffled.extend(all.iter().rev().cloned());
        assert_eq!(roster_of(&shuffled), expected);
        assert_eq!(roster_of(&shuffled).hash(), expected.hash());
    }
}

#[test]
fn the_later_of_two_names_wins() {
    let first = genesis();
    let name = |stamp, name: &str| {
        record(1, &[&genesis()], stamp, RosterChange::Rename { device: DeviceId([1; 16]), name: name.into() })
    };
    let roster = roster_of(&[first, name(3, "later"), name(2, "earlier")]);
    assert_eq!(roster.member(DeviceId([1; 16])).unwrap().device.name, "later");
}

#[test]
fn a_record_of_another_roster_is_left_out() {
    let first = genesis();
    let mut foreign = Record::decode(&record(1, &[&first], 2, add(2)).get().bytes).unwrap();
    foreign.roster = Some(Hash([5; 32]));
    let mut roster = roster_of(&[first]);
    assert!(roster.extend([sign(&foreign)]).is_empty());
}

#[test]
fn a_record_survives_its_bytes_and_strange_bytes_are_refused() {
    let signed = record(1, &[&genesis()], 2, add(2));
    let decoded = Record::decode(&signed.get().bytes).unwrap();
    assert_eq!(decoded.encode(), signed.get().bytes);
    assert!(Record::decode(&[0xFF; 40]).is_err());
    assert!(Record::decode(&vec![0; MAX_RECORD_BYTES + 1]).is_err());
}

#[test]
fn heads_are_the_records_nobody_names_as_parent() {
    let first = genesis();
    let second = record(1, &[&first], 2, add(2));
    assert_eq!(roster_of(&[first, second.clone()]).heads(), BTreeSet::from([second.get().id()]));
}

#[test]
fn only_the_first_record_says_who_was_first_and_its_device_says_so_itself() {
    let first = genesis();
    let id = first.get().id();
    let claim = |roster, author: u8, key: u8, parents, of: u8| {
        sign(&Record {
            roster,
            author: DeviceId([author; 16]),
            author_key: IdentityKey([key; 32]),
            parents,
            stamp: Stamp(9),
            change: RosterChange::Genesis(device(of)),
        })
    };
    for second in [claim(Some(id), 9, 9, BTreeSet::new(), 9), claim(Some(id), 9, 9, BTreeSet::from([id]), 9)] {
        assert_eq!(ids(&roster_of(&[first.clone(), second])), [1]);
    }
    for foreign in [
        claim(None, 2, 2, BTreeSet::new(), 1),
        claim(None, 1, 2, BTreeSet::new(), 1),
        claim(None, 2, 1, BTreeSet::new(), 1),
    ] {
        let mut roster = Roster::new(foreign.get().id());
        assert_eq!(roster.extend([foreign]).len(), 1);
        assert_eq!(ids(&roster), []);
    }
}

#[test]
fn what_lies_far_back_is_still_before() {
    let mut records = vec![genesis(), record(1, &[&genesis()], 2, add(2))];
    for n in 0..150 {
        let rename = RosterChange::Rename { device: DeviceId([1; 16]), name: format!("name {n}") };
        records.push(record(1, &[records.last().unwrap()], 3 + n, rename));
    }
    records.push(record(2, &[records.last().unwrap()], 500, add(3)));
    assert_eq!(ids(&roster_of(&records)), [1, 2, 3]);
}

#[test]
fn a_roster_knows_its_id_its_size_its_removals_and_its_latest_stamp() {
    let first = genesis();
    let id = first.get().id();
    let mut roster = Roster::new(id);
    assert_eq!((roster.id(), roster.is_empty(), roster.latest()), (Some(id), true, Stamp(0)));
    let second = record(1, &[&first], 7, add(2));
    let gone = Removal { device: DeviceId([2; 16]), key: IdentityKey([2; 32]), ends: Vec::new() };
    let removal = record(1, &[&second], 4, RosterChange::Remove(gone));
    roster.extend([first, second]);
    assert_eq!((roster.is_empty(), roster.latest(), roster.removals()), (false, Stamp(7), 0));
    let (one, two) = (DeviceId([1; 16]), DeviceId([2; 16]));
    assert!(!roster.removes(one, two));
    roster.extend([removal]);
    assert!(roster.removes(one, two) && !roster.removes(two, one));
    assert_eq!((roster.removals(), roster.latest()), (1, Stamp(7)));
}

#[test]
fn a_record_has_at_most_8_kib_and_one_change() {
    let mut bytes = genesis().get().bytes.to_vec();
    // Field 99, with as many bytes as are missing.
    let missing = MAX_RECORD_BYTES - bytes.len() - 4;
    bytes.extend_from_slice(&[
        0x9A,
        0x06,
        u8::try_from(missing % 128 + 128).unwrap(),
        u8::try_from(missing / 128).unwrap(),
    ]);
    bytes.extend(std::iter::repeat_n(0, missing));
    assert_eq!(bytes.len(), MAX_RECORD_BYTES);
    assert!(Record::decode(&bytes).is_ok());
    bytes.extend_from_slice(&[0x98, 0x06, 0]);
    assert!(Record::decode(&bytes).is_err());
    // Protobuf fields that follow each other are one message: this one has an addition and a genesis.
    let both = [genesis().get().bytes.clone(), record(1, &[], 1, add(2)).get().bytes.clone()].concat();
    assert_eq!(Record::decode(&both), Err(RecordError::Malformed("more than one change")));
    // A change that a newer version knows is none here.
    let none = Record { change: RosterChange::Unknown, ..Record::decode(&genesis().get().bytes).unwrap() };
    assert_eq!(Record::decode(&none.encode()).unwrap(), none);
}

#[test]
fn a_device_has_a_name_a_platform_and_a_prekey_of_their_sizes() {
    let named = |name: String| Device { name, ..device(2) };
    let on = |platform: usize| Device { platform: "x".repeat(platform), ..device(2) };
    let keyed = |bytes: usize| Device { prekey: Prekey { slot: 1, public: vec![7; bytes].into() }, ..device(2) };
    let fits = |device: Device| Device::decode(&device.encode()) == Ok(device);
    assert!(fits(on(0)) && fits(on(MAX_NAME)) && fits(keyed(PREKEY_BYTES)) && fits(named("x".repeat(MAX_NAME))));
    for device in [on(MAX_NAME + 1), keyed(PREKEY_BYTES - 1), named("x".repeat(MAX_NAME + 1)), named(String::new())] {
        assert!(!fits(device));
    }
    assert!(name_fits("Ada's laptop") && !name_fits("a\nb") && !name_fits("") && !name_fits("\u{7f}"));
}

#[test]
fn an_end_of_a_source_has_a_position_and_a_signature() {
    let end = |seq: u64, signature: usize| {
        let head = Head { seq: Seq(seq), hash: Hash([1; 32]) };
        let ends = vec![End { source: SourceId([1; 16]), head, signature: vec![9; signature].into() }];
        let removal = Removal { device: DeviceId([2; 16]), key: IdentityKey([2; 32]), ends };
        Record::decode(&record(1, &[], 1, RosterChange::Remove(removal)).get().bytes).is_ok()
    };
    assert_eq!([end(1, 64), end(0, 64), end(1, 63), end(0, 0)], [true, false, false, false]);
}
