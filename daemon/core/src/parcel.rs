//! Parcels: what one device tells one sibling at one time.
//!
//! Every parcel carries the sender's *letter* — its receipt, state digest, roster hash, prekey, what it wants — and, when there
//! is something to deliver, *runs* of bundles. A run is a stretch of one source, sent as bodies (see [`crate::bundle`]), that ends at a
//! head signed by the source's device: one signature vouches for the whole run, whoever forwards it.
//!
//! A parcel is at most [`MAX_PARCEL`] bytes; runs aim at [`RUN_TARGET`] and may exceed it only for a single bundle.

use bytes::Bytes;
use prost::Message;

use crate::bodies::Bodies;
use crate::bound;
use crate::bundle::{Bundle, HeadWire};
use crate::contents::Contents;
use crate::digest::Sum;
use crate::epoch::{Epoch, GivenEpoch, KeptEpoch, MAX_GIVEN};
use crate::evidence::{Evidence, EvidenceWire, MAX_PIECES};
use crate::ids::{DeviceId, Dot, Hash, Millis, RelayId, Seq, SourceId};
use crate::op::OP_LEVEL;
use crate::roster::{MAX_RECORDS, PREKEY_BYTES, Prekey, SignedRecord, Verified};
use crate::snapshot::Hydration;
use crate::vector::{Head, VersionVector};

mod given;
mod statement;

pub use self::statement::{Distant, Extent, MAX_STATED_RELAYS, MAX_STATEMENTS, Statement};

/// Largest parcel in bytes, before compression: 1.25 MiB.
pub const MAX_PARCEL: usize = 1_310_720;
/// Where the sender of a run stops taking further bundles, in bytes.
pub const RUN_TARGET: usize = 256 * 1024;
/// Most runs in a parcel.
pub const MAX_RUNS: usize = 64;
/// Most sources in a vector: 16 devices with 64 sources each.
pub const MAX_VECTOR: usize = 1024;

/// Most bodies in a parcel: with its stamp alone a body has 9 bytes, so runs of [`RUN_TARGET`] hold at most 29,128.
pub const MAX_BODIES: usize = 32 * 1024;
/// Most sources of removed devices that a letter names: four removed devices with 64 sources each.
pub const MAX_ENDED: usize = 256;
/// Most collections whose sums are told: 512 × (name ≤ 128 + sum 40 + 6) are at most 87 KiB.
pub const MAX_SUMS: usize = 512;
/// Most fields of a parcel: its 32 kinds, runs, vector, wants, all roster records, relays, sources of removed devices, sums, given epochs, and
/// statements with those who cannot be heard.
const MAX_PARTS: usize =
    32 + MAX_RUNS + 2 * MAX_VECTOR + MAX_RECORDS + 1024 + MAX_ENDED + MAX_SUMS + MAX_GIVEN + 2 * MAX_STATEMENTS;

/// All that is said besides bundles.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// Who speaks.
    pub sender: DeviceId,
    /// The sender's wall clock when it wrote. Only for display and for noticing clocks that disagree.
    pub written: Millis,
    /// What the sender holds.
    pub receipt: Receipt,
    /// Which sources the sender lacks and wants from this sibling.
    pub wants: Vec<Want>,
    /// Roster records the sibling may lack.
    pub records: Vec<SignedRecord>,
    /// [`crate::roster::Roster::hash`] of the sender.
    pub roster_hash: Hash,
    /// The prekey that mail for the sender should be sealed to; without the key when the sibling knows it.
    pub prekey: Prekey,
    /// The newest slot of the sibling's prekeys that the sender knows.
    pub known_slot: u32,
    /// The epoch of the group that the sender lives in.
    pub epoch: Epoch,
    /// Epochs that the sibling may lack; at most [`MAX_GIVEN`].
    pub epochs: Vec<GivenEpoch>,
    /// The sender's state digest at its receipt's vector, when it knows it.
    pub digest: Option<Hash>,
    /// The sender's [`OP_LEVEL`].
    pub op_level: u32,
    /// Whether the sender waits for a receipt now.
    pub receipt_requested: bool,
    /// The relays the sender polls.
    pub relays: Vec<RelayId>,
    /// Sources that the sender knows to be of removed devices, and that end elsewhere than the removal says or are not named by it.
    pub ended: Vec<Ended>,
    /// The greatest generation that the sender has seen of the addressee; 0 when none. One that has less, because it was put back with its
    /// clock behind, learns so that its letters count as old.
    pub addressee_generation: u64,
    /// Whether the sender wants to know the digest sums of the sibling's collections, to find where the two differ.
    pub sums_requested: bool,
    /// The sums of the sender's collections at its receipt's vector, in order of name, the first [`MAX_SUMS`]; only in answer to a
    /// request.
    pub sums: Option<Vec<(String, Sum)>>,
    /// Catching up with a compacted log.
    pub hydration: Hydration,
    /// [`crate::evidence::summary`] of the sender.
    pub verdicts: Option<Hash>,
    /// Evidence that the sibling may lack.
    pub evidence: Vec<Evidence>,
    /// The sender's signature over what it says of itself, so that it can be passed on ([`Statement`]); `None` when there is no need.
    pub signature: Option<Bytes>,
    /// What siblings say of themselves that the addressee cannot hear.
    pub statements: Vec<Statement>,
    /// Whom the sender cannot hear.
    pub distant: Vec<Distant>,
    /// Who keeps the contents of messages.
    pub bodies: Bodies,
    /// Contents that are asked for and given.
    pub contents: Contents,
}

