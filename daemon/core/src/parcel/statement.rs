//! Statements: receipts that others pass on.
//!
//! Devices that share no relay do not hear each other's receipts, and a receipt decides what may be compacted. So whoever passes one on must not
//! be able to change it: it travels as a *statement*, signed by the device that holds what it says. A letter carries the sender's own signature when the
//! sender knows somebody who cannot hear it, and says of whom the sender itself hears too little ([`Distant`]).

use bytes::Bytes;
use prost::Message;

use super::{MAX_VECTOR, Receipt, given};
use crate::bundle::HeadWire;
use crate::epoch::Epoch;
use crate::ids::{DeviceId, Hash, RelayId};
use crate::vector::VersionVector;

/// Most statements in a letter, and most devices that a letter says it cannot hear.
pub const MAX_STATEMENTS: usize = 64;
/// Most relays of a statement.
pub const MAX_STATED_RELAYS: usize = 64;

/// What a device says of itself, in its own words.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Statement {
    /// Who says it.
    pub device: DeviceId,
    /// What it holds.
    pub receipt: Receipt,
    /// The relays it polls.
    pub relays: Vec<RelayId>,
    /// The greatest op kind it understands.
    pub op_level: u32,
    /// [`crate::roster::Roster::hash`] of its roster.
    pub roster_hash: Hash,
    /// The epoch it lives in.
    pub epoch: Epoch,
    /// Ed25519 by the device over [`Self::content`]; 64 bytes.
    pub signature: Bytes,
}

impl Statement {
    /// The hash of what is said.
    pub fn content(&self) -> Hash {
        let Receipt { generation, term, trials, vector } = &self.receipt;
        let (term, trials, level) = (term.to_be_bytes(), trials.to_be_bytes(), self.op_level.to_be_bytes());
        let mut bytes = [self.device.0.as_slice(), &generation.to_be_bytes(), &term, &trials, &level].concat();
        bytes.extend_from_slice(&self.roster_hash.0);
        bytes.extend_from_slice(&self.epoch.number.to_be_bytes());
        bytes.extend_from_slice(&self.epoch.id);
        let relays = u32::try_from(self.relays.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&relays.to_be_bytes());
        self.relays.iter().for_each(|relay| bytes.extend_from_slice(&relay.0));
        for (source, head) in vector.iter() {
            bytes.extend_from_slice(&source.0);
            bytes.extend_from_slice(&head.seq.0.to_be_bytes());
            bytes.extend_from_slice(&head.hash.0);
        }
        Hash::of(&bytes)
    }

    /// About how many bytes it takes in a letter.
    pub(crate) fn size(&self) -> usize {
        self.receipt.vector.len() * HEAD_BYTES + self.relays.len() * RELAY_BYTES + OTHER_BYTES
    }
}

/// How much a receipt says: of two of one device the greater is the later. Within a generation and a term a vector only grows, so the sum of its
/// positions tells.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Extent {
    /// Of the device's active source.
    pub generation: u64,
    /// How many roster records the device holds.
    pub term: u32,
    /// How many sources it knows to have ended because they were written twice.
    pub trials: u32,
    /// How many bundles it holds.
    pub bundles: u64,
}

impl From<&Receipt> for Extent {
    fn from(receipt: &Receipt) -> Self {
        let (generation, term, trials) = receipt.age();
        let bundles = VersionVector::default().lacking(&receipt.vector);
        Self { generation, term, trials, bundles }
    }
}

/// A sibling that the sender of a letter cannot hear, and what it knows of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Distant {
    /// The sibling.
    pub device: DeviceId,
    /// Of its last receipt that was passed on to the sender.
    pub known: Extent,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StatementWire {
    #[prost(bytes = "vec", tag = "1")]
    device: Vec<u8>,
    #[prost(uint64, tag = "2")]
    generation: u64,
    #[prost(uint32, tag = "3")]
    term: u32,
    #[prost(message, repeated, tag = "4")]
    vector: Vec<HeadWire>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    relays: Vec<Vec<u8>>,
    #[prost(uint32, tag = "6")]
    op_level: u32,
    #[prost(bytes = "bytes", tag = "7")]
    signature: Bytes,
    #[prost(bytes = "vec", tag = "8")]
    roster_hash: Vec<u8>,
    #[prost(uint32, tag = "9")]
    epoch: u32,
    #[prost(bytes = "vec", tag = "10")]
    epoch_id: Vec<u8>,
    #[prost(uint32, tag = "11")]
    trials: u32,
}

