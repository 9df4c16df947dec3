//! Verification passes on what was applied, and names what was tampered with.

use super::*;
use kinfolk_core::bundle::{Body, Bundle};
use kinfolk_core::op::{Level, MessageBody, Op};
use kinfolk_core::value::Value;

fn put(key: &str, text: &str) -> Op {
    Op::record_put("notes", key, vec![("title".into(), Some(Value::text(text)))])
}

fn post(id: &str, text: &str) -> Op {
    let (conversation, text) = ("family".into(), text.into());
    Op::message_post(id, &MessageBody { conversation, text, created_us: Some(1), ..MessageBody::default() })
}

/// A store in which every table of the state has rows.
fn furnished() -> Home {
    let (mut home, mut a, mut b) = (Home::new(), Author::new(1, 100), Author::new(2, 50));
    let first = a.write(vec![put("a", "one"), post("m1", "hello"), post("m2", "to be deleted")]);
    let other = b.write(vec![put("a", "two"), post("m1", "hullo"), Op::message_status("m3", Level::Sent, Some(3))]);
    b.see(&first);
    let last = b.write(vec![Op::message_delete("m2", Some(9)), Op::message_status("m1", Level::Read, Some(4))]);
    home.take(&[&first, &other]);
    home.take(&[&last]);
    assert!(home.store.index_field("notes", "title").unwrap());
    home
}

#[test]
fn what_was_applied_is_what_the_log_gives() {
    let home = furnished();
    let report = home.reader().verify().unwrap();
    assert_eq!(report.problems, []);
    assert_eq!((report.bundles, report.ops), (3, 8));
    assert_eq!((report.digest, report.rebuilt), (home.store.digest(), Some(home.store.digest())));
}

#[test]
fn a_log_with_unreadable_and_unknown_content_is_sound() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let first = a.write(vec![Op { kind: 99, ..put("a", "x") }]);
    let dot = kinfolk_core::ids::Dot { seq: first.bundle.dot.seq.next(), ..first.bundle.dot };
    let bundle = Bundle::rebuild(dot, first.bundle.hash, Bytes::from_static(&[0xFF])).unwrap();
    home.take(&[&first, &Written { bundle, ..first.clone() }]);
    assert_eq!(home.reader().verify().unwrap().problems, []);
}

#[test]
fn every_tampered_table_is_named_with_its_first_wrong_row() {
    let body = Bundle::write(
        kinfolk_core::ids::Dot { source: SourceId([1; 16]), seq: kinfolk_core::ids::Seq(1) },
        Hash::default(),
        Body::default(),
    );
    let body: String = body.unwrap().bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let forged_body = format!("UPDATE log SET body = x'{body}' WHERE bundle_seq = 1");
    let log = "bundle 1 of source 01010101010101010101010101010101: its hash is not that of its bytes";
    let hole = "bundle 2 of source 02020202020202020202020202020202: it does not follow the one before it";
    let cases: [(&str, &[&str]); 21] = [
        (&forged_body, &[log]),
        ("UPDATE log SET hash = zeroblob(32) WHERE bundle_seq = 1", &[log]),
        ("DELETE FROM log WHERE bundle_seq = 2", &[hole]),
        ("UPDATE source SET hash = zeroblob(32) WHERE idx = 1", &["sources: 01010101010101010101010101010101 is"]),
        ("UPDATE row SET live = 0", &["records: notes/a is"]),
        ("UPDATE row SET conflicts = 0", &["records: notes/a is"]),
        (
            "UPDATE write SET value = x'2a0179' WHERE field = 'title'",
            &["fields: notes/a/title is", "the digest sum of notes"],
        ),
        ("UPDATE write SET stamp = 1 WHERE field = ''", &["fields: notes/a/ is", "the digest sum of notes"]),
        ("INSERT INTO write VALUES (99, 'x', 1, 1, 1, NULL)", &["field writes: their number is"]),
        ("DELETE FROM history WHERE bundle_seq = 1", &["history: notes/a is"]),
        ("INSERT INTO history SELECT idx, 3 FROM row", &["history: notes/a is"]),
        ("DELETE FROM field_value", &["indexes over fields: notes/a/title is"]),
        ("UPDATE field_value SET value = x'05'", &["indexes over fields: notes/a/title is"]),
        ("UPDATE message SET unread = 1 WHERE id = 'm1'", &["messages: m1 is"]),
        (
            "UPDATE message SET payload = zeroblob(0) WHERE id = 'm1'",
            &["messages: m1 is", "the digest sum of @message"],
        ),
        ("DELETE FROM status WHERE level = 1", &["statuses: m3 is", "the digest sum of @message"]),
        ("DELETE FROM message_variant", &["lost posts: m1 is"]),
        ("UPDATE tombstone SET at_us = 0", &["tombstones: ", "the digest sum of @message"]),
        ("UPDATE conversation SET messages = 7", &["conversations: family is"]),
        (
            "UPDATE collection SET sum = zeroblob(40) WHERE name = 'notes'",
            &["collections: notes is", "the digest sum of notes"],
        ),
        (
            "INSERT INTO message_text (message_text, rowid, text, sender, place)
             SELECT 'delete', idx, text, sender, place FROM message_words",
            &["conversations: family is", "words: hullo is"],
        ),
    ];
    for (sql, expected) in cases {
        let home = furnished();
        home.store.connection.execute(sql, ()).unwrap();
        let report = home.reader().verify().unwrap();
        let problems: Vec<String> = report.problems.iter().map(Problem::to_string).collect();
        // A broken log is read no further, so its state may not be compared; the sums always are.
        assert_eq!(problems.len(), expected.len(), "{sql}: {problems:?}");
        for (problem, expected) in problems.iter().zip(expected) {
            assert!(problem.starts_with(expected), "{sql}: {problems:?}");
        }
        assert_eq!(report.rebuilt.is_none(), sql.contains("log"), "{sql}");
    }
}

#[test]
fn a_damaged_page_is_reported_and_not_interpreted() {
    let (mut home, mut a) = (furnished(), Author::new(3, 100));
    home.take(&[&a.write((0..200).map(|n| put(&format!("{n}"), &"x".repeat(300))).collect())]);
    let Home { store, dir } = home;
    drop(store);
    let path = dir.path().join(DATABASE_FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    // Behind the schema, without which nothing is opened, among what was written last.
    let late = bytes.len() / 4 * 3;
    bytes[late..late + 64].fill(0xEE);
    std::fs::write(&path, &bytes).unwrap();
    let report = Reader::open(dir.path(), &key()).unwrap().verify().unwrap();
    assert!(matches!(report.problems.as_slice(), [Problem::File(_), ..]), "{report:?}");
    assert_eq!((report.bundles, report.rebuilt), (0, None));
}