/// Whose a source is that ends because its device was removed, and what of it stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ended {
    /// The source.
    pub source: SourceId,
    /// The removed device.
    pub device: DeviceId,
    /// Up to here it was compacted somewhere and counts, whatever the removal says; position 0 when the removal decides alone.
    pub stands: Head,
}

/// What a device holds. Generation, term and trials say whether a lower vector is a fresh start: they only grow, and a source shrinks to its
/// end only with a roster record or evidence that the device had not held before.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Receipt {
    /// Generation of the device's active source.
    pub generation: u64,
    /// How many roster records the device holds.
    pub term: u32,
    /// How often it has ended a source by evidence, ever earlier.
    pub trials: u32,
    /// What it has applied durably.
    pub vector: VersionVector,
}

impl Receipt {
    /// What only grows at its device: of two receipts of one device the greater is the later.
    pub fn age(&self) -> (u64, u32, u32) {
        (self.generation, self.term, self.trials)
    }
}

/// A stretch of a source that somebody lacks: positions after `after`, up to and including `upto`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Want {
    /// Which source.
    pub source: SourceId,
    /// What is held already.
    pub after: Seq,
    /// What is known to exist.
    pub upto: Seq,
    /// Whether to begin there, whatever was receipted: the two may hold different histories, and look for where they part.
    pub exact: bool,
}

/// A stretch of a source, chained, ending at a signed head.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Whose source it is: the device that signed the head.
    pub device: DeviceId,
    /// The bundles, in order, without holes; at least one.
    pub bundles: Vec<Bundle>,
    /// Ed25519 by the device over (device, source, seq, hash) of the last bundle; 64 bytes.
    pub signature: Bytes,
}

impl Run {
    /// The head the signature is over.
    pub fn signed_head(&self) -> Option<SignedHead> {
        let last = self.bundles.last()?;
        let (source, head) = (last.dot.source, last.head());
        Some(SignedHead { device: self.device, source, head, signature: self.signature.clone() })
    }
}

/// A device's word that its source stood there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedHead {
    /// Who signed.
    pub device: DeviceId,
    /// Which source.
    pub source: SourceId,
    /// Where it stood.
    pub head: Head,
    /// 64 bytes.
    pub signature: Bytes,
}

/// A run as it is stored and sent: bodies only.
#[derive(Clone, Debug, PartialEq)]
pub struct RunBodies {
    /// Whose source.
    pub device: DeviceId,
    /// Which source.
    pub source: SourceId,
    /// Position of the first body.
    pub first: Seq,
    /// Hash of the bundle before the first.
    pub prev: Hash,
    /// The bodies, in order.
    pub bodies: Vec<Bytes>,
    /// Signature over the head at the last body.
    pub signature: Bytes,
}

/// A parcel as read from bytes; nothing in it is verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Parcel {
    /// What is said.
    pub letter: Letter,
    /// What is delivered.
    pub runs: Vec<Run>,
}

