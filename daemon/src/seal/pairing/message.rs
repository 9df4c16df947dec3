//! The four messages of pairing: their boxes, keys and transcripts.
//!
//! ```text
//! box(step)   = HMAC(secret, label of the step)
//! offer       = 0x01 ‖ XChaCha20-Poly1305 under HKDF(secret), aad card hash: pairing public[1216] ‖ identity[32]
//! answer      = 0x01 ‖ HPKE to the pairing key, psk HKDF(secret):              protobuf { device, join signature }
//! accept      = 0x01 ‖ HPKE to N's prekey, psk HKDF(exporter of the answer):   A's signature
//! finalize    = 0x01 ‖ HPKE to N's prekey, psk HKDF(exporter of the answer):   A's signature ‖ welcome
//!
//! info        = label of the step ‖ transcript so far;  aad = 0x01 ‖ box;  psk id = card hash;  plaintexts are padded
//! offered     = SHA-256(label ‖ card hash ‖ SHA-256(offer))
//! answered    = SHA-256(label ‖ offered ‖ SHA-256(answer))
//! accepted    = SHA-256(label ‖ answered ‖ SHA-256(accept))
//! signature   = Ed25519 over label of the step ‖ transcript so far ‖ SHA-256(what the message brings)
//! ```

use super::{Card, PairingError, Post};
use crate::seal::derive::{self, Key};
use crate::seal::group::Mailbox;
use crate::seal::identity::SIGNATURE_LEN;
use crate::seal::suite::{self, Binding, ENCAPSULATED_LEN, Private, Public, TAG_LEN};
use crate::seal::{aead, label, padding};
use bytes::Bytes;
use kinfolk_core::ids::{Hash, IdentityKey};
use prost::Message;
use rand::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

/// Largest offer, answer and acceptance in bytes; a device's record has less than 2 KiB.
pub const MAX_MESSAGE: usize = 16 * 1024;
/// Largest welcome in bytes: a roster of 16 devices has less than 100 KiB.
pub const MAX_WELCOME: usize = 1024 * 1024;

/// The version byte of every message.
const VERSION: u8 = 1;
/// Largest finalize message.
const MAX_FINALIZE: usize = 1 + ENCAPSULATED_LEN + padding::padded_len(SIGNATURE_LEN + MAX_WELCOME) + TAG_LEN;

/// One of the four messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Pairing key and identity of the inviter.
    Offer,
    /// The new device.
    Answer,
    /// The inviter's proof.
    Accept,
    /// What the new device needs to be a sibling.
    Finalize,
}

impl Step {
    /// Where this message of a card's pairing lies.
    pub(super) fn mailbox(self, card: &Card) -> Mailbox {
        let label = match self {
            Self::Offer => label::PAIR_BOX_OFFER,
            Self::Answer => label::PAIR_BOX_ANSWER,
            Self::Accept => label::PAIR_BOX_ACCEPT,
            Self::Finalize => label::PAIR_BOX_FINALIZE,
        };
        derive::hmac(card.secret(), &[label])
    }

    /// What the inviter signs in this message: everything so far, and what the message brings.
    pub(super) fn statement(self, transcript: Hash, content: &[u8]) -> Vec<u8> {
        [self.label(), &transcript.0, &Hash::of(content).0].concat()
    }

    fn label(self) -> &'static [u8] {
        match self {
            Self::Offer => label::PAIR_OFFER,
            Self::Answer => label::PAIR_ANSWER,
            Self::Accept => label::PAIR_ACCEPT,
            Self::Finalize => label::PAIR_FINALIZE,
        }
    }

    fn max(self) -> usize {
        match self {
            Self::Offer | Self::Answer | Self::Accept => MAX_MESSAGE,
            Self::Finalize => MAX_FINALIZE,
        }
    }

    /// Bounds a received message and takes its version byte off.
    fn strip(self, bytes: &[u8]) -> Result<&[u8], PairingError> {
        if bytes.len() > self.max() {
            return Err(PairingError::TooLarge { step: self, max: self.max(), got: bytes.len() });
        }
        match bytes.split_first() {
            Some((&VERSION, rest)) => Ok(rest),
            Some((&got, _)) => Err(PairingError::Version { step: self, got }),
            None => Err(PairingError::NotAuthentic { step: self }),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::Accept => "acceptance",
            Self::Finalize => "finalize message",
        })
    }
}

/// What the card says of the offer's content.
pub(super) fn commitment(pairing_public: &[u8], inviter: &IdentityKey, roster_id: Hash) -> Hash {
    Hash::of_parts(&[label::PAIR_COMMITMENT, pairing_public, &inviter.0, &roster_id.0])
}

/// Everything said up to the offer.
pub(super) fn offered(card: &Card, offer: &[u8]) -> Hash {
    Hash::of_parts(&[label::PAIR_TRANSCRIPT_OFFERED, &card.hash().0, &Hash::of(offer).0])
}

/// Everything said up to the answer.
pub(super) fn answered(offered: Hash, answer: &[u8]) -> Hash {
    Hash::of_parts(&[label::PAIR_TRANSCRIPT_ANSWERED, &offered.0, &Hash::of(answer).0])
}

/// Everything said up to the acceptance.
pub(super) fn accepted(answered: Hash, accept: &[u8]) -> Hash {
    Hash::of_parts(&[label::PAIR_TRANSCRIPT_ACCEPTED, &answered.0, &Hash::of(accept).0])
}

