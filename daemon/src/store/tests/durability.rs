//! What is on disk, when, and who can open it.

use std::collections::BTreeMap;

use super::*;
use kinfolk_core::bundle::Bundle;
use kinfolk_core::ids::{Dot, RelayId, Seq};
use kinfolk_core::lane::Mailbox;
use kinfolk_core::op::{MessageBody, Op};
use kinfolk_core::parcel::{Receipt, SignedHead};
use kinfolk_core::prekey::HeldPrekey;
use kinfolk_core::step::{AppBundle, AppFact, Committed, Posted, REMEMBERED, SavedSibling};
use kinfolk_core::value::Value;

fn put(key: &str, text: &str) -> Vec<Op> {
    vec![Op::record_put("notes", key, vec![("text".into(), Some(Value::text(text)))])]
}

/// The bytes of all files of the database but the shared memory, which is rebuilt from them.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()));
    named.filter(|(name, _)| !name.ends_with("-shm")).collect()
}

/// The hashes of those that are not empty: what must stay the same when nothing is touched.
fn fingerprint(dir: &Path) -> BTreeMap<String, Hash> {
    let filled = files(dir).into_iter().filter(|(_, bytes)| !bytes.is_empty());
    filled.map(|(name, bytes)| (name, Hash::of(&bytes))).collect()
}

#[test]
fn the_writer_syncs_fully_and_writes_ahead() {
    let home = Home::new();
    assert_eq!(home.count("PRAGMA synchronous"), 2);
    assert_eq!(home.text("PRAGMA journal_mode"), "wal");
    assert_eq!(home.count("PRAGMA fullfsync"), 1);
    assert_eq!(home.count("PRAGMA foreign_keys"), 1);
    assert_eq!(home.count("PRAGMA temp_store"), 2);
}

#[test]
fn a_database_is_there_once_and_only_where_it_was_made() {
    let home = Home::new();
    let again = Store::create(home.path(), &key(), &new_device(2));
    assert!(matches!(again, Err(StoreError::Exists(_))));
    let empty = TempDir::new().unwrap();
    assert!(matches!(Store::open(empty.path(), &key()), Err(StoreError::Missing(_))));
    assert_eq!(files(empty.path()), BTreeMap::new());
}

