//! A store in maps: the plainest reading of the merge rules, written apart from the real one to compare with it.
//!
//! It also guards what a store relies on: each bundle comes once, in its chain's place, and after what its author had seen. The
//! digest is summed up from nothing each time. A rollback rebuilds everything from the changes committed before. A compaction notes its
//! watermark and forgets nothing: the database, which does, must not be told from it.

mod apps;
mod bodies;
mod epochs;
mod forks;
mod messages;
mod prekeys;
mod removal;
mod rows;
mod sending;
mod shown;
mod snapshot;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kinfolk::store::NewDevice;
use kinfolk_core::bundle::Bundle;
use kinfolk_core::clock::Stamp;
use kinfolk_core::digest::{Sum, state};
use kinfolk_core::ids::{BundleSeq, DeviceId, Dot, Hash, Seq, SourceId};
use kinfolk_core::op::{MESSAGE_COLLECTION, Meaning, Op};
use kinfolk_core::parcel::SignedHead;
use kinfolk_core::roster::{Roster, SignedRecord, Verified};
use kinfolk_core::snapshot::{Kept, Mark};
use kinfolk_core::step::{Append, Change, Committed, Fact, Hydrating, Saved, SavedSibling, SavedSource, Word};
use kinfolk_core::vector::VersionVector;

use self::epochs::Epochs;
use self::forks::Proofs;
use self::messages::Messages;
use self::prekeys::Prekeys;
use self::rows::Rows;
pub use self::rows::unversioned;
pub use self::shown::{Shown, ShownConversation, ShownMessage, ShownRecord};
use super::broken::{Broken, Held};
use super::sabotage::Sabotage;

/// The store of one simulated device.
#[derive(Clone, Debug)]
pub struct Model {
    birth: NewDevice,
    sabotage: Option<Sabotage>,
    /// What was committed, group by group.
    groups: Vec<Vec<Change>>,
    open: Vec<Change>,
    /// The person lets go of old contents on this device.
    prunes: bool,
    state: State,
}

/// Where a write comes from.
#[derive(Clone, Copy, Debug)]
struct Origin<'a> {
    dot: Dot,
    stamp: Stamp,
    context: &'a VersionVector,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// The own source and its generation, when the first was given up.
    fresh: Option<(SourceId, u64)>,
    sources: BTreeMap<SourceId, SavedSource>,
    log: BTreeMap<Dot, Logged>,
    /// Which bundle got which place.
    places: BTreeMap<BundleSeq, Dot>,
    watermark: BTreeMap<SourceId, Mark>,
    /// What cannot be taken back any more.
    standing: VersionVector,
    compactions: u64,
    hydrating: Option<Hydrating>,
    staged: Vec<Kept>,
    bundle_seq: BundleSeq,
    heads: BTreeMap<(SourceId, Seq, Hash), SignedHead>,
    early: BTreeMap<Dot, (DeviceId, Bundle)>,
    siblings: BTreeMap<DeviceId, SavedSibling>,
    epochs: Epochs,
    prekeys: Prekeys,
    records: Vec<SignedRecord>,
    roster: Roster,
    /// Who was removed at some point since the last commit.
    removed_meanwhile: BTreeSet<DeviceId>,
    words: BTreeMap<DeviceId, Word>,
    /// Bundles of removed devices that were taken back.
    cut: BTreeMap<Dot, Logged>,
    proofs: Proofs,
    apps: BTreeMap<(String, u64), Committed>,
    rows: Rows,
    messages: Messages,
    digest: Option<Hash>,
}

/// A bundle of the log, with all that its author had seen.
#[derive(Clone, Debug)]
struct Logged {
    bundle: Bundle,
    context: Arc<VersionVector>,
}

impl Model {
    /// The store of a new device.
    pub fn new(birth: NewDevice, sabotage: Option<Sabotage>) -> Self {
        Self { state: State::of(&birth), birth, sabotage, groups: Vec::new(), open: Vec::new(), prunes: false }
    }

