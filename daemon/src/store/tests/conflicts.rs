//! Records in conflict, as they are listed, shown and settled.

use std::collections::BTreeSet;

use kinfolk_core::merge::{EXISTENCE, Write};
use kinfolk_core::op::{Op, POLICY_COLLECTION};
use kinfolk_core::resolve::{self, Choice};
use kinfolk_core::value::Value;

use super::*;

fn put(collection: &str, key: &str, field: &str, text: &str) -> Op {
    Op::record_put(collection, key, vec![(field.into(), Some(Value::text(text)))])
}

fn policy(collection: &str, policy: &str) -> Op {
    put(POLICY_COLLECTION, collection, Policy::FIELD, policy)
}

/// Two devices write `field` of each of these records at the same time.
fn disagree(records: &[(&str, &str)]) -> (Home, Author, Author) {
    let (mut home, mut a, mut b) = (Home::new(), Author::new(1, 100), Author::new(2, 50));
    let ops = |text: &str| records.iter().map(|(collection, key)| put(collection, key, "x", text)).collect::<Vec<_>>();
    let (one, two) = (a.write(ops("one")), b.write(ops("two")));
    home.take(&[&one, &two]);
    a.see(&two);
    b.see(&one);
    (home, a, b)
}

fn listed(home: &Home, collection: Option<&str>) -> Vec<String> {
    let (reader, mut names, mut after) = (home.reader(), Vec::new(), None);
    loop {
        let page = reader.conflicts(collection, after.as_ref(), 2).unwrap();
        let Some((last, _)) = page.last() else { return names };
        after = Some(last.clone());
        names.extend(page.into_iter().map(|(_, view)| format!("{}/{}", view.collection, view.key)));
    }
}

fn open(home: &Home) -> (u64, u64) {
    let counts = home.reader().counts().unwrap();
    (counts.conflicts, counts.settled)
}

fn text(write: &Write) -> Option<Value> {
    Value::from_bytes(write.value.as_deref()?)
}

#[test]
fn conflicts_are_listed_page_by_page_of_one_collection_or_of_all() {
    let (home, ..) = disagree(&[("b", "1"), ("b", "2"), ("a", "1"), ("b", "3"), ("a", "2")]);
    assert_eq!(listed(&home, None), ["b/1", "b/2", "b/3", "a/1", "a/2"]);
    assert_eq!(listed(&home, Some("a")), ["a/1", "a/2"]);
    assert_eq!(open(&home), (5, 0));
}

#[test]
fn where_the_last_write_wins_conflicts_are_counted_apart_and_not_listed() {
    let (mut home, mut a, mut b) = disagree(&[("settings", "1"), ("notes", "1")]);
    let lww = a.write(vec![policy("settings", "lww")]);
    home.take(&[&lww]);
    assert_eq!((listed(&home, None), open(&home)), (vec!["notes/1".to_owned()], (1, 1)));
    // What was never decided comes back, and a policy that nobody knows is the cautious one.
    b.see(&lww);
    home.take(&[&b.write(vec![policy("settings", "newest")])]);
    assert_eq!((listed(&home, None).len(), open(&home)), (2, (2, 0)));
}

#[test]
fn of_a_record_that_is_gone_for_everybody_nothing_is_open() {
    let (mut home, mut a, _) = disagree(&[("notes", "1")]);
    home.take(&[&a.write(vec![Op::record_delete("notes", "1")])]);
    assert_eq!((listed(&home, None), open(&home)), (vec![], (0, 0)));
    assert_eq!(home.reader().conflict("notes", "1").unwrap(), None);
}

#[test]
fn an_edit_against_a_deletion_is_listed_also_when_the_deletion_is_shown() {
    let (mut home, mut a, mut b) = (Home::new(), Author::new(1, 50), Author::new(2, 100));
    let first = a.write(vec![put("notes", "1", "x", "before")]);
    b.see(&first);
    let (edit, gone) = (a.write(vec![put("notes", "1", "x", "after")]), b.write(vec![Op::record_delete("notes", "1")]));
    home.take(&[&first, &edit, &gone]);
    let view = home.reader().conflict("notes", "1").unwrap().unwrap();
    assert_eq!(view.record, None, "the deletion is later");
    assert_eq!(view.open().map(|(field, _)| field).collect::<Vec<_>>(), [EXISTENCE]);
    assert_eq!((listed(&home, None), open(&home)), (vec!["notes/1".to_owned()], (1, 0)));
}

#[test]
fn a_resolution_closes_a_conflict_on_every_device_in_whatever_order_it_comes() {
    let (mut a, mut b) = (Author::new(1, 100), Author::new(2, 50));
    let (mut here, mut there) = (Home::new(), Home::new());
    let (one, two) = (a.write(vec![put("notes", "1", "x", "one")]), b.write(vec![put("notes", "1", "x", "two")]));
    here.take(&[&one, &two]);
    there.take(&[&two, &one]);
    let view = here.reader().conflict("notes", "1").unwrap().unwrap();
    let mine = BTreeSet::from([one.bundle.dot.source]);
    let op = resolve::resolve("notes", "1", &view.registers, &Choice::NotOf(mine)).unwrap();
    a.see(&two);
    let resolution = a.write(vec![op]);
    for home in [&mut here, &mut there] {
        home.take(&[&resolution]);
        assert_eq!((listed(home, None), open(home)), (vec![], (0, 0)));
        let record = home.reader().record("notes", "1").unwrap().unwrap();
        assert_eq!(record.fields, [("x".to_owned(), Value::text("two"))]);
    }
    assert_eq!(here.store.digest(), there.store.digest());
}

#[test]
fn the_base_is_what_all_authors_had_seen_and_not_a_step_of_one_of_them() {
    let (mut home, mut a, mut b) = (Home::new(), Author::new(1, 50), Author::new(2, 60));
    let shared = a.write(vec![put("notes", "1", "x", "shared")]);
    b.see(&shared);
    let step = a.write(vec![put("notes", "1", "x", "a step")]);
    // Bundles in between that say nothing new of what their author had seen.
    let between = a.write(vec![put("other", "1", "x", "x")]);
    let (mine, theirs) =
        (a.write(vec![put("notes", "1", "x", "mine")]), b.write(vec![put("notes", "1", "x", "theirs")]));
    home.take(&[&shared, &step, &between, &mine, &theirs]);
    let reader = home.reader();
    let view = reader.conflict("notes", "1").unwrap().unwrap();
    let (_, register) = view.open().next().unwrap();
    assert_eq!(register.iter().filter_map(text).count(), 2);
    let bases = reader.bases(&view).unwrap();
    assert_eq!(text(&bases["x"]), Some(Value::text("shared")));
    assert_eq!(bases["x"].dot, shared.bundle.dot);
}

#[test]
fn a_field_that_was_new_on_both_sides_has_no_base() {
    let (home, ..) = disagree(&[("notes", "1")]);
    let view = home.reader().conflict("notes", "1").unwrap().unwrap();
    assert!(home.reader().bases(&view).unwrap().is_empty());
}
