//! Prekeys: the X-Wing keys that envelopes are sealed to.
//!
//! Each has a slot, counted up by its device. Senders use the newest slot they know; the device keeps older seeds until no
//! sibling can use them any more. The slot also decides the mailbox address (see [`super::group`]), so that a key that is
//! gone and its mailbox go together.

use super::suite::{self, HpkeError, Private, Public};
use rand::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

/// Length of a public prekey: ML-KEM-768 1184 + X25519 32.
pub const PREKEY_PUBLIC_LEN: usize = suite::PUBLIC_LEN;

/// A private prekey with its slot. The parsed key is kept: parsing costs a third of opening an envelope. Wiped when
/// dropped, never shown.
#[derive(Clone)]
pub struct Prekey {
    slot: u32,
    seed: Zeroizing<[u8; 32]>,
    private: Private,
}

impl Prekey {
    /// Draws a new prekey for `slot`.
    pub fn generate(slot: u32, rng: &mut impl CryptoRng) -> Result<Self, HpkeError> {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        Self::from_seed(slot, &seed)
    }

    /// Takes the 32-byte seed that [`Prekey::seed`] gave.
    pub fn from_seed(slot: u32, seed: &[u8; 32]) -> Result<Self, HpkeError> {
        Ok(Self { slot, seed: Zeroizing::new(*seed), private: suite::private_from_seed(seed)? })
    }

    /// The slot.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// The 32-byte seed, to be wrapped and stored.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        self.seed.clone()
    }

    /// The public half, for siblings.
    pub fn public(&self) -> PrekeyPublic {
        PrekeyPublic(suite::public_of(&self.private))
    }

    pub(super) fn private(&self) -> &Private {
        &self.private
    }
}

impl fmt::Debug for Prekey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prekey(redacted, slot {})", self.slot)
    }
}

/// A sibling's public prekey, parsed and checked once.
#[derive(Clone, Eq, PartialEq)]
pub struct PrekeyPublic(Public);

impl PrekeyPublic {
    /// Parses [`PREKEY_PUBLIC_LEN`] bytes. Another length, or coefficients out of range (FIPS 203 §7.2), are an error.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        Ok(Self(suite::public_from_bytes(bytes)?))
    }

    /// The [`PREKEY_PUBLIC_LEN`] bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        suite::public_bytes(&self.0)
    }

    pub(super) fn key(&self) -> &Public {
        &self.0
    }
}

impl fmt::Debug for PrekeyPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrekeyPublic({})", kinfolk_core::ids::Hash::of(&self.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::golden::{Golden, SeededRng, to_hex};

    #[test]
    fn a_prekey_comes_back_from_its_seed() {
        let prekey = Prekey::generate(7, &mut SeededRng::new("prekey")).unwrap();
        let again = Prekey::from_seed(7, &prekey.seed()).unwrap();
        assert_eq!(again.public(), prekey.public());
        assert_eq!(again.slot(), 7);
    }

    #[test]
    fn a_public_prekey_of_another_length_is_refused() {
        let bytes = Prekey::generate(0, &mut SeededRng::new("prekey")).unwrap().public().to_bytes();
        assert_eq!(bytes.len(), PREKEY_PUBLIC_LEN);
        assert!(PrekeyPublic::from_bytes(&bytes).is_ok());
        assert!(PrekeyPublic::from_bytes(&bytes[1..]).is_err());
        assert!(PrekeyPublic::from_bytes(&[]).is_err());
    }

    #[test]
    fn a_public_prekey_with_coefficients_out_of_range_is_refused() {
        let mut bytes = Prekey::generate(0, &mut SeededRng::new("prekey")).unwrap().public().to_bytes();
        // Two 12-bit coefficients of 4095, where 3328 is the greatest.
        bytes[..3].fill(0xFF);
        assert!(PrekeyPublic::from_bytes(&bytes).is_err());
    }

    #[test]
    fn the_seed_is_never_shown() {
        let prekey = Prekey::generate(7, &mut SeededRng::new("prekey")).unwrap();
        let shown = format!("{prekey:?}");
        assert_eq!(shown, "Prekey(redacted, slot 7)");
        assert!(!shown.contains(&to_hex(prekey.seed().as_slice())));
    }

    #[test]
    fn a_seed_gives_the_public_key_that_it_gave_in_the_first_release() {
        let prekey = Prekey::generate(7, &mut SeededRng::new("prekey")).unwrap();
        let mut golden = Golden::open("prekey");
        golden.bytes("seed", prekey.seed().as_slice());
        golden.bytes("public", &prekey.public().to_bytes());
        golden.finish();
    }
}
