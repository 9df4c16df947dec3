//! The device that shows the card and lets the other one in.

use super::check_code::CheckCode;
use super::message::{self, AnswerWire, Channel, MAX_WELCOME, Step};
use super::{CARD_LIFETIME, Card, PairingError, Post};
use crate::seal::derive::Key;
use crate::seal::group::Mailbox;
use crate::seal::identity::{self, Identity, SIGNATURE_LEN};
use crate::seal::prekey::{Prekey, PrekeyPublic};
use bytes::Bytes;
use kinfolk_core::ids::{Hash, Millis};
use kinfolk_core::roster::Device;
use prost::Message;
use rand::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

/// The wrong code that burns a card is the third.
pub const CODE_TRIES: u32 = 3;

/// One pairing, from the card to the finalize message. Lives in memory only: after a restart the card is void.
pub struct Inviter {
    card: Card,
    key: Prekey,
    offer: Post,
    state: State,
}

enum State {
    Waiting,
    Answered(Box<Session>),
    Burned,
}

/// What the accepted answer set.
struct Session {
    answer: Hash,
    accept: Post,
    candidate: Confirmed,
    prekey: PrekeyPublic,
    exporter: Key,
    accepted: Hash,
    code: CheckCode,
    progress: Progress,
}

enum Progress {
    Unconfirmed { tries: u32 },
    Confirmed,
    Finalized(Post),
}

/// What goes into the roster's addition once the code was typed.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirmed {
    /// The new device. Its keys are the ones that were used in this pairing.
    pub device: Device,
    /// The exact bytes that it signed.
    pub device_bytes: Bytes,
    /// Its signature over (roster id, card hash, device bytes); checked.
    pub join_signature: Bytes,
    /// The card that was used.
    pub card_hash: Hash,
}

