//! The identity of a device: an Ed25519 key that signs what the device says.
//!
//! Three statements, each with its own label; the parts after the label have fixed lengths or carry theirs:
//!
//! ```text
//! head    "kinfolk/1/head"   ‖ device[16] ‖ source[16] ‖ seq u64be ‖ hash[32]
//! record  "kinfolk/1/roster" ‖ record bytes, to the end
//! join    "kinfolk/1/join"   ‖ roster id[32] ‖ card hash[32] ‖ device bytes, to the end
//! ```
//!
//! (The fourth, over a parcel, lives in `envelope`; those of pairing in `pairing`.) Verification is always the strict one:
//! weak keys and malleable signatures are refused, so that all devices agree on what is valid. Sign and verify the exact
//! bytes that were received or will be sent; never encode again before verifying.

use super::label;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use kinfolk_core::ids::{DeviceId, Hash, IdentityKey, Seq, SourceId};
use rand::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

/// Length of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// The private identity of this device. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct Identity(SigningKey);

impl Identity {
    /// Draws a new identity.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        Self::from_bytes(&seed)
    }

    /// Takes the 32-byte seed that [`Identity::to_bytes`] gave.
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The 32-byte seed, to be wrapped and stored.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key, by which siblings know this device.
    pub fn public(&self) -> IdentityKey {
        IdentityKey(self.0.verifying_key().to_bytes())
    }

    /// Signs the head of a source's chain.
    pub fn sign_head(&self, device: DeviceId, source: SourceId, seq: Seq, hash: Hash) -> [u8; SIGNATURE_LEN] {
        self.sign(&head_statement(device, source, seq, hash))
    }

    /// Signs what `device`, this device, says of itself; `content` is the hash of that.
    pub fn sign_statement(&self, device: DeviceId, content: Hash) -> [u8; SIGNATURE_LEN] {
        self.sign(&own_statement(device, content))
    }

    /// Signs the exact bytes of a roster record.
    pub fn sign_record(&self, record: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.sign(&record_statement(record))
    }

    /// Signs this device's own joining: `device_bytes` are the exact bytes of its device record, `card_hash` the hash of the
    /// card it answers.
    pub fn sign_join(&self, roster_id: Hash, card_hash: Hash, device_bytes: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.sign(&join_statement(roster_id, card_hash, device_bytes))
    }

    /// Signs a statement that starts with a label.
    pub(super) fn sign(&self, statement: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(statement).to_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity(redacted, public {})", self.public())
    }
}

/// Why a signature was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignatureError {
    /// A signature is [`SIGNATURE_LEN`] bytes.
    #[error("expected a signature of 64 bytes, got {got}")]
    Length {
        /// How many came.
        got: usize,
    },
    /// The key is no point of the curve.
    #[error("the identity key is not a valid Ed25519 key")]
    Key,
    /// The signature does not fit key and bytes.
    #[error("the signature does not fit the key and the signed bytes")]
    Invalid,
}

/// Checks the signature over the head of a source's chain.
pub fn verify_head(
    key: &IdentityKey,
    device: DeviceId,
    source: SourceId,
    seq: Seq,
    hash: Hash,
    signature: &[u8],
) -> Result<(), SignatureError> {
    verify(key, &head_statement(device, source, seq, hash), signature)
}

/// Checks the signature of `device` over what it says of itself.
pub fn verify_statement(
    key: &IdentityKey,
    device: DeviceId,
    content: Hash,
    signature: &[u8],
) -> Result<(), SignatureError> {
    verify(key, &own_statement(device, content), signature)
}

/// Checks the signature over the exact bytes of a roster record.
pub fn verify_record(key: &IdentityKey, record: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    verify(key, &record_statement(record), signature)
}

/// Checks the signature of a device over its own joining.
pub fn verify_join(
    key: &IdentityKey,
    roster_id: Hash,
    card_hash: Hash,
    device_bytes: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    verify(key, &join_statement(roster_id, card_hash, device_bytes), signature)
}

/// Checks a signature over a statement that starts with a label.
pub(super) fn verify(key: &IdentityKey, statement: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    let signature: &[u8; SIGNATURE_LEN] =
        signature.try_into().map_err(|_| SignatureError::Length { got: signature.len() })?;
    let key = VerifyingKey::from_bytes(&key.0).map_err(|_| SignatureError::Key)?;
    key.verify_strict(statement, &Signature::from_bytes(signature)).map_err(|_| SignatureError::Invalid)
}

fn head_statement(device: DeviceId, source: SourceId, seq: Seq, hash: Hash) -> Vec<u8> {
    [label::HEAD, &device.0, &source.0, &seq.0.to_be_bytes(), &hash.0].concat()
}

fn own_statement(device: DeviceId, content: Hash) -> Vec<u8> {
    [label::STATEMENT, &device.0, &content.0].concat()
}

