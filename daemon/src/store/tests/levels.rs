//! Ops of a newer version wait in the log, and take effect after an upgrade.

use super::*;
use kinfolk_core::op::{KIND_MESSAGE_DELETE, KIND_RECORD_PUT, Level, MessageBody, Op};
use kinfolk_core::value::Value;

fn put(key: &str, field: &str, text: &str) -> Op {
    Op::record_put("notes", key, vec![(field.into(), Some(Value::text(text)))])
}

fn post(id: &str) -> Op {
    Op::message_post(id, &MessageBody { conversation: "family".into(), text: id.into(), ..MessageBody::default() })
}

/// Puts, which every version knows, and around them what only later ones know.
fn history() -> Vec<Written> {
    let (mut a, mut b) = (Author::new(1, 100), Author::new(2, 50));
    let first = a.write(vec![put("seen", "x", "1"), put("unseen", "x", "1"), post("m1"), post("m2")]);
    b.see(&first);
    let deletions = b.write(vec![Op::record_delete("notes", "seen"), Op::record_delete("notes", "unseen")]);
    let concurrent = a.write(vec![put("unseen", "y", "2"), Op::message_status("m1", Level::Read, Some(5))]);
    a.see(&deletions);
    let after = a.write(vec![put("seen", "y", "2"), Op::message_delete("m2", Some(7)), Op::default()]);
    vec![first, deletions, concurrent, after]
}

fn idle(home: &Home) -> Idle {
    home.reader().verify().unwrap().idle
}

#[test]
fn what_an_older_version_kept_takes_effect_after_the_upgrade() {
    let history: Vec<Written> = history();
    let all: Vec<&Written> = history.iter().collect();
    let mut newer = Home::new();
    newer.take(&all);
    for level in KIND_RECORD_PUT..KIND_MESSAGE_DELETE {
        let mut older = Home::new().reopen_at(level);
        older.take(&all);
        assert_ne!(older.store.digest(), newer.store.digest(), "level {level}");
        assert_eq!(older.reader().verify().unwrap().problems, [], "level {level}");
        let upgraded = older.reopen();
        assert_eq!(upgraded.store.digest(), newer.store.digest(), "level {level}");
        assert_eq!(upgraded.reader().verify().unwrap().problems, [], "level {level}");
    }
}

#[test]
fn who_has_read_on_before_an_upgrade_is_told_what_is_understood_now() {
    let mut older = Home::new().reopen_at(KIND_RECORD_PUT);
    older.take(&history().iter().collect::<Vec<_>>());
    let last = older.store.bundle_seq();
    let upgraded = older.reopen();
    let entries = upgraded.reader().order_after(last, None, 10, 1 << 20).unwrap().entries;
    let [Entry::Revision(place, names)] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(*place, last.next());
    assert!(names.contains(&("notes".to_owned(), "seen".to_owned())), "{names:?}");
    assert_eq!(upgraded.reopen().store.bundle_seq(), last.next(), "once");
}

#[test]
fn an_upgrade_goes_step_by_step_as_well_as_at_once() {
    let history: Vec<Written> = history();
    let (mut newer, mut older) = (Home::new(), Home::new().reopen_at(1));
    newer.take(&history.iter().collect::<Vec<_>>());
    for (level, written) in (2..).zip(&history) {
        older.take(&[written]);
        older = older.reopen_at(level);
    }
    assert_eq!(older.reopen().store.digest(), newer.store.digest());
}

#[test]
fn ops_without_effect_are_counted_by_why_they_have_none() {
    let mut home = Home::new().reopen_at(KIND_RECORD_PUT);
    let history: Vec<Written> = history();
    home.take(&history.iter().collect::<Vec<_>>());
    // Two posts, two deletions of records, a status, a deletion of a message; the op of kind 0 is of no version.
    assert_eq!(idle(&home), Idle { unknown: 6, invalid: 1 });
    let home = home.reopen();
    assert_eq!(idle(&home), Idle { unknown: 0, invalid: 1 });
}

#[test]
fn what_is_rolled_back_is_not_counted() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let unknown = a.write(vec![Op { kind: OP_LEVEL + 1, ..put("a", "x", "1") }]);
    home.store.begin().unwrap();
    home.store.apply(&append(&home.store, &unknown)).unwrap();
    home.store.rollback().unwrap();
    assert_eq!(idle(&home), Idle::default());
    home.take(&[&unknown]);
    assert_eq!(idle(&home), Idle { unknown: 1, invalid: 0 });
}

#[test]
fn a_database_from_before_ops_were_counted_is_counted_once() {
    let mut home = Home::new();
    home.take(&history().iter().collect::<Vec<_>>());
    home.store.meddle("UPDATE level SET unknown = NULL, invalid = NULL");
    assert_eq!(idle(&home.reopen()), Idle { unknown: 0, invalid: 1 });
}

#[test]
fn an_older_version_is_refused_a_state_it_does_not_understand() {
    let mut home = Home::new();
    home.take(&history().iter().collect::<Vec<_>>());
    let digest = home.store.digest();
    let connection = open::open(home.path(), &key(), Access::Write).unwrap();
    let refused = Store::over_at(connection, OP_LEVEL - 1);
    assert!(matches!(refused, Err(StoreError::NewerOps { found: OP_LEVEL, known }) if known == OP_LEVEL - 1));
    assert_eq!(home.reopen().store.digest(), digest);
}
