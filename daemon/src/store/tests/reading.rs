//! What readers see.

use std::ops::ControlFlow;

use super::*;
use kinfolk_core::merge;
use kinfolk_core::op::{Level, MessageBody, Op};
use kinfolk_core::step::{Quarantined, Suspect};
use kinfolk_core::value::Value;

use crate::store::reader::Span;

fn put(collection: &str, key: &str, fields: &[(&str, i64)]) -> Op {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), Some(Value::int(*value)))).collect();
    Op::record_put(collection, key, fields)
}

fn post(conversation: &str, id: &str, text: &str, at_us: i64) -> Op {
    let (conversation, text) = (conversation.to_owned(), text.to_owned());
    let sender = "Ada".to_owned();
    Op::message_post(id, &MessageBody { conversation, text, sender, created_us: Some(at_us), ..MessageBody::default() })
}

fn ids(messages: &[MessageView]) -> Vec<&str> {
    messages.iter().map(|message| message.id.as_str()).collect()
}

fn keys(records: &[RecordView]) -> Vec<&str> {
    records.iter().map(|record| record.key.as_str()).collect()
}

#[test]
fn a_reader_sees_what_is_committed_and_only_that() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let reader = home.reader();
    home.store.begin().unwrap();
    home.store.apply(&append(&home.store, &a.write(vec![put("notes", "a", &[])]))).unwrap();
    assert_eq!(reader.record("notes", "a").unwrap(), None);
    assert_ne!(reader.digest().unwrap(), home.store.digest());
    home.store.commit().unwrap();
    assert!(reader.record("notes", "a").unwrap().is_some());
    assert_eq!(reader.digest().unwrap(), home.store.digest());
}

#[test]
fn reading_from_many_threads_never_blocks_the_writer() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let reader = home.reader();
    home.take(&[&a.write(vec![put("notes", "a", &[("n", 0)])])]);
    // More readers than connections, each inside its transaction while the writer commits.
    std::thread::scope(|scope| {
        for _ in 0..9 {
            let reader = reader.clone();
            scope.spawn(move || {
                for _ in 0..20 {
                    let mut seen = Vec::new();
                    let all = reader.export(|item| {
                        seen.push(item);
                        ControlFlow::Continue(())
                    });
                    all.unwrap();
                    assert_eq!(seen.len(), 1);
                }
            });
        }
        for n in 1..30 {
            home.take(&[&a.write(vec![put("notes", "a", &[("n", n)])])]);
        }
    });
    assert_eq!(reader.record("notes", "a").unwrap().unwrap().fields, [("n".to_owned(), Value::int(29))]);
}

#[test]
fn exports_that_stall_leave_connections_for_everybody_else() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    home.take(&[&a.write(vec![put("notes", "a", &[])])]);
    let reader = home.reader();
    let (stall, stalled) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let gates: Vec<_> = (0..8)
            .map(|_| {
                let (gate, wait) = std::sync::mpsc::channel::<()>();
                let (reader, stall) = (reader.clone(), stall.clone());
                scope.spawn(move || {
                    let all = reader.export(|_| {
                        stall.send(()).unwrap();
                        // Until the gate is dropped.
                        wait.recv().unwrap_err();
                        ControlFlow::Continue(())
                    });
                    all.unwrap();
                });
                gate
            })
            .collect();
        stalled.recv().unwrap();
        stalled.recv().unwrap();
        let (answer, answered) = std::sync::mpsc::channel();
        let short = reader.clone();
        scope.spawn(move || answer.send(short.counts().unwrap().records));
        let records = answered.recv_timeout(std::time::Duration::from_secs(60));
        drop(gates);
        assert_eq!(records, Ok(1), "a page waits for no export");
    });
}

#[test]
fn a_reader_cannot_write() {
    let home = Home::new();
    let connection = open::open(home.path(), &key(), Access::Read).unwrap();
    let refused = connection.execute("DELETE FROM device", ());
    assert_eq!(refused.unwrap_err().sqlite_error_code(), Some(rusqlite::ErrorCode::ReadOnly));
}