impl From<&Statement> for StatementWire {
    fn from(statement: &Statement) -> Self {
        let Statement { device, receipt, relays, op_level, roster_hash, epoch, signature } = statement;
        Self {
            device: device.0.to_vec(),
            generation: receipt.generation,
            term: receipt.term,
            trials: receipt.trials,
            vector: receipt.vector.iter().map(HeadWire::from).collect(),
            relays: relays.iter().map(|relay| relay.0.to_vec()).collect(),
            op_level: *op_level,
            signature: signature.clone(),
            roster_hash: roster_hash.0.to_vec(),
            epoch: epoch.number,
            epoch_id: given::id(*epoch),
        }
    }
}

impl StatementWire {
    fn read(&self) -> Option<Statement> {
        if self.relays.len() > MAX_STATED_RELAYS || self.signature.len() != 64 {
            return None;
        }
        let vector = self.vector.iter().map(HeadWire::read).collect::<Option<_>>()?;
        Some(Statement {
            device: DeviceId::from_slice(&self.device)?,
            receipt: Receipt { generation: self.generation, term: self.term, trials: self.trials, vector },
            relays: self.relays.iter().map(|relay| RelayId::from_slice(relay)).collect::<Option<_>>()?,
            op_level: self.op_level,
            roster_hash: Hash::from_slice(&self.roster_hash)?,
            epoch: given::name(self.epoch, &self.epoch_id)?,
            signature: self.signature.clone(),
        })
    }
}

