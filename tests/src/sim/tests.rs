mod conflicts;
mod group;
mod interleavings;
mod reference;
mod removals;

use super::sabotage::Sabotage;
use super::world::{Rules, World};
use super::*;

fn plain(seed: u64) -> Rules {
    Rules { real: is_real(seed), ..Rules::default() }
}

#[test]
fn worlds_come_to_rest_with_all_devices_equal() {
    let tally = run(0..120, plain).unwrap_or_else(|failure| {
        panic!("{}: replay it with `SEED={} cargo sim`", failure.broken, failure.seed);
    });
    assert!(tally.missed().is_empty(), "never reached: {:?}", tally.missed());
}

#[test]
fn one_seed_lives_one_way() {
    assert_eq!(World::run(3, Rules::default()), World::run(3, Rules::default()));
}

#[test]
fn each_broken_rule_is_noticed() {
    for sabotage in Sabotage::ALL {
        let broken = run(0..400, |_| Rules { sabotage: Some(sabotage), ..Rules::default() });
        assert!(broken.is_err(), "{sabotage} went unnoticed");
    }
}
