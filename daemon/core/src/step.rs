//! All that crosses the wall between the engine and the world, as values.
//!
//! **Order is the durability rule.** The driver hands over one or more [`Input`]s, collects the [`Output`]s, applies every
//! [`Output::Commit`] in one transaction, makes it durable, and only then performs the others, in order. A crash between any two
//! outputs loses nothing: what was committed is restored, what was not performed is asked for again.
//!
//! **Memory is a cache of disk.** [`Saved`] is all an engine needs to go on. When a commit fails, the driver answers the error,
//! drops the engine and restores it.

mod app;
mod bodies;
mod hydration;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::bundle::Bundle;
use crate::clock::Stamp;
use crate::contents::{Content, Wanted};
use crate::digest::Sum;
use crate::epoch::{Epoch, HeldEpoch, KeptEpoch};
use crate::evidence::{Evidence, Verdict};
use crate::ids::{BundleSeq, DeviceId, Dot, Hash, Millis, RelayId, Seq, SourceId};
use crate::lane::Mailbox;
use crate::look::{Look, Looked};
use crate::op::Op;
use crate::parcel::{Ended, Letter, Receipt, SignedHead, VerifiedParcel};
use crate::prekey::{HeldPrekey, KeptPrekey};
use crate::roster::{Prekey, SignedRecord, Verified};
use crate::snapshot::{Ask, Chunk};
use crate::vector::{Head, VersionVector};

pub use self::app::{AppBundle, AppFact, Committed, REMEMBERED, content_hash};
pub use self::bodies::{Hindrance, Missed, Pruning, Word};
pub use self::hydration::{Compaction, Gain, Hydrating, Join};

/// Names a caller that waits for a reply.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CallId(pub u64);

/// Names one envelope that a relay worker collected and wants to acknowledge.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Delivery {
    /// Where it lay.
    pub relay: RelayId,
    /// The worker's own number for it.
    pub ticket: u64,
}

/// What the world tells the engine.
#[derive(Clone, Debug)]
pub enum Input {
    /// A local app pushes one bundle.
    Push(Push),
    /// A sibling's parcel arrived, opened and verified.
    Received {
        /// What to acknowledge.
        delivery: Delivery,
        /// What it says.
        parcel: Box<VerifiedParcel>,
    },
    /// A parcel of a removed device arrived. It has no effect but to be counted.
    FromRemoved(Delivery),
    /// An envelope could not be opened or verified.
    Unopenable {
        /// What to acknowledge.
        delivery: Delivery,
        /// Why, in words.
        reason: String,
        /// The whole of it.
        bytes: Bytes,
    },
    /// A roster record made on this device (pairing, rename).
    Record {
        /// Who waits for it.
        call: CallId,
        /// The record.
        record: Verified<SignedRecord>,
    },
    /// A new epoch, minted on this device because the engine [wanted one](crate::engine::Engine::wants_epoch).
    Minted {
        /// The record that mints it.
        record: Verified<SignedRecord>,
        /// Its secret.
        epoch: KeptEpoch,
    },
    /// A new prekey, made on this device because the engine [wanted one](crate::engine::Engine::wants_prekey).
    Rekeyed(KeptPrekey),
    /// Everything that lay on a relay for this device was fetched and is dealt with.
    Fetched {
        /// Which relay.
        relay: RelayId,
        /// How long that took.
        took: Millis,
    },
    /// What a [`Output::Send`] came to.
    Sent {
        /// Its ticket.
        ticket: u64,
        /// How far each of its runs reached; shorter than asked when the parcel was full. `None` when it did not arrive.
        reached: Option<Vec<(SourceId, Seq)>>,
        /// How many sealed bytes lie there.
        bytes: u64,
        /// How long it took.
        took: Millis,
    },
    /// A relay is there (again), or not.
    RelayHealth {
        /// Which.
        relay: RelayId,
        /// Whether it answers.
        up: bool,
    },
    /// A relay was configured. Relays come in the order of preference.
    RelayAdded(RelayId),
    /// How long a relay keeps mail; one that does not say so keeps it for [`KEEPS`](crate::lane::KEEPS).
    RelayKeeps {
        /// Which.
        relay: RelayId,
        /// For how long.
        keeps: Millis,
    },
    /// A relay is about to be taken out: siblings are told, those that share no other one by way of it, for the last time.
    RelayLeaving(RelayId),
    /// A relay was taken out of the configuration.
    RelayRemoved(RelayId),
    /// The relays in the person's order of preference; those that are not named come last.
    RelayOrder(Vec<RelayId>),
    /// Whether parcels may leave. While they may not, all that there is to say waits; an engine starts with the gate open.
    Gate {
        /// They may.
        open: bool,
    },
    /// A pass begins: relays that refused a parcel are tried again, receipts that wait for company leave without it.
    Pass,
    /// A pass on which also everything that is not receipted goes out again and receipts are asked for.
    SyncNow,
    /// A sibling holds another state at the same vector: it is asked for the sums of its collections.
    AskSums(DeviceId),
    /// Compact the log as far as that is safe.
    Compact {
        /// Who waits for it.
        call: CallId,
        /// The chain hashes at the places that [`compaction_places`](crate::engine::Engine::compaction_places) names,
        /// as far as the log has them.
        chain: BTreeMap<Dot, Hash>,
    },
    /// The answer to an [`Output::Look`].
    Looked(Looked),
    /// The person has decided whether this device lets go of old contents ([`crate::bodies`]).
    Prunes(bool),
    /// How many contents are lacking here: told before the engine settles, whenever it has changed.
    Lacking(u64),
    /// Let go of old contents as far as that is safe.
    Prune {
        /// Who waits for it.
        call: CallId,
        /// Those of messages created before this instant, in microseconds since the Unix epoch.
        before_us: i64,
        /// Only say which.
        dry_run: bool,
    },
    /// Somebody wants to see contents that are elsewhere ([`crate::contents`]).
    Seek {
        /// Who waits for them.
        call: CallId,
        /// Which.
        wanted: Vec<Wanted>,
    },
    /// Nothing but time has passed.
    Tick,
}

