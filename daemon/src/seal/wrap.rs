//! Secrets at rest: wrapped under the key-encryption key (KEK), bound to the place they are kept in.
//!
//! ```text
//! wrapped = 0x01 ‖ nonce[24] ‖ XChaCha20-Poly1305(secret) ‖ tag[16]
//! aad     = "kinfolk/1/wrapped" ‖ 0x01 ‖ table length u32be ‖ table ‖ row length u32be ‖ row ‖ version u32be
//! ```
//!
//! A wrapped secret that is moved to another table, another row or back to an older version of its row does not unwrap.

use super::aead;
use super::derive::Key;
use super::label;
use rand::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

/// Length of a key-encryption key.
pub const KEK_LEN: usize = 32;
/// Greatest secret that is wrapped: keys are 32 bytes, relay credentials a few hundred.
pub const MAX_SECRET: usize = 64 * 1024;

/// The version byte.
const VERSION: u8 = 1;
/// What wrapping adds: version, nonce, tag.
pub(super) const OVERHEAD: usize = 1 + aead::OVERHEAD;

/// The key-encryption key of this installation. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct Kek(Key);

/// Where a wrapped secret is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place<'a> {
    /// The table, or the kind of file.
    pub table: &'a str,
    /// The row's key.
    pub row: &'a [u8],
    /// The version of the secret in that row.
    pub version: u32,
}

/// Why a secret could not be wrapped or unwrapped.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WrapError {
    /// More than [`MAX_SECRET`] bytes.
    #[error("a wrapped secret is at most {MAX_SECRET} bytes, got {got}")]
    TooLarge {
        /// Its length.
        got: usize,
    },
    /// A version that this program does not know.
    #[error("expected wrapped secret version {VERSION}, got {got}; upgrade kinfolk on this device")]
    Version {
        /// Its version byte.
        got: u8,
    },
    /// Another key, another place, or changed bytes.
    #[error("the secret was wrapped under another key, for another place, or is damaged")]
    NotAuthentic,
}

impl Kek {
    /// Draws a new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; KEK_LEN]);
        rng.fill_bytes(key.as_mut_slice());
        Self(key)
    }

    /// Takes the bytes that a key provider kept.
    pub fn from_bytes(bytes: &[u8; KEK_LEN]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// The bytes, for a key provider to keep.
    pub fn to_bytes(&self) -> Zeroizing<[u8; KEK_LEN]> {
        self.0.clone()
    }

    /// Wraps a secret of at most [`MAX_SECRET`] bytes for its place.
    pub fn wrap(&self, place: Place<'_>, secret: &[u8], rng: &mut impl CryptoRng) -> Result<Vec<u8>, WrapError> {
        let too_large = WrapError::TooLarge { got: secret.len() };
        if secret.len() > MAX_SECRET {
            return Err(too_large);
        }
        let sealed = aead::seal(&self.0, &aad(place), secret, rng).ok_or(too_large)?;
        Ok([[VERSION].as_slice(), &sealed].concat())
    }

    /// Unwraps what [`Kek::wrap`] made for the same place.
    pub fn reveal(&self, place: Place<'_>, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        if wrapped.len() > MAX_SECRET + OVERHEAD {
            return Err(WrapError::TooLarge { got: wrapped.len() });
        }
        match wrapped.split_first() {
            Some((&VERSION, sealed)) => {
                aead::open(&self.0, &aad(place), sealed).map_err(|aead::NotAuthentic| WrapError::NotAuthentic)
            }
            Some((&got, _)) => Err(WrapError::Version { got }),
            None => Err(WrapError::NotAuthentic),
        }
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kek(redacted)")
    }
}

fn aad(place: Place<'_>) -> Vec<u8> {
    [
        label::WRAPPED,
        &[VERSION],
        &length(place.table.as_bytes()),
        place.table.as_bytes(),
        &length(place.row),
        place.row,
        &place.version.to_be_bytes(),
    ]
    .concat()
}

/// Names are a few bytes long; one of 4 GiB would only lose its own uniqueness.
fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::golden::{Golden, SeededRng, to_hex};

    const PLACE: Place<'_> = Place { table: "prekey", row: &[0, 0, 0, 7], version: 1 };

    fn kek() -> Kek {
        Kek::generate(&mut SeededRng::new("kek"))
    }

    fn wrapped() -> Vec<u8> {
        kek().wrap(PLACE, b"secret", &mut SeededRng::new("nonce")).unwrap()
    }

    #[test]
    fn a_secret_comes_back_in_its_place_only() {
        let (kek, wrapped) = (kek(), wrapped());
        assert_eq!(kek.reveal(PLACE, &wrapped).unwrap().as_slice(), b"secret");
        for place in [
            Place { table: "prekez", ..PLACE },
            Place { row: &[0, 0, 0, 8], ..PLACE },
            Place { version: 2, ..PLACE },
            // The same bytes, cut elsewhere.
            Place { table: "prekey\0", row: &[0, 0, 7], version: 1 },
        ] {
            assert_eq!(kek.reveal(place, &wrapped), Err(WrapError::NotAuthentic), "{place:?}");
        }
    }

    #[test]
    fn another_key_unwraps_nothing() {
        let other = Kek::generate(&mut SeededRng::new("other"));
        assert_eq!(other.reveal(PLACE, &wrapped()), Err(WrapError::NotAuthentic));
    }

    #[test]
    fn a_secret_changed_in_any_byte_does_not_unwrap() {
        let (kek, wrapped) = (kek(), wrapped());
        for at in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[at] ^= 1;
            assert!(kek.reveal(PLACE, &changed).is_err(), "byte {at}");
            assert!(kek.reveal(PLACE, &wrapped[..at]).is_err(), "cut to {at}");
        }
        let mut other_version = wrapped;
        other_version[0] = 2;
        assert_eq!(kek.reveal(PLACE, &other_version), Err(WrapError::Version { got: 2 }));
    }

    #[test]
    fn a_secret_over_the_limit_is_refused() {
        let kek = kek();
        let mut rng = SeededRng::new("nonce");
        let largest = vec![1; MAX_SECRET];
        let wrapped = kek.wrap(PLACE, &largest, &mut rng).unwrap();
        assert_eq!(kek.reveal(PLACE, &wrapped).unwrap().as_slice(), largest);
        let got = MAX_SECRET + 1;
        assert_eq!(kek.wrap(PLACE, &vec![1; got], &mut rng), Err(WrapError::TooLarge { got }));
        assert!(matches!(kek.reveal(PLACE, &vec![1; got + OVERHEAD]), Err(WrapError::TooLarge { .. })));
    }

    #[test]
    fn the_key_is_never_shown() {
        let kek = kek();
        assert_eq!(format!("{kek:?}"), "Kek(redacted)");
        assert!(!format!("{kek:?}").contains(&to_hex(kek.to_bytes().as_slice())));
    }

    #[test]
    fn wrapped_secrets_are_what_they_were_in_the_first_release() {
        let mut golden = Golden::open("wrap");
        golden.bytes("kek", kek().to_bytes().as_slice());
        golden.bytes("prekey_row_00000007_version_1_secret", &wrapped());
        golden.finish();
    }
}
