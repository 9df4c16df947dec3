//! Any interleaving of what people do to records on a few devices, with mail that is lost, repeated and out of order: at each moment every
//! device shows what the plain [`History`] says of the events it holds, and at the end all show the same.

use std::collections::BTreeMap;

use kinfolk_core::op::Op;
use kinfolk_core::value::Value;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::group::Group;
use super::reference::{COLLECTION, Deed, History};
use crate::sim::sabotage::Sabotage;

#[derive(Clone, Debug)]
enum Step {
    Do(Index, Deed),
    Deliver(Index),
    Repeat(Index),
    Lose(Index),
    Pass,
}

fn deed() -> impl Strategy<Value = Deed> {
    let key = || (0..2_u8).prop_map(|key| format!("k{key}"));
    let value = prop::option::weighted(0.8, (0..3_u8).prop_map(|value| format!("v{value}")));
    let fields = prop::collection::btree_map((0..3_u8).prop_map(|field| format!("f{field}")), value, 0..3);
    prop_oneof![
        3 => (key(), fields).prop_map(|(key, fields)| Deed::Put(key, fields)),
        1 => key().prop_map(Deed::Delete),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<Index>(), deed()).prop_map(|(device, deed)| Step::Do(device, deed)),
        8 => any::<Index>().prop_map(Step::Deliver),
        1 => any::<Index>().prop_map(Step::Repeat),
        2 => any::<Index>().prop_map(Step::Lose),
        1 => Just(Step::Pass),
    ]
}

/// What lived through interleavings meet, to see that they are worth something.
#[derive(Debug, Default)]
struct Met {
    conflicts: u64,
    idle: u64,
    revived: u64,
}

fn live((mut group, devices): (Group, usize), steps: Vec<Step>, met: &mut Met) {
    let mut history = History::default();
    let check = |group: &Group, history: &History, index: usize| {
        let disk = group.disk(index);
        assert_eq!(disk.shown(), history.shown(&disk.model().dots()), "device {index}");
    };
    for step in steps {
        match step {
            Step::Do(device, deed) => {
                let index = device.index(devices);
                let held = group.disk(index).model().dots();
                let writes = history.writes(&held, &deed);
                let pushed = group.push(index, op(&deed));
                assert_eq!(pushed.dot.is_none(), writes.is_empty(), "{deed:?}");
                met.idle += u64::from(writes.is_empty());
                if let Deed::Put(_, fields) = &deed {
                    met.revived += u64::from(writes.len() > fields.len() + 1);
                }
                let Some(dot) = pushed.dot else { continue };
                let stamp = group.disk(index).model().bundle(dot).unwrap().body.as_ref().unwrap().stamp;
                history.record(dot, stamp, held, writes);
                check(&group, &history, index);
            }
            Step::Deliver(mail) if group.under_way() > 0 => {
                let to = group.deliver(mail.index(group.under_way()));
                check(&group, &history, to);
            }
            Step::Repeat(mail) if group.under_way() > 0 => group.repeat(mail.index(group.under_way())),
            Step::Lose(mail) if group.under_way() > 0 => group.lose(mail.index(group.under_way())),
            Step::Deliver(_) | Step::Repeat(_) | Step::Lose(_) => {}
            Step::Pass => group.pass(),
        }
    }
    group.come_to_rest();
    let shown = group.shown();
    met.conflicts += shown.conflicts;
    assert_eq!(shown, history.shown(&group.disk(0).model().dots()));
}

fn op(deed: &Deed) -> Op {
    match deed {
        Deed::Delete(key) => Op::record_delete(COLLECTION, key),
        Deed::Put(key, fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), value.as_ref().map(Value::text)));
            Op::record_put(COLLECTION, key, fields.collect())
        }
    }
}

/// The same cases each time; `PROPTEST_CASES` takes more of them.
fn each(cases: u32, group: impl Fn(usize) -> Group) -> Result<Met, String> {
    let cases = Config::default().cases.max(256) / 256 * cases;
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 500, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let met = std::cell::RefCell::new(Met::default());
    let interleaving = (2..5_usize, prop::collection::vec(step(), 0..60));
    let outcome = runner.run(&interleaving, |(devices, steps)| {
        live((group(devices), devices), steps, &mut met.borrow_mut());
        Ok(())
    });
    outcome.map(|()| met.into_inner()).map_err(|failure| failure.to_string())
}

#[test]
fn any_interleaving_shows_what_the_plain_history_says_and_ends_equal_on_all() {
    let met = each(300, |devices| Group::of(devices, false)).unwrap();
    assert!(met.conflicts > 0 && met.idle > 0 && met.revived > 0, "{met:?}");
}

#[test]
fn any_interleaving_ends_so_in_the_database_too() {
    each(12, |devices| Group::of(devices, true)).unwrap();
}

#[test]
fn a_store_in_which_the_last_to_arrive_wins_is_noticed() {
    let failure = each(300, |devices| Group::broken(devices, Sabotage::MergeByArrival)).unwrap_err();
    assert!(failure.contains("minimal failing input"), "{failure}");
}

#[test]
fn the_plain_history_itself_tells_what_is_a_conflict() {
    use kinfolk_core::clock::Stamp;
    use kinfolk_core::ids::{Dot, Seq, SourceId};
    let mut history = History::default();
    let [first, one, other] = [1, 2, 3].map(|n| Dot { source: SourceId([n; 16]), seq: Seq(1) });
    let put = |value: &str| Deed::Put("k".into(), BTreeMap::from([("f".to_owned(), Some(value.to_owned()))]));
    let mut push = |dot, stamp, seen: &[Dot], deed: &Deed| {
        let seen = seen.iter().copied().collect();
        let writes = history.writes(&seen, deed);
        history.record(dot, Stamp(stamp), seen, writes);
        history.shown(&[first, one, other].into_iter().take(stamp as usize).collect()).conflicts
    };
    assert_eq!(push(first, 1, &[], &put("a")), 0);
    assert_eq!(push(one, 2, &[first], &put("b")), 0);
    assert_eq!(push(other, 3, &[first], &put("c")), 1);
}