/// One atomic local push.
#[derive(Clone, Debug)]
pub struct Push {
    /// Who waits for the reply.
    pub call: CallId,
    /// The changes, in order.
    pub ops: Vec<Op>,
    /// The app's own name for the bundle, when it wants idempotent retries.
    pub app: Option<AppBundle>,
    /// What the store holds about the ops' entities; one for each op.
    pub facts: Vec<Fact>,
    /// What the store holds about the app's bundles; `None` when the app has pushed none under this source.
    pub app_fact: Option<AppFact>,
    /// The versions of records that ops were based on, by the number of the op: where another is here, the push is refused.
    pub bases: BTreeMap<usize, BundleSeq>,
}

/// What the store holds about one op's entity before the push.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fact {
    /// Of a record; `None` when it was never written.
    Row(Option<RowFact>),
    /// Of a message; `None` when it was never posted or deleted.
    Message(Option<MessageFact>),
}

/// A record's state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RowFact {
    /// Whether it exists now.
    pub live: bool,
    /// Names of all fields whose shown write is not absent, also of a deleted record.
    pub fields: Vec<String>,
    /// The place of its last change in this device's order.
    pub version: BundleSeq,
}

/// A message's state.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MessageFact {
    /// SHA-256 of the payload of the post that won; `None` when only a status or tombstone is known.
    pub content: Option<Hash>,
    /// Times of sent, delivered, read, in microseconds.
    pub levels: [Option<i64>; 3],
    /// Time of the tombstone.
    pub deleted_us: Option<i64>,
}

/// What the engine tells the world, in this order.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a round has a handful of them, and most are sends")]
pub enum Output {
    /// Write this; nothing that follows happens before it is on disk.
    Commit(Change),
    /// Answer a caller.
    Reply(CallId, Reply),
    /// Send a parcel.
    Send(Send),
    /// Tell the relay to delete an envelope: its content is durable here.
    Acknowledge(Delivery),
    /// Look something up, with what was committed by the outputs before. Answered by [`Input::Looked`] before anything else is handed over.
    Look(Look),
}

