//! XChaCha20-Poly1305 with a random nonce in front: `nonce[24] ‖ ciphertext ‖ tag[16]`.
//!
//! 24 random bytes may be drawn for ever under one key: the chance of a repeat after 2^64 messages is 2^-64.

use super::derive::Key;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::CryptoRng;
use zeroize::Zeroizing;

/// Length of the nonce.
pub(super) const NONCE_LEN: usize = 24;
/// What sealing adds to a plaintext: nonce and tag.
pub(super) const OVERHEAD: usize = NONCE_LEN + 16;

/// The bytes are not what this key sealed under this additional data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NotAuthentic;

/// Encrypts `plaintext`, binding `aad`. `None` only beyond the cipher's limit of 256 GiB.
pub(super) fn seal(key: &Key, aad: &[u8], plaintext: &[u8], rng: &mut impl CryptoRng) -> Option<Vec<u8>> {
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    let payload = Payload { msg: plaintext, aad };
    let ciphertext = cipher(key).encrypt(&XNonce::from(nonce), payload).ok()?;
    Some([nonce.as_slice(), &ciphertext].concat())
}

/// Decrypts what [`seal`] made.
pub(super) fn open(key: &Key, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(NotAuthentic)?;
    let payload = Payload { msg: ciphertext, aad };
    let plaintext = cipher(key).decrypt(&XNonce::from(*nonce), payload).map_err(|_| NotAuthentic)?;
    Ok(Zeroizing::new(plaintext))
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new((&**key).into())
}
