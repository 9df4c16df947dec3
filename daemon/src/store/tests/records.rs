//! Records through real SQL.

use super::*;
use kinfolk_core::op::Op;
use kinfolk_core::step::{Fact, RowFact};
use kinfolk_core::value::Value;

fn put(key: &str, fields: &[(&str, Option<&str>)]) -> Vec<Op> {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.map(Value::text))).collect();
    vec![Op::record_put("notes", key, fields)]
}

fn delete(key: &str) -> Vec<Op> {
    vec![Op::record_delete("notes", key)]
}

/// The shown fact of the record `a`.
fn row(home: &Home) -> Option<RowFact> {
    match home.store.facts(&delete("a")).unwrap().remove(0) {
        Fact::Row(row) => row,
        Fact::Message(_) => panic!("a record is no message"),
    }
}

fn conflicts(home: &Home) -> i64 {
    home.count("SELECT coalesce(sum(conflicts), 0) FROM row WHERE conflicts > 0")
}

fn writes(home: &Home) -> i64 {
    home.count("SELECT count(*) FROM write")
}

#[test]
fn sequential_edits_on_different_devices_are_no_conflict_and_leave_one_write() {
    let (mut home, mut a, mut b) = (Home::in_memory(), Author::new(1, 100), Author::new(2, 50));
    let first = a.write(put("a", &[("title", Some("one"))]));
    b.see(&first);
    let second = b.write(put("a", &[("title", Some("two"))]));
    home.take(&[&first, &second]);
    assert_eq!(conflicts(&home), 0);
    assert_eq!(writes(&home), 2, "existence and title");
}

#[test]
fn concurrent_differing_edits_are_one_conflict_until_somebody_who_saw_both_writes() {
    let (mut home, mut a, mut b) = (Home::in_memory(), Author::new(1, 100), Author::new(2, 50));
    let (one, two) = (a.write(put("a", &[("title", Some("one"))])), b.write(put("a", &[("title", Some("two"))])));
    home.take(&[&one, &two]);
    assert_eq!((conflicts(&home), writes(&home)), (1, 4));
    a.see(&two);
    home.take(&[&a.write(put("a", &[("title", Some("three"))]))]);
    assert_eq!((conflicts(&home), writes(&home)), (0, 2));
}

#[test]
fn concurrent_equal_edits_are_no_conflict() {
    let (mut home, mut a, mut b) = (Home::in_memory(), Author::new(1, 100), Author::new(2, 50));
    let same = || put("a", &[("title", Some("same"))]);
    home.take(&[&a.write(same()), &b.write(same())]);
    assert_eq!(conflicts(&home), 0);
}

#[test]
fn a_deleted_record_keeps_its_fields_dots_and_shows_them_again_when_it_is_revived() {
    let (mut home, mut a) = (Home::in_memory(), Author::new(1, 100));
    home.take(&[&a.write(put("a", &[("title", Some("x")), ("body", Some("y"))]))]);
    home.take(&[&a.write(delete("a"))]);
    let fields = vec!["body".to_owned(), "title".to_owned()];
    assert_eq!(row(&home), Some(RowFact { live: false, fields: fields.clone(), version: BundleSeq(2) }));
    assert_eq!(home.count("SELECT live FROM collection WHERE name = 'notes'"), 0);
    home.take(&[&a.write(put("a", &[]))]);
    assert_eq!(row(&home), Some(RowFact { live: true, fields, version: BundleSeq(3) }));
    assert_eq!(home.count("SELECT live FROM collection WHERE name = 'notes'"), 1);
}

#[test]
fn a_field_written_absent_is_not_shown() {
    let (mut home, mut a) = (Home::in_memory(), Author::new(1, 100));
    home.take(&[&a.write(put("a", &[("title", Some("x"))])), &a.write(put("a", &[("title", None)]))]);
    assert_eq!(row(&home), Some(RowFact { live: true, fields: Vec::new(), version: BundleSeq(2) }));
}

#[test]
fn an_edit_concurrent_with_a_deletion_is_a_conflict() {
    let (mut home, mut a, mut b) = (Home::in_memory(), Author::new(1, 100), Author::new(2, 200));
    let first = a.write(put("a", &[("title", Some("x"))]));
    b.see(&first);
    let (gone, edit) = (a.write(delete("a")), b.write(put("a", &[("title", Some("y"))])));
    home.take(&[&first, &gone, &edit]);
    assert_eq!(conflicts(&home), 1);
    assert!(row(&home).unwrap().live, "the edit has the later stamp");
}

#[test]
fn a_later_op_of_the_same_bundle_replaces_an_earlier_one() {
    let (mut home, mut a) = (Home::in_memory(), Author::new(1, 100));
    let ops = [put("a", &[("title", Some("x"))]), put("a", &[("title", Some("y"))])].concat();
    home.take(&[&a.write(ops)]);
    assert_eq!(writes(&home), 2);
    assert_eq!(home.count("SELECT count(*) FROM write WHERE value = x'2a0179'"), 1, "text y");
}

#[test]
fn facts_see_what_the_open_transaction_has_applied() {
    let (mut home, mut a) = (Home::in_memory(), Author::new(1, 100));
    assert_eq!(row(&home), None);
    home.store.begin().unwrap();
    let change = append(&home.store, &a.write(put("a", &[("title", Some("x"))])));
    home.store.apply(&change).unwrap();
    assert_eq!(row(&home), Some(RowFact { live: true, fields: vec!["title".to_owned()], version: BundleSeq(1) }));
    home.store.rollback().unwrap();
    assert_eq!(row(&home), None);
}

#[test]
fn an_op_that_is_invalid_or_unknown_is_logged_and_changes_nothing() {
    let (mut home, mut a) = (Home::in_memory(), Author::new(1, 100));
    let before = home.store.digest();
    let invalid = Op { key: String::new(), ..Op::record_delete("notes", "a") };
    let unknown = Op { kind: 99, ..Op::record_delete("notes", "a") };
    home.take(&[&a.write(vec![invalid, unknown])]);
    assert_eq!(home.store.digest(), before);
    assert_eq!(home.count("SELECT count(*) FROM log"), 1);
}

#[test]
fn a_row_carries_the_place_of_its_last_change() {
    let (mut home, mut a) = (Home::in_memory(), Author::new(1, 100));
    let (first, other) = (a.write(put("a", &[])), a.write(put("b", &[])));
    home.take(&[&first, &other, &a.write(delete("a"))]);
    assert_eq!(home.count("SELECT version FROM row WHERE key = 'a'"), 3);
    assert_eq!(home.count("SELECT version FROM row WHERE key = 'b'"), 2);
}

#[test]
fn the_digest_does_not_depend_on_the_order_of_concurrent_bundles() {
    let (mut a, mut b) = (Author::new(1, 100), Author::new(2, 50));
    let (one, two) = (a.write(put("a", &[("title", Some("one"))])), b.write(delete("a")));
    let (mut left, mut right) = (Home::in_memory(), Home::in_memory());
    left.take(&[&one, &two]);
    right.take(&[&two, &one]);
    assert_eq!(left.store.digest(), right.store.digest());
    assert_ne!(left.store.digest(), Home::in_memory().store.digest());
}