/// One thing to write. The store applies them in order, in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A bundle joins the log, and its ops take effect by the merge rules.
    Append(Append),
    /// A bundle that came before its time waits on disk.
    Early {
        /// Its source's device.
        device: DeviceId,
        /// The bundle.
        bundle: Bundle,
    },
    /// A waiting bundle was applied, or is of no use any more.
    EarlyDone(Dot),
    /// A head signed by a source's device, which a run of that source may end at.
    Head(SignedHead),
    /// What a sibling said last.
    Sibling(SavedSibling),
    /// A roster record.
    Record(SignedRecord),
    /// An app's push that changed nothing still took its number.
    AppBundle(AppBundle, Committed),
    /// The own source was given up: from here on this one is written.
    Fresh {
        /// The new source; it has no bundles yet.
        source: SourceId,
        /// Its number among the device's sources.
        generation: u64,
    },
    /// Something that could not be used.
    Quarantine(Quarantined),
    /// A source of a removed device ends earlier than it was applied: what follows is set aside, and its effect undone. Takes the next place
    /// in this device's order.
    Cut {
        /// The source.
        source: SourceId,
        /// Its last bundle that counts; position 0 when none does.
        end: Head,
    },
    /// A source that was never seen is a removed device's, and ends before its first bundle.
    Ended(Ended),
    /// The secret of an epoch is held from here on.
    Epoch(KeptEpoch),
    /// A held epoch became quiet, or no longer is ([`HeldEpoch::quiet`]).
    EpochQuiet(HeldEpoch),
    /// An epoch's secret is of no use any more: it is destroyed.
    EpochGone(Epoch),
    /// Up to this place of a source nothing can be taken back any more: somebody has compacted it.
    Stands {
        /// The source.
        source: SourceId,
        /// The place.
        head: Head,
    },
    /// What lies at or below a watermark and counts no more goes ([`crate::compact`]); the watermark is noted.
    Compact(Compaction),
    /// Old contents go: their messages become stubs ([`crate::stub`]).
    Prune(Pruning),
    /// Contents are back: where the stub of such a message is, it becomes the post again.
    Contents(Vec<Content>),
    /// The word that all contents held here are kept, given to a sibling or, without one, over.
    Word {
        /// The sibling.
        to: DeviceId,
        /// The word.
        word: Option<Word>,
    },
    /// Catching up begins, or begins anew: what was staged is of no use.
    HydrationBegun(Hydrating),
    /// A chunk of the snapshot that is being caught up with is staged, behind those before.
    Staged(Chunk),
    /// Catching up was given up: what was staged goes.
    HydrationOver,
    /// The staged entries join the log and take effect; then catching up is over.
    Join(Join),
    /// Evidence that ends a source, in place of what was known about it before.
    Evidence(Evidence),
    /// The seed of a prekey is held from here on.
    Prekey(KeptPrekey),
    /// A held prekey became quiet, or no longer is ([`HeldPrekey::quiet`]).
    PrekeyHeld(HeldPrekey),
    /// The seed of the prekey in this slot is of no use any more: it is destroyed.
    PrekeyGone(u32),
}

/// A bundle to append.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// The bundle.
    pub bundle: Bundle,
    /// Its source's device.
    pub device: DeviceId,
    /// Its place in this device's order.
    pub bundle_seq: BundleSeq,
    /// All that its author had seen, its own source left out.
    pub context: Arc<VersionVector>,
    /// When it was committed here, by the wall clock.
    pub at: Millis,
    /// The app's name for it, with what a retry is answered.
    pub app: Option<(AppBundle, Committed)>,
}

/// Something set aside: counted, shown, never in the way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Quarantined {
    /// When, by the wall clock.
    pub at: Millis,
    /// What it is.
    pub kind: Suspect,
    /// Where it came from, when that is known.
    pub relay: Option<RelayId>,
    /// Why, in words.
    pub reason: String,
    /// All of it, when it has at most [`QUARANTINE_BYTES`]; else its beginning. Nothing when there are no bytes to keep.
    pub bytes: Bytes,
    /// How many bytes it had.
    pub size: u64,
}

