//! Bodies of bundles: every body has a hash and a place, readable or not.
#![no_main]

use bytes::Bytes;
use kinfolk_core::bundle::Bundle;
use kinfolk_core::ids::{Dot, Hash, Seq, SourceId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let dot = Dot { source: SourceId([1; 16]), seq: Seq(1) };
    if let Ok(bundle) = Bundle::rebuild(dot, Hash::default(), Bytes::copy_from_slice(bytes)) {
        bundle.ops().iter().for_each(|op| drop(op.meaning()));
    }
});
