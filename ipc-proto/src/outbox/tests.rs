//! What an outbox keeps and makes of it, without a daemon. Pushing is shown with the real one.

use super::*;
use crate::v1::{DeleteRecord, PutRecord, Value, value::Kind};

#[test]
fn edits_are_there_again_after_the_program_ended() {
    let mut outbox = Outbox::open(Memory::default()).unwrap();
    outbox.keep(put("a", &[("n", 1)], &[], Some(0)), None).unwrap();
    outbox.keep(delete("b"), Some(&record("b", 7, &[("n", 2)]))).unwrap();
    outbox.freeze().unwrap().unwrap();
    let again = Outbox::open(outbox.shelf.clone()).unwrap();
    assert_eq!(again.state, outbox.state);
    assert_eq!(again.edits()[1].write.base(), Some(7));
    assert_eq!(again.state.frozen.unwrap().ops.len(), 2);
}

#[test]
fn edits_of_one_record_become_one_that_keeps_its_base() {
    let mut outbox = Outbox::open(Memory::default()).unwrap();
    let seen = record("k", 7, &[("a", 1), ("b", 2), ("c", 3)]);
    outbox.keep(put("k", &[("a", 10), ("d", 4)], &["b"], None), Some(&seen)).unwrap();
    let shown = outbox.over("c", [seen.clone()]);
    assert_eq!(shown, [record("k", 7, &[("a", 10), ("c", 3), ("d", 4)])]);
    outbox.keep(put("k", &[("b", 20)], &["d"], None), Some(&shown[0])).unwrap();
    let [edit] = outbox.edits() else { panic!("one edit: {:?}", outbox.edits()) };
    assert_eq!(edit.seen, Some(seen.clone()));
    assert_eq!(edit.write, put("k", &[("a", 10), ("b", 20)], &["d"], Some(7)));
    assert_eq!(outbox.over("c", [seen]), [record("k", 7, &[("a", 10), ("b", 20), ("c", 3)])]);
}

#[test]
fn a_deletion_takes_the_place_of_a_write_and_a_write_comes_after_a_deletion() {
    let mut outbox = Outbox::open(Memory::default()).unwrap();
    outbox.keep(put("made here", &[("a", 1)], &[], Some(0)), None).unwrap();
    outbox.keep(delete("made here").on(Some(0)), None).unwrap();
    assert_eq!(outbox.edits(), []);
    outbox.keep(put("k", &[("a", 1)], &[], Some(7)), None).unwrap();
    outbox.keep(delete("k"), None).unwrap();
    outbox.keep(put("k", &[("b", 1)], &[], Some(0)), None).unwrap();
    let writes: Vec<_> = outbox.edits().iter().map(|edit| edit.write.clone()).collect();
    assert_eq!(writes, [delete("k").on(Some(7)), put("k", &[("b", 1)], &[], Some(0))]);
    assert_eq!(outbox.freeze().unwrap().unwrap().ops.len(), 1, "the second one is based on what the first one makes");
}

#[test]
fn an_edit_of_a_record_that_is_under_way_waits_and_builds_on_it() {
    let mut outbox = Outbox::open(Memory::default()).unwrap();
    outbox.keep(put("k", &[("a", 1)], &[], Some(0)), None).unwrap();
    let sent = outbox.freeze().unwrap().unwrap();
    outbox.keep(put("k", &[("a", 2)], &[], Some(0)), None).unwrap();
    assert_eq!(outbox.freeze().unwrap().unwrap(), sent, "what was sent is sent again as it was");
    let result = crate::v1::OpResult { no_op: false, message_id: String::new() };
    let answer = PushResponse { bundle_seq: 40, results: vec![result], ..PushResponse::default() };
    assert_eq!(outbox.commit(&answer).unwrap(), 1);
    let next = outbox.freeze().unwrap().unwrap();
    assert_eq!(outbox.edits()[0].write.base(), Some(40));
    assert_eq!((next.source_id, next.source_bundle_id), (sent.source_id, 2));
}

#[test]
fn a_deletion_after_a_write_that_was_sent_is_not_forgotten() {
    let mut outbox = Outbox::open(Memory::default()).unwrap();
    outbox.keep(put("k", &[("a", 1)], &[], Some(0)), None).unwrap();
    outbox.freeze().unwrap();
    outbox.keep(put("k", &[("a", 2)], &[], Some(0)), None).unwrap();
    outbox.keep(delete("k").on(Some(0)), None).unwrap();
    assert_eq!(outbox.edits().last().unwrap().write, delete("k").on(Some(0)));
    // A record that was deleted before and made anew is gone with the deletion that there is.
    let mut outbox = Outbox::open(Memory::default()).unwrap();
    outbox.keep(delete("k").on(Some(7)), None).unwrap();
    outbox.keep(put("k", &[("a", 2)], &[], Some(0)), None).unwrap();
    outbox.keep(delete("k").on(Some(0)), None).unwrap();
    assert_eq!(outbox.edits().len(), 1);
}

#[test]
fn what_was_sent_cannot_be_abandoned() {
    let mut outbox = Outbox::open(Memory::default()).unwrap();
    outbox.keep(put("k", &[("a", 1)], &[], Some(0)), None).unwrap();
    let number = outbox.edits()[0].number;
    outbox.freeze().unwrap();
    assert!(!outbox.abandon(number).unwrap());
    outbox.change(State::thaw).unwrap();
    assert!(outbox.abandon(number).unwrap());
    outbox.keep(put("k", &[("a", 1)], &[], Some(0)), None).unwrap();
    assert!(!outbox.abandon(number).unwrap(), "a number is never used again");
}