/// What was set aside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Suspect {
    /// An envelope that could not be opened or verified.
    Envelope,
    /// An opened parcel, or parts of one.
    Parcel,
    /// A source that breaks its own chain.
    Source,
    /// A bundle that does not count any more.
    Bundle,
}

/// Most bytes of one thing in quarantine: whole envelopes of a live exchange, and more.
pub const QUARANTINE_BYTES: usize = 64 << 10;

/// An answer to a caller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// The push is durable.
    Pushed(Pushed),
    /// The push was refused; nothing changed.
    Refused(Refusal),
    /// A roster record is durable.
    Recorded,
    /// The log is compacted; the watermark moved to there, for the sources named.
    Compacted(Compaction),
    /// Which contents went, or why none.
    Pruned(Result<Pruning, Hindrance>),
    /// The contents that did not come, and why. All others are here.
    Sought(BTreeMap<Wanted, Missed>),
}

/// A durable push.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pushed {
    /// The bundle's name; `None` when every op was a no-op and there is none.
    pub dot: Option<Dot>,
    /// The place in this device's order that covers it.
    pub bundle_seq: BundleSeq,
    /// For each op, whether it changed something (`false`: it was already so).
    pub changed: Vec<bool>,
    /// Whether this is the answer to an earlier push, given again.
    pub repeated: bool,
}

/// Why a push was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No ops.
    #[error("a push needs at least one op")]
    Empty,
    /// Too many ops.
    #[error("a push has at most {MAX_OPS} ops, this one has {0}: split it")]
    TooManyOps(usize),
    /// Too many bytes.
    #[error("a push has at most 1 MiB, this one has {0} bytes: split it")]
    TooLarge(usize),
    /// An op breaks a rule.
    #[error("op {index}: {reason}")]
    InvalidOp {
        /// Which op, from 0.
        index: usize,
        /// Which rule.
        reason: &'static str,
    },
    /// Two ops for one record, or two posts of one message.
    #[error("op {index} names the same entity as an earlier op of this push: split it")]
    NamedTwice {
        /// The later op, from 0.
        index: usize,
    },
    /// The id is taken by a message with other content.
    #[error("op {index}: a message with this id exists with other content: messages are immutable, choose another id")]
    MessageDiffers {
        /// Which op, from 0.
        index: usize,
    },
    /// The record is not what the op was based on.
    #[error("op {index}: the record has changed: it is at version {version}, the op was based on {base}")]
    RowChanged {
        /// Which op, from 0: the first one of the push.
        index: usize,
        /// What it was based on.
        base: BundleSeq,
        /// Where the record is; 0 when it was never here.
        version: BundleSeq,
    },
    /// There is no such message or record.
    #[error("op {index}: there is nothing with this name")]
    NotFound {
        /// Which op, from 0.
        index: usize,
    },
    /// The app's number does not follow its last one.
    #[error("out of order: the next bundle id of this app source is {expected}")]
    OutOfOrder {
        /// The number that would be taken.
        expected: u64,
    },
    /// The app's stamp is not greater than those of its bundles before.
    #[error("the stamp {yours} runs backwards: the greatest one of this app source is {stored}")]
    StampRegression {
        /// The stamp that came.
        yours: u64,
        /// The greatest one that was committed.
        stored: u64,
    },
    /// A roster record that does not belong to this roster, or one too many.
    #[error("the roster record does not belong to this roster, or the roster is full")]
    RosterRecord,
    /// A sibling wrote with a date beyond the range of stamps, and nothing can be written after it.
    #[error("the clock of this person's devices stands at the end of its range: a device wrote with a wrong date")]
    ClockExhausted,
    /// The app's number was used for something else.
    #[error("bundle id {id} was committed before with other content")]
    AppBundleDiffers {
        /// The number.
        id: u64,
    },
}

/// Most ops in one push.
pub const MAX_OPS: usize = 10_000;