#[test]
fn a_record_shows_its_fields_its_last_change_and_its_conflicts() {
    let (mut home, mut a, mut b) = (Home::new(), Author::new(1, 100), Author::new(2, 50));
    let reader = home.reader();
    let one = a.write(vec![put("notes", "a", &[("y", 1), ("x", 1)])]);
    let two = b.write(vec![put("notes", "a", &[("y", 2)])]);
    home.take(&[&one, &two]);
    let record = reader.record("notes", "a").unwrap().unwrap();
    assert_eq!(record.fields, [("x".to_owned(), Value::int(1)), ("y".to_owned(), Value::int(1))]);
    assert_eq!(record.conflicts, ["y"]);
    assert_eq!(record.row_version, BundleSeq(2));
    assert_eq!(reader.counts().unwrap().conflicts, 1);
    let gone = b.write(vec![Op::record_delete("notes", "a")]);
    home.take(&[&gone]);
    let record = reader.record("notes", "a").unwrap().unwrap();
    assert_eq!(record.conflicts, [merge::EXISTENCE, "y"], "the deletion had not seen the first edit");
    a.see(&two);
    a.see(&gone);
    home.take(&[&a.write(vec![Op::record_delete("notes", "a")])]);
    assert_eq!(reader.record("notes", "a").unwrap(), None);
}

#[test]
fn records_come_in_pages_by_prefix_and_key() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let reader = home.reader();
    let ops = ["a", "b/1", "b/2", "b/3", "c"].map(|key| put("notes", key, &[]));
    let ops = [ops.to_vec(), vec![put("other", "b/2", &[]), Op::record_delete("notes", "b/2")]].concat();
    home.take(&[&a.write(ops)]);
    let page = |prefix, after, most| {
        let page = reader.records("notes", prefix, after, most).unwrap();
        keys(&page).join(" ")
    };
    assert_eq!(page("", None, 10), "a b/1 b/3 c");
    assert_eq!(page("b/", None, 10), "b/1 b/3");
    assert_eq!(page("b/", None, 1), "b/1");
    assert_eq!(page("b/", Some("b/1"), 10), "b/3");
    assert_eq!(page("b/", Some("a"), 1), "b/1");
    assert_eq!(page("", Some("c"), 10), "");
    assert_eq!(reader.collections().unwrap(), [("notes".to_owned(), 4), ("other".to_owned(), 1)]);
}

#[test]
fn messages_come_newest_first_in_pages_that_neither_repeat_nor_skip() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let reader = home.reader();
    let ops = vec![post("c", "m2", "", 20), post("c", "m1", "", 10), post("c", "m3", "", 20), post("d", "m4", "", 15)];
    home.take(&[&a.write(ops)]);
    let first = reader.messages("c", &Range::default(), 2).unwrap();
    assert_eq!(ids(&first), ["m3", "m2"]);
    home.take(&[&a.write(vec![post("c", "m9", "", 30)])]);
    let second = reader.messages("c", &Range::default().behind((first[1].created_us, first[1].id.clone())), 2).unwrap();
    assert_eq!(ids(&second), ["m1"]);
    assert_eq!(reader.messages("nowhere", &Range::default(), 2).unwrap(), []);
}