#[test]
fn one_bundle_holds_what_the_daemon_takes() {
    let mut outbox = Outbox::open(Memory::default()).unwrap();
    for key in ["1", "2", "3"] {
        let fields = [("body".to_owned(), Value { kind: Some(Kind::Bytes(vec![0; 400_000])) })].into();
        let body = PutRecord { collection: "c".into(), key: key.into(), fields, ..PutRecord::default() };
        outbox.keep(body, None).unwrap();
    }
    assert_eq!(outbox.freeze().unwrap().unwrap().ops.len(), 2);
}

#[test]
fn a_full_outbox_refuses_and_keeps_what_it_has() {
    let mut outbox = Outbox::open(Memory::default()).unwrap();
    let fields: BTreeMap<_, _> =
        [("body".to_owned(), Value { kind: Some(Kind::Bytes(vec![0; MAX_BYTES / 2])) })].into();
    let body = |key: &str| PutRecord {
        collection: "c".into(),
        key: key.into(),
        fields: fields.clone(),
        ..PutRecord::default()
    };
    outbox.keep(body("1"), None).unwrap();
    assert!(matches!(outbox.keep(body("2"), None), Err(OutboxError::Full)));
    assert_eq!(outbox.edits().len(), 1);
    assert_eq!(Outbox::open(outbox.shelf).unwrap().edits().len(), 1);
}

#[test]
fn a_shelf_that_fails_changes_nothing_in_memory() {
    let mut outbox = Outbox::open(Memory::default()).unwrap();
    outbox.shelf.broken = true;
    let kept = outbox.keep(put("k", &[("a", 1)], &[], Some(0)), None);
    assert!(matches!(kept, Err(OutboxError::Shelf(_))), "{kept:?}");
    assert_eq!(outbox.edits(), []);
}

#[test]
fn what_is_no_outbox_is_left_alone() {
    let mut outbox = Outbox::open(Memory::default()).unwrap();
    outbox.keep(put("k", &[("a", 1)], &[], Some(0)), None).unwrap();
    let whole = outbox.shelf.bytes.unwrap();
    let newer = [&[8, 2], &whole[2..]].concat();
    for bytes in [b"garbage".to_vec(), Vec::new(), whole[..whole.len() - 1].to_vec(), newer] {
        let opened = Outbox::open(Memory { bytes: Some(bytes), broken: false });
        assert!(matches!(opened, Err(OutboxError::Invalid)), "{opened:?}");
    }
}

#[test]
fn each_clash_allows_the_resolutions_of_the_table() {
    let theirs = record("k", 9, &[("a", 2), ("b", 2)]);
    let merged = || Resolution::Merged([("c".to_owned(), int(3))].into());
    let update = put("k", &[("a", 1)], &[], Some(7));
    let there = |write: &Write| edit(write.clone());

    let mine = there(&update);
    let clash = Clash { mine: &mine, theirs: Some(&theirs) };
    assert_eq!(clash.resolved(Resolution::Theirs, 9), Ok(None));
    assert_eq!(clash.resolved(Resolution::Mine, 9), Ok(Some(put("k", &[("a", 1)], &[], Some(9)))));
    assert_eq!(clash.resolved(merged(), 9), Ok(Some(put("k", &[("c", 3)], &["a", "b"], Some(9)))));
    let gone = Clash { mine: &mine, theirs: None };
    assert_eq!(gone.resolved(Resolution::Theirs, 9), Ok(None));
    assert!(gone.resolved(Resolution::Mine, 9).is_err() && gone.resolved(merged(), 9).is_err());

    let fresh = there(&update.clone().on(Some(0)));
    let grave = Clash { mine: &fresh, theirs: None };
    assert_eq!(grave.resolved(Resolution::Mine, 9), Ok(Some(put("k", &[("a", 1)], &[], Some(9)))));
    assert_eq!(grave.resolved(merged(), 9), Ok(Some(put("k", &[("c", 3)], &[], Some(9)))));

    let deletion = there(&delete("k").on(Some(7)));
    let clash = Clash { mine: &deletion, theirs: Some(&theirs) };
    assert_eq!(clash.resolved(Resolution::Mine, 9), Ok(Some(delete("k").on(Some(9)))));
    assert!(clash.resolved(merged(), 9).is_err());
}

/// A shelf in memory.
#[derive(Clone, Debug, Default)]
struct Memory {
    bytes: Option<Vec<u8>>,
    broken: bool,
}

impl Shelf for Memory {
    fn load(&mut self, _: usize) -> io::Result<Option<Vec<u8>>> {
        Ok(self.bytes.clone())
    }

    fn store(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes = Some(bytes.to_vec());
        Ok(())
    }
}

fn edit(write: Write) -> Edit {
    Edit { number: 1, write, seen: None, frozen: true }
}

fn int(number: i64) -> Value {
    Value { kind: Some(Kind::Int(number)) }
}

fn fields(fields: &[(&str, i64)]) -> BTreeMap<String, Value> {
    fields.iter().map(|(name, number)| ((*name).to_owned(), int(*number))).collect()
}

fn put(key: &str, written: &[(&str, i64)], clear: &[&str], base: Option<u64>) -> Write {
    Write::Put(PutRecord {
        collection: "c".into(),
        key: key.into(),
        fields: fields(written),
        clear_fields: clear.iter().map(|name| (*name).to_owned()).collect(),
        base_row_version: base,
    })
}

fn delete(key: &str) -> Write {
    Write::Delete(DeleteRecord { collection: "c".into(), key: key.into(), base_row_version: None })
}

fn record(key: &str, version: u64, held: &[(&str, i64)]) -> Record {
    Record { collection: "c".into(), key: key.into(), fields: fields(held), row_version: version, ..Record::default() }
}
