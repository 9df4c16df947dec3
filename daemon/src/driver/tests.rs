use kinfolk_core::value::Value;

use super::*;
use crate::relay::worker::Mailroom;
use crate::setup::{Fresh, Opened, Places};
use crate::store::DbKey;

const RELAY: RelayId = RelayId([7; 16]);

struct Bench {
    driver: Handle,
    directory: std::path::PathBuf,
    db_key: DbKey,
    _home: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let places = Places { config: home.path().join("config"), state: home.path().join("state") };
        let mut rng = rand::rng();
        let opened = places.found(Fresh::generate("first", &mut rng).unwrap(), &mut rng).unwrap();
        let Opened { store, directory, db_key, credentials, .. } = opened;
        let driver = start(credentials, store, Config::default()).unwrap();
        Self { driver, directory, db_key, _home: home }
    }

    /// Puts another device on the roster: someone to send to.
    async fn befriend(&self) {
        let mut rng = rand::rng();
        let Fresh { device, identity, .. } = Fresh::generate("second", &mut rng).unwrap();
        let roster = self.driver.roster().borrow().id().unwrap();
        let (card_hash, device_bytes) = (Hash([3; 32]), device.encode());
        let join_signature = identity.sign_join(roster, card_hash, &device_bytes).to_vec().into();
        let addition = kinfolk_core::roster::Addition { device, device_bytes, join_signature, card_hash };
        self.driver.add_device(addition).await.unwrap();
    }

    async fn push(&self, key: &str, bytes: usize) -> Result<Pushed, PushError> {
        let text = Value::text("x".repeat(bytes));
        self.driver.push(vec![Op::record_put("notes", key, vec![("text".into(), Some(text))])], None).await
    }

    /// Returns when everything asked before is done and shown.
    async fn settled(&self) {
        self.driver.keep(|_| Ok(())).await.unwrap();
    }

    async fn fill_disk(&self) {
        self.driver
            .keep(|store| {
                store.meddle("PRAGMA max_page_count = 1");
                Ok(())
            })
            .await
            .unwrap();
    }

    async fn free_disk(&self) {
        self.driver
            .keep(|store| {
                store.meddle("PRAGMA max_page_count = 1000000");
                Ok(())
            })
            .await
            .unwrap();
    }

    fn picture(&self) -> Arc<Picture> {
        Arc::clone(&self.driver.picture().borrow())
    }
}

/// More than fits into the pages there are.
const LARGE: usize = 200_000;

#[tokio::test]
async fn whoever_has_a_reply_sees_its_push_in_the_picture() {
    let bench = Bench::new();
    for n in 0..100 {
        let pushed = bench.push(&n.to_string(), 10).await.unwrap();
        assert_eq!(bench.picture().status.bundle_seq, pushed.bundle_seq);
    }
}

#[tokio::test]
async fn a_fault_is_shown_until_a_commit_succeeds_and_nothing_of_the_round_happened() {
    let bench = Bench::new();
    bench.push("before", 10).await.unwrap();
    let before = bench.picture();
    bench.fill_disk().await;
    let refused = bench.push("large", LARGE).await;
    assert!(matches!(refused, Err(PushError::Driver(DriverError::StoreFull(_)))), "{refused:?}");
    // A round that writes nothing proves nothing.
    bench.settled().await;
    bench.settled().await;
    let troubled = bench.picture();
    assert!(troubled.fault.is_some());
    assert_eq!((troubled.status.bundle_seq, troubled.digest), (before.status.bundle_seq, before.digest));
    bench.free_disk().await;
    assert_eq!(bench.push("large", LARGE).await.unwrap().bundle_seq.0, 2);
    assert_eq!(bench.picture().fault, None);
}

#[tokio::test]
async fn what_an_engine_ahead_of_the_disk_knows_is_never_shown() {
    let bench = Bench::new();
    bench.fill_disk().await;
    // The commit fails, and so does reading what to go back to.
    let other = Store::open(&bench.directory, &bench.db_key).unwrap();
    other.meddle("ALTER TABLE device RENAME TO elsewhere");
    bench.push("large", LARGE).await.unwrap_err();
    let unread = bench.driver.keep(|_| Ok(())).await;
    assert!(unread.is_err(), "the driver went on with an engine ahead of the disk");
    let shown = bench.picture();
    assert_eq!((shown.status.bundle_seq, *bench.driver.bell().borrow()), (BundleSeq(0), BundleSeq(0)));
    other.meddle("ALTER TABLE elsewhere RENAME TO device");
    bench.settled().await;
    bench.free_disk().await;
    assert_eq!(bench.push("large", LARGE).await.unwrap().bundle_seq, BundleSeq(1));
}

#[tokio::test]
async fn a_restored_engine_still_knows_that_a_relay_is_out_of_reach() {
    let bench = Bench::new();
    let (mailroom, mut outbox) = Mailroom::unserved();
    bench.driver.attach(RELAY, mailroom).await.unwrap();
    bench.driver.tell(Input::RelayHealth { relay: RELAY, up: false }).await.unwrap();
    bench.befriend().await;
    bench.fill_disk().await;
    bench.push("large", LARGE).await.unwrap_err();
    bench.free_disk().await;
    bench.push("small", 10).await.unwrap();
    bench.settled().await;
    assert!(outbox.try_recv().is_err(), "a parcel for a relay that is out of reach");
    bench.driver.tell(Input::RelayHealth { relay: RELAY, up: true }).await.unwrap();
    bench.settled().await;
    assert!(outbox.try_recv().is_ok(), "no parcel for a relay that is back");
}

