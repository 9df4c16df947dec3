//! The core: values, ops, bundles, roster records, parcels, digests.

use std::collections::BTreeSet;

use bytes::Bytes;
use kinfolk_core::bundle::{Birth, Body, Bundle};
use kinfolk_core::clock::Stamp;
use kinfolk_core::compact;
use kinfolk_core::epoch::{Epoch, GivenEpoch, NewEpoch};
use kinfolk_core::ids::{BundleSeq, DeviceId, Dot, Hash, IdentityKey, Millis, RelayId, Seq, SourceId};
use kinfolk_core::merge::{LIVE, value_hash};
use kinfolk_core::op::{self, Attachment, Field, Level, Meaning, MessageBody, Op};
use kinfolk_core::parcel::{self, Ended, Letter, Parcel, RunBodies, SignedHead, Want};
use kinfolk_core::roster::{
    Addition, Device, End, Minted, PREKEY_BYTES, Prekey, Record, Removal, Roster, RosterChange, SignedRecord, Verified,
};
use kinfolk_core::snapshot;
use kinfolk_core::step::content_hash;
use kinfolk_core::value::{Kind, Value};
use kinfolk_core::vector::{Head, VersionVector};
use kinfolk_core::{digest, merge};
use prost::Message;

pub(super) const SOURCE: SourceId = SourceId(*b"source-of-device");
pub(super) const OTHER: SourceId = SourceId(*b"source-of-others");
pub(super) const DEVICE: DeviceId = DeviceId(*b"the-first-device");
const JOINER: DeviceId = DeviceId(*b"the-other-device");

const EPOCH: Epoch = Epoch { number: 2, id: *b"the-second-epoch" };

pub(super) const SIGNATURE: Bytes = Bytes::from_static(&[7; 64]);

/// 2026-01-02 03:04:05 UTC, counter 6.
pub(super) const STAMP: Stamp = Stamp(1_767_323_045_000 << 16 | 6);