/// A parcel whose signatures hold: the letter was signed by its sender, each run's head by the run's device. Runs, records and evidence that
/// did not verify are left out and counted.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedParcel {
    /// What is said.
    pub letter: Letter,
    /// The records that verified, out of the letter's.
    pub records: Vec<Verified<SignedRecord>>,
    /// The epochs whose gifts opened, out of the letter's.
    pub epochs: Vec<KeptEpoch>,
    /// The runs that verified.
    pub runs: Vec<Verified<Run>>,
    /// The evidence that verified, out of the letter's.
    pub evidence: Vec<Verified<Evidence>>,
    /// The statements that verified, out of the letter's, and the sender's own.
    pub statements: Vec<Verified<Statement>>,
    /// How many runs, records, statements and pieces of evidence did not.
    pub rejected: u32,
}

impl VerifiedParcel {
    /// A parcel of which only the letter is left.
    pub fn bare(letter: Letter) -> Self {
        let (records, epochs, runs) = (Vec::new(), Vec::new(), Vec::new());
        Self { letter, records, epochs, runs, evidence: Vec::new(), statements: Vec::new(), rejected: 0 }
    }
}

/// Why bytes are not a parcel.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParcelError {
    /// Too long.
    #[error("a parcel has at most {MAX_PARCEL} bytes, this one has {0}")]
    TooLarge(usize),
    /// Not the expected shape.
    #[error("parcel refused: {0}")]
    Malformed(&'static str),
}

/// Writes a parcel. The caller keeps runs within [`RUN_TARGET`] plus one bundle.
pub fn encode(letter: &Letter, runs: &[RunBodies]) -> Result<Vec<u8>, ParcelError> {
    let runs = runs.iter().map(RunWire::from).collect();
    let bytes = ParcelWire { runs, ..ParcelWire::from(letter) }.encode_to_vec();
    if bytes.len() > MAX_PARCEL { Err(ParcelError::TooLarge(bytes.len())) } else { Ok(bytes) }
}

impl Parcel {
    /// Reads a parcel; bounded, never panics.
    pub fn decode(bytes: &[u8]) -> Result<Self, ParcelError> {
        use ParcelError::Malformed;
        if bytes.len() > MAX_PARCEL {
            return Err(ParcelError::TooLarge(bytes.len()));
        }
        if !bound::has_at_most(bytes, MAX_PARTS) {
            return Err(Malformed("more parts than a parcel may have"));
        }
        let wire = ParcelWire::decode(bytes).map_err(|_| Malformed("not protobuf"))?;
        if wire.version != VERSION {
            return Err(Malformed("unknown version"));
        }
        if wire.runs.len() > MAX_RUNS
            || wire.vector.len() > MAX_VECTOR
            || wire.wants.len() > MAX_VECTOR
            || wire.ended.len() > MAX_ENDED
            || wire.sums.len() > MAX_SUMS
            || wire.epochs.len() > MAX_GIVEN
            || wire.evidence.len() > MAX_PIECES
        {
            return Err(Malformed("more entries than a parcel may have"));
        }
        let proving: usize = wire.evidence.iter().map(EvidenceWire::bodies).sum();
        if wire.runs.iter().map(|run| run.bodies.len()).sum::<usize>() + proving > MAX_BODIES {
            return Err(Malformed("more bundles than a parcel may have"));
        }
        let runs = wire.runs.iter().map(RunWire::read).collect::<Result<_, _>>()?;
        Ok(Self { letter: wire.letter()?, runs })
    }
}

const VERSION: u32 = 1;

