//! Messages through real SQL.

use super::*;
use kinfolk_core::op::{Level, MessageBody, Op};
use kinfolk_core::step::{Fact, MessageFact};

fn post(id: &str, text: &str, at_us: i64) -> Op {
    let body = MessageBody {
        conversation: "family".into(),
        sender: "Zoë".into(),
        text: text.into(),
        created_us: Some(at_us),
        ..MessageBody::default()
    };
    Op::message_post(id, &body)
}

fn fact(home: &Home, id: &str) -> Option<MessageFact> {
    match home.store.facts(&[Op::message_delete(id, None)]).unwrap().remove(0) {
        Fact::Message(message) => message,
        Fact::Row(_) => panic!("a message is no record"),
    }
}

/// Messages, unread, and the id of the last message of the conversation.
fn counts(home: &Home) -> Option<(i64, i64, String)> {
    let sql = "SELECT c.messages, c.unread, m.id FROM conversation c JOIN message m ON m.idx = c.last";
    let mut statement = home.store.connection.prepare(sql).unwrap();
    let mut rows = statement.query(()).unwrap();
    rows.next().unwrap().map(|row| (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap()))
}

fn found(home: &Home, words: &str) -> i64 {
    let sql = "SELECT count(*) FROM message_text WHERE message_text MATCH ?1";
    home.store.connection.query_row(sql, (words,), |row| row.get(0)).unwrap()
}

#[test]
fn a_conversation_counts_its_messages_and_knows_the_last_by_instant_then_id() {
    let (mut home, mut a) = (Home::in_memory(), Author::new(1, 100));
    let ops = vec![post("m2", "two", 20), post("m1", "one", 10), post("m3", "three", 20)];
    home.take(&[&a.write(ops)]);
    assert_eq!(counts(&home), Some((3, 3, "m3".into())));
    home.take(&[&a.write(vec![Op::message_status("m1", Level::Read, Some(30))])]);
    assert_eq!(counts(&home), Some((3, 2, "m3".into())));
    home.take(&[&a.write(vec![Op::message_delete("m3", None)])]);
    assert_eq!(counts(&home), Some((2, 1, "m2".into())));
    home.take(&[&a.write(vec![Op::message_delete("m1", None), Op::message_delete("m2", None)])]);
    assert_eq!(home.count("SELECT count(*) FROM conversation"), 0);
}

#[test]
fn a_message_that_the_person_sent_is_never_unread() {
    let (mut home, mut a) = (Home::in_memory(), Author::new(1, 100));
    let body = MessageBody { conversation: "c".into(), outbound: true, ..MessageBody::default() };
    home.take(&[&a.write(vec![Op::message_post("m", &body)])]);
    assert_eq!(counts(&home), Some((1, 0, "m".into())));
}

#[test]
fn a_message_without_a_time_gets_that_of_its_bundle() {
    let (mut home, mut a) = (Home::in_memory(), Author::new(1, 100));
    let body = MessageBody { conversation: "c".into(), ..MessageBody::default() };
    home.take(&[&a.write(vec![Op::message_post("m", &body)])]);
    assert_eq!(home.count("SELECT created_us FROM message"), 100_000_000);
}

#[test]
fn words_of_text_and_sender_are_found_and_gone_after_a_deletion() {
    let (mut home, mut a) = (Home::in_memory(), Author::new(1, 100));
    home.take(&[&a.write(vec![post("m", "Grüße aus Köln", 1)])]);
    assert_eq!([found(&home, "grusse"), found(&home, "koln"), found(&home, "zoe")], [0, 1, 1]);
    home.take(&[&a.write(vec![Op::message_delete("m", None)])]);
    assert_eq!(found(&home, "koln"), 0);
    home.store
        .connection
        .execute_batch("INSERT INTO message_text (message_text, rank) VALUES ('integrity-check', 1)")
        .unwrap();
}

