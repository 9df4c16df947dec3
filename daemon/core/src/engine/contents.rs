//! Contents that somebody wants to see are asked for and given: the rules of [`crate::contents`].

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use crate::contents::{Contents, MAX_WANTED, Wanted};
use crate::ids::{DeviceId, Hash, Millis, Now};
use crate::lane::backed_off;
use crate::op::KIND_MESSAGE_STUB;
use crate::step::{CallId, Change, Missed, Output, Reply};

/// What is asked for, and who waits for it. Nothing of it outlives the engine: whoever still wants to see it asks again.
#[derive(Debug, Default)]
pub(super) struct Seeking {
    sought: BTreeMap<Wanted, Sought>,
    callers: BTreeMap<CallId, Waiting>,
}

/// A content that is asked for.
#[derive(Debug)]
struct Sought {
    /// Who was asked last and has not answered.
    asked: Option<DeviceId>,
    /// How often that was in vain.
    attempts: u32,
    /// When to ask (again), and when to give up.
    next_at: Millis,
    until: Millis,
    /// Who does not have it.
    without: BTreeSet<DeviceId>,
}

/// Somebody who waits.
#[derive(Debug)]
struct Waiting {
    left: BTreeSet<Wanted>,
    missed: BTreeMap<Wanted, Missed>,
    until: Millis,
}

impl Seeking {
    /// Room for one more, if need be in the place of one that nobody waits for.
    fn has_room(&mut self) -> bool {
        if self.sought.len() < MAX_SOUGHT {
            return true;
        }
        let waited_for = |content: &Wanted| self.callers.values().any(|caller| caller.left.contains(content));
        let idle = self.sought.keys().find(|content| !waited_for(content)).cloned();
        idle.is_some_and(|content| self.sought.remove(&content).is_some())
    }

    /// A content will not come: those who wait for it learn why.
    fn miss(&mut self, content: &Wanted, why: Missed) {
        self.sought.remove(content);
        for caller in self.callers.values_mut() {
            if caller.left.remove(content) {
                caller.missed.insert(content.clone(), why);
            }
        }
    }

    /// When something is to be done, after `now`.
    pub(super) fn wake_at(&self, now: Millis) -> Option<Millis> {
        let sought = self.sought.values().flat_map(|sought| [sought.next_at, sought.until]);
        sought.chain(self.callers.values().map(|caller| caller.until)).filter(|at| *at > now).min()
    }
}

impl Engine {
    /// Somebody wants to see contents.
    pub(super) fn seek(&mut self, call: CallId, wanted: Vec<Wanted>, now: Now) {
        let mut waiting = Waiting { left: BTreeSet::new(), missed: BTreeMap::new(), until: now.mono.plus(PATIENCE) };
        for content in wanted {
            let until = now.mono.plus(SOUGHT_FOR);
            if let Some(sought) = self.seeking.sought.get_mut(&content) {
                // Somebody wants it anew: the pause that has grown meanwhile is over.
                (sought.attempts, sought.until) = (0, until);
                sought.next_at = sought.next_at.min(now.mono.plus(ASK_AGAIN));
            } else if self.seeking.has_room() {
                let (asked, attempts, next_at, without) = (None, 0, now.mono, BTreeSet::new());
                self.seeking.sought.insert(content.clone(), Sought { asked, attempts, next_at, until, without });
            } else {
                waiting.missed.insert(content, Missed::Silent);
                continue;
            }
            waiting.left.insert(content);
        }
        self.seeking.callers.insert(call, waiting);
    }

    /// What a sibling asks for and gives.
    pub(super) fn hear_contents(&mut self, from: DeviceId, said: Contents, now: Now) {
        let Contents { wanted, given, missing } = said;
        if let Some(sibling) = self.siblings.get_mut(&from).filter(|_| !wanted.is_empty()) {
            sibling.contents_asked = wanted;
        }
        let mut came = Vec::new();
        for content in given {
            let name = Wanted { content: Hash::of(&content.payload), id: content.id.clone() };
            // Whatever was not asked for, or is something else, is no content.
            if self.seeking.sought.remove(&name).is_some() {
                for caller in self.seeking.callers.values_mut() {
                    caller.left.remove(&name);
                }
                came.push(content);
            }
        }
        for content in missing {
            if let Some(sought) = self.seeking.sought.get_mut(&content) {
                sought.without.insert(from);
            }
        }
        let goes_on = !came.is_empty();
        if goes_on {
            self.commit(Change::Contents(came));
        }
        for sought in self.seeking.sought.values_mut().filter(|sought| sought.asked == Some(from)) {
            if goes_on || sought.without.contains(&from) {
                (sought.asked, sought.next_at) = (None, now.mono);
            }
        }
    }

