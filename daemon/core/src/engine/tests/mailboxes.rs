//! What is left on relays for a sibling that is away: bounded, put again before it expires, and whole when the sibling is back.

use super::disk::{Disk, FIRST_EPOCH};
use super::script::*;
use super::world::*;
use crate::engine::{Config, Engine};
use crate::ids::{Millis, Now, RelayId, Seq};
use crate::lane::{KEEPS, MAX_BYTES, MAX_PARCELS};
use crate::parcel::{Letter, Receipt};
use crate::prekey::COMMON_SLOT;
use crate::step::{CallId, Input, Output, Push};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Positions of own bundles in the mail from 1 to 2.
fn posted(world: &mut World) -> Vec<Vec<u64>> {
    world.intercept(1, 2).iter().map(|mail| mail.seqs(1)).filter(|seqs| !seqs.is_empty()).collect()
}

/// A word of device 2, which holds `held` of device 1's source.
fn word(world: &World, held: u64) -> Mail {
    let vector = world.status(1).vector;
    let head = vector.head(source(1));
    let held = if held == head.seq.0 { vector } else { vector_of(held) };
    let letter = Letter {
        receipt: Receipt { generation: 1, vector: held, ..Receipt::default() },
        ..Letter::bare(id(2), Millis(EPOCH))
    };
    Mail { from: 2, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) }
}

fn vector_of(held: u64) -> crate::vector::VersionVector {
    if held == 0 { Default::default() } else { vector(&[(1, held)]) }
}

#[test]
fn a_sibling_that_does_not_answer_is_asked_with_one_bundle_and_not_flooded() {
    let mut world = World::of(2);
    world.write(1, 5);
    posted(&mut world);
    world.pass(60_000);
    let whole: Vec<Vec<u64>> = posted(&mut world);
    assert_eq!(whole, [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]);
    world.pass(DAY);
    let (knocks, questions): (Vec<Mail>, Vec<Mail>) =
        world.intercept(1, 2).into_iter().partition(|mail| mail.slot == COMMON_SLOT);
    assert!((1..=questions.len() / 6).contains(&knocks.len()), "{}", knocks.len());
    assert!(questions.iter().all(|mail| mail.seqs(1) == [1] && mail.parcel.letter.receipt_requested));
    assert!((20..40).contains(&questions.len()), "{}", questions.len());
    world.write(1, 1);
    assert_eq!(posted(&mut world), [[6]], "what is new still goes out at once");
}

#[test]
fn a_sibling_that_speaks_after_a_silence_gets_all_that_it_lacks_a_second_later() {
    let mut world = World::of(2);
    world.write(1, 5);
    world.pass(DAY);
    posted(&mut world);
    let back = word(&world, 2);
    world.deliver(&back);
    assert_eq!(posted(&mut world), Vec::<Vec<u64>>::new());
    world.pass(1_000);
    assert_eq!(posted(&mut world), [[3, 4, 5]]);
}

#[test]
fn a_question_that_its_relay_refused_is_asked_again() {
    let mut world = World::of(2);
    world.write(1, 3);
    world.pass(HOUR);
    posted(&mut world);
    world.node(1).puts = Puts::Refused;
    world.pass(2 * HOUR);
    world.node(1).puts = Puts::Answered;
    world.pass(2 * HOUR);
    assert_eq!(posted(&mut world)[0], [1]);
}

#[test]
fn a_restart_asks_first_and_does_not_post_again_what_lies_there() {
    let mut world = World::of(2);
    world.write(1, 5);
    world.pass(60_000);
    world.write(1, 1);
    posted(&mut world);
    world.restart(1);
    assert_eq!(posted(&mut world), [vec![1], vec![6]], "that the last one was put is saved with the next commit only");
    world.restart(1);
    let back = word(&world, 0);
    posted(&mut world);
    world.deliver(&back);
    world.pass(1_000);
    assert_eq!(posted(&mut world), [[1, 2, 3, 4, 5, 6]]);
}

#[test]
fn mail_that_nobody_receipts_is_put_again_as_a_whole_before_it_expires() {
    for restarts in [false, true] {
        let mut world = World::of(2);
        world.write(1, 3);
        world.pass(60_000);
        world.write(1, 1);
        world.intercept(1, 2);
        let mut days = Vec::new();
        for day in 1..=80 {
            if restarts {
                world.restart(1);
            }
            world.pass(DAY);
            // After the first one, which asks.
            if posted(&mut world).contains(&vec![2, 3, 4]) {
                days.push(day);
            }
        }
        // 25 days after the last time, and when the next question is due, an hour later at the most.
        let gaps: Vec<i32> = std::iter::once(&0).chain(&days).zip(&days).map(|(before, day)| day - before).collect();
        assert!(gaps.len() == 3 && gaps.iter().all(|gap| (25..=26).contains(gap)), "{days:?}, restarts: {restarts}");
    }
}

#[test]
fn mail_on_a_relay_that_keeps_it_for_less_is_put_again_earlier() {
    let mut world = World::of(2);
    world.input(1, Input::RelayKeeps { relay: RELAY, keeps: Millis(12 * HOUR) });
    world.write(1, 3);
    world.pass(60_000);
    posted(&mut world);
    world.pass(9 * HOUR);
    assert!(posted(&mut world).iter().all(|seqs| seqs == &[1]));
    world.pass(3 * HOUR);
    assert!(posted(&mut world).contains(&vec![2, 3]));
}

