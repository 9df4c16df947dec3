//! How many parts a protobuf message has, before it is decoded.
//!
//! A decoder allocates for every part of a message, and an empty part costs two bytes on the wire: a parcel of 1.25 MiB could ask for a
//! hundred times its size. So the parts are counted first, without allocating, and a message with too many is refused.

/// Whether the message has at most `most` fields at its top level. Bytes that are no message are left to the decoder.
pub(crate) fn has_at_most(bytes: &[u8], most: usize) -> bool {
    let mut rest = bytes;
    for _ in 0..=most {
        if rest.is_empty() {
            return true;
        }
        match field(rest) {
            Some((_, after)) => rest = after,
            None => return true,
        }
    }
    false
}

/// The number of the first field, and what follows it; `None` when there is none that can be read.
pub(crate) fn field(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (tag, rest) = varint(bytes)?;
    let after = match tag & 0b111 {
        VARINT => varint(rest)?.1,
        FIXED_64 => rest.get(8..)?,
        LENGTH => {
            let (length, rest) = varint(rest)?;
            rest.get(usize::try_from(length).ok()?..)?
        }
        FIXED_32 => rest.get(4..)?,
        _ => return None,
    };
    Some((tag >> 3, after))
}

/// A number of at most ten bytes, seven bits each, lowest first.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(at + 1..)?));
        }
    }
    None
}

// Wire types of protobuf. Groups (3 and 4) are never written, and the decoder's recursion limit stops them.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    struct Sample {
        #[prost(uint64, tag = "1")]
        number: u64,
        #[prost(fixed64, tag = "2")]
        wide: u64,
        #[prost(fixed32, tag = "3")]
        narrow: u32,
        #[prost(bytes = "vec", repeated, tag = "400")]
        parts: Vec<Vec<u8>>,
    }

    #[test]
    fn parts_of_every_kind_are_counted() {
        let sample = Sample { number: u64::MAX, wide: 1, narrow: 1, parts: vec![vec![], vec![7; 300], vec![]] };
        let bytes = sample.encode_to_vec();
        assert!(has_at_most(&bytes, 6));
        assert!(!has_at_most(&bytes, 5));
        assert!(has_at_most(&[], 0));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_count_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), most in 0..50_usize) {
            has_at_most(&bytes, most);
        }
    }
}
