//! The device that joins. Each stage is a value of its own, so that no message can be taken out of turn: [`Joiner`] reads the
//! offer and gives [`Answered`], which reads the acceptance and gives [`Trusting`], which shows the code and reads the welcome.
//! A stage that refuses a message stays as it is and may be given another.

use super::check_code::CheckCode;
use super::message::{self, AnswerWire, Channel, Step};
use super::{Card, PairingError, Post};
use crate::seal::derive::Key;
use crate::seal::group::Mailbox;
use crate::seal::identity::{self, Identity, SIGNATURE_LEN};
use crate::seal::prekey::Prekey;
use bytes::Bytes;
use kinfolk_core::ids::{Hash, IdentityKey, Millis};
use kinfolk_core::roster::Device;
use prost::Message;
use rand::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

/// Has a card, waits for the offer.
pub struct Joiner {
    card: Card,
    prekey: Prekey,
    answer: AnswerWire,
}

/// Has answered, waits for the acceptance.
pub struct Answered {
    card: Card,
    prekey: Prekey,
    inviter: IdentityKey,
    answer: Post,
    exporter: Key,
    answered: Hash,
}

/// Knows that it talks to the device that showed the card. Shows the code, waits for the welcome.
pub struct Trusting {
    card: Card,
    prekey: Prekey,
    inviter: IdentityKey,
    exporter: Key,
    accepted: Hash,
    code: CheckCode,
}

/// What the inviter sent to the new sibling.
#[derive(Clone)]
pub struct Welcome {
    /// The content, as the inviter's `finalize` was given it.
    pub content: Zeroizing<Vec<u8>>,
    /// Who signed it. The welcome's roster must have a member with this key.
    pub inviter: IdentityKey,
    /// The roster that the card was for. The welcome's roster must be that one.
    pub roster_id: Hash,
}

impl Joiner {
    /// Takes a card, and this device as it will stand on the roster. `now` is the wall clock.
    ///
    /// # Errors
    /// [`PairingError::Expired`], and [`PairingError::OwnRecord`] when `device` names other keys than the ones given.
    pub fn new(
        card: Card,
        device: &Device,
        identity: &Identity,
        prekey: &Prekey,
        now: Millis,
    ) -> Result<Self, PairingError> {
        let expires = card.expires();
        if now >= expires {
            return Err(PairingError::Expired { expires, now });
        }
        let own_key = device.key == identity.public();
        let own_prekey = device.prekey.slot == prekey.slot() && device.prekey.public == prekey.public().to_bytes();
        if !own_key || !own_prekey {
            return Err(PairingError::OwnRecord);
        }
        let device = device.encode();
        let signature = identity.sign_join(card.roster_id(), card.hash(), &device);
        let answer = AnswerWire { device, join_signature: Bytes::copy_from_slice(&signature) };
        Ok(Self { card, prekey: prekey.clone(), answer })
    }

    /// The card.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Where the offer is.
    pub fn offer_mailbox(&self) -> Mailbox {
        Step::Offer.mailbox(&self.card)
    }

    /// Reads the offer and writes the answer.
    pub fn on_offer(&self, offer: &[u8], rng: &mut impl CryptoRng) -> Result<Answered, PairingError> {
        let (pairing_key, inviter) = message::open_offer(&self.card, offer)?;
        let offered = message::offered(&self.card, offer);
        let channel = Channel::answer(&self.card, offered);
        let (answer, exporter) = channel.seal(&pairing_key, &self.answer.encode_to_vec(), rng)?;
        Ok(Answered {
            card: self.card.clone(),
            prekey: self.prekey.clone(),
            inviter,
            answered: message::answered(offered, &answer.bytes),
            answer,
            exporter,
        })
    }
}

impl Answered {
    /// The answer to post.
    pub fn answer(&self) -> &Post {
        &self.answer
    }

    /// Where the acceptance will be.
    pub fn accept_mailbox(&self) -> Mailbox {
        Step::Accept.mailbox(&self.card)
    }

    /// Reads the acceptance: from here on the inviter is known to be the device that showed the card.
    pub fn on_accept(&self, accept: &[u8]) -> Result<Trusting, PairingError> {
        let step = Step::Accept;
        let channel = Channel::accept(&self.card, &self.exporter, self.answered);
        let (signature, _) = channel.open(self.prekey.private(), accept)?;
        identity::verify(&self.inviter, &step.statement(self.answered, &[]), &signature)
            .map_err(|source| PairingError::Signature { step, source })?;
        let accepted = message::accepted(self.answered, accept);
        Ok(Trusting {
            card: self.card.clone(),
            prekey: self.prekey.clone(),
            inviter: self.inviter,
            code: CheckCode::derive(&self.exporter, accepted),
            exporter: self.exporter.clone(),
            accepted,
        })
    }
}

impl Trusting {
    /// The code to show.
    pub fn code(&self) -> &CheckCode {
        &self.code
    }

    /// Where the finalize message will be.
    pub fn finalize_mailbox(&self) -> Mailbox {
        Step::Finalize.mailbox(&self.card)
    }

    /// Reads the finalize message.
    pub fn on_finalize(&self, finalize: &[u8]) -> Result<Welcome, PairingError> {
        let step = Step::Finalize;
        let channel = Channel::finalize(&self.card, &self.exporter, self.accepted);
        let (content, _) = channel.open(self.prekey.private(), finalize)?;
        let (signature, welcome) = content
            .split_at_checked(SIGNATURE_LEN)
            .ok_or(PairingError::Malformed { step, reason: "no room for a signature" })?;
        identity::verify(&self.inviter, &step.statement(self.accepted, welcome), signature)
            .map_err(|source| PairingError::Signature { step, source })?;
        Ok(Welcome {
            content: Zeroizing::new(welcome.to_vec()),
            inviter: self.inviter,
            roster_id: self.card.roster_id(),
        })
    }
}

impl fmt::Debug for Joiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Joiner(redacted, card {})", self.card.hash())
    }
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answered(redacted, card {})", self.card.hash())
    }
}

impl fmt::Debug for Trusting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trusting(redacted, card {})", self.card.hash())
    }
}

impl fmt::Debug for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Welcome(redacted, {} bytes, from {})", self.content.len(), self.inviter)
    }
}
