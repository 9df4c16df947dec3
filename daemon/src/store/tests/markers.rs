//! Read markers, held against a model that looks at every message.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message;

use super::convergence::{a_history, play, reorder};
use super::*;
use kinfolk_core::conversation::{Change as Metadata, Kind, Markers};
use kinfolk_core::ids::{Dot, Seq};
use kinfolk_core::marker::ReadMarker;
use kinfolk_core::op::{Level, MessageBody, Op};

fn post(id: &str, at_us: i64) -> Op {
    let body = MessageBody { conversation: "c".into(), created_us: Some(at_us), ..MessageBody::default() };
    Op::message_post(id, &body)
}

/// The ids of unread messages, in order.
fn unread(home: &Home) -> String {
    let sql =
        "SELECT coalesce(group_concat(id, ' '), '') FROM (SELECT id FROM message WHERE unread ORDER BY created_us, id)";
    let listed = home.text(sql);
    let counted = home.count("SELECT coalesce(sum(unread), 0) FROM conversation");
    assert_eq!(counted, i64::try_from(listed.split_whitespace().count()).unwrap(), "{listed}");
    listed
}

/// A marker at a message that has seen so many bundles of the first authors.
fn marker(at_us: i64, id: &str, seen: &[u64]) -> ReadMarker {
    let seen = (1..).zip(seen).map(|(n, seq)| (SourceId([n; 16]), Seq(*seq)));
    ReadMarker { created_us: at_us, id: id.to_owned(), seen: seen.collect() }
}

#[test]
fn a_local_marker_covers_what_was_there_and_not_what_comes_late() {
    let (mut home, mut a, mut b) = (Home::new(), Author::new(1, 100), Author::new(2, 50));
    home.take(&[&a.write(vec![post("m1", 10), post("m2", 20), post("m3", 30)])]);
    home.store.keep_marker("c", &marker(20, "m2", &[1])).unwrap();
    assert_eq!(unread(&home), "m3");
    // Created before the marker, and nobody has seen it.
    home.take(&[&b.write(vec![post("late", 15)])]);
    assert_eq!(unread(&home), "late m3");
    home.store.keep_marker("c", &marker(20, "m2", &[1, 1])).unwrap();
    assert_eq!(unread(&home), "m3");
    let home = home.reopen();
    assert_eq!(unread(&home), "m3");
    assert_eq!(home.reader().conversation("c").unwrap().unwrap().read_to, Some((20, "m2".to_owned())));
    assert_eq!(home.reader().verify().unwrap().problems, []);
}

#[test]
fn a_marker_that_came_before_its_conversation_counts_for_it() {
    let (mut home, mut a) = (Home::in_memory(), Author::new(1, 100));
    home.store.keep_marker("c", &marker(20, "m2", &[9])).unwrap();
    home.take(&[&a.write(vec![post("m1", 10), post("m3", 30)])]);
    assert_eq!(unread(&home), "m3");
}

#[test]
fn a_marker_for_all_devices_is_a_record_and_each_device_has_its_own() {
    let (mut home, mut a, mut b) = (Home::in_memory(), Author::new(1, 100), Author::new(2, 50));
    let posts = a.write(vec![post("m1", 10), post("m2", 20)]);
    b.see(&posts);
    let one = a.write(vec![marker(10, "m1", &[1]).op("c", "aa")]);
    let two = b.write(vec![marker(20, "m2", &[1]).op("c", "bb")]);
    home.take(&[&posts, &one]);
    assert_eq!(unread(&home), "m2");
    home.take(&[&two]);
    assert_eq!(unread(&home), "");
    assert_eq!(home.count("SELECT coalesce(sum(conflicts), 0) FROM row"), 0);
}