#[test]
fn of_two_posts_under_one_id_the_smallest_wins_in_any_order_and_the_difference_is_counted() {
    let (mut early, mut late) = (Author::new(2, 50), Author::new(1, 100));
    let (winner, loser) = (early.write(vec![post("m", "first", 1)]), late.write(vec![post("m", "second", 2)]));
    let (mut left, mut right) = (Home::in_memory(), Home::in_memory());
    left.take(&[&winner, &loser]);
    right.take(&[&loser]);
    assert_eq!(found(&right, "second"), 1);
    right.take(&[&winner]);
    for home in [&left, &right] {
        assert_eq!([found(home, "first"), found(home, "second")], [1, 0]);
        assert_eq!(home.count("SELECT count(*) FROM message_variant"), 1);
        assert_eq!(counts(home), Some((1, 1, "m".into())));
    }
    assert_eq!(left.store.digest(), right.store.digest());
}

#[test]
fn two_equal_posts_under_one_id_are_no_difference() {
    let (mut a, mut b) = (Author::new(1, 100), Author::new(2, 50));
    let (one, two) = (a.write(vec![post("m", "same", 1)]), b.write(vec![post("m", "same", 1)]));
    let (mut left, mut right) = (Home::in_memory(), Home::in_memory());
    left.take(&[&one, &two]);
    right.take(&[&two, &one]);
    assert_eq!(left.count("SELECT count(*) FROM message_variant"), 0);
    assert_eq!(left.store.digest(), right.store.digest());
}

#[test]
fn the_latest_time_of_a_status_counts_and_an_earlier_one_changes_nothing() {
    let (mut home, mut a) = (Home::in_memory(), Author::new(1, 100));
    let at = |us| Op::message_status("m", Level::Delivered, Some(us));
    home.take(&[&a.write(vec![post("m", "x", 1)]), &a.write(vec![at(20)])]);
    let before = home.store.digest();
    home.take(&[&a.write(vec![at(10)])]);
    assert_eq!(home.store.digest(), before);
    home.take(&[&a.write(vec![at(30)])]);
    assert_eq!(fact(&home, "m").unwrap().levels, [None, Some(30), None]);
}

#[test]
fn a_status_before_its_message_takes_effect_when_the_message_comes() {
    let (mut a, mut b) = (Author::new(1, 100), Author::new(2, 50));
    let (message, read) =
        (a.write(vec![post("m", "x", 1)]), b.write(vec![Op::message_status("m", Level::Read, Some(9))]));
    let (mut left, mut right) = (Home::in_memory(), Home::in_memory());
    left.take(&[&message, &read]);
    right.take(&[&read]);
    assert_eq!(fact(&right, "m"), Some(MessageFact { levels: [None, None, Some(9)], ..MessageFact::default() }));
    assert_eq!(counts(&right), None);
    right.take(&[&message]);
    assert_eq!(counts(&right), Some((1, 0, "m".into())));
    assert_eq!((counts(&left), left.store.digest()), (counts(&right), right.store.digest()));
}

#[test]
fn after_a_tombstone_nothing_of_the_message_comes_back_and_the_latest_deletion_time_is_kept() {
    let (mut a, mut b) = (Author::new(1, 100), Author::new(2, 50));
    let message = a.write(vec![post("m", "x", 1)]);
    let read = a.write(vec![Op::message_status("m", Level::Read, Some(9))]);
    let gone = b.write(vec![Op::message_delete("m", Some(5))]);
    let gone_later = b.write(vec![Op::message_delete("m", Some(7))]);
    let (mut left, mut right) = (Home::in_memory(), Home::in_memory());
    left.take(&[&message, &read, &gone, &gone_later]);
    right.take(&[&gone, &message, &gone_later, &read]);
    for home in [&left, &right] {
        assert_eq!(fact(home, "m"), Some(MessageFact { deleted_us: Some(7), ..MessageFact::default() }));
        let rest = "SELECT (SELECT count(*) FROM message) + (SELECT count(*) FROM status)
                    + (SELECT count(*) FROM conversation) + (SELECT count(*) FROM message_variant)";
        assert_eq!(home.count(rest), 0);
    }
    assert_eq!(left.store.digest(), right.store.digest());
    assert_ne!(left.store.digest(), Home::in_memory().store.digest());
}

#[test]
fn the_fact_of_a_message_tells_the_hash_of_its_payload() {
    let (mut home, mut a) = (Home::in_memory(), Author::new(1, 100));
    let op = post("m", "x", 1);
    home.take(&[&a.write(vec![op.clone()])]);
    assert_eq!(fact(&home, "m").unwrap().content, Some(Hash::of(&op.payload)));
    assert_eq!(fact(&home, "other"), None);
}