#[test]
fn messages_of_a_stretch_come_in_both_orders() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let reader = home.reader();
    let ops = [("m1", 10), ("m2", 20), ("m3", 20), ("m4", 30), ("m5", i64::MAX)];
    home.take(&[&a.write(ops.map(|(id, at)| post("c", id, "", at)).to_vec())]);
    let place = |at, id: &str| Some((at, id.to_owned()));
    let listed = |range: &Range, most| ids(&reader.messages("c", range, most).unwrap()).join(" ");
    let up = Range { oldest_first: true, ..Range::default() };
    assert_eq!(listed(&Range::default(), 9), "m5 m4 m3 m2 m1");
    assert_eq!(listed(&up, 2), "m1 m2");
    assert_eq!(listed(&up.clone().behind((20, "m2".into())), 2), "m3 m4");
    let between = Range { after: place(10, "m1"), before: place(30, "m4"), ..Range::default() };
    assert_eq!(listed(&between, 9), "m3 m2");
    assert_eq!(listed(&Range { oldest_first: true, ..between.clone() }, 9), "m2 m3");
    assert_eq!(listed(&between.behind((20, "m3".into())), 9), "m2");
    let from_instant = Range { after: place(20, ""), before: place(30, ""), ..Range::default() };
    assert_eq!(listed(&from_instant, 9), "m3 m2", "the first instant is in, the last one is not");
    assert_eq!(reader.place_of("c", "m2").unwrap(), place(20, "m2"));
    assert_eq!(reader.place_of("d", "m2").unwrap(), None);
}

#[test]
fn a_message_tells_its_times_and_is_gone_after_its_deletion() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let reader = home.reader();
    home.take(&[&a.write(vec![post("c", "m", "x", 5), Op::message_status("m", Level::Delivered, Some(7))])]);
    let message = reader.message("m").unwrap().unwrap();
    assert_eq!((message.created_us, message.levels), (5, [None, Some(7), None]));
    assert!(message.unread);
    home.take(&[&a.write(vec![Op::message_status("m", Level::Read, Some(9))])]);
    let message = reader.message("m").unwrap().unwrap();
    assert!(!message.unread);
    assert_eq!(message.row_version, BundleSeq(2));
    home.take(&[&a.write(vec![Op::message_delete("m", None), Op::message_status("early", Level::Read, None)])]);
    assert_eq!(reader.message("m").unwrap(), None);
    assert_eq!(reader.message("early").unwrap(), None, "only its status is here");
}

#[test]
fn conversations_come_with_the_newest_message_first() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let reader = home.reader();
    let ops = vec![post("c", "m1", "", 10), post("a", "m2", "", 20), post("b", "m3", "", 20), post("c", "m4", "", 5)];
    home.take(&[&a.write(ops)]);
    let all = reader.conversations(None, 10).unwrap();
    let names: Vec<_> =
        all.iter().map(|c| (c.name.as_str(), c.messages, c.unread, c.last.as_ref().unwrap().id.as_str())).collect();
    assert_eq!(names, [("a", 1, 1, "m2"), ("b", 1, 1, "m3"), ("c", 2, 2, "m1")]);
    let rest = reader.conversations(Some((20, "a")), 1).unwrap();
    assert_eq!(rest, all[1..2]);
    assert_eq!(reader.conversation("c").unwrap().as_ref(), all.get(2));
    assert_eq!(reader.conversation("nowhere").unwrap(), None);
}