impl Inviter {
    /// Makes a card that is good for [`CARD_LIFETIME`] from `now` (wall clock), and the offer behind it. `relays` are the
    /// URLs to meet on.
    pub fn new(
        identity: &Identity,
        roster_id: Hash,
        relays: Vec<String>,
        now: Millis,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, PairingError> {
        let key = Prekey::generate(0, rng)?;
        let public = key.public().to_bytes();
        let inviter = identity.public();
        let card = Card::issue(roster_id, &public, &inviter, relays, now.plus(CARD_LIFETIME), rng)?;
        let offer = message::seal_offer(&card, &public, &inviter, rng)?;
        Ok(Self { card, key, offer, state: State::Waiting })
    }

    /// The card to show.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// To be posted before the card is shown.
    pub fn offer(&self) -> &Post {
        &self.offer
    }

    /// Where the answer will be.
    pub fn answer_mailbox(&self) -> Mailbox {
        Step::Answer.mailbox(&self.card)
    }

    /// All mailboxes of this pairing, to be emptied when it is over.
    pub fn mailboxes(&self) -> [Mailbox; 4] {
        [Step::Offer, Step::Answer, Step::Accept, Step::Finalize].map(|step| step.mailbox(&self.card))
    }

    /// The device that has answered, by its own words: for the question whether to let it in.
    pub fn candidate(&self) -> Option<&Device> {
        match &self.state {
            State::Answered(session) => Some(&session.candidate.device),
            State::Waiting | State::Burned => None,
        }
    }

    /// Takes what was found in the answer's mailbox; gives the acceptance to post. The same answer again gives the same
    /// acceptance.
    ///
    /// # Errors
    /// [`PairingError::CardUsed`] for a second answer made with the card, whatever it says; unless all is finalized already, that
    /// burns the card.
    pub fn on_answer(
        &mut self,
        bytes: &[u8],
        now: Millis,
        identity: &Identity,
        rng: &mut impl CryptoRng,
    ) -> Result<Post, PairingError> {
        match &self.state {
            State::Burned => Err(PairingError::Burned),
            State::Waiting => {
                self.check_expiry(now)?;
                let session = self.accept(bytes, identity, rng)?;
                let accept = session.accept.clone();
                self.state = State::Answered(Box::new(session));
                Ok(accept)
            }
            State::Answered(session) if session.answer == Hash::of(bytes) => Ok(session.accept.clone()),
            State::Answered(session) => {
                self.unseal_answer(bytes)?;
                if !matches!(session.progress, Progress::Finalized(_)) {
                    self.state = State::Burned;
                }
                Err(PairingError::CardUsed)
            }
        }
    }

    /// Takes the code that the person typed.
    ///
    /// # Errors
    /// [`PairingError::WrongCode`]; the third burns the card.
    pub fn confirm(&mut self, typed: &str, now: Millis) -> Result<Confirmed, PairingError> {
        self.check_expiry(now)?;
        let session = match &mut self.state {
            State::Waiting => return Err(PairingError::NotAnswered),
            State::Burned => return Err(PairingError::Burned),
            State::Answered(session) => session,
        };
        let Progress::Unconfirmed { tries } = &mut session.progress else {
            return Err(PairingError::AlreadyConfirmed);
        };
        if session.code.is(typed).ok_or(PairingError::CodeFormat)? {
            session.progress = Progress::Confirmed;
            return Ok(session.candidate.clone());
        }
        *tries = tries.saturating_sub(1);
        let left = *tries;
        if left == 0 {
            self.state = State::Burned;
        }
        Err(PairingError::WrongCode { left })
    }

    /// Seals `welcome` (at most [`MAX_WELCOME`] bytes) for the confirmed device. Once done, gives the same message again
    /// whatever `welcome` is: there is one welcome.
    pub fn finalize(
        &mut self,
        welcome: &[u8],
        identity: &Identity,
        rng: &mut impl CryptoRng,
    ) -> Result<Post, PairingError> {
        let session = match &mut self.state {
            State::Waiting => return Err(PairingError::NotConfirmed),
            State::Burned => return Err(PairingError::Burned),
            State::Answered(session) => session,
        };
        match &session.progress {
            Progress::Unconfirmed { .. } => return Err(PairingError::NotConfirmed),
            Progress::Finalized(finalize) => return Ok(finalize.clone()),
            Progress::Confirmed => {}
        }
        if welcome.len() > MAX_WELCOME {
            return Err(PairingError::TooLarge { step: Step::Finalize, max: MAX_WELCOME, got: welcome.len() });
        }
        let signature = identity.sign(&Step::Finalize.statement(session.accepted, welcome));
        let mut content = Zeroizing::new(Vec::with_capacity(SIGNATURE_LEN + welcome.len()));
        content.extend_from_slice(&signature);
        content.extend_from_slice(welcome);
        let channel = Channel::finalize(&self.card, &session.exporter, session.accepted);
        let (finalize, _) = channel.seal(session.prekey.key(), &content, rng)?;
        session.progress = Progress::Finalized(finalize.clone());
        Ok(finalize)
    }

    fn check_expiry(&self, now: Millis) -> Result<(), PairingError> {
        let expires = self.card.expires();
        if now >= expires { Err(PairingError::Expired { expires, now }) } else { Ok(()) }
    }

    /// Opens an answer: only someone with the card can have made it.
    fn unseal_answer(&self, bytes: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Key), PairingError> {
        let offered = message::offered(&self.card, &self.offer.bytes);
        Channel::answer(&self.card, offered).open(self.key.private(), bytes)
    }

    /// Checks what an answer says.
    fn read_answer(&self, bytes: &[u8]) -> Result<(Confirmed, Key), PairingError> {
        let step = Step::Answer;
        let (content, exporter) = self.unseal_answer(bytes)?;
        let answer = AnswerWire::decode(content.as_slice())
            .map_err(|_| PairingError::Malformed { step, reason: "not protobuf" })?;
        let device = Device::decode(&answer.device)?;
        let (roster_id, card_hash) = (self.card.roster_id(), self.card.hash());
        identity::verify_join(&device.key, roster_id, card_hash, &answer.device, &answer.join_signature)
            .map_err(|source| PairingError::Signature { step, source })?;
        let AnswerWire { device: device_bytes, join_signature } = answer;
        Ok((Confirmed { device, device_bytes, join_signature, card_hash }, exporter))
    }

    fn accept(&self, bytes: &[u8], identity: &Identity, rng: &mut impl CryptoRng) -> Result<Session, PairingError> {
        let (candidate, exporter) = self.read_answer(bytes)?;
        let prekey = PrekeyPublic::from_bytes(&candidate.device.prekey.public)
            .map_err(|_| PairingError::Malformed { step: Step::Answer, reason: "its prekey" })?;
        let answered = message::answered(message::offered(&self.card, &self.offer.bytes), bytes);
        let signature = identity.sign(&Step::Accept.statement(answered, &[]));
        let (accept, _) = Channel::accept(&self.card, &exporter, answered).seal(prekey.key(), &signature, rng)?;
        let accepted = message::accepted(answered, &accept.bytes);
        Ok(Session {
            answer: Hash::of(bytes),
            code: CheckCode::derive(&exporter, accepted),
            accept,
            candidate,
            prekey,
            exporter,
            accepted,
            progress: Progress::Unconfirmed { tries: CODE_TRIES },
        })
    }
}

impl fmt::Debug for Inviter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Waiting => "waiting",
            State::Answered(session) => match session.progress {
                Progress::Unconfirmed { .. } => "answered",
                Progress::Confirmed => "confirmed",
                Progress::Finalized(_) => "finalized",
            },
            State::Burned => "burned",
        };
        write!(f, "Inviter(redacted, {state}, card {})", self.card.hash())
    }
}