#[tokio::test]
async fn the_rest_of_a_crowd_that_does_not_come_back_is_not_waited_for_long() {
    let bench = Arc::new(Bench::new());
    let mut crowd = tokio::task::JoinSet::new();
    for n in 0..64 {
        let bench = Arc::clone(&bench);
        crowd.spawn(async move { bench.push(&n.to_string(), 10).await });
    }
    while let Some(pushed) = crowd.join_next().await {
        pushed.unwrap().unwrap();
    }
    assert_eq!(bench.push("alone", 10).await.unwrap().bundle_seq, BundleSeq(65));
}

#[tokio::test]
async fn what_was_asked_before_the_end_is_done_in_its_order() {
    let bench = Bench::new();
    let app = |id| Some(AppBundle { source: "app".into(), id, stamp: None });
    let op = |key: &str| vec![Op::record_put("notes", key, vec![("n".into(), Some(Value::text("x")))])];
    let (first, stop, second, third) = tokio::join!(
        bench.driver.push(op("a"), app(1)),
        bench.driver.stop(),
        bench.driver.push(op("b"), app(2)),
        bench.driver.push(op("c"), app(3)),
    );
    let () = stop;
    first.unwrap();
    for late in [second, third] {
        // In the last round or too late for it, but never out of turn.
        assert!(matches!(&late, Ok(_) | Err(PushError::Driver(DriverError::Stopping))), "{late:?}");
    }
}

#[tokio::test]
async fn a_pass_answers_when_its_parcels_are_put_or_refused() {
    for reached in [true, false] {
        let bench = Bench::new();
        bench.befriend().await;
        let (mailroom, mut outbox) = Mailroom::unserved();
        bench.driver.hold(true).await.unwrap();
        bench.driver.attach(RELAY, mailroom).await.unwrap();
        bench.push("a", 10).await.unwrap();
        bench.settled().await;
        assert!(outbox.try_recv().is_err(), "held mail waits for a pass");
        let driver = bench.driver.clone();
        let mut pass = tokio::spawn(async move { driver.pass(false).await });
        let mut parcels = 0;
        // The roster may want telling beside the bundle.
        loop {
            tokio::select! {
                biased;
                Some(outgoing) = outbox.recv() => {
                    parcels += 1;
                    assert!(!pass.is_finished(), "a parcel was still under way");
                    let runs = outgoing.send.runs.iter().map(|run| (run.source, run.upto));
                    let reached = reached.then(|| runs.collect());
                    let (ticket, took) = (outgoing.send.ticket, Millis(1));
                    bench.driver.tell(Input::Sent { ticket, reached, bytes: 1_000, took }).await.unwrap();
                }
                ended = &mut pass => {
                    ended.unwrap().unwrap();
                    break;
                }
            }
        }
        assert!(parcels > 0);
        bench.push("b", 10).await.unwrap();
        bench.settled().await;
        assert!(outbox.try_recv().is_err(), "the gate is shut again");
    }
}

#[tokio::test]
async fn a_pass_ends_with_the_engine_that_it_began_in() {
    let bench = Bench::new();
    bench.befriend().await;
    let (mailroom, mut outbox) = Mailroom::unserved();
    bench.driver.attach(RELAY, mailroom).await.unwrap();
    let broken = async {
        outbox.recv().await.unwrap();
        bench.fill_disk().await;
        bench.push("a", LARGE).await.unwrap_err();
    };
    // The pass is asked for first: one that comes after the fault belongs to the engine after it, and lasts until somebody serves.
    let (ended, ()) = tokio::join!(biased; bench.driver.pass(true), broken);
    assert!(matches!(ended, Err(DriverError::StoreFull(_))));
    bench.free_disk().await;
}

#[tokio::test]
async fn an_engine_that_was_restored_still_waits_for_a_pass() {
    let bench = Bench::new();
    bench.befriend().await;
    let (mailroom, mut outbox) = Mailroom::unserved();
    bench.driver.hold(true).await.unwrap();
    bench.driver.attach(RELAY, mailroom).await.unwrap();
    bench.fill_disk().await;
    bench.push("a", LARGE).await.unwrap_err();
    bench.free_disk().await;
    bench.push("b", 10).await.unwrap();
    bench.settled().await;
    assert!(outbox.try_recv().is_err());
    let driver = bench.driver.clone();
    let _pass = tokio::spawn(async move { driver.pass(false).await });
    assert!(outbox.recv().await.is_some());
}

#[tokio::test]
async fn a_push_that_nobody_waits_for_any_more_is_not_made() {
    let bench = Bench::new();
    let (go_on, held) = std::sync::mpsc::channel::<()>();
    let driver = bench.driver.clone();
    let holding = tokio::spawn(async move {
        driver
            .keep(move |_| {
                held.recv().unwrap();
                Ok(())
            })
            .await
    });
    let mut abandoned = Box::pin(bench.push("late", 10));
    let mut awaited = Box::pin(bench.push("in time", 10));
    // Both are on their way, behind the chore that holds the driver.
    tokio::select! {
        biased;
        _ = &mut abandoned => panic!("the driver is held"),
        _ = &mut awaited => panic!("the driver is held"),
        () = tokio::task::yield_now() => {}
    }
    drop(abandoned);
    go_on.send(()).unwrap();
    assert_eq!(awaited.await.unwrap().bundle_seq, BundleSeq(1), "it is the first");
    holding.await.unwrap().unwrap();
}
