//! Which contents may go, and who keeps them: the rules of [`crate::bodies`].

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use crate::bodies::Bodies;
use crate::ids::{DeviceId, Millis, Now, Seq, SourceId};
use crate::op::KIND_MESSAGE_STUB;
use crate::parcel::Letter;
use crate::step::{CallId, Change, Hindrance, Output, Pruning, Reply, Word};
use crate::vector::VersionVector;

/// What is known of who keeps what.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// This device lets go of old contents.
    prunes: bool,
    /// A person wants to let go of some now, and no sibling has given its word yet.
    wants: bool,
    /// How many contents are lacking here.
    lacking: u64,
    /// To whom this device has given its word.
    words: BTreeMap<DeviceId, Word>,
    /// Whom it asks, under which numbers.
    asks: BTreeMap<DeviceId, u64>,
    /// The greatest number that was given out.
    last_ask: u64,
    /// What siblings said last, since the start.
    said: BTreeMap<DeviceId, Said>,
}

/// What a sibling said, and what it held then.
#[derive(Debug)]
struct Said {
    bodies: Bodies,
    vector: VersionVector,
    written: Millis,
}

impl Keeping {
    /// Goes on where the store stopped.
    pub(super) fn resume(prunes: bool, lacking: u64, words: BTreeMap<DeviceId, Word>) -> Self {
        Self { prunes, lacking, words, ..Self::default() }
    }

    /// How many contents are lacking here.
    pub(super) fn lacking(&self) -> u64 {
        self.lacking
    }

    /// To whom this device has given its word.
    pub(super) fn promised_to(&self) -> impl Iterator<Item = DeviceId> {
        self.words.keys().copied()
    }

    /// Whether a content is missed here, or will be.
    fn is_needy(&self) -> bool {
        self.lets_go() || self.lacking > 0
    }

    fn lets_go(&self) -> bool {
        self.prunes || self.wants
    }
}

impl Engine {
    /// The person has decided whether this device lets go of old contents.
    pub(super) fn set_prunes(&mut self, prunes: bool, now: Now) {
        if std::mem::replace(&mut self.keeping.prunes, prunes) != prunes {
            self.siblings.values_mut().for_each(|sibling| sibling.due(now.mono));
        }
    }

    /// So many contents are lacking here now.
    pub(super) fn set_lacking(&mut self, lacking: u64, now: Now) {
        let before = std::mem::replace(&mut self.keeping.lacking, lacking);
        // That it lacks some at all is what others must know.
        if (before == 0) != (lacking == 0) {
            self.siblings.values_mut().for_each(|sibling| sibling.due(now.mono));
        }
    }

    /// What a sibling is told.
    pub(super) fn bodies_for(&mut self, to: DeviceId, now: Now) -> Bodies {
        let asks = if self.is_asked(to, now) { self.ask_of(to, now) } else { 0 };
        if asks == 0 {
            self.keeping.asks.remove(&to);
        }
        let word = self.keeping.words.get(&to).map_or(0, |word| word.ask);
        Bodies { asks, word, prunes: self.keeping.lets_go(), lacks: self.keeping.lacking }
    }

    /// What a sibling's letter says, unless it was overtaken.
    pub(super) fn hear_bodies(&mut self, letter: &Letter, now: Now) {
        let (from, written, bodies, vector) =
            (letter.sender, letter.written, letter.bodies.clone(), letter.receipt.vector.clone());
        if self.siblings.get(&from).is_none_or(|sibling| sibling.is_older(&letter.receipt)) {
            return;
        }
        if let Some(word) = self.keeping.words.get_mut(&from) {
            match bodies.asks.cmp(&word.ask) {
                Ordering::Less if bodies.asks == 0 && written > word.written => self.end_word(from),
                Ordering::Less => {}
                Ordering::Equal => word.written = word.written.max(written),
                Ordering::Greater => self.give_word(from, Word { ask: bodies.asks, written }, now),
            }
        }
        self.keeping.said.insert(from, Said { bodies, vector, written });
    }

    /// Gives this device's word to those that wait for it, once it lacks nothing; whoever is to be asked, or no longer, hears of it.
    pub(super) fn keep_bodies(&mut self, now: Now) {
        let gone: Vec<DeviceId> =
            self.keeping.words.keys().copied().filter(|id| self.roster.member(*id).is_none()).collect();
        gone.into_iter().for_each(|id| self.end_word(id));
        let asking = self.keeping.said.iter().filter(|(id, said)| {
            said.bodies.asks > 0 && !self.keeping.words.contains_key(*id) && self.roster.member(**id).is_some()
        });
        let asking: Vec<(DeviceId, Word)> =
            asking.map(|(id, said)| (*id, Word { ask: said.bodies.asks, written: said.written })).collect();
        for (id, word) in asking {
            if self.would_keep_for(id, now) {
                self.give_word(id, word, now);
            }
        }
        let siblings: Vec<DeviceId> = self.siblings.keys().copied().collect();
        for id in siblings {
            if self.is_asked(id, now) != self.keeping.asks.contains_key(&id)
                && self.is_live(id, now)
                && let Some(sibling) = self.siblings.get_mut(&id)
            {
                sibling.due(now.mono);
            }
        }
    }