#[test]
fn a_half_made_database_is_made_anew() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("kinfolk.db.new"), b"half").unwrap();
    Store::create(dir.path(), &key(), &new_device(1)).unwrap();
    assert!(!dir.path().join("kinfolk.db.new").exists());
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut home = Home::new();
    home.take(&[&Author::new(1, 1).write(put("a", "x"))]);
    for name in [DATABASE_FILE, "kinfolk.db-wal", "kinfolk.db-shm"] {
        let mode = std::fs::metadata(home.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[cfg(feature = "encrypted-db")]
#[test]
fn a_wrong_key_opens_nothing_and_touches_nothing() {
    let mut home = Home::new();
    home.take(&[&Author::new(1, 1).write(put("a", "x"))]);
    // A copy as a crash leaves it: with a log that is not yet in the database.
    let crashed = TempDir::new().unwrap();
    files(home.path()).iter().for_each(|(name, bytes)| std::fs::write(crashed.path().join(name), bytes).unwrap());
    let before = fingerprint(crashed.path());
    assert!(before.contains_key("kinfolk.db-wal"));
    let wrong = Store::open(crashed.path(), &DbKey::new([0x5B; 32]));
    assert!(matches!(wrong, Err(StoreError::WrongKey(_))), "{wrong:?}");
    assert_eq!(fingerprint(crashed.path()), before);
    assert_eq!(Store::open(crashed.path(), &key()).unwrap().digest(), home.store.digest());
}

#[cfg(feature = "encrypted-db")]
#[test]
fn nothing_that_an_app_wrote_stands_in_the_files_in_clear() {
    const CANARY: &str = "canary-6a1f-sits-in-the-mine";
    let mut home = Home::new();
    let mut a = Author::new(1, 1);
    home.take(&[&a.write(put(CANARY, CANARY))]);
    home.store.put_secret(CANARY, CANARY.as_bytes()).unwrap();
    let holds = |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    for (name, bytes) in files(home.path()) {
        assert!(!holds(&bytes, CANARY.as_bytes()), "{name}");
        assert!(!holds(&bytes, &KEY), "{name}");
    }
    assert!(!holds(&files(home.path())[DATABASE_FILE], b"SQLite format 3"));
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let home = Home::new();
    home.store.connection.execute_batch("PRAGMA user_version = 99").unwrap();
    let Home { store, dir } = home;
    drop(store);
    let before = fingerprint(dir.path());
    let refused = Store::open(dir.path(), &key());
    assert!(matches!(refused, Err(StoreError::Newer { found: 99, known: 18 })), "{refused:?}");
    assert_eq!(fingerprint(dir.path()), before);
}

#[test]
fn what_was_not_committed_is_gone_after_a_crash_and_what_was_is_there() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    home.take(&[&a.write(put("a", "x"))]);
    let (digest, saved) = (home.store.digest(), home.store.restore().unwrap());
    home.store.begin().unwrap();
    let change = append(&home.store, &a.write(put("b", "y")));
    home.store.apply(&change).unwrap();
    assert_ne!(home.store.digest(), digest);
    let home = home.reopen();
    assert_eq!(home.store.digest(), digest);
    assert_eq!(home.store.restore().unwrap(), saved);
}

#[test]
fn a_rollback_restores_everything_and_the_store_goes_on() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    home.take(&[&a.write(put("a", "x"))]);
    let (digest, saved) = (home.store.digest(), home.store.restore().unwrap());
    let next = a.write(put("b", "y"));
    home.store.begin().unwrap();
    home.store.apply(&append(&home.store, &next)).unwrap();
    home.store.rollback().unwrap();
    assert_eq!(home.store.digest(), digest);
    assert_eq!(home.store.restore().unwrap(), saved);
    home.take(&[&next]);
    assert_eq!(home.count("SELECT count(*) FROM row"), 2);
}

#[test]
fn a_full_disk_says_so_and_the_store_is_usable_when_there_is_room_again() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    home.take(&[&a.write(put("a", "x"))]);
    let (digest, saved) = (home.store.digest(), home.store.restore().unwrap());
    let pages = home.count("PRAGMA page_count");
    home.count(&format!("PRAGMA max_page_count = {pages}"));
    let large = a.write(put("b", &"y".repeat(100_000)));
    home.store.begin().unwrap();
    let full = home.store.apply(&append(&home.store, &large));
    assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
    assert!(matches!(home.store.commit(), Err(StoreError::Transaction(_))), "a failed transaction never commits");
    home.store.rollback().unwrap();
    assert_eq!(home.store.digest(), digest);
    assert_eq!(home.store.restore().unwrap(), saved);
    home.count("PRAGMA max_page_count = 1000000");
    home.take(&[&large]);
    assert_eq!(home.reopen().count("SELECT count(*) FROM log"), 2);
}

#[test]
fn a_disk_that_is_full_only_at_the_commit_undoes_everything_too() {
    let mut home = Home::new();
    let (digest, saved) = (home.store.digest(), home.store.restore().unwrap());
    // The full-text index writes its words when the transaction ends.
    let words: Vec<String> = (0..4_000).map(|n| format!("word{n}")).collect();
    let body = MessageBody { conversation: "c".into(), text: words.join(" "), ..MessageBody::default() };
    let message = Author::new(1, 100).write(vec![Op::message_post("m", &body)]);
    home.store.begin().unwrap();
    home.store.apply(&append(&home.store, &message)).unwrap();
    home.count("PRAGMA max_page_count = 1");
    let full = home.store.commit();
    assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
    home.store.rollback().unwrap();
    assert_eq!(home.store.digest(), digest);
    assert_eq!(home.store.restore().unwrap(), saved);
    home.count("PRAGMA max_page_count = 1000000");
    home.take(&[&message]);
    assert_eq!(
        home.reader().search(&Sought { typed: "word3999".into(), ..Sought::default() }, None, 9).unwrap().len(),
        1
    );
    assert_eq!(home.reader().verify().unwrap().problems, []);
}

