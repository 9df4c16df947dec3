//! The last steps of bundles between this device and its siblings: for `explain`.
//!
//! Only memory, and only the newest [`MAX_STEPS`]: what a person asks about has just happened. What is certain without it (the log, what siblings
//! have receipted) is read where it is durable.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kinfolk_core::ids::{DeviceId, Dot, Millis, RelayId, Seq, SourceId};
use kinfolk_core::parcel::VerifiedParcel;
use kinfolk_core::step::{Input, Send, SiblingStatus};
use kinfolk_core::vector::VersionVector;

/// The steps, shared by the driver, which notes them, and whoever asks.
#[derive(Clone, Debug)]
pub struct Trail(Arc<Mutex<Steps>>);

#[derive(Debug)]
struct Steps {
    since: Millis,
    steps: VecDeque<Step>,
    /// Parcels that relay workers have.
    under_way: BTreeMap<u64, Parcel>,
}

/// A stretch of a source that took a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Step {
    /// When, by the wall clock.
    pub at: Millis,
    /// What happened.
    pub what: What,
    source: SourceId,
    after: Seq,
    upto: Seq,
}

/// What can happen to bundles between devices.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum What {
    /// A parcel with them was put on a relay.
    Posted {
        /// For whom.
        to: DeviceId,
        /// Where.
        relay: RelayId,
    },
    /// A parcel brought them.
    Came {
        /// Who sent it.
        from: DeviceId,
        /// Where it lay.
        relay: RelayId,
    },
    /// A sibling said for the first time that it holds them.
    Receipted {
        /// Who.
        by: DeviceId,
    },
}

#[derive(Debug)]
struct Parcel {
    to: DeviceId,
    relay: RelayId,
    runs: Vec<(SourceId, Seq)>,
}

impl Trail {
    /// An empty one that begins now.
    pub(super) fn new(since: Millis) -> Self {
        Self(Arc::new(Mutex::new(Steps { since, steps: VecDeque::new(), under_way: BTreeMap::new() })))
    }

    /// Since when steps are known, and those of one bundle, oldest first.
    pub fn of(&self, dot: Dot) -> (Millis, Vec<Step>) {
        let steps = self.lock();
        let about = |step: &&Step| step.source == dot.source && step.after < dot.seq && dot.seq <= step.upto;
        (steps.since, steps.steps.iter().filter(about).copied().collect())
    }

    /// A parcel is given to a relay worker.
    pub(super) fn departs(&self, send: &Send) {
        if !send.runs.is_empty() {
            let runs = send.runs.iter().map(|run| (run.source, run.after)).collect();
            let mut steps = self.lock();
            if steps.under_way.len() >= MAX_UNDER_WAY {
                // Nobody will say any more what became of it.
                steps.under_way.pop_first();
            }
            steps.under_way.insert(send.ticket, Parcel { to: send.to, relay: send.relay, runs });
        }
    }

    /// What the engine is told. `siblings` is what was known of them before.
    pub(super) fn note(&self, input: &Input, siblings: &[SiblingStatus], at: Millis) {
        match input {
            Input::Received { delivery, parcel } => {
                let sender = siblings.iter().find(|sibling| sibling.device == parcel.letter.sender);
                if let Some(sender) = sender {
                    self.came(parcel, delivery.relay, &sender.vector, at);
                }
            }
            Input::Sent { ticket, reached, .. } => self.sent(*ticket, reached.as_deref(), at),
            Input::Push(_)
            | Input::FromRemoved(_)
            | Input::Unopenable { .. }
            | Input::Record { .. }
            | Input::RelayHealth { .. }
            | Input::RelayAdded(_)
            | Input::RelayKeeps { .. }
            | Input::RelayLeaving(_)
            | Input::RelayRemoved(_)
            | Input::RelayOrder(_)
            | Input::Gate { .. }
            | Input::Pass
            | Input::SyncNow
            | Input::AskSums(_)
            | Input::Minted { .. }
            | Input::Compact { .. }
            | Input::Looked(_)
            | Input::Rekeyed(_)
            | Input::Fetched { .. }
            | Input::Prunes(_)
            | Input::Lacking(_)
            | Input::Prune { .. }
            | Input::Seek { .. }
            | Input::Tick => {}
        }
    }

    /// A relay worker says how far the runs of a parcel reached, or that it did not arrive.
    fn sent(&self, ticket: u64, reached: Option<&[(SourceId, Seq)]>, at: Millis) {
        let mut steps = self.lock();
        let Some(parcel) = steps.under_way.remove(&ticket) else { return };
        let what = What::Posted { to: parcel.to, relay: parcel.relay };
        for (source, after) in parcel.runs {
            let upto = reached.unwrap_or_default().iter().find(|(other, _)| *other == source);
            if let Some((_, upto)) = upto {
                steps.note(Step { at, what, source, after, upto: *upto });
            }
        }
    }