pub(super) fn frozen(name: &str, what: &str, today: &[u8]) -> Bytes {
    Bytes::from(kinfolk_tests::frozen::check("core", name, what, today).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn a_value_of_every_type_keeps_its_bytes() {
    let kinds = [
        ("value-null", Kind::Null(true)),
        ("value-bool", Kind::Bool(true)),
        ("value-int", Kind::Int(-1_234_567_890_123)),
        ("value-float", Kind::Float(-0.1)),
        ("value-text", Kind::Text("Grüße".into())),
        ("value-bytes", Kind::Bytes(vec![0, 1, 254, 255])),
        ("value-timestamp", Kind::Timestamp("2026-01-02T03:04:05.678+02:00".into())),
        ("value-json", Kind::Json(r#"{"a":[1,null]}"#.into())),
    ];
    for (name, kind) in kinds {
        let value = Value { kind: Some(kind) };
        let file = frozen(name, &format!("{:?}", value.kind), &value.to_bytes());
        assert_eq!(Value::from_bytes(&file), Some(value), "{name}");
    }
}

#[test]
fn an_op_of_every_kind_keeps_its_bytes_and_its_meaning() {
    let body = message_body();
    let named = [
        ("op-record-put", put(), Meaning::RecordPut),
        ("op-record-delete", Op::record_delete("notes", "shopping"), Meaning::RecordDelete),
        ("op-message-post", Op::message_post("m-1", &body), Meaning::MessagePost(Box::new(body))),
        (
            "op-message-sent",
            Op::message_status("m-1", Level::Sent, Some(-5)),
            Meaning::MessageStatus(Level::Sent, Some(-5)),
        ),
        (
            "op-message-delivered",
            Op::message_status("m-1", Level::Delivered, None),
            Meaning::MessageStatus(Level::Delivered, None),
        ),
        (
            "op-message-read",
            Op::message_status("m-1", Level::Read, Some(1_767_323_045_678_901)),
            Meaning::MessageStatus(Level::Read, Some(1_767_323_045_678_901)),
        ),
        (
            "op-message-delete",
            Op::message_delete("m-1", Some(1_767_323_045_678_902)),
            Meaning::MessageDelete(Some(1_767_323_045_678_902)),
        ),
        ("op-of-a-newer-version", newer(), Meaning::Unknown),
    ];
    for (name, op, meaning) in named {
        let file = frozen(name, &format!("{op:?}"), &op.encode_to_vec());
        let read = Op::decode(file).unwrap();
        assert_eq!(read, op, "{name}");
        assert_eq!(read.meaning(), meaning, "{name}");
    }
}

#[test]
fn a_bundle_keeps_its_bytes_and_its_hash() {
    let first = Bundle::write(Dot { source: SOURCE, seq: Seq(1) }, Hash::default(), first_body()).unwrap();
    let file = frozen("bundle-first", "body of the first bundle of a source: birth and two ops", &first.bytes);
    let hash = frozen("bundle-first-hash", "its hash, over header and body", &first.hash.0);
    let read = Bundle::rebuild(first.dot, first.prev, file).unwrap();
    assert_eq!((read.body, read.hash.0.as_slice()), (Some(first_body()), hash.as_ref()));

    let second = Bundle::write(Dot { source: SOURCE, seq: Seq(2) }, first.hash, second_body()).unwrap();
    let file = frozen("bundle-second", "body of the second bundle: a context of one entry and one op", &second.bytes);
    let hash = frozen("bundle-second-hash", "its hash, which rests on the first bundle's", &second.hash.0);
    let read = Bundle::rebuild(second.dot, second.prev, file).unwrap();
    assert_eq!((read.body, read.hash.0.as_slice()), (Some(second_body()), hash.as_ref()));
}

#[test]
fn roster_records_keep_their_bytes_and_make_the_same_roster() {
    let genesis = genesis();
    let add = record(&[&genesis], RosterChange::Add(addition()));
    let rename = record(&[&add], RosterChange::Rename { device: JOINER, name: "kitchen".into() });
    let end = End { source: OTHER, head: Head { seq: Seq(300), hash: Hash([0x5A; 32]) }, signature: SIGNATURE };
    let removal = Removal { device: JOINER, key: IdentityKey([0x22; 32]), ends: vec![end] };
    let remove = record(&[&rename], RosterChange::Remove(removal));
    let named = [("record-genesis", genesis), ("record-add", add), ("record-rename", rename)];
    let mut roster: Option<Roster> = None;
    for (name, record) in &named {
        let file = frozen(name, &format!("roster record {:?}", kind_of(&record.change)), &record.encode());
        assert_eq!(Record::decode(&file).as_ref(), Ok(record), "{name}");
        let signed = SignedRecord { bytes: file, signature: Bytes::from_static(&[7; 64]) };
        let roster = roster.get_or_insert_with(|| Roster::new(signed.id()));
        assert_eq!(roster.extend([Verified::vouch(signed.clone())]), [signed]);
    }
    let roster = roster.unwrap();
    let members: Vec<_> = roster.members().map(|member| (member.device.id, member.device.name.as_str())).collect();
    assert_eq!(members, [(DEVICE, "desk"), (JOINER, "kitchen")]);
    frozen("roster-hash", "hash over the ids of the three records", &roster.hash().0);

    let mut roster = roster;
    let file = frozen("record-remove", "roster record \"remove\" that names the end of one source", &remove.encode());
    assert_eq!(Record::decode(&file).as_ref(), Ok(&remove));
    roster.extend([Verified::vouch(SignedRecord { bytes: file, signature: SIGNATURE })]);
    assert_eq!(roster.members().map(|member| member.device.id).collect::<Vec<_>>(), [DEVICE]);
    assert_eq!(roster.removal(JOINER).map(|removed| removed.end(OTHER)), Some(Seq(300)));

    let minted = NewEpoch { epoch: EPOCH, commitment: Hash([0xC0; 32]) };
    let epoch = record(&[&remove], RosterChange::Epoch(minted));
    let file = frozen("record-epoch", "roster record \"epoch\" that mints epoch 2", &epoch.encode());
    assert_eq!(Record::decode(&file).as_ref(), Ok(&epoch));
    roster.extend([Verified::vouch(SignedRecord { bytes: file, signature: SIGNATURE })]);
    assert_eq!(roster.epoch(EPOCH), Some(Minted { commitment: Hash([0xC0; 32]), fit: true }));
}

#[test]
fn a_letter_that_gives_an_epoch_keeps_its_bytes() {
    let given = GivenEpoch { epoch: EPOCH, gift: Bytes::from_static(&[0x61; 1168]) };
    let letter = Letter { epoch: EPOCH, epochs: vec![given], ..bare(1_767_323_045_000) };
    let file = frozen("parcel-epoch", "a letter that gives an epoch", &parcel::encode(&letter, &[]).unwrap());
    assert_eq!(Parcel::decode(&file).unwrap().letter, letter);
}

#[test]
fn a_letter_that_announces_a_prekey_keeps_its_bytes() {
    let prekey = Prekey { slot: 1_767_323_045, public: Bytes::from_static(&[0x71; PREKEY_BYTES]) };
    let letter = Letter { prekey, known_slot: 3, ..bare(1_767_323_045_000) };
    let file = frozen("parcel-prekey", "a letter that announces a prekey", &parcel::encode(&letter, &[]).unwrap());
    assert_eq!(Parcel::decode(&file).unwrap().letter, letter);
}

#[test]
fn what_parcels_say_of_compacted_logs_keeps_its_bytes() {
    let mark = |seq: u64| {
        let context = VersionVector::from_iter([(OTHER, Head { seq: Seq(300), hash: Hash([0x5A; 32]) })]);
        snapshot::Mark { head: Head { seq: Seq(seq), hash: Hash([0x5B; 32]) }, stamp: STAMP, context }
    };
    let signed = SignedHead { device: DEVICE, source: SOURCE, head: mark(7).head, signature: SIGNATURE };
    let end = snapshot::End {
        source: SOURCE,
        device: DEVICE,
        generation: 2,
        at: mark(7),
        floor: mark(5),
        signed: Some(signed),
    };
    let body = Bytes::from_static(b"what is kept of a body");
    let chunk = snapshot::Chunk {
        snapshot: 3,
        after: BundleSeq(10),
        upto: BundleSeq(12),
        last: BundleSeq(12),
        entries: vec![snapshot::Kept { source: SOURCE, seq: Seq(4), hash: Hash([0x5C; 32]), body }],
        ends: vec![end],
        anew: false,
    };
    let mut letter = bare(1_767_323_045_678);
    letter.hydration = snapshot::Hydration {
        watermark: mark(5).context,
        ask: Some(snapshot::Ask { snapshot: 3, after: BundleSeq(10), ..snapshot::Ask::default() }),
        chunk: Some(Box::new(chunk)),
    };
    let today = parcel::encode(&letter, &[]).unwrap();
    let file = frozen("parcel-snapshot", "a letter with a watermark, an ask and a last chunk", &today);
    assert_eq!(Parcel::decode(&file).unwrap().letter, letter);

    let body = Body { context: vec![(OTHER, Head { seq: Seq(1), hash: Hash([1; 32]) })], ..first_body() };
    let whole = Bundle::write(Dot { source: SOURCE, seq: Seq(1) }, Hash::default(), body).unwrap();
    let keep: Vec<bool> = (0..whole.ops().len()).map(|op| op == 0).collect();
    let left = compact::residue(&whole.bytes, &keep, &[(OTHER, Head { seq: Seq(9), hash: Hash([9; 32]) })]).unwrap();
    frozen("bundle-residue", "what is left of a body: its first op, and another context", &left);
}

#[test]
fn a_parcel_keeps_its_bytes() {
    let (letter, run) = (letter(), run());
    let today = parcel::encode(&letter, std::slice::from_ref(&run)).unwrap();
    let file = frozen("parcel", "a letter with everything in it, and one run of two bundles", &today);
    let read = Parcel::decode(&file).unwrap();
    assert_eq!(read.letter, letter);
    let bodies: Vec<_> = read.runs[0].bundles.iter().map(|bundle| bundle.bytes.clone()).collect();
    assert_eq!((read.runs.len(), &bodies, &read.runs[0].signature), (1, &run.bodies, &run.signature));

    let mut after = bare(1_767_323_045_678);
    after.receipt.term = 4;
    after.ended = vec![Ended { source: OTHER, device: JOINER, ..Ended::default() }];
    let file = frozen("parcel-ended", "a letter after a removal", &parcel::encode(&after, &[]).unwrap());
    assert_eq!(Parcel::decode(&file).unwrap(), Parcel { letter: after, runs: Vec::new() });

    let silent = bare(1_767_323_045_678);
    let today = parcel::encode(&silent, &[]).unwrap();
    let file = frozen("parcel-bare", "a letter that says nothing but who speaks", &today);
    assert_eq!(Parcel::decode(&file).unwrap(), Parcel { letter: silent, runs: Vec::new() });

    let mut notes = digest::Sum::default();
    notes.add(Hash([0x11; 32]));
    let sums = Some(vec![("@message".to_owned(), digest::Sum::default()), ("notes".to_owned(), notes)]);
    let comparing = Letter { sums_requested: true, sums, ..bare(1_767_323_045_678) };
    let today = parcel::encode(&comparing, &[]).unwrap();
    let file = frozen("parcel-comparing", "a letter that asks for sums and tells those of two collections", &today);
    assert_eq!(Parcel::decode(&file).unwrap(), Parcel { letter: comparing, runs: Vec::new() });
}

#[test]
fn a_digest_leaf_and_the_state_digest_keep_their_bytes() {
    let entity = digest::entity("notes", "shopping");
    frozen("digest-entity", "entity (notes, shopping)", &entity.0);
    let dot = Dot { source: SOURCE, seq: Seq(2) };
    let value = value_hash(Some(&Value::text("milk").to_bytes()));
    frozen("digest-value", "hash of the text value milk", &value.0);
    frozen("digest-value-absent", "hash of an absent value", &value_hash(None).0);
    let title = digest::leaf(entity, "title", dot, STAMP, value);
    frozen("digest-leaf", "leaf of the field title", &title.0);
    let existence = digest::leaf(entity, merge::EXISTENCE, dot, STAMP, value_hash(Some(LIVE)));
    frozen("digest-leaf-existence", "leaf of the existence register of a live record", &existence.0);
    let mut notes = digest::Sum::default();
    [title, existence].into_iter().for_each(|leaf| notes.add(leaf));
    frozen("digest-sum", "sum over both leaves, little-endian, and their count", &notes.to_bytes());
    let mut messages = digest::Sum::default();
    messages.add(digest::leaf(
        digest::entity(op::MESSAGE_COLLECTION, "m-1"),
        digest::FIELD_TOMBSTONE,
        dot,
        STAMP,
        Hash::of(b"x"),
    ));
    let state = digest::state([("notes", notes), (op::MESSAGE_COLLECTION, messages)]);
    frozen("digest-state", "digest over the collections notes and @message", &state.0);
}

#[test]
fn the_hash_that_recognises_a_repeated_push_keeps_its_bytes() {
    frozen("push-content-hash", "content hash of the ops of the first bundle", &content_hash(&first_body().ops).0);
}

fn put() -> Op {
    let fields =
        vec![("title".into(), Some(Value::text("milk"))), ("done".into(), None), ("count".into(), Some(Value::int(3)))];
    Op::record_put("notes", "shopping", fields)
}

fn newer() -> Op {
    let field = Field { name: "f".into(), value: Some(Value::int(1)) };
    Op { kind: 4711, collection: "notes".into(), key: "k".into(), fields: vec![field], payload: vec![1, 2, 3] }
}

pub(super) fn message_body() -> MessageBody {
    MessageBody {
        conversation: "family".into(),
        sender: "alice".into(),
        recipients: vec!["bob".into(), "carol".into()],
        group: "everyone".into(),
        outbound: true,
        text: "first line\nsecond line 👋".into(),
        bytes: Vec::new(),
        content_type: "text/markdown".into(),
        created_at: "2026-01-02T03:04:05Z".into(),
        created_us: Some(1_767_323_045_000_000),
        reply_to: "m-0".into(),
        attachments: vec![Attachment {
            name: "photo.jpg".into(),
            content_type: "image/jpeg".into(),
            size: 123_456,
            sha256: vec![0xAB; 32],
            location: "pictures/photo.jpg".into(),
        }],
    }
}

pub(super) fn first_body() -> Body {
    let birth = Some(Birth { device: DEVICE, generation: 1 });
    Body {
        stamp: STAMP,
        birth,
        context: Vec::new(),
        ops: vec![put(), Op::message_post("m-1", &message_body())],
        origin: None,
    }
}

pub(super) fn second_body() -> Body {
    let context = vec![(OTHER, Head { seq: Seq(300), hash: Hash([0x5A; 32]) })];
    Body {
        stamp: Stamp(STAMP.0 + 1),
        birth: None,
        context,
        ops: vec![Op::record_delete("notes", "shopping")],
        origin: None,
    }
}

fn device(id: DeviceId, name: &str, fill: u8) -> Device {
    let prekey = Prekey { slot: 1, public: Bytes::from(vec![fill; PREKEY_BYTES]) };
    Device { id, key: IdentityKey([fill; 32]), name: name.into(), platform: "linux".into(), prekey }
}

fn genesis() -> Record {
    let first = device(DEVICE, "desk", 0x11);
    let (author, author_key) = (first.id, first.key);
    let change = RosterChange::Genesis(first);
    Record { roster: None, author, author_key, parents: BTreeSet::new(), stamp: STAMP, change }
}

fn addition() -> Addition {
    let device = device(JOINER, "phone", 0x22);
    let device_bytes = device.encode();
    Addition { device, device_bytes, join_signature: Bytes::from_static(&[0x33; 64]), card_hash: Hash([0x44; 32]) }
}

fn record(parents: &[&Record], change: RosterChange) -> Record {
    let genesis = genesis();
    let id = |record: &Record| Hash::of(&record.encode());
    Record {
        roster: Some(id(&genesis)),
        author: genesis.author,
        author_key: genesis.author_key,
        parents: parents.iter().map(|parent| id(parent)).collect(),
        stamp: Stamp(STAMP.0 + 2),
        change,
    }
}

fn kind_of(change: &RosterChange) -> &'static str {
    match change {
        RosterChange::Genesis(_) => "genesis",
        RosterChange::Add(_) => "add",
        RosterChange::Rename { .. } => "rename",
        RosterChange::Remove(_) => "remove",
        RosterChange::Epoch(_) => "epoch",
        RosterChange::Unknown => "unknown",
    }
}

fn run() -> RunBodies {
    let first = Bundle::write(Dot { source: SOURCE, seq: Seq(1) }, Hash::default(), first_body()).unwrap();
    let second = Bundle::write(Dot { source: SOURCE, seq: Seq(2) }, first.hash, second_body()).unwrap();
    RunBodies {
        device: DEVICE,
        source: SOURCE,
        first: Seq(1),
        prev: Hash::default(),
        bodies: vec![first.bytes, second.bytes],
        signature: Bytes::from_static(&[0x55; 64]),
    }
}

/// A bare letter of a version that understood ops up to kind 5.
pub(super) fn bare(written: u64) -> Letter {
    Letter { op_level: 5, ..Letter::bare(DEVICE, Millis(written)) }
}

fn letter() -> Letter {
    let mut letter = bare(1_767_323_045_678);
    letter.receipt.generation = 3;
    letter.receipt.vector.advance(OTHER, Head { seq: Seq(300), hash: Hash([0x5A; 32]) });
    letter.wants = vec![Want { source: OTHER, after: Seq(300), upto: Seq(305), exact: false }];
    letter.records = vec![SignedRecord { bytes: genesis().encode(), signature: Bytes::from_static(&[0x66; 64]) }];
    letter.roster_hash = Hash([0x77; 32]);
    letter.prekey = Prekey { slot: 9, public: Bytes::from(vec![0x88; PREKEY_BYTES]) };
    letter.epoch.number = 2;
    letter.digest = Some(Hash([0x99; 32]));
    letter.receipt_requested = true;
    letter.relays = vec![RelayId([0xAA; 16])];
    letter
}