fn record_statement(record: &[u8]) -> Vec<u8> {
    [label::RECORD, record].concat()
}

fn join_statement(roster_id: Hash, card_hash: Hash, device_bytes: &[u8]) -> Vec<u8> {
    [label::JOIN, &roster_id.0, &card_hash.0, device_bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::golden::{Golden, SeededRng};

    fn identity() -> Identity {
        Identity::generate(&mut SeededRng::new("identity"))
    }

    #[test]
    fn a_head_signature_holds_for_its_head_only() {
        let identity = identity();
        let (device, source, seq, hash) = (DeviceId([1; 16]), SourceId([2; 16]), Seq(3), Hash([4; 32]));
        let signature = identity.sign_head(device, source, seq, hash);
        let key = identity.public();
        assert_eq!(verify_head(&key, device, source, seq, hash, &signature), Ok(()));
        for wrong in [
            verify_head(&key, DeviceId([9; 16]), source, seq, hash, &signature),
            verify_head(&key, device, SourceId([9; 16]), seq, hash, &signature),
            verify_head(&key, device, source, Seq(4), hash, &signature),
            verify_head(&key, device, source, seq, Hash([9; 32]), &signature),
        ] {
            assert_eq!(wrong, Err(SignatureError::Invalid));
        }
    }

    #[test]
    fn a_statement_is_bound_to_its_device_and_to_what_it_says() {
        let identity = identity();
        let (device, content) = (DeviceId([1; 16]), Hash([2; 32]));
        let signature = identity.sign_statement(device, content);
        let key = identity.public();
        assert_eq!(verify_statement(&key, device, content, &signature), Ok(()));
        assert!(verify_statement(&key, DeviceId([9; 16]), content, &signature).is_err());
        assert!(verify_statement(&key, device, Hash([9; 32]), &signature).is_err());
    }

    #[test]
    fn a_signature_for_one_purpose_means_nothing_for_another() {
        let identity = identity();
        let head = head_statement(DeviceId([1; 16]), SourceId([2; 16]), Seq(3), Hash([4; 32]));
        let signature = identity.sign_record(&head);
        assert_eq!(
            verify_head(&identity.public(), DeviceId([1; 16]), SourceId([2; 16]), Seq(3), Hash([4; 32]), &signature),
            Err(SignatureError::Invalid)
        );
    }

    #[test]
    fn a_join_signature_is_bound_to_roster_card_and_record() {
        let identity = identity();
        let key = identity.public();
        let signature = identity.sign_join(Hash([1; 32]), Hash([2; 32]), b"device");
        assert_eq!(verify_join(&key, Hash([1; 32]), Hash([2; 32]), b"device", &signature), Ok(()));
        assert!(verify_join(&key, Hash([9; 32]), Hash([2; 32]), b"device", &signature).is_err());
        assert!(verify_join(&key, Hash([1; 32]), Hash([9; 32]), b"device", &signature).is_err());
        assert!(verify_join(&key, Hash([1; 32]), Hash([2; 32]), b"devicf", &signature).is_err());
    }

    #[test]
    fn a_signature_of_another_length_is_refused_with_both_lengths() {
        let identity = identity();
        assert_eq!(verify_record(&identity.public(), b"record", &[0; 63]), Err(SignatureError::Length { got: 63 }));
    }

    #[test]
    fn a_weak_key_accepts_nothing() {
        // The neutral point: with a lax check, R = neutral and s = 0 would sign every message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert_eq!(verify_record(&IdentityKey(neutral), b"anything", &signature), Err(SignatureError::Invalid));
    }

    #[test]
    fn the_seed_comes_back_and_is_never_shown() {
        let identity = identity();
        let seed = identity.to_bytes();
        assert_eq!(Identity::from_bytes(&seed).public(), identity.public());
        let shown = format!("{identity:?}");
        assert_eq!(shown, format!("Identity(redacted, public {})", identity.public()));
        assert!(!shown.contains(&Hash(*seed).to_string()));
    }

    #[test]
    fn signatures_are_what_they_were_in_the_first_release() {
        let identity = identity();
        let head = (DeviceId([1; 16]), SourceId([2; 16]), Seq(3), Hash([4; 32]));
        let mut golden = Golden::open("signatures");
        golden.bytes("identity_seed", identity.to_bytes().as_slice());
        golden.bytes("identity_key", &identity.public().0);
        golden.bytes("head_device_01_source_02_seq_3_hash_04", &identity.sign_head(head.0, head.1, head.2, head.3));
        golden.bytes("statement_device_01_hash_04", &identity.sign_statement(head.0, head.3));
        golden.bytes("record_abc", &identity.sign_record(b"abc"));
        golden.bytes("join_roster_01_card_02_abc", &identity.sign_join(Hash([1; 32]), Hash([2; 32]), b"abc"));
        golden.finish();
    }
}