    /// Lets a change take effect; it counts once [`Self::commit`] says so.
    pub fn apply(&mut self, change: &Change) -> Held {
        self.state.apply(change, self.sabotage)?;
        if self.sabotage == Some(Sabotage::ApplyTwice)
            && let Change::Append(append) = change
        {
            self.state.effects(&append.bundle, &append.context, self.sabotage);
            self.state.apply(change, self.sabotage)?;
        }
        self.open.push(change.clone());
        Ok(())
    }

    /// Whether everything that was applied is committed.
    pub fn is_durable(&self) -> bool {
        self.open.is_empty()
    }

    /// Keeps what was applied since the last commit.
    pub fn commit(&mut self) {
        let group = std::mem::take(&mut self.open);
        self.state.removed_meanwhile.clear();
        if !group.is_empty() {
            self.groups.push(group);
        }
    }

    /// Forgets what was applied since the last commit.
    pub fn rollback(&mut self) -> Held {
        if std::mem::take(&mut self.open).is_empty() {
            return Ok(());
        }
        self.rebuild()
    }

    /// Forgets the last commit itself: what a disk must never do.
    pub fn lose_last(&mut self) -> Held {
        self.open.clear();
        self.groups.pop();
        self.rebuild()
    }

    fn rebuild(&mut self) -> Held {
        self.state = State::of(&self.birth);
        for change in self.groups.iter().flatten() {
            self.state.apply(change, self.sabotage)?;
        }
        Ok(())
    }

    /// What an engine needs to go on.
    pub fn restore(&self) -> Saved {
        let state = &self.state;
        let (source, generation) = state.fresh.unwrap_or((self.birth.source, self.birth.generation));
        Saved {
            me: self.birth.me,
            source,
            generation,
            sources: state.sources.values().cloned().collect(),
            early: state.early.values().cloned().collect(),
            siblings: state.siblings.values().cloned().collect(),
            roster: self.birth.roster,
            records: state.records.iter().cloned().map(Verified::vouch).collect(),
            bundle_seq: state.bundle_seq,
            epochs: state.epochs.saved(),
            watermark: self.watermark(),
            standing: state.standing.clone(),
            hydrating: state.hydrating,
            recent_us: None,
            verdicts: state.proofs.values().map(|(evidence, times)| (evidence.verdict(), *times)).collect(),
            prekey: state.prekeys.newest(),
            prekeys: state.prekeys.saved(),
            prunes: self.prunes,
            lacking: state.messages.lacking(),
            words: state.words.clone(),
        }
    }

    /// The state digest.
    pub fn digest(&mut self) -> Hash {
        if let Some(digest) = self.state.digest {
            return digest;
        }
        let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
        for (collection, leaf) in self.state.rows.leaves() {
            sums.entry(collection).or_default().add(leaf);
        }
        for leaf in self.state.messages.leaves() {
            sums.entry(MESSAGE_COLLECTION).or_default().add(leaf);
        }
        let digest = state(sums);
        self.state.digest = Some(digest);
        digest
    }

    /// What is held about the ops' entities.
    pub fn facts(&self, ops: &[Op]) -> Vec<Fact> {
        let fact = |op: &Op| {
            if op.collection == MESSAGE_COLLECTION {
                Fact::Message(self.state.messages.fact(&op.key))
            } else {
                Fact::Row(self.state.rows.fact(&op.collection, &op.key))
            }
        };
        ops.iter().map(fact).collect()
    }

    /// The source it writes.
    pub fn source(&self) -> SourceId {
        self.state.fresh.map_or(self.birth.source, |(source, _)| source)
    }

    /// What is held, as a vector.
    pub fn vector(&self) -> VersionVector {
        self.state.sources.values().map(|source| (source.source, source.head)).collect()
    }

    /// The bundle with that name.
    pub fn bundle(&self, dot: Dot) -> Option<&Bundle> {
        self.state.log.get(&dot).map(|logged| &logged.bundle)
    }

