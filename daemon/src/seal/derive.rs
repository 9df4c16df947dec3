//! HMAC-SHA256 and HKDF-Expand-SHA256 with our labels.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A 32-byte key that is wiped when dropped.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// HKDF-Expand-SHA256 of a uniformly random 32-byte key, over the label and the parts one after the other.
#[expect(
    clippy::expect_used,
    reason = "RFC 5869 refuses keys under 32 bytes and outputs over 255 blocks; both are 32 bytes here"
)]
pub(super) fn expand(key: &[u8; 32], label: &[u8], parts: &[&[u8]]) -> Key {
    let info: Vec<&[u8]> = std::iter::once(label).chain(parts.iter().copied()).collect();
    let mut out = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::from_prk(key)
        .expect("32 bytes are a whole PRK")
        .expand_multi_info(&info, out.as_mut_slice())
        .expect("32 bytes are one block");
    out
}

/// HMAC-SHA256 over the parts, one after the other.
#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
pub(super) fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
