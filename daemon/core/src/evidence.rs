//! Evidence that a source is no chain: what ends it, on every device at the same place.
//!
//! A source has one writer and its stamps grow. A device that runs twice, or that was put back to an older image and wrote before anybody
//! could tell it, writes two histories under one name. Signed runs prove it, and prove where:
//!
//! ```text
//!                 ┌─▶ a₅ ─▶ a₆   signed at 6        run 5…6 after the hash of 4
//! … ─▶ 3 ─▶ 4 ────┤
//!                 └─▶ b₅         signed at 5        run 5…5 after the same hash
//! ```
//!
//! Two runs of one device that follow the same bundle and begin differently: a chain hash vouches for everything before it, so 4 is the last
//! common bundle, and anyone who can check the two signatures can see it, whatever they hold themselves. One run whose stamps do not grow
//! proves as much: the source ends before the first that does not.
//!
//! **The smallest end stands** ([`Verdict`]). Evidence about a source only ever lowers its end, so all who hear of all of it agree, in
//! whatever order it comes. One piece for each source is enough: the one that decides.
//!
//! **It is bounded**: each run reaches from the parting to the next signed head, which is at most what one parcel brought. Where two of
//! them do not fit into one parcel ([`MAX_TOLD`]), each is sent as the run that it is, and whoever gets it finds the same evidence.

use prost::Message;

use crate::bundle::Bundle;
use crate::clock::Stamp;
use crate::ids::{DeviceId, Hash, Seq, SourceId};
use crate::parcel::{ParcelError, Run, RunBodies, RunWire};
use crate::vector::Head;

/// Signed runs of one source that cannot both be, or one that cannot be.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    runs: Vec<Run>,
    verdict: Verdict,
}

/// What evidence says: where a source ends, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// The source.
    pub source: SourceId,
    /// Whose it is.
    pub device: DeviceId,
    /// Its last bundle that counts; position 0 when none does.
    pub end: Head,
    /// What was broken.
    pub ground: Ground,
}

/// What a source broke, with both values. Hashes are told apart by their first half.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Ground {
    /// Two bundles at one position.
    #[error("it was written twice: at {at} stand {} and {}", half(.one), half(.other))]
    Forked {
        /// The position.
        at: Seq,
        /// One bundle there.
        one: Hash,
        /// The other one.
        other: Hash,
    },
    /// A stamp that is not greater than the one before it.
    #[error("its stamps run backwards: {} ms before {at} and {} ms there", before.millis().0, after.millis().0)]
    Backwards {
        /// The position of the later bundle.
        at: Seq,
        /// The stamp before it.
        before: Stamp,
        /// Its own.
        after: Stamp,
    },
}

/// How a run stands to the chain that is held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Comparison {
    /// Nothing in it differs from what is held.
    Agrees,
    /// It differs already before its first bundle.
    Below,
    /// It differs where what is held was compacted. That stands, and whoever holds the other history gives way.
    Settled,
    /// It is the same up to this position and another after it.
    Parts(Seq),
}

/// Most bytes of evidence that go into a parcel: 1 MiB leaves 256 KiB for the letter.
pub const MAX_TOLD: usize = 1 << 20;
/// Most pieces of evidence in a parcel.
pub const MAX_PIECES: usize = 4;

impl Evidence {
    /// What these runs prove, if they prove anything. Whether their signatures hold is seen elsewhere.
    pub fn of(mut runs: Vec<Run>) -> Option<Self> {
        runs.sort_by_key(|run| run.bundles.first().map(|bundle| bundle.hash));
        let verdict = match runs.as_slice() {
            [run] => backwards(run),
            [one, other] => forked(one, other),
            _ => None,
        }?;
        Some(Self { runs, verdict })
    }

    /// The evidence that `run`, another history of the source than the one that is `held` from there on, gives after `common`.
    pub fn of_fork(common: Seq, held: Run, run: &Run) -> Option<Self> {
        let bundles = run.bundles.iter().filter(|bundle| bundle.dot.seq > common).cloned().collect();
        let other = Run { device: run.device, bundles, signature: run.signature.clone() };
        Self::of(vec![held, other])
    }

    /// The evidence that a run gives whose stamps do not grow, also beyond the bundle `before` it.
    pub fn of_stamps(before: Option<Bundle>, run: &Run) -> Option<Self> {
        let bundles = before.into_iter().chain(run.bundles.iter().cloned()).collect();
        Self::of(vec![Run { device: run.device, bundles, signature: run.signature.clone() }])
    }

    /// What it says.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The runs: two for a fork, one for stamps.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// How many bytes it takes in a parcel.
    pub fn size(&self) -> usize {
        self.wire().encoded_len()
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.wire().encode_to_vec()
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        EvidenceWire::decode(bytes).ok()?.read().ok()
    }

    /// A run that ends at a signed head and holds what follows `after`, which the source's end lies at or beyond: what lies between the
    /// last signed head and the end has no other.
    pub fn tail(&self, after: Seq) -> Option<RunBodies> {
        let run = self.runs.first()?;
        let first = run.bundles.iter().find(|bundle| bundle.dot.seq == after.next())?;
        let bodies = run.bundles.iter().filter(|bundle| bundle.dot.seq > after).map(|bundle| bundle.bytes.clone());
        let (device, signature) = (run.device, run.signature.clone());
        let (source, prev) = (first.dot.source, first.prev);
        Some(RunBodies { device, source, first: after.next(), prev, bodies: bodies.collect(), signature })
    }

