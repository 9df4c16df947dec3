//! What could not be used is kept within bounds and never in the way.

use super::*;
use kinfolk_core::ids::RelayId;
use kinfolk_core::step::{QUARANTINE_BYTES, Quarantined, Suspect};

fn envelope(reason: &str, size: usize) -> Quarantined {
    let bytes = Bytes::from(vec![7; size.min(QUARANTINE_BYTES)]);
    let (kind, relay) = (Suspect::Envelope, Some(RelayId([3; 16])));
    Quarantined { at: Millis(5), kind, relay, reason: reason.into(), bytes, size: size as u64 }
}

fn set_aside(home: &mut Home, items: impl IntoIterator<Item = Quarantined>) {
    home.store.begin().unwrap();
    items.into_iter().for_each(|item| home.store.apply(&Change::Quarantine(item)).unwrap());
    home.store.commit().unwrap();
}

#[test]
fn it_says_what_came_when_from_where_and_why() {
    let mut home = Home::new();
    let stranger = Quarantined { kind: Suspect::Parcel, relay: None, ..envelope("a stranger", 0) };
    set_aside(&mut home, [envelope("garbage", 10), stranger, envelope("large", QUARANTINE_BYTES + 1)]);
    let kept = home.reader().quarantined(0).unwrap();
    let first = Kept {
        id: 1,
        at: Millis(5),
        kind: Suspect::Envelope,
        relay: Some(RelayId([3; 16])),
        reason: "garbage".into(),
        size: 10,
        whole: true,
    };
    assert_eq!(kept[0], first);
    assert_eq!((kept[1].kind, kept[1].relay, kept[1].whole), (Suspect::Parcel, None, false));
    assert_eq!((kept[2].size, kept[2].whole), (QUARANTINE_BYTES as u64 + 1, false));
    assert_eq!(home.reader().quarantined_bytes(1).unwrap().unwrap(), [7; 10]);
    assert_eq!(home.reader().quarantined_bytes(3).unwrap().unwrap().len(), QUARANTINE_BYTES);
    assert_eq!(home.reader().quarantined(2).unwrap().len(), 1);
}

#[test]
fn the_newest_stay_and_all_are_counted() {
    let mut home = Home::new();
    let reason = |n: i64| format!("{n} {}", "ü".repeat(600));
    set_aside(&mut home, (0..QUARANTINE_ROWS + 5).map(|n| envelope(&reason(n), 1)));
    assert_eq!(home.count("SELECT count(*) FROM quarantine"), QUARANTINE_ROWS);
    assert_eq!(home.count("SELECT seq FROM sqlite_sequence WHERE name = 'quarantine'"), QUARANTINE_ROWS + 5);
    assert!(home.text("SELECT reason FROM quarantine ORDER BY idx LIMIT 1").starts_with("5 "));
    assert_eq!(home.count("SELECT max(length(reason)) FROM quarantine"), 200);
}

#[test]
fn the_bytes_of_all_together_are_bounded_also_after_a_restart_and_a_rollback() {
    let mut home = Home::new();
    let most = QUARANTINE_TOTAL / QUARANTINE_BYTES as i64;
    set_aside(&mut home, (0..most).map(|_| envelope("x", QUARANTINE_BYTES)));
    home.store.begin().unwrap();
    home.store.apply(&Change::Quarantine(envelope("x", QUARANTINE_BYTES))).unwrap();
    home.store.rollback().unwrap();
    assert_eq!(home.count("SELECT min(idx) FROM quarantine"), 1);
    let mut home = home.reopen();
    set_aside(&mut home, [envelope("x", QUARANTINE_BYTES), envelope("x", 1)]);
    assert_eq!(home.count("SELECT min(idx) FROM quarantine"), 3);
    assert_eq!(home.count("SELECT sum(length(bytes)) FROM quarantine"), QUARANTINE_TOTAL - QUARANTINE_BYTES as i64 + 1);
}

#[test]
fn what_is_hidden_is_kept_and_what_was_used_is_gone() {
    let mut home = Home::new();
    set_aside(&mut home, (0..3).map(|n| envelope("x", n + 1)));
    home.store.hide_quarantined(2).unwrap();
    home.store.release_quarantined(1).unwrap();
    let ids: Vec<u64> = home.reader().quarantined(0).unwrap().iter().map(|kept| kept.id).collect();
    assert_eq!(ids, [3]);
    let counts = home.reader().counts().unwrap();
    assert_eq!((counts.quarantine, counts.quarantine_ever), (1, 3));
    assert!(home.reader().quarantined_bytes(2).unwrap().is_some());
    assert!(home.reader().quarantined_bytes(1).unwrap().is_none());
}