    /// A parcel came in. `known` is what its sender was known to hold before.
    fn came(&self, parcel: &VerifiedParcel, relay: RelayId, known: &VersionVector, at: Millis) {
        let from = parcel.letter.sender;
        let mut steps = self.lock();
        for run in parcel.runs.iter().map(|run| &run.get().bundles) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let (source, after) = (first.dot.source, Seq(first.dot.seq.0.saturating_sub(1)));
            steps.note(Step { at, what: What::Came { from, relay }, source, after, upto: last.dot.seq });
        }
        for (source, head) in parcel.letter.receipt.vector.iter() {
            let after = known.seq(source);
            if after < head.seq {
                steps.note(Step { at, what: What::Receipted { by: from }, source, after, upto: head.seq });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Steps> {
        // A panic while the lock is held cannot leave the lists half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Steps {
    fn note(&mut self, step: Step) {
        if self.steps.len() >= MAX_STEPS
            && let Some(oldest) = self.steps.pop_front()
        {
            // Of the time before the oldest that is left, nothing can be said.
            self.since = oldest.at;
        }
        self.steps.push_back(step);
    }
}

/// Most steps that are remembered: 4,096 of 80 bytes are 320 KiB.
const MAX_STEPS: usize = 4_096;
/// Most parcels that are followed: relay workers have at most 64 each.
const MAX_UNDER_WAY: usize = 256;

#[cfg(test)]
mod tests {
    use kinfolk_core::ids::Hash;
    use kinfolk_core::parcel::Letter;
    use kinfolk_core::roster::Prekey;
    use kinfolk_core::step::RunRequest;
    use kinfolk_core::vector::Head;

    use super::*;

    const SOURCE: SourceId = SourceId([1; 16]);
    const PHONE: DeviceId = DeviceId([2; 16]);
    const RELAY: RelayId = RelayId([3; 16]);

    fn dot(seq: u64) -> Dot {
        Dot { source: SOURCE, seq: Seq(seq) }
    }

    fn send(ticket: u64, after: u64, upto: u64) -> Send {
        let run = RunRequest { device: DeviceId([9; 16]), source: SOURCE, after: Seq(after), upto: Seq(upto) };
        let letter = Letter::bare(DeviceId([9; 16]), Millis(0));
        let (prekey, epoch) = (Prekey::default(), Default::default());
        Send {
            ticket,
            to: PHONE,
            relay: RELAY,
            prekey,
            epoch,
            letter,
            runs: vec![run],
            chunk: None,
            contents: Vec::new(),
            evidence: None,
        }
    }

    fn letter(upto: u64) -> VerifiedParcel {
        let mut letter = Letter::bare(PHONE, Millis(0));
        letter.receipt.vector = VersionVector::from_iter([(SOURCE, Head { seq: Seq(upto), hash: Hash::default() })]);
        VerifiedParcel::bare(letter)
    }

    #[test]
    fn a_parcel_counts_as_posted_as_far_as_it_reached() {
        let trail = Trail::new(Millis(1));
        trail.departs(&send(7, 2, 9));
        assert_eq!(trail.of(dot(3)).1, []);
        trail.sent(7, Some(&[(SOURCE, Seq(5))]), Millis(4));
        let posted = |seq| trail.of(dot(seq)).1.iter().map(|step| (step.at, step.what)).collect::<Vec<_>>();
        let step = (Millis(4), What::Posted { to: PHONE, relay: RELAY });
        assert_eq!((posted(2), posted(3), posted(5), posted(6)), (vec![], vec![step], vec![step], vec![]));
    }

    #[test]
    fn a_parcel_that_did_not_arrive_was_not_posted_and_one_of_which_nobody_hears_is_forgotten() {
        let trail = Trail::new(Millis(1));
        trail.departs(&send(7, 0, 1));
        trail.sent(7, None, Millis(4));
        (8..=8 + u64::try_from(MAX_UNDER_WAY).unwrap()).for_each(|ticket| trail.departs(&send(ticket, 0, 1)));
        trail.sent(8, Some(&[(SOURCE, Seq(1))]), Millis(5));
        assert_eq!(trail.of(dot(1)), (Millis(1), vec![]));
    }

    #[test]
    fn a_receipt_is_news_once() {
        let trail = Trail::new(Millis(1));
        trail.came(&letter(3), RELAY, &VersionVector::default(), Millis(5));
        trail.came(&letter(4), RELAY, &letter(3).letter.receipt.vector, Millis(6));
        let receipted = |seq| trail.of(dot(seq)).1.iter().map(|step| step.at).collect::<Vec<_>>();
        assert_eq!((receipted(3), receipted(4), receipted(5)), (vec![Millis(5)], vec![Millis(6)], vec![]));
    }

    #[test]
    fn the_newest_stay_and_it_says_since_when() {
        let trail = Trail::new(Millis(0));
        for at in 1..=u64::try_from(MAX_STEPS).unwrap() + 2 {
            trail.came(&letter(1), RELAY, &VersionVector::default(), Millis(at));
        }
        let (since, steps) = trail.of(dot(1));
        assert_eq!((since, steps.len(), steps[0].at), (Millis(2), MAX_STEPS, Millis(3)));
    }
}
