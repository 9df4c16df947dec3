//! The contract without faults, and what a sender and a receiver that keep to it get through with them.

use std::collections::BTreeMap;

use super::*;
use crate::relay::conformance::{self, BUDGET, Bed, envelope, fetch, mailbox, next};

struct InMemory(MemoryStorage);

#[async_trait]
impl Bed for InMemory {
    async fn relay(&self) -> Arc<dyn Relay> {
        Arc::new(self.0.relay())
    }

    async fn tear(&self, mailbox: Mailbox, envelope: &Envelope) {
        self.0.plant_torn(mailbox, envelope.id);
    }

    async fn age(&self, span: Duration) {
        self.0.pass(span);
    }
}

conformance::suite!(InMemory(MemoryStorage::new(1).with_budget(BUDGET)));

/// Mail that has to arrive in each run.
const LETTERS: u8 = 60;

/// Rounds in which all of it arrives even at the worst odds of these tests.
const ROUNDS: usize = 400;

/// A sender that puts the same bytes again until they are known to be there, and a receiver that collects from its
/// cursor, from nothing after every error and now and then, and acknowledges what it holds. Returns how often each
/// envelope was handed over.
async fn deliver(storage: &MemoryStorage, faults: Faults) -> BTreeMap<EnvelopeId, u32> {
    storage.set_faults(faults);
    let (sender, receiver) = (storage.relay(), storage.relay());
    let mut held: BTreeMap<EnvelopeId, u32> = BTreeMap::new();
    let mut after = None;
    for round in 0..ROUNDS {
        let missing = (0..LETTERS).map(|number| envelope(number, 300)).filter(|letter| !held.contains_key(&letter.id));
        let missing: Vec<(Mailbox, Envelope)> = missing.map(|letter| (mailbox(1), letter)).collect();
        if missing.is_empty() {
            return held;
        }
        for letter in &missing {
            // Whatever this says, only the receiver's word counts.
            let _ = sender.put(std::slice::from_ref(letter)).await;
        }
        if round % 5 == 0 {
            after = None;
        }
        let want = Want { mailbox: mailbox(1), after: after.take() };
        let Ok(mut answers) = receiver.fetch(&[want], 2000).await else {
            continue;
        };
        let answer = answers.remove(0);
        after = answer.cursor;
        for delivery in answer.mail {
            let number = delivery.envelope.id.0[0];
            assert_eq!(delivery.envelope, envelope(number, 300), "torn or foreign bytes");
            *held.entry(delivery.envelope.id).or_default() += 1;
            if receiver.acknowledge(mailbox(1), &[delivery.handle]).await.is_err() {
                after = None;
            }
        }
    }
    panic!("{} of {LETTERS} arrived: {:?}", held.len(), storage.tally());
}

#[tokio::test]
async fn all_mail_arrives_through_every_fault() {
    let chance = PerMille(200);
    let none = Faults::default();
    let mixes = [
        none,
        Faults { lose: chance, ..none },
        Faults { repeat: chance, reorder: true, ..none },
        Faults { tear: chance, ..none },
        Faults { late: chance, late_by: 7, ..none },
        Faults { transient: chance, ambiguous: chance, ..none },
        Faults {
            lose: chance,
            repeat: chance,
            tear: chance,
            late: chance,
            late_by: 7,
            transient: chance,
            ambiguous: chance,
            quiet: chance,
            reorder: true,
            refuse: false,
        },
    ];
    let mut most = Tally::default();
    for (seed, faults) in (1..).zip(mixes) {
        let storage = MemoryStorage::new(seed);
        let held = deliver(&storage, faults).await;
        assert_eq!(held.len(), usize::from(LETTERS));
        if faults == none {
            assert!(held.values().all(|times| *times == 1), "a relay that works repeats nothing");
        }
        most = storage.tally();
    }
    let Tally { lost, repeated, torn, late, transient, ambiguous, quiet, reordered, refused } = most;
    let met = [lost, repeated, torn, late, transient, ambiguous, quiet, reordered];
    assert!(met.iter().all(|times| *times > 0), "a fault was never met: {most:?}");
    assert_eq!(refused, 0);
}

#[tokio::test]
async fn the_same_seed_throws_the_same_dice() {
    let faults = Faults { lose: PerMille(300), repeat: PerMille(300), reorder: true, ..Faults::default() };
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let storage = MemoryStorage::new(seed);
        let held = deliver(&storage, faults).await;
        runs.push((held, storage.tally()));
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn late_mail_is_missed_by_a_cursor_and_found_from_nothing() {
    let storage = MemoryStorage::new(1);
    let relay = storage.relay();
    storage.set_faults(Faults { late: PerMille(1000), late_by: 2, ..Faults::default() });
    relay.put(&[(mailbox(1), envelope(1, 10))]).await.unwrap();
    storage.set_faults(Faults::default());
    relay.put(&[(mailbox(1), envelope(2, 10))]).await.unwrap();
    let first = fetch(&relay, mailbox(1)).await;
    assert_eq!(first.mail.len(), 1);
    let want = Want { mailbox: mailbox(1), after: first.cursor };
    assert!(relay.fetch(&[want], 1000).await.unwrap()[0].mail.is_empty());
    assert_eq!(fetch(&relay, mailbox(1)).await.mail.len(), 2);
}

#[tokio::test]
async fn a_refusing_relay_does_nothing_at_all() {
    let storage = MemoryStorage::new(1);
    let relay = storage.relay();
    storage.set_faults(Faults { refuse: true, ..Faults::default() });
    let error = relay.put(&[(mailbox(1), envelope(1, 10))]).await.unwrap_err();
    assert!(matches!(&error, RelayError::Denied { .. }) && error.to_string().contains("access denied"), "{error}");
    assert!(relay.probe().await.is_err() && relay.sweep(&[]).await.is_err());
    storage.set_faults(Faults::default());
    assert!(fetch(&relay, mailbox(1)).await.mail.is_empty());
}

#[tokio::test]
async fn a_broken_watch_says_gap_before_it_hints_again() {
    let storage = MemoryStorage::new(1);
    let mut events = storage.relay().watch(vec![mailbox(1)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    storage.break_watches();
    assert!(matches!(next(&mut events).await, WatchEvent::Down(RelayError::Transient { .. })));
    storage.mend_watches();
    storage.relay().put(&[(mailbox(1), envelope(1, 10))]).await.unwrap();
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    assert!(matches!(next(&mut events).await, WatchEvent::Ready(ready) if ready == mailbox(1)));
}

#[tokio::test]
async fn a_listener_that_falls_behind_hears_of_a_gap() {
    let storage = MemoryStorage::new(1);
    let mut events = storage.relay().watch(vec![mailbox(1)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    let items: Vec<(Mailbox, Envelope)> = (0..=HINTS).map(|_| (mailbox(1), envelope(1, 10))).collect();
    storage.relay().put(&items).await.unwrap();
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
}