/// A parcel to be written, sealed and put.
#[derive(Clone, Debug, PartialEq)]
pub struct Send {
    /// The engine's number for it; comes back in [`Input::Sent`].
    pub ticket: u64,
    /// To whom.
    pub to: DeviceId,
    /// Over which relay.
    pub relay: RelayId,
    /// What to seal it to; without a key for the [common slot](crate::prekey::COMMON_SLOT).
    pub prekey: Prekey,
    /// The epoch to seal it under: one that the sibling holds.
    pub epoch: Epoch,
    /// What to say. The driver adds the state digest that belongs to the receipt, the sums of the collections when the letter
    /// has a place for them, and the gifts of the epochs it gives.
    pub letter: Letter,
    /// What to deliver, as far as it fits.
    pub runs: Vec<RunRequest>,
    /// The chunk of a snapshot to put into the letter; there are no runs beside one.
    pub chunk: Option<Ask>,
    /// The contents to put into the letter, as far as they are here and fit; there are no runs beside them.
    pub contents: Vec<Wanted>,
    /// The source whose evidence to tell, if any: the driver puts it into the letter, or one of its runs, by turns, among the runs.
    pub evidence: Option<SourceId>,
}

/// A stretch of a source to deliver: positions after `after`, at most up to `upto`. A run of a foreign source ends at a stored
/// signed head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RunRequest {
    /// Whose source.
    pub device: DeviceId,
    /// Which source.
    pub source: SourceId,
    /// What the sibling has.
    pub after: Seq,
    /// What we have.
    pub upto: Seq,
}

/// All that an engine needs to go on where it stopped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// This device.
    pub me: DeviceId,
    /// The source it writes.
    pub source: SourceId,
    /// The number of that source among the device's sources, from 1.
    pub generation: u64,
    /// All sources with bundles in the log.
    pub sources: Vec<SavedSource>,
    /// Bundles that wait.
    pub early: Vec<(DeviceId, Bundle)>,
    /// What siblings said last.
    pub siblings: Vec<SavedSibling>,
    /// The roster's id and records.
    pub roster: Hash,
    /// All roster records; they were verified before they were stored.
    pub records: Vec<Verified<SignedRecord>>,
    /// The last place given out in this device's order.
    pub bundle_seq: BundleSeq,
    /// The epochs whose secrets are held.
    pub epochs: Vec<HeldEpoch>,
    /// This device's newest prekey.
    pub prekey: Prekey,
    /// Up to where the log was compacted.
    pub watermark: VersionVector,
    /// Up to where nothing can be taken back: what was compacted, here or elsewhere.
    pub standing: VersionVector,
    /// A snapshot under way to here.
    pub hydrating: Option<Hydrating>,
    /// Contents of messages from before this instant, in microseconds since the Unix epoch, may come after the rest.
    pub recent_us: Option<i64>,
    /// What evidence says of sources, and how often each of them was ended, ever earlier.
    pub verdicts: Vec<(Verdict, u32)>,
    /// All prekeys of this device whose seeds are held.
    pub prekeys: Vec<HeldPrekey>,
    /// This device lets go of old contents.
    pub prunes: bool,
    /// How many contents are lacking here.
    pub lacking: u64,
    /// The siblings to which this device has given its word that it keeps all contents.
    pub words: BTreeMap<DeviceId, Word>,
}

/// A source as far as it is applied.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedSource {
    /// Which.
    pub source: SourceId,
    /// Whose.
    pub device: DeviceId,
    /// Its number among the device's sources.
    pub generation: u64,
    /// Where it stands.
    pub head: Head,
    /// The stamp of its last bundle.
    pub stamp: Stamp,
    /// All that its last bundle's author had seen.
    pub context: Arc<VersionVector>,
}

/// A sibling as it spoke last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SavedSibling {
    /// Which.
    pub device: DeviceId,
    /// What it held.
    pub receipt: Receipt,
    /// When, by this device's wall clock.
    pub heard: Millis,
    /// Its newest prekey, when newer than the roster's.
    pub prekey: Option<Prekey>,
    /// The newest slot of this device's prekeys that it knew, if it spoke.
    pub knows_slot: Option<u32>,
    /// The epoch it showed.
    pub epoch: Epoch,
    /// The last epoch it showed whose secret was held here: mail for it is sealed under this one.
    pub under: Epoch,
    /// Where it looks for mail.
    pub relays: Vec<RelayId>,
    /// What was left for it on relays since it spoke.
    pub posted: Vec<Posted>,
}