    /// Whether that bundle waits.
    pub fn waits(&self, dot: Dot) -> bool {
        self.state.early.contains_key(&dot)
    }

    /// All bundles held, as far as they are not gone.
    pub fn dots(&self) -> BTreeSet<Dot> {
        self.state.log.keys().copied().collect()
    }

    /// The roster as of the last change.
    pub fn roster(&self) -> &Roster {
        &self.state.roster
    }

    /// The roster records.
    pub fn records(&self) -> &[SignedRecord] {
        &self.state.records
    }

    /// What apps see.
    pub fn shown(&self) -> Shown {
        let mut shown = Shown::default();
        self.state.rows.show(&mut shown);
        self.state.messages.show(&mut shown);
        shown
    }
}

impl State {
    fn of(birth: &NewDevice) -> Self {
        let mut roster = Roster::new(birth.roster);
        roster.extend(birth.records.iter().cloned().map(Verified::vouch));
        let epochs = Epochs::of(&birth.epochs);
        let (prekeys, siblings) = (Prekeys::of(&birth.prekey), prekeys::announced(birth));
        Self { records: birth.records.clone(), roster, epochs, prekeys, siblings, ..Self::default() }
    }

    fn apply(&mut self, change: &Change, sabotage: Option<Sabotage>) -> Held {
        match change {
            Change::Append(append) => self.append(append, sabotage)?,
            Change::Early { device, bundle } => {
                if self.early.insert(bundle.dot, (*device, bundle.clone())).is_some() {
                    return Broken::rule("a waiting bundle is written once", format!("{:?}", bundle.dot));
                }
            }
            Change::EarlyDone(dot) => {
                let waited = sabotage == Some(Sabotage::KeepEarly) || self.early.remove(dot).is_some();
                if !waited {
                    return Broken::rule("only a bundle that waits stops waiting", format!("{dot:?}"));
                }
            }
            Change::Head(head) => {
                self.heads.entry((head.source, head.head.seq, head.head.hash)).or_insert_with(|| head.clone());
            }
            Change::Sibling(sibling) => {
                let held = self.siblings.insert(sibling.device, sibling.clone());
                let backwards =
                    held.is_some_and(|held| {
                        held.receipt.age() == sibling.receipt.age()
                            && held.receipt.vector.iter().any(|(source, head)| {
                                sibling.receipt.vector.seq(source) < head.seq && !self.is_cut(source)
                            })
                    });
                if backwards {
                    return Broken::rule("a receipt never goes backwards", format!("{}", sibling.device));
                }
            }
            Change::Record(record) => {
                self.records.push(record.clone());
                self.roster.extend([Verified::vouch(record.clone())]);
                self.note_removed();
            }
            Change::Cut { source, end } => self.take_back(*source, *end, sabotage)?,
            Change::Ended(ended) => self.end(ended)?,
            Change::Stands { source, head } => self.standing.advance(*source, *head),
            Change::Evidence(evidence) => self.prove(evidence),
            Change::AppBundle(app, committed) => self.number(app, committed.clone())?,
            Change::Fresh { source, generation } => self.take_fresh(*source, *generation)?,
            Change::Epoch(kept) => self.epochs.hold(kept)?,
            Change::EpochQuiet(held) => self.epochs.note(held)?,
            Change::EpochGone(epoch) => self.epochs.destroy(*epoch)?,
            Change::Prekey(kept) => self.prekeys.hold(kept)?,
            Change::PrekeyHeld(held) => self.prekeys.note(held)?,
            Change::PrekeyGone(slot) => self.prekeys.destroy(*slot)?,
            Change::Quarantine(_) => {}
            Change::Compact(compaction) => self.compact(&compaction.watermark, sabotage),
            Change::Prune(pruning) => self.prune(pruning)?,
            Change::Contents(contents) => self.put_back(contents)?,
            Change::Word { to, word } => self.word(*to, *word)?,
            Change::HydrationBegun(state) => (self.hydrating, self.staged) = (Some(*state), Vec::new()),
            Change::HydrationOver => (self.hydrating, self.staged) = (None, Vec::new()),
            Change::Staged(chunk) => self.stage(chunk)?,
            Change::Join(join) => self.join(join, sabotage)?,
        }
        Ok(())
    }

