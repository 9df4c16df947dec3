//! How numbers and vectors stand in columns.

use kinfolk_core::ids::{Hash, Seq, SourceId};
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

#[cfg(test)]
mod tests {
    use super::*;

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