#[test]
fn a_marker_that_is_taken_back_leaves_its_messages_unread_again() {
    let (mut home, mut a) = (Home::in_memory(), Author::new(1, 100));
    let read = Op::message_status("m1", Level::Read, Some(1));
    let posts = a.write(vec![post("m1", 10), post("m2", 20), read]);
    let end = posts.bundle.head();
    home.take(&[&posts, &a.write(vec![marker(20, "m2", &[1]).op("c", "aa")])]);
    assert_eq!(unread(&home), "");
    home.store.begin().unwrap();
    home.store.apply(&Change::Cut { source: SourceId([1; 16]), end }).unwrap();
    home.store.commit().unwrap();
    assert_eq!(unread(&home), "m2");
}

#[test]
fn what_moves_a_marker_says_where_it_goes_and_what_is_here() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    home.take(&[&a.write(vec![post("m1", 10), post("m2", 20)])]);
    let reader = home.reader();
    let newest = reader.marking("c", None, "aa").unwrap().unwrap();
    assert_eq!((newest.place.clone(), newest.markers, newest.any_unread), ((20, "m2".into()), Markers::Local, true));
    assert_eq!((newest.current, newest.seen), (None, BTreeMap::from([(SourceId([1; 16]), Seq(1))])));
    assert_eq!(reader.marking("c", Some("m9"), "aa").unwrap(), None);
    assert_eq!(reader.marking("d", None, "aa").unwrap(), None);

    let kept = marker(10, "m1", &[1]);
    home.store.keep_marker("c", &kept).unwrap();
    let at = reader.marking("c", Some("m1"), "aa").unwrap().unwrap();
    assert_eq!((at.place, at.current, at.any_unread), ((10, "m1".into()), Some(kept), false));

    home.store.put_setting(MARKERS_SETTING, "synced").unwrap();
    let own = marker(20, "m2", &[1]);
    home.take(&[&a.write(vec![own.op("c", "aa"), marker(10, "m1", &[1]).op("d", "aa")])]);
    let synced = reader.marking("c", None, "aa").unwrap().unwrap();
    assert_eq!((synced.markers, synced.current), (Markers::Synced, Some(own)));
    assert_eq!(reader.marking("c", None, "bb").unwrap().unwrap().current, None, "another device's");

    let local = Metadata { markers: Some(Some(Markers::Local)), ..Metadata::default() };
    home.take(&[&a.write(vec![local.op("c").unwrap()])]);
    assert_eq!(reader.marking("c", None, "aa").unwrap().unwrap().markers, Markers::Local, "it says so itself");
}

#[test]
fn a_conversation_with_metadata_alone_is_listed_last_and_goes_with_them() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let titled =
        |title: &str| Metadata { title: Some(title.into()), kind: Some(Some(Kind::Group)), ..Metadata::default() };
    home.take(&[&a.write(vec![titled("Empty").op("a").unwrap(), post("m1", -5), titled("Full").op("c").unwrap()])]);
    let reader = home.reader();
    let listed = |after: Option<(i64, &str)>| -> Vec<(String, u64, String)> {
        let all = reader.conversations(after, 10).unwrap();
        let title = |view: &ConversationView| view.metadata.as_ref().map(|(metadata, _)| metadata.title.clone());
        all.into_iter().map(|view| (view.name.clone(), view.messages, title(&view).unwrap_or_default())).collect()
    };
    let (full, empty) = (("c".to_owned(), 1, "Full".to_owned()), ("a".to_owned(), 0, "Empty".to_owned()));
    assert_eq!(listed(None), [full.clone(), empty.clone()]);
    let first = reader.conversations(None, 1).unwrap().remove(0).place();
    assert_eq!(listed(Some((first.0, &first.1))), [empty]);
    assert_eq!(reader.counts().unwrap().conversations, 1, "those with messages");
    home.take(&[&a.write(vec![Op::record_delete("@conversation", "a"), Op::message_delete("m1", None)])]);
    let mut left = full;
    left.1 = 0;
    assert_eq!(listed(None), [left], "what is known of it stays when its messages are gone");
    home.take(&[&a.write(vec![Op::record_delete("@conversation", "c")])]);
    assert_eq!(listed(None), []);
    assert_eq!(reader.verify().unwrap().problems, []);
}

/// Messages, unread ones, and the last one's instant and id, by conversation.
type Counted = BTreeMap<String, (u64, u64, Option<(i64, String)>)>;