/// Reads the statements of a letter; `None` when there are too many, or one is none.
pub(super) fn read(wires: &[StatementWire]) -> Option<Vec<Statement>> {
    let heads: usize = wires.iter().map(|wire| wire.vector.len()).sum();
    if wires.len() > MAX_STATEMENTS || heads > MAX_VECTOR {
        return None;
    }
    wires.iter().map(StatementWire::read).collect()
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DistantWire {
    #[prost(bytes = "vec", tag = "1")]
    device: Vec<u8>,
    #[prost(uint64, tag = "2")]
    generation: u64,
    #[prost(uint32, tag = "3")]
    term: u32,
    #[prost(uint64, tag = "4")]
    bundles: u64,
    #[prost(uint32, tag = "5")]
    trials: u32,
}

impl From<&Distant> for DistantWire {
    fn from(distant: &Distant) -> Self {
        let Extent { generation, term, trials, bundles } = distant.known;
        Self { device: distant.device.0.to_vec(), generation, term, trials, bundles }
    }
}

/// Reads whom a letter says it cannot hear; `None` when there are too many, or one is no device.
pub(super) fn read_distant(wires: &[DistantWire]) -> Option<Vec<Distant>> {
    let read = |wire: &DistantWire| {
        let (term, trials) = (wire.term, wire.trials);
        let known = Extent { generation: wire.generation, term, trials, bundles: wire.bundles };
        Some(Distant { device: DeviceId::from_slice(&wire.device)?, known })
    };
    if wires.len() > MAX_STATEMENTS { None } else { wires.iter().map(read).collect() }
}

/// What a head takes: source 18, position at most 11, hash 34, and 2 around them.
const HEAD_BYTES: usize = 65;
const RELAY_BYTES: usize = 18;
/// Device 18, signature 66, roster hash 34, epoch 6 and 18, generation 11, term 6, trials 6, op level 6, and 5
/// around them.
const OTHER_BYTES: usize = 176;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Seq, SourceId};
    use crate::vector::Head;

    fn statement(heads: u16) -> Statement {
        let source = |n: u16| {
            let mut id = [0; 16];
            id[..2].copy_from_slice(&n.to_be_bytes());
            SourceId(id)
        };
        let head = Head { seq: Seq(u64::MAX), hash: Hash([7; 32]) };
        let vector = (0..heads).map(|n| (source(n), head)).collect();
        Statement {
            device: DeviceId([1; 16]),
            receipt: Receipt { generation: u64::MAX, term: u32::MAX, trials: u32::MAX, vector },
            relays: vec![RelayId([2; 16]); 3],
            op_level: u32::MAX,
            roster_hash: Hash([3; 32]),
            epoch: Epoch { number: u32::MAX, id: [4; 16] },
            signature: Bytes::from_static(&[9; 64]),
        }
    }

    #[test]
    fn a_statement_survives_its_bytes_and_takes_no_more_room_than_it_says() {
        for heads in [0, 1, 300] {
            let statement = statement(heads);
            let wire = StatementWire::from(&statement);
            let (len, size) = (wire.encoded_len() + 4, statement.size());
            assert!((len..=len + 100).contains(&size), "{len} bytes, said to be {size}");
            assert_eq!(read(&[wire]), Some(vec![statement]));
        }
    }

    #[test]
    fn all_that_is_said_is_in_the_hash() {
        let before = statement(2);
        let changed = |change: fn(&mut Statement)| {
            let mut after = before.clone();
            change(&mut after);
            after.content()
        };
        let others = [
            changed(|it| it.device = DeviceId([9; 16])),
            changed(|it| it.receipt.generation = 1),
            changed(|it| it.receipt.term = 1),
            changed(|it| it.receipt.trials = 1),
            changed(|it| it.op_level = 1),
            changed(|it| it.relays.clear()),
            changed(|it| it.roster_hash = Hash([8; 32])),
            changed(|it| it.epoch.number = 1),
            changed(|it| it.epoch.id = [8; 16]),
            changed(|it| it.receipt.vector = statement(1).receipt.vector),
            changed(|it| it.receipt.vector.advance(SourceId([8; 16]), Head { seq: Seq(1), hash: Hash([1; 32]) })),
        ];
        assert!(others.iter().all(|other| *other != before.content()));
        assert_eq!(changed(|it| it.signature = Bytes::new()), before.content());
    }

    #[test]
    fn more_than_a_letter_may_hold_is_refused() {
        let one = StatementWire::from(&statement(1));
        assert!(read(&vec![one.clone(); MAX_STATEMENTS]).is_some());
        assert_eq!(read(&vec![one.clone(); MAX_STATEMENTS + 1]), None);
        let full = u16::try_from(MAX_VECTOR / 2).unwrap();
        assert!(read(&vec![StatementWire::from(&statement(full)); 2]).is_some());
        assert_eq!(
            read(&vec![StatementWire::from(&statement(600)); 2]),
            None,
            "two vectors of 600 are more than 1,024 heads"
        );
        let looks = |relays: usize| read(&[StatementWire { relays: vec![vec![1; 16]; relays], ..one.clone() }]);
        assert!(looks(MAX_STATED_RELAYS).is_some() && looks(MAX_STATED_RELAYS + 1).is_none());
        assert_eq!(read(&[StatementWire { signature: Bytes::from_static(&[1; 63]), ..one.clone() }]), None);
        assert_eq!(read(&[StatementWire { device: vec![1; 15], ..one }]), None);
        let distant = DistantWire::from(&Distant { device: DeviceId([1; 16]), known: Extent::default() });
        assert!(read_distant(&vec![distant.clone(); MAX_STATEMENTS]).is_some());
        assert_eq!(read_distant(&vec![distant; MAX_STATEMENTS + 1]), None);
    }

    #[test]
    fn of_two_receipts_of_one_device_the_one_that_says_more_is_the_greater() {
        let extent = |generation, term, heads| {
            let vector = statement(heads).receipt.vector.iter().map(|(s, h)| (s, Head { seq: Seq(2), ..h })).collect();
            Extent::from(&Receipt { generation, term, trials: 0, vector })
        };
        assert_eq!(extent(1, 1, 3), Extent { generation: 1, term: 1, trials: 0, bundles: 6 });
        assert!(extent(1, 1, 3) > extent(1, 1, 2));
        assert!(extent(1, 2, 1) > extent(1, 1, 3));
        assert!(extent(2, 1, 1) > extent(1, 2, 3));
    }
}