    /// Answers those who have all that will come, and those who have waited long enough.
    pub(super) fn answer_seekers(&mut self, now: Now) {
        if self.seeking.sought.is_empty() && self.seeking.callers.is_empty() {
            return;
        }
        let givers = self.givers(now);
        let hopeless: Vec<(Wanted, Missed)> = self
            .seeking
            .sought
            .iter()
            .filter(|(_, sought)| givers.iter().all(|id| sought.without.contains(id)))
            .map(|(content, sought)| {
                (content.clone(), if sought.without.is_empty() { Missed::Nobody } else { Missed::Gone })
            })
            .collect();
        hopeless.into_iter().for_each(|(content, why)| self.seeking.miss(&content, why));
        let over = self.seeking.sought.iter().filter(|(_, sought)| sought.until <= now.mono);
        let over: Vec<Wanted> = over.map(|(content, _)| content.clone()).collect();
        over.into_iter().for_each(|content| self.seeking.miss(&content, Missed::Silent));
        let done: Vec<CallId> = self
            .seeking
            .callers
            .iter()
            .filter(|(_, caller)| caller.left.is_empty() || caller.until <= now.mono)
            .map(|(call, _)| *call)
            .collect();
        for call in done {
            let Some(Waiting { left, mut missed, .. }) = self.seeking.callers.remove(&call) else { continue };
            missed.extend(left.into_iter().map(|content| (content, Missed::Silent)));
            self.outputs.push_back(Output::Reply(call, Reply::Sought(missed)));
        }
    }

    /// What to ask of whom now, of those that can be sent something.
    pub(super) fn ask_for_contents(
        &mut self,
        reachable: &BTreeSet<DeviceId>,
        now: Now,
    ) -> BTreeMap<DeviceId, Vec<Wanted>> {
        let mut asks: BTreeMap<DeviceId, Vec<Wanted>> = BTreeMap::new();
        if self.seeking.sought.values().all(|sought| sought.next_at > now.mono) {
            return asks;
        }
        let (givers, jitter) = (self.givers(now), self.jitter());
        // A sibling remembers one question: the next one comes after the answer.
        let is_open = |sought: &Sought| sought.next_at > now.mono;
        let mut busy: BTreeSet<DeviceId> = BTreeSet::new();
        busy.extend(self.seeking.sought.values().filter(|sought| is_open(sought)).filter_map(|sought| sought.asked));
        for (content, sought) in self.seeking.sought.iter_mut().filter(|(_, sought)| sought.next_at <= now.mono) {
            // Nothing came of it.
            sought.attempts = sought.attempts.saturating_add(u32::from(sought.asked.take().is_some()));
            let able = |id: &DeviceId| reachable.contains(id) && !busy.contains(id) && !sought.without.contains(id);
            let able: Vec<DeviceId> = givers.iter().copied().filter(able).collect();
            let turn = usize::try_from(sought.attempts).unwrap_or(usize::MAX).checked_rem(able.len());
            // While all ways are taken, and all questions open, it waits.
            let Some(to) = turn.and_then(|turn| able.get(turn)) else { continue };
            let asked = asks.entry(*to).or_default();
            if asked.len() < MAX_WANTED {
                asked.push(content.clone());
                sought.asked = Some(*to);
                sought.next_at = now.mono.plus(backed_off(ASK_AGAIN, sought.attempts, jitter).min(ASK_AGAIN_MAX));
            }
        }
        asks
    }

    /// Who can be asked: live siblings that can be reached over a relay and may understand it, first those that keep everything.
    fn givers(&self, now: Now) -> Vec<DeviceId> {
        if !self.gate_open || self.is_removed() {
            return Vec::new();
        }
        let keepers = self.bodies_kept_by(now);
        let able = self.siblings.iter().filter(|(id, sibling)| {
            // Of those that have not spoken since the start it is not known.
            let is_old = (1..KIND_MESSAGE_STUB).contains(&sibling.op_level);
            !is_old && self.is_live(**id, now) && !self.healthy_for(**id).is_empty()
        });
        let mut givers: Vec<DeviceId> = able.map(|(id, _)| *id).collect();
        givers.sort_by_key(|id| !keepers.contains(id));
        givers
    }
}

/// How long somebody waits for contents: 10 s. An app that has less patience has a deadline of its own.
const PATIENCE: Millis = Millis(10_000);
/// For how long they are asked for, also when nobody waits any more: 10 min, two passes of a device that looks every five. Whoever looks again then finds them.
const SOUGHT_FOR: Millis = Millis(600_000);
/// How long until a question that was not answered is asked again, of the next one: 2 s, doubled each time, at most 2 min.
const ASK_AGAIN: Millis = Millis(2_000);
const ASK_AGAIN_MAX: Millis = Millis(120_000);
/// Most contents that are asked for at a time: with ids of 128 bytes, a megabyte.
const MAX_SOUGHT: usize = 4_096;