/// Everything that is derived, said anew from every message.
fn modelled(home: &Home) -> Counted {
    let connection = &home.store.connection;
    let mut conversations = Counted::new();
    let sql = "SELECT c.name, m.created_us, m.id, s.id, m.seq, m.payload,
                   (SELECT count(*) FROM status t WHERE t.message = m.idx AND t.level = 3)
               FROM message m JOIN conversation c ON c.idx = m.conversation JOIN source s ON s.idx = m.source";
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = statement.query(()).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (name, created_us, id): (String, i64, String) =
            (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap());
        let dot = Dot { source: SourceId(row.get(3).unwrap()), seq: Seq(row.get::<_, i64>(4).unwrap().unsigned_abs()) };
        let body = MessageBody::decode(row.get::<_, Vec<u8>>(5).unwrap().as_slice()).unwrap();
        let is_read = row.get::<_, i64>(6).unwrap() > 0;
        let held = crate::store::markers::of(connection, &name).unwrap();
        let covered = held.iter().any(|marker| marker.covers(created_us, &id, dot));
        let entry = conversations.entry(name).or_default();
        entry.0 += 1;
        entry.1 += u64::from(!body.outbound && !is_read && !covered);
        entry.2 = entry.2.take().max(Some((created_us, id)));
    }
    let sql =
        "SELECT r.key FROM row r JOIN collection c ON c.idx = r.collection WHERE c.name = '@conversation' AND r.live";
    let mut statement = connection.prepare(sql).unwrap();
    for name in statement.query_map((), |row| row.get(0)).unwrap() {
        conversations.entry(name.unwrap()).or_default();
    }
    conversations
}

/// The same as it is stored.
fn stored(home: &Home) -> Counted {
    let sql = "SELECT c.name, c.messages, c.unread, m.created_us, m.id FROM conversation c
               LEFT JOIN message m ON m.idx = c.last";
    let mut statement = home.store.connection.prepare(sql).unwrap();
    let read = |row: &rusqlite::Row<'_>| {
        let last: Option<(i64, String)> = row.get::<_, Option<i64>>(3)?.zip(row.get(4)?);
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        Ok((row.get(0)?, (number(1)?, number(2)?, last)))
    };
    statement.query_map((), read).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Any marker whatever, also one that no device would set.
pub(super) fn a_marker() -> impl Strategy<Value = ReadMarker> {
    let id = prop::sample::select(vec!["a", "b"]);
    (0..3_i64, id, prop::collection::vec(0..8_u64, 3)).prop_map(|(at, id, seen)| marker(at, id, &seen))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn counts_and_last_messages_are_what_a_look_at_every_message_says_at_every_moment(
        history in a_history(),
        choices in prop::collection::vec(any::<Index>(), 1..50),
        marks in prop::collection::vec((any::<Index>(), a_marker()), 0..6),
        batch in 1..4_usize,
    ) {
        let all = play(&history);
        let mut home = Home::in_memory();
        let order = reorder(&all, &choices);
        let batches: Vec<_> = order.chunks(batch).collect();
        for (n, batch) in batches.iter().enumerate() {
            for (_, marker) in marks.iter().filter(|(when, _)| when.index(batches.len()) == n) {
                home.store.keep_marker("a", marker).unwrap();
                prop_assert_eq!(stored(&home), modelled(&home));
            }
            home.take(&batch.iter().collect::<Vec<_>>());
            prop_assert_eq!(stored(&home), modelled(&home));
        }
        prop_assert_eq!(verify::verify(&home.store.connection).unwrap().problems, Vec::new());
        // What one of the authors wrote after its first bundle is taken back.
        if let Some(first) = all.iter().find(|written| written.bundle.dot.seq == Seq(1)) {
            home.store.begin().unwrap();
            home.store.apply(&Change::Cut { source: first.bundle.dot.source, end: first.bundle.head() }).unwrap();
            home.store.commit().unwrap();
            prop_assert_eq!(stored(&home), modelled(&home));
        }
    }
}
