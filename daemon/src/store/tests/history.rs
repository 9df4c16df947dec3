//! What records were, and the indexes over what they show, whatever happens to the log.

use std::ops::Bound;

use kinfolk_core::op::Op;
use kinfolk_core::value::Value;
use kinfolk_core::vector::Head;

use super::compaction::vector_of;
use super::*;

fn put(key: &str, n: i64) -> Op {
    Op::record_put("notes", key, vec![("n".into(), Some(Value::int(n)))])
}

fn places(home: &Home, key: &str) -> Vec<u64> {
    let past = home.reader().history("notes", key, None, 10).unwrap().unwrap_or_default();
    past.iter().map(|change| change.bundle_seq.0).collect()
}

/// The keys whose `n` is this; `None` without an index.
fn found(home: &Home, n: i64) -> Option<Vec<String>> {
    let at = place(&Value::int(n)).unwrap();
    let lookup = Lookup { field: "n".into(), from: Bound::Included(at.clone()), to: Bound::Included(at) };
    let found = home.reader().lookup("notes", &lookup, None, 10).unwrap()?;
    Some(found.into_iter().map(|found| found.record.key).collect())
}

#[test]
fn a_row_that_was_written_once_needs_no_entry_and_has_a_history_all_the_same() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    home.take(&[&a.write(vec![put("a", 1)])]);
    assert_eq!(home.count("SELECT count(*) FROM history"), 0);
    assert_eq!(places(&home, "a"), [1]);
    home.take(&[&a.write(vec![put("a", 2)]), &a.write(vec![Op::record_delete("notes", "a")])]);
    assert_eq!(places(&home, "a"), [3, 2, 1]);
}

#[test]
fn what_is_cut_leaves_the_history_and_the_index() {
    let (mut home, mut a, mut b) = (Home::new(), Author::new(1, 100), Author::new(2, 50));
    let first = a.write(vec![put("a", 1)]);
    b.see(&first);
    let (cut, beside) = (b.write(vec![put("a", 2), put("b", 2)]), a.write(vec![put("c", 2)]));
    home.take(&[&first, &cut, &beside]);
    assert!(home.store.index_field("notes", "n").unwrap());
    assert_eq!(found(&home, 2).unwrap(), ["a", "b", "c"]);
    home.store.begin().unwrap();
    home.store.apply(&Change::Cut { source: cut.bundle.dot.source, end: Head::default() }).unwrap();
    home.store.commit().unwrap();
    assert_eq!((places(&home, "a"), places(&home, "b")), (vec![1], vec![]));
    assert_eq!((found(&home, 1).unwrap(), found(&home, 2).unwrap()), (vec!["a".into()], vec!["c".into()]));
}

#[test]
fn what_is_compacted_leaves_the_history() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let all = [a.write(vec![put("a", 1)]), a.write(vec![put("a", 2)]), a.write(vec![put("a", 3)])];
    home.take(&all.iter().collect::<Vec<_>>());
    home.compact(&vector_of(&all));
    assert_eq!(places(&home, "a"), [3]);
    assert_eq!(home.count("SELECT count(*) FROM history"), 1);
}

#[test]
fn a_database_from_before_there_were_histories_has_them_after_the_upgrade() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    home.take(&[&a.write(vec![put("a", 1), put("b", 1)]), &a.write(vec![put("a", 2)])]);
    home.store.meddle("DELETE FROM history; UPDATE history_state SET filled = 0");
    let home = home.reopen();
    assert_eq!((places(&home, "a"), places(&home, "b")), (vec![2, 1], vec![1]));
}

#[test]
fn an_index_is_made_of_what_is_there_follows_what_comes_and_forgets_what_was_undone() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    home.take(&[&a.write(vec![put("a", 1), put("b", 1)])]);
    assert_eq!(found(&home, 1), None);
    assert!(home.store.index_field("notes", "n").unwrap() && home.store.index_field("nothing", "n").unwrap());
    assert_eq!(found(&home, 1).unwrap(), ["a", "b"]);
    home.store.begin().unwrap();
    home.store.apply(&append(&home.store, &a.write(vec![put("a", 5)]))).unwrap();
    home.store.rollback().unwrap();
    assert_eq!((found(&home, 1).unwrap().len(), found(&home, 5).unwrap().len()), (2, 0));
    let mut home = home.reopen();
    let mut b = Author::new(2, 200);
    home.take(&[&b.write(vec![put("a", 7), Op::record_delete("notes", "b")])]);
    assert_eq!(
        (found(&home, 1).unwrap(), found(&home, 7).unwrap()),
        (vec![], vec!["a".to_owned()]),
        "the deletion is later"
    );
}