#[test]
fn transactions_begin_and_end_in_order() {
    let mut home = Home::new();
    let change = append(&home.store, &Author::new(1, 1).write(put("a", "x")));
    assert!(matches!(home.store.apply(&change), Err(StoreError::Transaction(_))));
    assert!(matches!(home.store.commit(), Err(StoreError::Transaction(_))));
    home.store.rollback().unwrap();
    home.store.begin().unwrap();
    assert!(matches!(home.store.begin(), Err(StoreError::Transaction(_))));
    assert!(matches!(home.store.restore(), Err(StoreError::Transaction(_))));
}

#[test]
fn a_bundle_that_does_not_continue_its_chain_is_refused() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let (_first, second) = (a.write(put("a", "x")), a.write(put("a", "y")));
    home.store.begin().unwrap();
    let refused = home.store.apply(&append(&home.store, &second));
    assert!(matches!(refused, Err(StoreError::NotNext(dot)) if dot.seq == Seq(2)));
}

#[test]
fn all_that_an_engine_needs_comes_back() {
    let (mut home, mut a, mut b) = (Home::new(), Author::new(1, 100), Author::new(2, 50));
    let (one, two) = (a.write(put("a", "x")), b.write(put("b", "y")));
    let waiting = b.write(put("c", "z"));
    let signature = Bytes::from_static(&[7; 64]);
    let signed = SignedHead { device: two.device, source: two.bundle.dot.source, head: two.bundle.head(), signature };
    let vector = kinfolk_core::vector::VersionVector::from_iter([(SourceId([1; 16]), one.bundle.head())]);
    let sibling = SavedSibling {
        device: DeviceId([2; 16]),
        receipt: Receipt { generation: 1, term: 7, trials: 2, vector },
        heard: Millis(5),
        prekey: Some(Prekey { slot: 8, public: Bytes::from_static(&[3; 1216]) }),
        knows_slot: Some(2),
        epoch: Epoch { number: 4, id: [4; 16] },
        under: kept_epoch(3).epoch,
        relays: vec![RelayId([6; 16]), RelayId([7; 16])],
        posted: vec![Posted {
            relay: RelayId([6; 16]),
            source: one.bundle.dot.source,
            mailbox: Mailbox { sent: Seq(1), parcels: 2, bytes: 3, since: Millis(4) },
        }],
    };
    let record = SignedRecord { bytes: Bytes::from_static(b"add"), signature: Bytes::from_static(&[2; 64]) };
    let quiet = HeldEpoch { epoch: kept_epoch(3).epoch, quiet: Some(Millis(9)) };
    home.take(&[&one, &two]);
    home.store.begin().unwrap();
    let changes = [
        Change::Early { device: waiting.device, bundle: waiting.bundle.clone() },
        Change::Early { device: one.device, bundle: one.bundle.clone() },
        Change::EarlyDone(one.bundle.dot),
        Change::Head(signed.clone()),
        Change::Head(signed),
        Change::Sibling(SavedSibling { heard: Millis(4), prekey: None, ..sibling.clone() }),
        Change::Sibling(sibling.clone()),
        Change::Record(record.clone()),
        Change::Record(record.clone()),
        Change::Epoch(kept_epoch(4)),
        Change::Epoch(kept_epoch(5)),
        Change::EpochQuiet(quiet),
        Change::EpochGone(kept_epoch(5).epoch),
        Change::Prekey(kept_prekey(3)),
        Change::Prekey(kept_prekey(1)),
        Change::PrekeyHeld(HeldPrekey { slot: 2, made: Millis(7), quiet: Some(Millis(9)) }),
        Change::PrekeyGone(1),
    ];
    changes.iter().for_each(|change| home.store.apply(change).unwrap());
    home.store.commit().unwrap();

    let saved = home.reopen().store.restore().unwrap();
    let device = new_device(1);
    assert_eq!((saved.me, saved.source, saved.generation), (device.me, device.source, device.generation));
    assert_eq!((saved.roster, &saved.prekey), (device.roster, &kept_prekey(3).prekey));
    let newest = HeldPrekey { slot: 3, made: Millis(7), quiet: None };
    assert_eq!(saved.prekeys, [HeldPrekey { slot: 2, quiet: Some(Millis(9)), ..newest }, newest]);
    assert_eq!(saved.epochs, [quiet, HeldEpoch { epoch: kept_epoch(4).epoch, quiet: None }]);
    assert_eq!(saved.bundle_seq, BundleSeq(2));
    let records: Vec<_> = saved.records.iter().map(|record| record.get().clone()).collect();
    assert_eq!(records, [device.records[0].clone(), record]);
    assert_eq!(saved.early, [(waiting.device, waiting.bundle)]);
    assert_eq!(saved.siblings[0], sibling);
    assert_eq!(
        (saved.siblings[1].device, &saved.siblings[1].prekey),
        (DeviceId([8; 16]), &Some(kept_prekey(6).prekey))
    );
    let heads: Vec<_> = saved.sources.iter().map(|source| (source.device, source.generation, source.head)).collect();
    assert_eq!(heads, [(one.device, 1, one.bundle.head()), (two.device, 1, two.bundle.head())]);
    assert_eq!(saved.sources[1].context, two.context);
    assert_eq!(saved.sources[1].stamp, two.bundle.body.unwrap().stamp);
}