    fn append(&mut self, append: &Append, sabotage: Option<Sabotage>) -> Held {
        let bundle = &append.bundle;
        let (dot, known) = (bundle.dot, self.sources.get(&bundle.dot.source));
        let head = known.map(|known| known.head).unwrap_or_default();
        if self.log.contains_key(&dot) {
            return Broken::rule("a bundle takes effect once", format!("{dot:?}"));
        }
        if dot.seq != head.seq.next() || bundle.prev != head.hash {
            return Broken::rule("a source is a chain without holes", format!("{dot:?} after {head:?}"));
        }
        if append.bundle_seq != self.bundle_seq.next() {
            return Broken::rule("the local order has no holes", format!("{:?}", append.bundle_seq));
        }
        // Read anew from the bytes: what the author had seen, whatever the engine made of it.
        let read = Bundle::rebuild(dot, bundle.prev, bundle.bytes.clone());
        let seen = read.ok().and_then(|bundle| bundle.body).map(|body| body.context).unwrap_or_default();
        let missing = seen.iter().find(|(source, head)| {
            let needed = self.end_of(*source).map_or(head.seq, |end| end.min(head.seq));
            let held = self.sources.get(source).map(|held| held.head.seq).unwrap_or_default();
            *source != dot.source && held < needed
        });
        if let Some((source, head)) = missing {
            return Broken::rule("no effect comes before its cause", format!("{dot:?} needs {source} {head:?}"));
        }
        let stamp = bundle.body.as_ref().map(|body| body.stamp).filter(|stamp| stamp.is_valid());
        let born = bundle.body.as_ref().and_then(|body| body.birth).map(|birth| birth.generation);
        let saved = SavedSource {
            source: dot.source,
            device: append.device,
            generation: born.filter(|_| dot.seq == Seq(1)).or(known.map(|known| known.generation)).unwrap_or_default(),
            head: bundle.head(),
            stamp: stamp.or(known.map(|known| known.stamp)).unwrap_or_default(),
            context: Arc::clone(&append.context),
        };
        self.sources.insert(dot.source, saved);
        self.bundle_seq = append.bundle_seq;
        self.places.insert(append.bundle_seq, dot);
        self.log.insert(dot, Logged { bundle: bundle.clone(), context: Arc::clone(&append.context) });
        if let Some((app, committed)) = &append.app {
            self.number(app, committed.clone())?;
        }
        self.cut.remove(&dot);
        if self.roster.removed().next().is_none() {
            self.effects(bundle, &append.context, sabotage);
        } else {
            // What was seen by others may come after them, if it was cut and runs on.
            self.replay(sabotage);
        }
        Ok(())
    }

    fn effects(&mut self, bundle: &Bundle, context: &VersionVector, sabotage: Option<Sabotage>) {
        self.digest = None;
        let stamp = bundle.body.as_ref().map(|body| body.stamp).unwrap_or_default();
        let origin = Origin { dot: bundle.dot, stamp, context };
        for op in bundle.ops() {
            match op.meaning() {
                Meaning::RecordPut => self.rows.put(origin, op, sabotage),
                Meaning::RecordDelete => self.rows.delete(origin, op, sabotage),
                Meaning::MessagePost(body) => self.messages.post(origin, op, &body),
                Meaning::MessageStub(stub) => self.messages.stub(origin, &op.key, &stub),
                Meaning::MessageStatus(level, at_us) => self.messages.status(origin, &op.key, level, at_us),
                Meaning::MessageDelete(at_us) => self.messages.delete(origin, &op.key, at_us),
                Meaning::Unknown | Meaning::Invalid(_) => {}
            }
        }
    }
}