#[test]
fn nothing_is_put_again_for_a_sibling_that_is_stale() {
    let mut world = World::of(2);
    world.write(1, 3);
    world.pass(91 * DAY);
    posted(&mut world);
    world.pass(60 * DAY);
    assert_eq!(posted(&mut world), Vec::<Vec<u64>>::new());
}

#[test]
fn a_full_mailbox_makes_the_lane_wait_and_a_word_of_the_sibling_lets_it_go_on() {
    let mut world = World::of(3);
    world.write(1, u64::from(MAX_PARCELS));
    posted(&mut world);
    world.write(1, 10);
    assert_eq!(posted(&mut world), Vec::<Vec<u64>>::new());
    assert_eq!(world.intercept(1, 3).len(), MAX_PARCELS as usize, "each sibling has a budget of its own");
    world.pass(HOUR);
    assert!(posted(&mut world).iter().all(|seqs| seqs == &[1]), "it is asked, and no more");
    let back = word(&world, 4_000);
    world.deliver(&back);
    assert_eq!(posted(&mut world)[0].first(), Some(&4_097), "what was never put leaves at once");
    world.pass(1_000);
    assert_eq!(posted(&mut world)[0].first(), Some(&4_001));
}

#[test]
fn a_mailbox_that_fills_up_asks_what_was_collected_before_it_is_full() {
    let mut world = World::of(2);
    world.write(1, u64::from(MAX_PARCELS / 4));
    let asked = world.intercept(1, 2).iter().filter(|mail| mail.parcel.letter.receipt_requested).count();
    assert_eq!(asked, 1, "as at any burst, once a second");
    world.write(1, 1);
    assert!(world.intercept(1, 2).iter().all(|mail| mail.parcel.letter.receipt_requested));
}

#[test]
fn another_relay_has_a_budget_of_its_own() {
    let mut world = World::of(2);
    world.write(1, u64::from(MAX_PARCELS));
    world.mail.clear();
    world.input(1, Input::RelayAdded(OTHER));
    world.input(1, Input::RelayHealth { relay: RELAY, up: false });
    let mail = world.intercept(1, 2);
    assert!(mail.iter().any(|mail| mail.relay == OTHER && !mail.seqs(1).is_empty()));
}

/// Device 1 alone, its relay, and what it leaves there for device 2.
struct Hermit {
    engine: Engine,
    now: Millis,
    wake: Option<Millis>,
    /// When each parcel was put, and its size.
    puts: Vec<(Millis, u64)>,
}

impl Hermit {
    fn new() -> Self {
        let records = vec![genesis(), addition(1, 2, genesis().id(), 2)];
        // Stale only after the year is over: what a sibling costs that is away, and still waited for.
        let config = Config { stale_after: Millis(400 * DAY), ..Config::default() };
        let engine = Engine::restore(Disk::of(id(1), source(1), records).saved(), config);
        let mut hermit = Self { engine, now: Millis(0), wake: None, puts: Vec::new() };
        hermit.input(Input::RelayAdded(RelayId([0xA0; 16])));
        hermit
    }

    fn input(&mut self, input: Input) {
        let now = Now { mono: self.now, wall: Millis(EPOCH + self.now.0) };
        let mut next = Some(input);
        while let Some(input) = next.take() {
            self.engine.handle(input, now);
            self.wake = self.engine.settle(now);
            while let Some(output) = self.engine.poll_output() {
                let Output::Send(send) = output else { continue };
                // About 60 sealed bytes a bundle, and some hundred bundles in the 256 KiB that a parcel takes.
                let reached: Vec<_> =
                    send.runs.iter().map(|run| (run.source, run.upto.min(Seq(run.after.0 + 800)))).collect();
                let bundles: u64 = send.runs.iter().zip(&reached).map(|(run, (_, upto))| upto.since(run.after)).sum();
                let bytes = 1_200 + 60 * bundles;
                self.puts.push((self.now, bytes));
                next = Some(Input::Sent { ticket: send.ticket, reached: Some(reached), bytes, took: Millis(5) });
            }
        }
    }

    fn until(&mut self, at: u64) {
        while let Some(wake) = self.wake.filter(|wake| wake.0 <= at) {
            self.now = wake;
            self.input(Input::Tick);
        }
        self.now = Millis(at);
    }
}

#[test]
fn a_year_of_a_thousand_events_a_day_for_a_sibling_that_is_away_stays_within_the_budget() {
    let mut hermit = Hermit::new();
    let every = DAY / 1_000;
    for event in 1..=365 * 1_000 {
        hermit.until(event * every);
        let ops = vec![note("n")];
        hermit.input(Input::Push(Push {
            call: CallId(1),
            ops,
            app: None,
            facts: Vec::new(),
            app_fact: None,
            bases: Default::default(),
        }));
    }
    let puts = &hermit.puts;
    // What lies on the relay is at most what was put within the time that it keeps mail.
    let (mut most, mut first, mut lying) = ((0, 0), 0, (0, 0));
    for (at, bytes) in puts {
        lying = (lying.0 + 1, lying.1 + bytes);
        while at.since(puts[first].0) >= KEEPS {
            lying = (lying.0 - 1, lying.1 - puts[first].1);
            first += 1;
        }
        most = (lying.0.max(most.0), lying.1.max(most.1));
    }
    // A question and the roster, each once an hour, and a knock for seven of them.
    let questions = 30 * 2 * 30 * 8 / 7;
    assert!(most.0 <= 2 * u64::from(MAX_PARCELS) + questions, "{most:?}");
    assert!(most.1 <= 2 * MAX_BYTES + questions * 1_260, "{most:?}");
    assert!(puts.len() < 365_000 / 4, "{}", puts.len());
}