    /// Which contents from before `before_us` may go.
    ///
    /// # Errors
    /// Why none may.
    fn prunable(&self, before_us: i64, now: Now) -> Result<Pruning, Hindrance> {
        if !self.keeping.words.is_empty() {
            return Err(Hindrance::Needed(self.keeping.words.keys().copied().collect()));
        }
        // Of those that have not spoken since the start it is not known.
        let old = self.siblings.iter().find(|(_, sibling)| (1..KIND_MESSAGE_STUB).contains(&sibling.op_level));
        if let Some((id, _)) = old {
            return Err(Hindrance::OldVersion(*id));
        }
        let keepers: Vec<&Said> = self.keepers(now).map(|(_, said)| said).collect();
        if keepers.is_empty() || self.is_spent() || self.is_removed() {
            return Err(Hindrance::NoKeeper);
        }
        let upto = self.watermark.iter().filter(|(source, _)| !self.refused.contains_key(source));
        let upto = upto.map(|(source, floor)| {
            let held = keepers.iter().map(|said| said.vector.seq(source)).max().unwrap_or_default();
            (source, held.min(floor.seq))
        });
        let upto: BTreeMap<SourceId, Seq> = upto.filter(|(_, seq)| *seq > Seq::ZERO).collect();
        Ok(Pruning { before_us, upto })
    }

    /// Somebody wants old contents to go. Without a keeper siblings are asked at once.
    pub(super) fn prune(&mut self, call: CallId, before_us: i64, dry_run: bool, now: Now) {
        let pruning = self.prunable(before_us, now);
        match &pruning {
            Ok(pruning) if !dry_run => self.commit(Change::Prune(pruning.clone())),
            Ok(_) | Err(Hindrance::Needed(_) | Hindrance::OldVersion(_)) => {}
            Err(Hindrance::NoKeeper) => self.siblings.values_mut().for_each(|sibling| sibling.ask_receipt = true),
        }
        self.keeping.wants = pruning == Err(Hindrance::NoKeeper);
        self.outputs.push_back(Output::Reply(call, Reply::Pruned(pruning)));
    }

    /// The siblings whose word this device has, and that lack nothing.
    pub(super) fn bodies_kept_by(&self, now: Now) -> BTreeSet<DeviceId> {
        self.keepers(now).map(|(id, _)| id).collect()
    }

    fn keepers(&self, now: Now) -> impl Iterator<Item = (DeviceId, &Said)> {
        self.keeping.said.iter().map(|(id, said)| (*id, said)).filter(move |(id, said)| {
            let asked = self.keeping.asks.get(id);
            asked == Some(&said.bodies.word) && said.bodies.lacks == 0 && self.is_live(*id, now)
        })
    }

    /// Whether this device is one that keeps all contents for a sibling that asks.
    fn would_keep_for(&self, sibling: DeviceId, now: Now) -> bool {
        if self.keeping.lacking > 0 || self.is_removed() {
            return false;
        }
        let better = |id: DeviceId, said: &Said| {
            id != sibling && said.bodies.lacks == 0 && (!said.bodies.prunes || id < self.me) && self.is_live(id, now)
        };
        let is_needed = || !self.keeping.said.iter().any(|(id, said)| better(*id, said));
        !self.keeping.lets_go() || (self.me < sibling && is_needed())
    }

    /// Whether a sibling is not asked, or no longer: it asks this one, which is to keep for it; or it would let go itself, and somebody better has
    /// all that was ever let go here.
    fn releases(&self, sibling: DeviceId, now: Now) -> bool {
        let Some(said) = self.keeping.said.get(&sibling) else { return false };
        if said.bodies.asks > 0 && self.keeping.lets_go() && self.would_keep_for(sibling, now) {
            return true;
        }
        said.bodies.prunes
            && self.keepers(now).any(|(id, keeper)| {
                let better = !keeper.bodies.prunes || id < sibling;
                id != sibling && better && keeper.vector.covers_all(&self.watermark)
            })
    }

    fn is_asked(&self, sibling: DeviceId, now: Now) -> bool {
        self.keeping.is_needy() && !self.releases(sibling, now)
    }

    fn ask_of(&mut self, sibling: DeviceId, now: Now) -> u64 {
        let Keeping { asks, last_ask, .. } = &mut self.keeping;
        *asks.entry(sibling).or_insert_with(|| {
            *last_ask = now.wall.0.max(last_ask.saturating_add(1));
            *last_ask
        })
    }

    fn give_word(&mut self, to: DeviceId, word: Word, now: Now) {
        self.keeping.words.insert(to, word);
        self.commit(Change::Word { to, word: Some(word) });
        if let Some(sibling) = self.siblings.get_mut(&to) {
            sibling.due(now.mono);
        }
    }

    fn end_word(&mut self, to: DeviceId) {
        self.keeping.words.remove(&to);
        self.commit(Change::Word { to, word: None });
    }
}