#[test]
fn an_export_is_in_one_order_whatever_the_device() {
    let (mut a, mut b) = (Author::new(1, 100), Author::new(2, 50));
    let one = a.write(vec![post("d", "m1", "", 10), put("z", "k", &[("n", 1)]), post("c", "m2", "", 30)]);
    let two = b.write(vec![put("y", "b", &[]), put("y", "a", &[]), post("c", "m0", "", 30), post("c", "m3", "", 20)]);
    let (mut left, mut right) = (Home::new(), Home::new());
    left.take(&[&one, &two]);
    right.take(&[&two, &one]);
    let exported = |home: &Home, most: usize| {
        let mut names = Vec::new();
        let all = home.reader().export(|item| {
            names.push(match item {
                Exported::Message(message) => format!("{}:{}", message.body.conversation, message.id),
                Exported::Record(record) => format!("{}/{}", record.collection, record.key),
            });
            if names.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        all.unwrap();
        names.join(" ")
    };
    assert_eq!(exported(&left, 99), "c:m3 c:m0 c:m2 d:m1 y/a y/b z/k");
    assert_eq!(exported(&right, 99), exported(&left, 99));
    assert_eq!(exported(&left, 5), "c:m3 c:m0 c:m2 d:m1 y/a");
    assert_eq!(left.reader().content_digest().unwrap(), right.reader().content_digest().unwrap());
    left.take(&[&a.write(vec![Op::message_status("m0", Level::Sent, Some(1))])]);
    assert_ne!(left.reader().content_digest().unwrap(), right.reader().content_digest().unwrap());
}

#[test]
fn an_export_reaches_past_one_page_of_records() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let count = MAX_PAGE * 2 + 1;
    home.take(&[&a.write((0..count).map(|n| put("n", &format!("{n:06}"), &[])).collect())]);
    let mut seen = Vec::new();
    let all = home.reader().export(|item| {
        if let Exported::Record(record) = item {
            seen.push(record.key);
        }
        ControlFlow::Continue(())
    });
    all.unwrap();
    assert!(seen.is_sorted());
    assert_eq!(seen.len(), count);
    assert_eq!(home.reader().records("n", "", None, usize::MAX).unwrap().len(), MAX_PAGE);
}

#[test]
fn status_counts_what_there_is() {
    let (mut home, mut a, mut b) = (Home::new(), Author::new(1, 100), Author::new(2, 50));
    let one = a.write(vec![post("c", "m1", "x", 1), post("c", "m2", "", 1), put("n", "a", &[("n", 1)])]);
    let two = b.write(vec![post("c", "m1", "y", 1), put("n", "a", &[("n", 2)]), put("n", "b", &[])]);
    home.take(&[&one, &two]);
    home.store.begin().unwrap();
    let (kind, bytes) = (Suspect::Envelope, Bytes::from_static(b"x"));
    let item = Quarantined { at: Millis(1), kind, relay: None, reason: "because".into(), bytes, size: 1 };
    home.store.apply(&Change::Quarantine(item)).unwrap();
    home.store.commit().unwrap();
    let expected = Counts {
        settled: 0,
        conflicts: 1,
        differing_messages: 1,
        quarantine: 1,
        quarantine_ever: 1,
        conversations: 1,
        messages: 2,
        records: 2,
        bundle_seq: BundleSeq(2),
        unknown_ops: 0,
    };
    assert_eq!(home.reader().counts().unwrap(), expected);
}

#[test]
fn a_store_that_has_rested_reads_and_writes_as_before() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let reader = home.reader();
    home.take(&[&a.write(vec![put("notes", "a", &[("n", 0)])])]);
    home.store.rest().unwrap();
    home.take(&[&a.write(vec![put("notes", "b", &[("n", 1)])])]);
    assert_eq!(keys(&reader.records("notes", "", None, 9).unwrap()), ["a", "b"]);
    assert_eq!(reader.digest().unwrap(), home.store.digest());
}

#[test]
fn a_read_that_nobody_waits_for_is_not_begun() {
    let home = Home::new();
    let (reader, awaited) = home.reader().awaited();
    assert!(reader.reach().is_ok());
    drop(awaited);
    assert!(matches!(reader.reach(), Err(StoreError::Abandoned)));
}

#[test]
fn a_read_in_the_middle_of_its_work_ends_and_the_next_one_on_its_connection_does_not() {
    let home = Home::new();
    let shared = home.reader();
    let (reader, awaited) = shared.awaited();
    let (begun, begin) = std::sync::mpsc::channel();
    let endless = std::thread::spawn(move || {
        reader.during(Span::Short, |connection| {
            let sql = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n";
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query(())?;
            rows.next()?;
            begun.send(()).unwrap();
            while rows.next()?.is_some() {}
            Ok(())
        })
    });
    begin.recv().unwrap();
    drop(awaited);
    assert!(endless.join().unwrap().is_err());
    assert!(shared.reach().is_ok());
}
