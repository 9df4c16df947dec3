//! What a chunk may hold, tried at its limits.

use prost::Message;

use super::tests::{chunk, mark};
use super::wire::{ChunkWire, EndWire};
use super::*;
use crate::parcel::MAX_VECTOR;

/// What becomes of a chunk on its way.
fn carried(chunk: &Chunk) -> Option<Chunk> {
    ChunkWire::decode_bounded(&ChunkWire::from(chunk).encode_to_vec())
}

#[test]
fn a_chunk_holds_as_many_entries_and_ends_as_it_may_and_no_more() {
    let Chunk { entries, ends, .. } = chunk();
    for (count, fits) in [(MAX_ENTRIES, true), (MAX_ENTRIES + 1, false)] {
        let full = Chunk { entries: vec![entries[0].clone(); count], ends: Vec::new(), ..chunk() };
        assert_eq!(carried(&full).is_some(), fits, "{count} entries");
    }
    for (count, fits) in [(MAX_VECTOR, true), (MAX_VECTOR + 1, false)] {
        let full = Chunk { entries: Vec::new(), ends: vec![ends[0].clone(); count], ..chunk() };
        assert_eq!(carried(&full).is_some(), fits, "{count} ends");
    }
    let head = Head { seq: Seq(1), hash: Hash([7; 32]) };
    for (count, fits) in [(MAX_VECTOR, true), (MAX_VECTOR + 1, false)] {
        let source = |n: usize| SourceId(std::array::from_fn(|at| n.to_be_bytes().get(at).copied().unwrap_or(1)));
        let context = VersionVector::from_iter((0..count).map(|n| (source(n), head)));
        let full = Chunk { ends: vec![End { at: Mark { context, ..mark(5) }, ..ends[0].clone() }], ..chunk() };
        assert_eq!(carried(&full).is_some(), fits, "a context of {count}");
    }
}

#[test]
fn a_chunk_of_no_snapshot_and_an_entry_at_no_position_are_refused() {
    assert_eq!(carried(&Chunk { snapshot: 0, ..chunk() }), None);
    let mut nowhere = chunk();
    nowhere.entries[0].seq = Seq::ZERO;
    assert_eq!(carried(&nowhere), None);
}

#[test]
fn a_source_that_was_never_compacted_takes_no_bytes_for_its_floor() {
    let never = End { floor: Mark::default(), ..chunk().ends[0].clone() };
    assert_eq!(EndWire::from(&never).floor, None);
}

#[test]
fn what_has_as_many_parts_as_all_its_lists_may_have_is_decoded_and_with_many_more_it_is_not() {
    // The number of the snapshot, then field 99, empty: 16,384 entries, 1,024 ends, and a few kinds that stand once.
    let chunk = |count: usize| ChunkWire::decode_bounded(&[vec![0x08, 1], [0x9A, 0x06, 0].repeat(count - 1)].concat());
    assert!(chunk(17_408 + 4).is_some() && chunk(17_408 + 40).is_none());
    let watermark = |count: usize| Hydration::decode(&[0x9A, 0x06, 0].repeat(count));
    assert!(watermark(1_024 + 2).is_some() && watermark(1_024 + 40).is_none());
}