#[test]
fn a_body_that_is_not_readable_counts_as_held_and_does_nothing() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let first = a.write(put("a", "x"));
    home.take(&[&first]);
    let digest = home.store.digest();
    let dot = Dot { seq: Seq(2), ..first.bundle.dot };
    let bundle = Bundle::rebuild(dot, first.bundle.hash, Bytes::from_static(&[0xFF])).unwrap();
    home.take(&[&Written { bundle, ..first }]);
    assert_eq!(home.store.digest(), digest);
    assert_eq!(home.store.restore().unwrap().sources[0].head.seq, Seq(2));
}

#[test]
fn an_apps_numbered_push_is_remembered() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let app = |id| AppBundle { source: "shell".into(), id, stamp: None };
    assert_eq!(home.store.app_fact(&app(1)).unwrap(), None);
    let written = a.write(put("a", "x"));
    let Change::Append(mut first) = append(&home.store, &written) else { panic!("an append") };
    let (dot, bundle_seq) = (Some(written.bundle.dot), BundleSeq(1));
    let committed = Committed { dot, bundle_seq, content: Hash([1; 32]), no_ops: vec![1, 4_999] };
    first.app = Some((app(1), committed.clone()));
    home.store.begin().unwrap();
    home.store.apply(&Change::Append(first)).unwrap();
    let repeated = Committed { dot: None, content: Hash([2; 32]), ..committed.clone() };
    home.store.apply(&Change::AppBundle(app(2), repeated.clone())).unwrap();
    let fact = |id| home.store.app_fact(&app(id)).unwrap().unwrap();
    assert_eq!(fact(1), AppFact { last: 2, committed: Some(committed), stamp: None });
    assert_eq!(fact(2), AppFact { last: 2, committed: Some(repeated.clone()), stamp: None });
    assert_eq!(fact(3), AppFact { last: 2, committed: None, stamp: None });
    let stamped = AppBundle { stamp: Some(u64::MAX), ..app(3) };
    home.store.apply(&Change::AppBundle(stamped, repeated.clone())).unwrap();
    home.store.apply(&Change::AppBundle(app(4), repeated.clone())).unwrap();
    let other = AppBundle { source: "other".into(), ..app(1) };
    home.store.apply(&Change::AppBundle(other.clone(), repeated.clone())).unwrap();
    let stamp = |app| home.store.app_fact(app).unwrap().unwrap().stamp;
    assert_eq!((stamp(&app(5)), stamp(&other)), (Some(u64::MAX), None), "of one source, also after a bundle without");
    let later = AppBundle { id: REMEMBERED + 1, ..app(1) };
    home.store.apply(&Change::AppBundle(later, repeated.clone())).unwrap();
    assert_eq!(home.store.app_fact(&app(1)).unwrap().unwrap().committed, None, "too long ago for a retry");
    assert_eq!(home.store.app_fact(&app(2)).unwrap().unwrap().committed, Some(repeated));
}

