//! How numbers and vectors stand in columns.

use kinfolk_core::ids::{Hash, Millis, RelayId, Seq, SourceId};
use kinfolk_core::lane::Mailbox;
use kinfolk_core::step::Posted;
use kinfolk_core::stub::Elsewhere;
use kinfolk_core::vector::{Head, VersionVector};

use super::StoreError;

/// A number without a sign as SQLite's signed number of the same bits.
pub(super) fn int(number: u64) -> i64 {
    number.cast_signed()
}

/// Back again.
pub(super) fn uint(number: i64) -> u64 {
    number.cast_unsigned()
}

/// A page size as SQLite takes it.
pub(super) fn limit(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Small numbers as a blob, four bytes each, big-endian.
pub(super) fn numbers_to_bytes(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// Reads what [`numbers_to_bytes`] wrote.
pub(super) fn numbers_from_bytes(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|chunk| chunk.try_into().map_or(0, u32::from_be_bytes)).collect()
}

/// Source 16 · position 8, big-endian · hash 32.
const ENTRY: usize = SourceId::LEN + 8 + Hash::LEN;

/// A vector as a blob: its entries in order of source.
pub(super) fn vector_to_bytes(vector: &VersionVector) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(vector.len() * ENTRY);
    for (source, head) in vector.iter() {
        bytes.extend_from_slice(&source.0);
        bytes.extend_from_slice(&head.seq.0.to_be_bytes());
        bytes.extend_from_slice(&head.hash.0);
    }
    bytes
}

/// Reads what [`vector_to_bytes`] wrote.
pub(super) fn vector_from_bytes(bytes: &[u8]) -> Result<VersionVector, StoreError> {
    let entry = |chunk: &[u8]| {
        let (source, rest) = chunk.split_first_chunk::<{ SourceId::LEN }>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let hash = Hash::from_slice(rest)?;
        Some((SourceId(*source), Head { seq: Seq(u64::from_be_bytes(*seq)), hash }))
    };
    bytes.chunks(ENTRY).map(entry).collect::<Option<_>>().ok_or(StoreError::Damaged("a vector is cut short"))
}

/// Reads ids of relays, one after the other.
pub(super) fn relays_from_bytes(bytes: &[u8]) -> Result<Vec<RelayId>, StoreError> {
    let ids = bytes.chunks(RelayId::LEN).map(RelayId::from_slice);
    ids.collect::<Option<_>>().ok_or(StoreError::Damaged("the relays of a sibling are cut short"))
}

/// Content 32 · value 32 · size 8.
const ELSEWHERE: usize = 2 * Hash::LEN + 8;

/// What is known of a content that is elsewhere, as a blob.
pub(super) fn elsewhere_to_bytes(elsewhere: &Elsewhere) -> Vec<u8> {
    let Elsewhere { content, value, size } = elsewhere;
    [content.0.as_slice(), &value.0, &size.to_be_bytes()].concat()
}

/// Reads what [`elsewhere_to_bytes`] wrote.
pub(super) fn elsewhere_from_bytes(bytes: &[u8]) -> Result<Elsewhere, StoreError> {
    let read = |bytes: &[u8]| {
        let bytes: &[u8; ELSEWHERE] = bytes.try_into().ok()?;
        let (content, rest) = bytes.split_first_chunk::<{ Hash::LEN }>()?;
        let (value, size) = rest.split_first_chunk::<{ Hash::LEN }>()?;
        let size = u64::from_be_bytes(size.try_into().ok()?);
        Some(Elsewhere { content: Hash(*content), value: Hash(*value), size })
    };
    read(bytes).ok_or(StoreError::Damaged("what is known of a content is cut short"))
}

/// Relay 16 · source 16 · position 8 · parcels 4 · bytes 8 · since 8.
const POSTED: usize = RelayId::LEN + SourceId::LEN + 8 + 4 + 8 + 8;

/// What was left for a sibling on relays, as a blob.
pub(super) fn posted_to_bytes(posted: &[Posted]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(posted.len() * POSTED);
    for Posted { relay, source, mailbox } in posted {
        bytes.extend_from_slice(&relay.0);
        bytes.extend_from_slice(&source.0);
        bytes.extend_from_slice(&mailbox.sent.0.to_be_bytes());
        bytes.extend_from_slice(&mailbox.parcels.to_be_bytes());
        bytes.extend_from_slice(&mailbox.bytes.to_be_bytes());
        bytes.extend_from_slice(&mailbox.since.0.to_be_bytes());
    }
    bytes
}

/// Reads what [`posted_to_bytes`] wrote.
pub(super) fn posted_from_bytes(bytes: &[u8]) -> Result<Vec<Posted>, StoreError> {
    let entry = |chunk: &[u8]| {
        let (relay, rest) = chunk.split_first_chunk::<{ RelayId::LEN }>()?;
        let (source, rest) = rest.split_first_chunk::<{ SourceId::LEN }>()?;
        let (sent, rest) = rest.split_first_chunk::<8>()?;
        let (parcels, rest) = rest.split_first_chunk::<4>()?;
        let (bytes, since) = rest.split_first_chunk::<8>()?;
        let mailbox = Mailbox {
            sent: Seq(u64::from_be_bytes(*sent)),
            parcels: u32::from_be_bytes(*parcels),
            bytes: u64::from_be_bytes(*bytes),
            since: Millis(u64::from_be_bytes(since.try_into().ok()?)),
        };
        Some(Posted { relay: RelayId(*relay), source: SourceId(*source), mailbox })
    };
    let cut = StoreError::Damaged("what was left on relays is cut short");
    bytes.chunks(POSTED).map(entry).collect::<Option<_>>().ok_or(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_on_relays_survives_its_bytes_and_a_cut_one_is_refused() {
        let mailbox = Mailbox { sent: Seq(u64::MAX), parcels: 3, bytes: 1 << 40, since: Millis(1_700_000_000_000) };
        let posted = |n| Posted { relay: RelayId([n; 16]), source: SourceId([9; 16]), mailbox };
        let both = [posted(1), posted(2)];
        let bytes = posted_to_bytes(&both);
        assert_eq!(bytes.len(), 2 * POSTED);
        assert_eq!(posted_from_bytes(&bytes).unwrap(), both);
        assert!(posted_from_bytes(&bytes[1..]).is_err());
    }

    #[test]
    fn a_vector_survives_its_bytes_and_a_cut_one_is_refused() {
        let head = |seq| Head { seq: Seq(seq), hash: Hash([7; 32]) };
        let vector = VersionVector::from_iter([(SourceId([1; 16]), head(3)), (SourceId([2; 16]), head(u64::MAX))]);
        let bytes = vector_to_bytes(&vector);
        assert_eq!(bytes.len(), 2 * ENTRY);
        assert_eq!(vector_from_bytes(&bytes).unwrap(), vector);
        assert!(vector_from_bytes(&bytes[1..]).is_err());
    }

    #[test]
    fn numbers_beyond_the_signed_range_come_back() {
        assert_eq!(uint(int(u64::MAX)), u64::MAX);
    }
}
