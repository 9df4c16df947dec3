//! All cryptography of kinfolk: device keys, the envelope, mailbox addresses, pairing, and secrets at rest.
//!
//! **Invariant:** no other module names a cryptographic crate, and nothing here is invented: the constructions below are
//! put together from published ones, in one fixed way.
//!
//! # Suite v1
//!
//! One suite for each version byte; nothing is negotiated.
//!
//! | purpose | construction |
//! |---|---|
//! | envelope, pairing messages | HPKE (RFC 9180) single-shot, mode PSK: X-Wing (ML-KEM-768 + X25519, `0x647A`), HKDF-SHA256, ChaCha20-Poly1305 |
//! | authorship | Ed25519 (RFC 8032), always strict verification, over the exact bytes received |
//! | addresses, derived keys | HMAC-SHA256 and HKDF-SHA256 |
//! | bearer tokens of the local API | 256 random bits; SHA-256 is kept |
//! | secrets at rest, the pairing offer | XChaCha20-Poly1305 with a random nonce |
//!
//! Everything that is signed, derived or authenticated starts with a label of its own from `label`, so that bytes made for
//! one purpose mean nothing in another.
//!
//! # Who proves what in an envelope
//!
//! ```text
//! HPKE to the recipient's prekey   only the recipient reads it
//! PSK from the group secret        only a device of this person wrote it: outsiders are dropped before any parsing
//! Ed25519 inside the ciphertext    which device wrote it; siblings cannot speak for one another
//! ```
//!
//! Randomness and time are arguments everywhere. Production code passes `rand::rng()`.

pub mod bearer;
pub mod compress;
pub mod envelope;
pub mod gift;
pub mod group;
pub mod identity;
pub mod keystore;
pub mod padding;
pub mod pairing;
pub mod prekey;
pub mod verify;
pub mod wrap;

mod aead;
mod derive;
mod label;
mod suite;

#[cfg(test)]
mod foreign_bytes;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod known_answers;

pub use bearer::{Bearer, BearerHash, Role};
pub use envelope::{Keyring, OpenError, Opened, Recipient, SealError, Sender, open, seal};
pub use gift::{open_gift, seal_gift};
pub use group::{GroupId, GroupSecret, Mailbox};
pub use identity::{Identity, SIGNATURE_LEN, SignatureError, verify_head, verify_join, verify_record};
pub use prekey::{PREKEY_PUBLIC_LEN, Prekey, PrekeyPublic};
pub use verify::{VerifyError, verify, verify_record as verify_signed_record, verify_records};
pub use wrap::Kek;
