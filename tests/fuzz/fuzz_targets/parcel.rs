//! Parcels from siblings: whatever the bytes, reading answers, and every op has a meaning.
#![no_main]

use kinfolk_core::bundle::Bundle;
use kinfolk_core::parcel::Parcel;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(parcel) = Parcel::decode(bytes) {
        let bundles = parcel.runs.iter().flat_map(|run| &run.bundles);
        bundles.flat_map(Bundle::ops).for_each(|op| drop(op.meaning()));
    }
});