/// Writes the offer.
pub(super) fn seal_offer(
    card: &Card,
    pairing_public: &[u8],
    inviter: &IdentityKey,
    rng: &mut impl CryptoRng,
) -> Result<Post, PairingError> {
    let step = Step::Offer;
    let content = [pairing_public, &inviter.0].concat();
    let sealed = aead::seal(&offer_key(card), &offer_aad(card), &content, rng)
        .ok_or(PairingError::Malformed { step, reason: "too long to seal" })?;
    Ok(Post { mailbox: step.mailbox(card), bytes: versioned(&[&sealed]) })
}

/// Reads the offer and holds it against the card.
pub(super) fn open_offer(card: &Card, bytes: &[u8]) -> Result<(Public, IdentityKey), PairingError> {
    let step = Step::Offer;
    let content = aead::open(&offer_key(card), &offer_aad(card), step.strip(bytes)?)
        .map_err(|aead::NotAuthentic| PairingError::NotAuthentic { step })?;
    let malformed = PairingError::Malformed { step, reason: "not a pairing key and an identity" };
    let (public, inviter) = content.split_at_checked(suite::PUBLIC_LEN).ok_or_else(|| malformed.clone())?;
    let inviter = IdentityKey::from_slice(inviter).ok_or_else(|| malformed.clone())?;
    if commitment(public, &inviter, card.roster_id()) != card.commitment() {
        return Err(PairingError::Commitment);
    }
    Ok((suite::public_from_bytes(public).map_err(|_| malformed)?, inviter))
}

/// What a message that is sealed by HPKE hangs on.
pub(super) struct Channel<'a> {
    step: Step,
    card: &'a Card,
    psk: Key,
    transcript: Hash,
}

impl<'a> Channel<'a> {
    /// The answer, after `offered`: bound to the card's secret by the key.
    pub(super) fn answer(card: &'a Card, offered: Hash) -> Self {
        let psk = derive::expand(card.secret(), label::PAIR_PSK_ANSWER, &[]);
        Self { step: Step::Answer, card, psk, transcript: offered }
    }

    /// The acceptance, after `answered`: bound to the answer's two ends by the key.
    pub(super) fn accept(card: &'a Card, exporter: &Key, answered: Hash) -> Self {
        let psk = derive::expand(exporter, label::PAIR_PSK_ACCEPT, &[]);
        Self { step: Step::Accept, card, psk, transcript: answered }
    }

    /// The finalize message, after `accepted`.
    pub(super) fn finalize(card: &'a Card, exporter: &Key, accepted: Hash) -> Self {
        let psk = derive::expand(exporter, label::PAIR_PSK_FINALIZE, &[]);
        Self { step: Step::Finalize, card, psk, transcript: accepted }
    }

    /// Seals the message; gives its exporter too.
    pub(super) fn seal(
        &self,
        recipient: &Public,
        content: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Post, Key), PairingError> {
        // Reserved at once: growing would leave copies behind.
        let mut padded = Zeroizing::new(Vec::with_capacity(padding::padded_len(content.len())));
        padded.extend_from_slice(content);
        padding::pad(&mut padded);
        let mailbox = self.step.mailbox(self.card);
        let sealed = self.bound_to(&mailbox, |binding| suite::seal(recipient, binding, &padded, rng))?;
        let bytes = versioned(&[&sealed.encapsulated, &sealed.ciphertext]);
        if bytes.len() > self.step.max() {
            return Err(PairingError::TooLarge { step: self.step, max: self.step.max(), got: bytes.len() });
        }
        Ok((Post { mailbox, bytes }, sealed.exporter))
    }

    /// Opens the message; gives its exporter too.
    pub(super) fn open(&self, recipient: &Private, bytes: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Key), PairingError> {
        let step = self.step;
        let not_authentic = PairingError::NotAuthentic { step };
        let sealed = step.strip(bytes)?;
        let Some((encapsulated, ciphertext)) = sealed.split_at_checked(ENCAPSULATED_LEN) else {
            return Err(not_authentic);
        };
        let mailbox = step.mailbox(self.card);
        let opened = self
            .bound_to(&mailbox, |binding| suite::open(recipient, binding, encapsulated, ciphertext))
            .map_err(|_| not_authentic)?;
        let content = padding::unpad(&opened.plaintext)
            .map_err(|padding::PaddingError| PairingError::Malformed { step, reason: "its padding" })?;
        Ok((Zeroizing::new(content.to_vec()), opened.exporter))
    }

    fn bound_to<T>(&self, mailbox: &Mailbox, act: impl FnOnce(Binding<'_>) -> T) -> T {
        act(Binding {
            psk: &self.psk,
            psk_id: &self.card.hash().0,
            info: &[self.step.label(), &self.transcript.0].concat(),
            aad: &[[VERSION].as_slice(), mailbox].concat(),
        })
    }
}

/// The content of the answer.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AnswerWire {
    /// The exact bytes of the new device's record.
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) device: Bytes,
    /// The new device's signature that it joins.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) join_signature: Bytes,
}

fn offer_key(card: &Card) -> Key {
    derive::expand(card.secret(), label::PAIR_KEY_OFFER, &[])
}

fn offer_aad(card: &Card) -> Vec<u8> {
    [label::PAIR_OFFER, &card.hash().0].concat()
}

fn versioned(parts: &[&[u8]]) -> Bytes {
    let mut bytes = vec![VERSION];
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    Bytes::from(bytes)
}