#[test]
fn cursors_of_apps_never_move_backwards_and_the_oldest_make_room() {
    let mut home = Home::new();
    let keep = |home: &mut Home, name: &str, place, at| {
        home.store.keep_cursors(&[(name.to_owned(), BundleSeq(place))], Millis(at)).unwrap();
    };
    keep(&mut home, "app", 5, 1);
    keep(&mut home, "app", 3, 2);
    assert_eq!(home.reader().cursor("app").unwrap(), Some(BundleSeq(5)));
    let others: Vec<(String, BundleSeq)> = (0..MAX_CONSUMERS).map(|n| (n.to_string(), BundleSeq(1))).collect();
    home.store.keep_cursors(&others[1..], Millis(3)).unwrap();
    assert_eq!(home.reader().cursor("app").unwrap(), Some(BundleSeq(5)));
    keep(&mut home, "0", 1, 4);
    assert_eq!(home.reader().cursor("app").unwrap(), None);
    assert_eq!(home.reader().cursor("1").unwrap(), Some(BundleSeq(1)));
}

#[test]
fn secrets_and_relays_are_kept_in_order() {
    let home = Home::new();
    let relay = |n: u8, url: &str| SavedRelay {
        id: RelayId([n; 16]),
        url: url.as_bytes().to_vec(),
        display: format!("relay {n}"),
        added: Millis(u64::from(n)),
    };
    for added in [relay(9, "nine"), relay(1, "one"), relay(5, "five")] {
        home.store.add_relay(&added).unwrap();
    }
    home.store.add_relay(&relay(9, "new")).unwrap();
    assert!(home.store.remove_relay(RelayId([1; 16])).unwrap());
    assert!(!home.store.remove_relay(RelayId([1; 16])).unwrap());
    home.store.put_secret("identity", b"old").unwrap();
    home.store.put_secret("identity", b"wrapped").unwrap();
    let home = home.reopen();
    assert_eq!(home.store.relays().unwrap(), [relay(9, "new"), relay(5, "five")]);
    assert_eq!(home.store.secret("identity").unwrap().as_deref(), Some(b"wrapped".as_slice()));
    assert_eq!(home.store.secret("other").unwrap(), None);
    home.store.put_setting("sync", "old").unwrap();
    home.store.put_setting("sync", "manual 5").unwrap();
}

#[test]
fn a_store_that_was_closed_is_one_file() {
    let (home, mut a) = (Home::new(), Author::new(1, 100));
    let reader = Reader::open(home.path(), &key()).unwrap();
    let Home { mut store, dir } = home;
    let change = append(&store, &a.write(put("a", "x")));
    store.begin().unwrap();
    store.apply(&change).unwrap();
    store.commit().unwrap();
    assert!(reader.counts().is_ok());
    assert!(files(dir.path()).get("kinfolk.db-wal").is_some_and(|log| !log.is_empty()));
    reader.close();
    store.close().unwrap();
    assert_eq!(files(dir.path()).keys().collect::<Vec<_>>(), ["kinfolk.db"]);
    let store = Store::open(dir.path(), &key()).unwrap();
    assert_eq!(store.bundle_seq(), BundleSeq(1));
    // A reader that is not closed keeps the file of the log, and finds it empty.
    let _reader = Reader::open(dir.path(), &key()).unwrap();
    store.close().unwrap();
    assert_eq!(files(dir.path())["kinfolk.db-wal"], b"");
}