#[derive(Clone, PartialEq, Message)]
struct ParcelWire {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    sender: Vec<u8>,
    #[prost(uint64, tag = "3")]
    written: u64,
    #[prost(uint64, tag = "4")]
    generation: u64,
    #[prost(message, repeated, tag = "5")]
    vector: Vec<HeadWire>,
    #[prost(message, repeated, tag = "6")]
    runs: Vec<RunWire>,
    #[prost(message, repeated, tag = "7")]
    wants: Vec<WantWire>,
    #[prost(message, repeated, tag = "8")]
    records: Vec<SignedWire>,
    #[prost(bytes = "vec", tag = "9")]
    roster_hash: Vec<u8>,
    #[prost(uint32, tag = "10")]
    prekey_slot: u32,
    #[prost(bytes = "bytes", tag = "11")]
    prekey: Bytes,
    #[prost(uint32, tag = "12")]
    epoch: u32,
    #[prost(bytes = "vec", tag = "13")]
    digest: Vec<u8>,
    #[prost(uint32, tag = "14")]
    op_level: u32,
    #[prost(bool, tag = "15")]
    receipt_requested: bool,
    #[prost(bytes = "vec", repeated, tag = "16")]
    relays: Vec<Vec<u8>>,
    #[prost(bool, tag = "17")]
    sums_requested: bool,
    #[prost(bool, tag = "18")]
    sums_told: bool,
    #[prost(message, repeated, tag = "19")]
    sums: Vec<SumWire>,
    #[prost(uint32, tag = "20")]
    term: u32,
    #[prost(message, repeated, tag = "21")]
    ended: Vec<EndedWire>,
    /// What [`Hydration`] writes: its parts are counted before they are decoded.
    #[prost(bytes = "bytes", tag = "30")]
    hydration: Bytes,
    #[prost(bytes = "vec", tag = "41")]
    verdicts: Vec<u8>,
    #[prost(message, repeated, tag = "42")]
    evidence: Vec<EvidenceWire>,
    #[prost(uint32, tag = "43")]
    trials: u32,
    #[prost(bytes = "vec", tag = "50")]
    epoch_id: Vec<u8>,
    #[prost(message, repeated, tag = "51")]
    epochs: Vec<given::GivenWire>,
    #[prost(uint64, tag = "60")]
    addressee_generation: u64,
    #[prost(uint32, tag = "52")]
    known_slot: u32,
    #[prost(bytes = "bytes", tag = "80")]
    signature: Bytes,
    #[prost(message, repeated, tag = "81")]
    statements: Vec<statement::StatementWire>,
    #[prost(message, repeated, tag = "82")]
    distant: Vec<statement::DistantWire>,
    /// What [`Bodies`] writes: its parts are counted before they are decoded.
    #[prost(bytes = "bytes", tag = "70")]
    bodies: Bytes,
    /// What [`Contents`] writes, for the same reason.
    #[prost(bytes = "bytes", tag = "71")]
    contents: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct EndedWire {
    #[prost(bytes = "vec", tag = "1")]
    source: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    device: Vec<u8>,
    #[prost(uint64, tag = "30")]
    seq: u64,
    #[prost(bytes = "vec", tag = "31")]
    hash: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RunWire {
    #[prost(bytes = "vec", tag = "1")]
    device: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    source: Vec<u8>,
    #[prost(uint64, tag = "3")]
    first: u64,
    #[prost(bytes = "vec", tag = "4")]
    prev: Vec<u8>,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub(crate) bodies: Vec<Bytes>,
    #[prost(bytes = "bytes", tag = "6")]
    signature: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct SumWire {
    #[prost(string, tag = "1")]
    collection: String,
    #[prost(bytes = "vec", tag = "2")]
    sum: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct WantWire {
    #[prost(bytes = "vec", tag = "1")]
    source: Vec<u8>,
    #[prost(uint64, tag = "2")]
    after: u64,
    #[prost(uint64, tag = "3")]
    upto: u64,
    #[prost(bool, tag = "40")]
    exact: bool,
}

#[derive(Clone, PartialEq, Message)]
struct SignedWire {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    signature: Bytes,
}

impl From<&Letter> for ParcelWire {
    fn from(letter: &Letter) -> Self {
        let wants = letter.wants.iter().map(|want| WantWire {
            source: want.source.0.to_vec(),
            after: want.after.0,
            upto: want.upto.0,
            exact: want.exact,
        });
        let records = letter
            .records
            .iter()
            .map(|record| SignedWire { bytes: record.bytes.clone(), signature: record.signature.clone() });
        Self {
            version: VERSION,
            sender: letter.sender.0.to_vec(),
            written: letter.written.0,
            generation: letter.receipt.generation,
            vector: letter.receipt.vector.iter().map(HeadWire::from).collect(),
            runs: Vec::new(),
            wants: wants.collect(),
            records: records.collect(),
            roster_hash: letter.roster_hash.0.to_vec(),
            prekey_slot: letter.prekey.slot,
            prekey: letter.prekey.public.clone(),
            known_slot: letter.known_slot,
            epoch: letter.epoch.number,
            epoch_id: given::id(letter.epoch),
            epochs: letter.epochs.iter().map(given::GivenWire::from).collect(),
            digest: letter.digest.map(|digest| digest.0.to_vec()).unwrap_or_default(),
            op_level: letter.op_level,
            addressee_generation: letter.addressee_generation,
            receipt_requested: letter.receipt_requested,
            relays: letter.relays.iter().map(|relay| relay.0.to_vec()).collect(),
            term: letter.receipt.term,
            trials: letter.receipt.trials,
            ended: letter.ended.iter().map(EndedWire::from).collect(),
            sums_requested: letter.sums_requested,
            sums_told: letter.sums.is_some(),
            sums: letter.sums.iter().flatten().map(SumWire::from).collect(),
            hydration: letter.hydration.encode(),
            verdicts: letter.verdicts.map(|hash| hash.0.to_vec()).unwrap_or_default(),
            evidence: letter.evidence.iter().map(Evidence::wire).collect(),
            signature: letter.signature.clone().unwrap_or_default(),
            statements: letter.statements.iter().map(From::from).collect(),
            distant: letter.distant.iter().map(From::from).collect(),
            bodies: letter.bodies.encode(),
            contents: letter.contents.encode(),
        }
    }
}

impl From<&Ended> for EndedWire {
    fn from(ended: &Ended) -> Self {
        let stands = Some(ended.stands).filter(|stands| stands.seq > Seq::ZERO);
        Self {
            source: ended.source.0.to_vec(),
            device: ended.device.0.to_vec(),
            seq: ended.stands.seq.0,
            hash: stands.map(|stands| stands.hash.0.to_vec()).unwrap_or_default(),
        }
    }
}

impl EndedWire {
    fn read(&self) -> Option<Ended> {
        let stands = match self.seq {
            0 => Head::default(),
            seq => Head { seq: Seq(seq), hash: Hash::from_slice(&self.hash)? },
        };
        Some(Ended { source: SourceId::from_slice(&self.source)?, device: DeviceId::from_slice(&self.device)?, stands })
    }
}

impl From<&(String, Sum)> for SumWire {
    fn from((collection, sum): &(String, Sum)) -> Self {
        Self { collection: collection.clone(), sum: sum.to_bytes().to_vec() }
    }
}

impl SumWire {
    fn read(self) -> Option<(String, Sum)> {
        Some((self.collection, Sum::from_bytes(self.sum.as_slice().try_into().ok()?)))
    }
}

impl ParcelWire {
    fn letter(self) -> Result<Letter, ParcelError> {
        use ParcelError::Malformed;
        let vector = self.vector.iter().map(HeadWire::read).collect::<Option<VersionVector>>();
        let wants = self.wants.iter().map(|want| {
            let source = SourceId::from_slice(&want.source)?;
            Some(Want { source, after: Seq(want.after), upto: Seq(want.upto), exact: want.exact })
        });
        let relays = self.relays.iter().map(|relay| RelayId::from_slice(relay)).collect::<Option<_>>();
        let ended = self.ended.iter().map(EndedWire::read).collect::<Option<_>>();
        let digest = match self.digest.as_slice() {
            [] => None,
            digest => Some(Hash::from_slice(digest).ok_or(Malformed("digest is not 32 bytes"))?),
        };
        let verdicts = match self.verdicts.as_slice() {
            [] => None,
            hash => Some(Hash::from_slice(hash).ok_or(Malformed("the hash of ended sources is not 32 bytes"))?),
        };
        if !self.prekey.is_empty() && self.prekey.len() != PREKEY_BYTES {
            return Err(Malformed("prekey is not 1216 bytes"));
        }
        let epoch = given::name(self.epoch, &self.epoch_id).ok_or(Malformed("epoch id is not 16 bytes"))?;
        let epochs = self.epochs.into_iter().map(given::GivenWire::read).collect::<Option<_>>();
        let sums = self.sums.into_iter().map(SumWire::read).collect::<Option<_>>().ok_or(Malformed("bad sum"))?;
        let hydration = Hydration::decode(&self.hydration).ok_or(Malformed("bad part of a snapshot"))?;
        let statements = statement::read(&self.statements).ok_or(Malformed("bad statement"))?;
        let distant = statement::read_distant(&self.distant).ok_or(Malformed("bad name of a distant sibling"))?;
        if !matches!(self.signature.len(), 0 | 64) {
            return Err(Malformed("a signature is 64 bytes"));
        }
        let bodies = Bodies::decode(&self.bodies).ok_or(Malformed("bad word about contents"))?;
        let contents = Contents::decode(&self.contents).ok_or(Malformed("bad contents"))?;
        let records = self.records.into_iter();
        Ok(Letter {
            sender: DeviceId::from_slice(&self.sender).ok_or(Malformed("sender is not 16 bytes"))?,
            written: Millis(self.written),
            receipt: Receipt {
                generation: self.generation,
                term: self.term,
                trials: self.trials,
                vector: vector.ok_or(Malformed("bad vector entry"))?,
            },
            wants: wants.collect::<Option<_>>().ok_or(Malformed("bad want"))?,
            records: records.map(|r| SignedRecord { bytes: r.bytes, signature: r.signature }).collect(),
            roster_hash: Hash::from_slice(&self.roster_hash).ok_or(Malformed("roster hash is not 32 bytes"))?,
            prekey: Prekey { slot: self.prekey_slot, public: self.prekey },
            known_slot: self.known_slot,
            epoch,
            epochs: epochs.ok_or(Malformed("bad gift of an epoch"))?,
            digest,
            op_level: self.op_level,
            addressee_generation: self.addressee_generation,
            receipt_requested: self.receipt_requested,
            relays: relays.ok_or(Malformed("bad relay id"))?,
            ended: ended.ok_or(Malformed("bad source of a removed device"))?,
            sums_requested: self.sums_requested,
            sums: self.sums_told.then_some(sums),
            hydration,
            verdicts,
            evidence: self.evidence.iter().map(EvidenceWire::read).collect::<Result<_, _>>()?,
            signature: Some(self.signature).filter(|signature| !signature.is_empty()),
            statements,
            distant,
            bodies,
            contents,
        })
    }
}

impl From<&RunBodies> for RunWire {
    fn from(run: &RunBodies) -> Self {
        Self {
            device: run.device.0.to_vec(),
            source: run.source.0.to_vec(),
            first: run.first.0,
            prev: run.prev.0.to_vec(),
            bodies: run.bodies.clone(),
            signature: run.signature.clone(),
        }
    }
}

impl RunWire {
    pub(crate) fn read(&self) -> Result<Run, ParcelError> {
        use ParcelError::Malformed;
        let source = SourceId::from_slice(&self.source).ok_or(Malformed("source is not 16 bytes"))?;
        let device = DeviceId::from_slice(&self.device).ok_or(Malformed("device is not 16 bytes"))?;
        let mut prev = Hash::from_slice(&self.prev).ok_or(Malformed("chain hash is not 32 bytes"))?;
        if self.bodies.is_empty() || self.first == 0 || self.signature.len() != 64 {
            return Err(Malformed("a run has a first position, a body and a signature of 64 bytes"));
        }
        let mut bundles = Vec::with_capacity(self.bodies.len());
        let mut seq = Seq(self.first);
        for body in &self.bodies {
            let bundle = Bundle::rebuild(Dot { source, seq }, prev, body.clone());
            let bundle = bundle.map_err(|_| Malformed("a bundle is larger than 1 MiB"))?;
            (prev, seq) = (bundle.hash, seq.next());
            bundles.push(bundle);
        }
        Ok(Run { device, bundles, signature: self.signature.clone() })
    }
}

/// A letter that says nothing but who speaks; a start for building one.
impl Letter {
    /// What the sender says of itself, with its signature if it gave one.
    pub fn statement(&self) -> Statement {
        Statement {
            device: self.sender,
            receipt: self.receipt.clone(),
            relays: self.relays.clone(),
            op_level: self.op_level,
            roster_hash: self.roster_hash,
            epoch: self.epoch,
            signature: self.signature.clone().unwrap_or_default(),
        }
    }

    /// A bare letter from `sender`.
    pub fn bare(sender: DeviceId, written: Millis) -> Self {
        Self {
            sender,
            written,
            receipt: Receipt::default(),
            wants: Vec::new(),
            records: Vec::new(),
            roster_hash: Hash::default(),
            prekey: Prekey::default(),
            known_slot: 0,
            epoch: Epoch::default(),
            epochs: Vec::new(),
            digest: None,
            op_level: OP_LEVEL,
            addressee_generation: 0,
            receipt_requested: false,
            relays: Vec::new(),
            ended: Vec::new(),
            sums_requested: false,
            sums: None,
            hydration: Hydration::default(),
            verdicts: None,
            evidence: Vec::new(),
            signature: None,
            statements: Vec::new(),
            distant: Vec::new(),
            bodies: Bodies::default(),
            contents: Contents::default(),
        }
    }
}

#[cfg(test)]
mod tests;
