//! Suite v1: HPKE, mode PSK, X-Wing, HKDF-SHA256, ChaCha20-Poly1305, always single-shot.
//!
//! A context is set up, used for exactly one message, and dropped: HPKE contexts are strictly in order, and relays are
//! not. Auth mode does not exist for X-Wing (the crate panics on it), so it cannot be reached from here.

use super::derive::Key;
use super::label;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, PskBundle, Serializable};
use rand::CryptoRng;
use zeroize::Zeroizing;

/// Length of the encapsulated key: ML-KEM-768 ciphertext 1088 + X25519 point 32.
pub(super) const ENCAPSULATED_LEN: usize = 1120;
/// Length of a public key: ML-KEM-768 1184 + X25519 point 32.
pub(super) const PUBLIC_LEN: usize = 1216;
/// Length of the Poly1305 tag at the end of every ciphertext.
pub(super) const TAG_LEN: usize = 16;

/// A parsed public key.
pub(super) type Public = <XWing as Kem>::PublicKey;
/// A parsed private key.
pub(super) type Private = <XWing as Kem>::PrivateKey;

/// What HPKE would not do. Says no more than that: a reason would help only an attacker.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("hpke: {0}")]
pub struct HpkeError(#[from] hpke::HpkeError);

/// What a message is bound to besides the recipient's key.
#[derive(Clone, Copy)]
pub(super) struct Binding<'a> {
    /// The pre-shared key.
    pub(super) psk: &'a Key,
    /// Its public name.
    pub(super) psk_id: &'a [u8],
    /// Bound into the key schedule.
    pub(super) info: &'a [u8],
    /// Bound into the ciphertext.
    pub(super) aad: &'a [u8],
}

/// One sealed message.
pub(super) struct Sealed {
    /// `ENCAPSULATED_LEN` bytes.
    pub(super) encapsulated: Vec<u8>,
    /// The plaintext's length and `TAG_LEN`.
    pub(super) ciphertext: Vec<u8>,
    /// A key that only the two ends of this message know.
    pub(super) exporter: Key,
}

/// One opened message.
pub(super) struct Unsealed {
    /// What was sealed.
    pub(super) plaintext: Zeroizing<Vec<u8>>,
    /// A key that only the two ends of this message know.
    pub(super) exporter: Key,
}

/// Seals one message to a public key.
pub(super) fn seal(
    recipient: &Public,
    binding: Binding<'_>,
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Sealed, HpkeError> {
    let mode = OpModeS::Psk(PskBundle::new(binding.psk.as_slice(), binding.psk_id)?);
    let (encapsulated, mut context) =
        hpke::setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(&mode, recipient, binding.info, rng)?;
    let ciphertext = context.seal(plaintext, binding.aad)?;
    let mut exporter = Zeroizing::new([0; 32]);
    context.export(label::EXPORTER, exporter.as_mut_slice())?;
    Ok(Sealed { encapsulated: encapsulated.to_bytes().to_vec(), ciphertext, exporter })
}

/// Opens one message. An `encapsulated` of another length is an error, not a panic.
pub(super) fn open(
    recipient: &Private,
    binding: Binding<'_>,
    encapsulated: &[u8],
    ciphertext: &[u8],
) -> Result<Unsealed, HpkeError> {
    let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(encapsulated)?;
    let mode = OpModeR::Psk(PskBundle::new(binding.psk.as_slice(), binding.psk_id)?);
    let mut context =
        hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, XWing>(&mode, recipient, &encapsulated, binding.info)?;
    let plaintext = Zeroizing::new(context.open(ciphertext, binding.aad)?);
    let mut exporter = Zeroizing::new([0; 32]);
    context.export(label::EXPORTER, exporter.as_mut_slice())?;
    Ok(Unsealed { plaintext, exporter })
}

/// Parses a private key from its 32-byte seed.
pub(super) fn private_from_seed(seed: &[u8; 32]) -> Result<Private, HpkeError> {
    Ok(Private::from_bytes(seed)?)
}

/// Parses a public key; a wrong length or an ML-KEM half out of range is an error.
pub(super) fn public_from_bytes(bytes: &[u8]) -> Result<Public, HpkeError> {
    Ok(Public::from_bytes(bytes)?)
}

/// The public half.
pub(super) fn public_of(private: &Private) -> Public {
    XWing::sk_to_pk(private)
}

/// The bytes of a public key, `PUBLIC_LEN` of them.
pub(super) fn public_bytes(public: &Public) -> Vec<u8> {
    public.to_bytes().to_vec()
}
