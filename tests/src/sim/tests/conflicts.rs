//! What is a conflict and what is none, on two engines with real databases beside the model.

use kinfolk_core::op::Op;
use kinfolk_core::value::Value;

use super::group::Group;

fn put(pair: &mut Group, index: usize, field: &str, value: &str) {
    pair.push(index, Op::record_put("notes", "a", vec![(field.into(), Some(Value::text(value)))]));
}

#[test]
fn edits_one_after_the_other_on_different_devices_are_no_conflict() {
    let mut pair = Group::of(2, true);
    for round in 0..5 {
        put(&mut pair, 0, "title", &format!("first {round}"));
        pair.exchange();
        put(&mut pair, 1, "title", &format!("second {round}"));
        pair.exchange();
    }
    let shown = pair.shown();
    assert_eq!(shown.conflicts, 0);
    let record = &shown.records[&("notes".to_owned(), "a".to_owned())];
    assert_eq!(record.fields["title"], Value::text("second 4").to_bytes());
}

#[test]
fn edits_at_the_same_time_that_differ_are_exactly_one_conflict() {
    let mut pair = Group::of(2, true);
    put(&mut pair, 0, "title", "before");
    pair.exchange();
    put(&mut pair, 0, "title", "one");
    put(&mut pair, 1, "title", "other");
    let shown = pair.shown();
    assert_eq!(shown.conflicts, 1);
    assert_eq!(shown.records[&("notes".to_owned(), "a".to_owned())].conflicts, ["title"]);
    put(&mut pair, 1, "title", "settled");
    assert_eq!(pair.shown().conflicts, 0);
}

#[test]
fn edits_at_the_same_time_that_agree_or_touch_different_fields_are_none() {
    let mut pair = Group::of(2, true);
    put(&mut pair, 0, "title", "same");
    put(&mut pair, 1, "title", "same");
    assert_eq!(pair.shown().conflicts, 0);
    put(&mut pair, 0, "title", "one");
    put(&mut pair, 1, "color", "red");
    let shown = pair.shown();
    assert_eq!(shown.conflicts, 0);
    assert_eq!(shown.records[&("notes".to_owned(), "a".to_owned())].fields.len(), 2);
}

#[test]
fn an_edit_at_the_same_time_as_a_deletion_is_a_conflict() {
    let mut pair = Group::of(2, true);
    put(&mut pair, 0, "title", "before");
    pair.exchange();
    pair.push(0, Op::record_delete("notes", "a"));
    put(&mut pair, 1, "title", "after");
    assert_eq!(pair.shown().conflicts, 1);
}

#[test]
fn a_record_put_again_after_its_deletion_shows_only_what_was_put() {
    let mut pair = Group::of(2, true);
    put(&mut pair, 0, "title", "before");
    pair.exchange();
    pair.push(1, Op::record_delete("notes", "a"));
    pair.exchange();
    put(&mut pair, 0, "color", "red");
    let shown = pair.shown();
    let record = &shown.records[&("notes".to_owned(), "a".to_owned())];
    assert_eq!(record.fields.keys().collect::<Vec<_>>(), ["color"]);
    assert_eq!(shown.conflicts, 0);
}
