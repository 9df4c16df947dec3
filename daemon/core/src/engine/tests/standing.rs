//! Sources with two histories, one of which was compacted: that one stands.

use std::collections::BTreeMap;

use super::disk::FIRST_EPOCH;
use super::script::*;
use super::world::*;
use crate::bundle::Bundle;
use crate::evidence::Evidence;
use crate::ids::{Millis, Seq};
use crate::parcel::{Ended, Letter, Receipt};
use crate::roster::Verified;
use crate::vector::VersionVector;

/// Two histories of device 3 that part after its second bundle.
fn histories() -> [Vec<Bundle>; 2] {
    [0, 1].map(|name: u64| chain(3, (1..=6).map(|n| body(if n <= 2 { n } else { n + name * 100 })).collect()))
}

/// A letter of device 2 that proves where they part.
fn proof([one, other]: &[Vec<Bundle>; 2]) -> Mail {
    let runs = [one, other].map(|bundles| run_of(3, &bundles[2..3]).rebuild().unwrap());
    let mut mail = mail_of(2, &[]);
    mail.parcel.evidence = vec![Verified::vouch(Evidence::of(Vec::from(runs)).unwrap())];
    mail
}

/// A letter to device 1 whose sender holds the history up to `upto`.
fn shows(from: u8, history: &[Bundle], upto: usize, ended: Vec<Ended>) -> Mail {
    let vector = VersionVector::from_iter([(source(3), history[upto - 1].head())]);
    let receipt = Receipt { generation: 1, term: 3, trials: 0, vector };
    let letter = Letter { receipt, ended, ..Letter::bare(id(from), Millis(EPOCH)) };
    Mail { from, to: 1, relay: RELAY, under: FIRST_EPOCH, slot: 1, parcel: verified(&letter, &[]) }
}

/// Device 1 holds the first history and has compacted four bundles of it.
fn compacted(histories: &[Vec<Bundle>; 2]) -> World {
    let mut world = World::of(3);
    let [one, _] = histories;
    world.deliver(&mail_of(3, &[run_of(3, one)]));
    for from in [2, 3] {
        world.deliver(&shows(from, one, 4, Vec::new()));
    }
    assert_eq!(world.compact(1), BTreeMap::from([(3, 4)]));
    world.mail.clear();
    world
}

#[test]
fn what_was_compacted_stands_though_evidence_ends_the_source_before_it_and_letters_say_so() {
    let histories = histories();
    let mut world = compacted(&histories);
    world.deliver(&proof(&histories));
    world.restart(1);
    assert_eq!(world.held(1, 3), 4);
    world.write(1, 1);
    let letter = &world.intercept(1, 2)[0].parcel.letter;
    let stands = histories[0][3].head();
    assert_eq!(letter.ended, [Ended { source: source(3), device: id(3), stands }]);
}

#[test]
fn who_goes_back_to_the_parting_takes_only_the_history_that_stands() {
    let histories = histories();
    let [one, other] = &histories;
    let mut world = World::of(3);
    world.deliver(&mail_of(3, &[run_of(3, &other[..5])]));
    world.deliver(&proof(&histories));
    world.restart(1);
    assert_eq!(world.held(1, 3), 2);
    let stands = one[3].head();
    world.deliver(&shows(2, one, 4, vec![Ended { source: source(3), device: id(3), stands }]));
    world.restart(1);
    for which in [&other[2..5], &one[2..3], &other[2..4]] {
        world.deliver(&mail_of(2, &[run_of(3, which)]));
        assert_eq!(world.held(1, 3), 2, "nothing shows that it leads to what stands");
    }
    world.deliver(&mail_of(2, &[run_of(3, &one[2..6])]));
    assert_eq!((world.held(1, 3), world.status(1).vector.head(source(3))), (4, stands));
}

#[test]
fn that_a_history_stands_is_believed_only_of_one_that_ends_and_of_who_holds_it() {
    let histories = histories();
    let [one, other] = &histories;
    let ended = || vec![Ended { source: source(3), device: id(3), stands: one[3].head() }];
    for (upto, proven) in [(4, false), (3, true)] {
        let mut world = World::of(3);
        if proven {
            world.deliver(&proof(&histories));
        }
        world.deliver(&shows(2, one, upto, ended()));
        world.deliver(&proof(&histories));
        world.deliver(&mail_of(3, &[run_of(3, &other[..5])]));
        world.deliver(&mail_of(3, &[run_of(3, one)]));
        assert_eq!(world.held(1, 3), 2);
    }
}

#[test]
fn a_sibling_with_another_history_of_what_was_compacted_is_told_the_watermark_and_nothing_is_refused() {
    let histories = histories();
    let [one, other] = &histories;
    let mut world = compacted(&histories);
    world.deliver(&mail_of(2, &[run_of(3, &other[2..])]));
    assert!(world.status(1).refused.is_empty(), "{:?}", world.status(1).refused);
    assert_eq!(world.held(1, 3), 6);
    world.pass(5_000);
    let told = world.intercept(1, 2);
    assert!(told.iter().any(|mail| mail.parcel.letter.hydration.watermark.head(source(3)) == one[3].head()));
    assert_eq!(world.status(1).vector.seq(source(3)), Seq(6));
}