/// What was left for a sibling on one relay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Posted {
    /// Where.
    pub relay: RelayId,
    /// The own source at the time.
    pub source: SourceId,
    /// What lies there.
    pub mailbox: Mailbox,
}

/// What an engine knows of itself and its siblings, for `status`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// This device.
    pub me: DeviceId,
    /// When it took a fresh source because it was put back, cloned or written elsewhere, by the wall clock.
    pub restarted: Option<Millis>,
    /// The source it writes.
    pub source: SourceId,
    /// What it holds.
    pub vector: VersionVector,
    /// The last place in this device's order.
    pub bundle_seq: BundleSeq,
    /// The epoch of the group that it lives in.
    pub epoch: Epoch,
    /// The slot of the prekey that siblings should seal to.
    pub prekey_slot: u32,
    /// This device itself was removed.
    pub removed: bool,
    /// Parcels of removed devices that were dropped since the start.
    pub from_removed: u64,
    /// The other members, in order of id.
    pub siblings: Vec<SiblingStatus>,
    /// Sources that broke a rule and are stopped, here or everywhere.
    pub refused: Vec<RefusedSource>,
    /// Bundles waiting for an earlier one.
    pub early: u64,
    /// The snapshot that this device is catching up with.
    pub hydrating: Option<Hydrating>,
    /// How many contents of messages are lacking here.
    pub lacking: u64,
    /// The siblings that lack none and have given their word to keep them.
    pub kept_by: Vec<DeviceId>,
    /// The siblings to which this device has given its word to keep all that it holds.
    pub keeps_for: Vec<DeviceId>,
    /// Bundles known to exist at siblings and missing here.
    pub pending_down: u64,
    /// Own bundles that some live sibling has not receipted: the most any sibling lacks.
    pub pending_up: u64,
    /// Everything accepted here is receipted by every live sibling, and nothing known to exist is missing;
    /// and at least one of them has spoken, if there are any.
    pub synced: bool,
}

/// A source that is stopped, for `status`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RefusedSource {
    /// Which.
    pub source: SourceId,
    /// Whose, when something of it is held.
    pub device: Option<DeviceId>,
    /// The last position that counts.
    pub after: Seq,
    /// What it broke, with both values.
    pub reason: String,
    /// Evidence ends it there, on all devices; what its device wrote beyond comes again under another source.
    pub ended: bool,
}

/// A sibling, for `status`.
#[derive(Clone, Debug, PartialEq)]
pub struct SiblingStatus {
    /// Which.
    pub device: DeviceId,
    /// Its name.
    pub name: String,
    /// Heard from within the stale cutoff, or added within it.
    pub live: bool,
    /// When it was heard from last, by this device's wall clock.
    pub heard: Option<Millis>,
    /// How many bundles held here it has not receipted.
    pub lag: u64,
    /// How many bundles it showed that are missing here.
    pub ahead: u64,
    /// What it holds, as it said last.
    pub vector: VersionVector,
    /// Its state digest and the vector it belongs to, as it said last.
    pub digest: Option<Hash>,
    /// The newest prekey known of it.
    pub prekey: Prekey,
    /// The greatest op kind it understands, as it said last; 0 before it spoke.
    pub op_level: u32,
    /// The sums of its collections at that vector, in order of name, the first [`MAX_SUMS`](crate::parcel::MAX_SUMS), when it was asked.
    pub sums: Option<Vec<(String, Sum)>>,
    /// The epoch that it showed last.
    pub epoch: Epoch,
    /// Whether it lives in the epoch that this device lives in, or in a later one.
    pub epoch_known: bool,
    /// Whether it holds the same roster records, as it said last.
    pub roster_known: bool,
    /// By how much its clock was ahead of ours when it spoke last, in milliseconds (mail under way makes it look behind).
    pub clock_ahead: i64,
    /// Relays that seem to keep back mail between it and this device: other ways show that it was put there.
    pub withheld: Vec<RelayId>,
}
