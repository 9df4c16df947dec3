//! What a false sibling seals: padding and compression are undone within bounds.
#![no_main]

use kinfolk::seal::{compress, padding};
use kinfolk_core::parcel::{MAX_PARCEL, Parcel};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let content = padding::unpad(bytes).unwrap_or(bytes);
    if let Ok(parcel) = compress::decompress(content) {
        assert!(parcel.len() <= MAX_PARCEL);
        drop(Parcel::decode(&parcel));
    }
});
