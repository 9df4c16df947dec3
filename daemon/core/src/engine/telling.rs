//! The roster in letters: whole while it is small, else in pieces.
//!
//! A letter may travel with a bundle of 1 MiB and gets what is left of the parcel. So a letter holds at most [`ROSTER_ROOM`] of records:
//! a roster that is larger is cut into pieces, from its newest end, since what a sibling lacks is most often what came last. Each
//! telling takes the next piece, and the pause after a telling in vain grows once all of them had their turn.

use super::Engine;
use crate::ids::DeviceId;
use crate::roster::SignedRecord;

/// Records for one letter.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// Parents before children.
    pub(super) records: Vec<SignedRecord>,
    /// How many letters the whole roster takes.
    pub(super) pieces: u32,
}

impl Engine {
    /// The records whose turn it is to be told to a sibling.
    pub(super) fn tell_roster(&mut self, to: DeviceId) -> Telling {
        let pieces = pieces(self.roster.records());
        let count = pieces.len().max(1);
        let Some(sibling) = self.siblings.get_mut(&to) else { return Telling::default() };
        let turn = sibling.roster_turn % count;
        sibling.roster_turn = turn + 1;
        let records = pieces.into_iter().nth(turn).unwrap_or_default();
        Telling { records, pieces: u32::try_from(count).unwrap_or(u32::MAX) }
    }
}

/// Cuts records in causal order into stretches of at most [`ROSTER_ROOM`], the last stretch first.
fn pieces(records: Vec<SignedRecord>) -> Vec<Vec<SignedRecord>> {
    let mut pieces: Vec<Vec<SignedRecord>> = Vec::new();
    let mut room = 0;
    for record in records.into_iter().rev() {
        let size = record.bytes.len() + record.signature.len() + RECORD_OVERHEAD;
        match pieces.last_mut().filter(|_| size <= room) {
            Some(piece) => {
                piece.push(record);
                room -= size;
            }
            None => {
                pieces.push(vec![record]);
                room = ROSTER_ROOM.saturating_sub(size);
            }
        }
    }
    pieces.iter_mut().for_each(|piece| piece.reverse());
    pieces
}

/// Most bytes of records in a letter: 96 KiB, about 60 additions or 300 renames. A parcel of 1.25 MiB holds them beside a bundle of
/// 1 MiB and the largest letter: 1,024 heads of 65 bytes, as many wants of 45, 256 ended sources of 38 are 120 KiB.
const ROSTER_ROOM: usize = 96 * 1024;
/// What a record costs beside its bytes and its signature: three tags, and lengths of at most 3, 2 and 1 bytes.
const RECORD_OVERHEAD: usize = 9;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::bundle::MAX_BODY;
    use crate::epoch::{Epoch, GivenEpoch, MAX_GIFT};
    use crate::ids::{Hash, Millis, RelayId, Seq, SourceId};
    use crate::parcel::{Ended, Letter, MAX_ENDED, MAX_VECTOR, Parcel, RunBodies, Want, encode};
    use crate::roster::{MAX_RECORD_BYTES, MAX_RECORDS, PREKEY_BYTES, Prekey};
    use crate::vector::Head;

    fn record(n: usize, size: usize) -> SignedRecord {
        let mut bytes = vec![0xFF; size];
        bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
        SignedRecord { bytes: bytes.into(), signature: Bytes::from_static(&[0; 64]) }
    }

    #[test]
    fn every_record_of_a_full_roster_has_its_turn_newest_first_and_parents_before_children() {
        let all: Vec<SignedRecord> = (0..MAX_RECORDS).map(|n| record(n, 200 + n % 1_000)).collect();
        let mut pieces = pieces(all.clone());
        assert!(pieces.len() > 10, "{}", pieces.len());
        pieces.reverse();
        assert_eq!(pieces.concat(), all);
    }

    #[test]
    fn the_fullest_letter_fits_into_a_parcel_with_the_largest_bundle() {
        let source = |n: usize| {
            let mut id = [0xFF; 16];
            id[..8].copy_from_slice(&(n as u64).to_be_bytes());
            SourceId(id)
        };
        let far = Seq(u64::MAX);
        for size in [150, 1_700, MAX_RECORD_BYTES] {
            let mut letter = Letter::bare(DeviceId([1; 16]), Millis(u64::MAX));
            (letter.receipt.generation, letter.receipt.term, letter.receipt.trials) = (u64::MAX, u32::MAX, u32::MAX);
            letter.epoch = Epoch { number: u32::MAX, id: [0xFF; 16] };
            letter.epochs = vec![GivenEpoch { epoch: letter.epoch, gift: Bytes::from(vec![0xFF; MAX_GIFT]) }];
            letter.receipt.vector =
                (0..MAX_VECTOR).map(|n| (source(n), Head { seq: far, hash: Hash([0xFF; 32]) })).collect();
            letter.wants =
                (0..MAX_VECTOR).map(|n| Want { source: source(n), after: far, upto: far, exact: true }).collect();
            letter.ended = (0..MAX_ENDED)
                .map(|n| Ended {
                    source: source(n),
                    device: DeviceId([2; 16]),
                    stands: Head { seq: Seq(u64::MAX), hash: Hash([3; 32]) },
                })
                .collect();
            letter.prekey = Prekey { slot: u32::MAX, public: Bytes::from(vec![1; PREKEY_BYTES]) };
            letter.relays = vec![RelayId([3; 16]); 64];
            letter.digest = Some(Hash([4; 32]));
            letter.records = pieces((0..MAX_RECORDS).map(|n| record(n, size)).collect()).remove(0);
            let run = RunBodies {
                device: DeviceId([1; 16]),
                source: source(0),
                first: far,
                prev: Hash([5; 32]),
                bodies: vec![Bytes::from(vec![0xFF; MAX_BODY])],
                signature: Bytes::from_static(&[9; 64]),
            };
            let bytes = encode(&letter, std::slice::from_ref(&run)).unwrap();
            assert_eq!(Parcel::decode(&bytes).unwrap().letter, letter);
            // A watermark takes the room of the records.
            letter.records.clear();
            letter.hydration.watermark = letter.receipt.vector.clone();
            let bytes = encode(&letter, &[run]).unwrap();
            assert_eq!(Parcel::decode(&bytes).unwrap().letter, letter);
        }
    }

    #[test]
    fn a_piece_is_as_full_as_it_may_be_with_all_that_records_cost() {
        let pieces = pieces((0..200).map(|n| record(n, 1_000)).collect());
        assert_eq!(pieces[0].len(), 91, "96 KiB hold 91 records of 1,000 + 64 + 9 bytes");
        let filled: Vec<Vec<SignedRecord>> = super::pieces((0..8).map(|n| record(n, ROSTER_ROOM / 4 - 73)).collect());
        assert_eq!(filled.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4]);
    }
}