    pub(crate) fn wire(&self) -> EvidenceWire {
        EvidenceWire { runs: self.runs.iter().map(|run| RunWire::from(&run.bodies())).collect() }
    }
}

/// How `run` stands to a chain that was compacted up to `floor`, and of which `held` says the hash at a position from there on, where it has
/// one.
pub fn compare(run: &Run, floor: Seq, held: impl Fn(Seq) -> Option<Hash>) -> Comparison {
    let Some(first) = run.bundles.first() else { return Comparison::Agrees };
    let before = Seq(first.dot.seq.0.saturating_sub(1));
    let held_before = if before == Seq::ZERO { Some(Hash::default()) } else { held(before) };
    let at_floor = run.bundles.iter().find(|bundle| bundle.dot.seq == floor).map(|bundle| bundle.hash);
    let at_floor = at_floor.or_else(|| (before == floor).then_some(first.prev));
    if floor > Seq::ZERO && at_floor.is_some_and(|offered| held(floor).is_some_and(|held| held != offered)) {
        return Comparison::Settled;
    }
    if held_before.is_some_and(|held| held != first.prev) {
        return Comparison::Below;
    }
    let differs = |bundle: &&Bundle| held(bundle.dot.seq).is_some_and(|held| held != bundle.hash);
    match run.bundles.iter().find(differs) {
        // Without the hash before it nothing says that this is the first difference.
        Some(_) if held_before.is_none() => Comparison::Below,
        Some(bundle) => Comparison::Parts(Seq(bundle.dot.seq.0 - 1)),
        None => Comparison::Agrees,
    }
}

/// One hash over what is known of ended sources: equal on two devices that end the same ones at the same places. `None` when there are none.
pub fn summary<'a>(verdicts: impl IntoIterator<Item = &'a Verdict>) -> Option<Hash> {
    let mut bytes = Vec::new();
    for Verdict { source, end, .. } in verdicts {
        bytes.extend_from_slice(&source.0);
        bytes.extend_from_slice(&end.seq.0.to_be_bytes());
        bytes.extend_from_slice(&end.hash.0);
    }
    (!bytes.is_empty()).then(|| Hash::of_parts(&[b"kinfolk/1/ended", &bytes]))
}

fn forked(one: &Run, other: &Run) -> Option<Verdict> {
    let (first, second) = (one.bundles.first()?, other.bundles.first()?);
    let same_place = first.dot == second.dot && first.prev == second.prev && one.device == other.device;
    let ground = Ground::Forked { at: first.dot.seq, one: first.hash, other: second.hash };
    let end = before(first);
    (same_place && first.hash != second.hash).then_some(Verdict {
        source: first.dot.source,
        device: one.device,
        end,
        ground,
    })
}

fn backwards(run: &Run) -> Option<Verdict> {
    let mut last: Option<Stamp> = None;
    for bundle in &run.bundles {
        let stamp = bundle.body.as_ref().map(|body| body.stamp).filter(|stamp| stamp.is_valid());
        let Some(after) = stamp else { continue };
        if let Some(before_it) = last.filter(|last| after <= *last) {
            let ground = Ground::Backwards { at: bundle.dot.seq, before: before_it, after };
            return Some(Verdict { source: bundle.dot.source, device: run.device, end: before(bundle), ground });
        }
        last = Some(after);
    }
    None
}

/// Where a source stands before that bundle.
fn before(bundle: &Bundle) -> Head {
    Head { seq: Seq(bundle.dot.seq.0.saturating_sub(1)), hash: bundle.prev }
}

fn half(hash: &Hash) -> String {
    let mut text = hash.to_string();
    text.truncate(Hash::LEN);
    text
}

/// Evidence on the wire and on disk.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct EvidenceWire {
    #[prost(message, repeated, tag = "1")]
    pub(crate) runs: Vec<RunWire>,
}

impl EvidenceWire {
    pub(crate) fn read(&self) -> Result<Evidence, ParcelError> {
        if self.runs.len() > 2 {
            return Err(ParcelError::Malformed("evidence has one run or two"));
        }
        let runs = self.runs.iter().map(RunWire::read).collect::<Result<_, _>>()?;
        Evidence::of(runs).ok_or(ParcelError::Malformed("evidence that proves nothing"))
    }

    pub(crate) fn bodies(&self) -> usize {
        self.runs.iter().map(|run| run.bodies.len()).sum()
    }
}

impl Run {
    /// The same as bodies.
    pub fn bodies(&self) -> RunBodies {
        let first = self.bundles.first();
        RunBodies {
            device: self.device,
            source: first.map(|bundle| bundle.dot.source).unwrap_or_default(),
            first: first.map(|bundle| bundle.dot.seq).unwrap_or_default(),
            prev: first.map(|bundle| bundle.prev).unwrap_or_default(),
            bodies: self.bundles.iter().map(|bundle| bundle.bytes.clone()).collect(),
            signature: self.signature.clone(),
        }
    }
}

impl RunBodies {
    /// The run that these bodies are.
    ///
    /// # Errors
    /// When they are none: no body, one that is too large, no signature.
    pub fn rebuild(&self) -> Result<Run, ParcelError> {
        RunWire::from(self).read()
    }
}

#[cfg(test)]
mod tests;
