//! Online pairing: one device lets another one in, over relays that neither trusts.
//!
//! ```text
//!  inviter A                             relay                              joiner N
//!  card ─────────────── shown, copied or scanned by the person ───────────────▶
//!  offer      ──▶ box "offer"      pairing key, A's identity ───────────────▶  hash as in the card?
//!                                  ◀── box "answer"      N's record, signed by N
//!  accept     ──▶ box "accept"     A's signature over both ─────────────────▶  A is proven: show the code
//!  ◀───────────────────── the person types N's 6 digits on A ──────────────────
//!  finalize   ──▶ box "finalize"   signed roster addition, group secret ────▶  joined
//! ```
//!
//! **The card** holds 32 random bytes and a hash of A's one-use pairing key, A's identity and the roster. Boxes and the key
//! of the offer come from the secret; who has not seen the card sees random bytes in random places. The secret is the HPKE
//! pre-shared key of the answer, so that only someone with the card can answer at all.
//!
//! **The check code** proves that the person looks at the new device *after* it has authenticated A. A thief who read the
//! card over a shoulder and answers first leaves N without a code: A accepts one answer, and N shows a code only for an
//! acceptance of its own. The code comes from a key that only A and N know, over everything said so far. Three wrong codes
//! burn the card.
//!
//! **One card, one device.** The first answer wins. A second one made with the card means that someone else has it: then
//! pairing stops, whatever the person was about to type. Bytes made without the card change nothing, so that a relay cannot stop
//! a pairing by litter.
//!
//! No secret of the group leaves A before the code was typed. Both sides are values without I/O; whoever drives them puts
//! each [`Post`] into its mailbox and hands over what it finds.

mod card;
mod check_code;
mod inviter;
mod joiner;
mod message;

pub use card::{CARD_PREFIX, Card, CardError, MAX_CARD_TEXT, MAX_RELAY_URL, MAX_RELAYS};
pub use check_code::{CODE_DIGITS, CheckCode};
pub use inviter::{CODE_TRIES, Confirmed, Inviter};
pub use joiner::{Answered, Joiner, Trusting, Welcome};
pub use message::{MAX_MESSAGE, MAX_WELCOME, Step};

use super::group::Mailbox;
use super::identity::SignatureError;
use super::suite::HpkeError;
use bytes::Bytes;
use kinfolk_core::ids::Millis;
use kinfolk_core::roster::RecordError;

/// How long a card is good for.
pub const CARD_LIFETIME: Millis = Millis(10 * 60 * 1000);

/// One message and the mailbox it belongs into. Posting it again does no harm.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Post {
    /// Where.
    pub mailbox: Mailbox,
    /// What.
    pub bytes: Bytes,
}

/// Why a step of pairing was refused. Nothing has changed then, except where it says so.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PairingError {
    /// The card itself.
    #[error("{0}")]
    Card(#[from] CardError),
    /// The card is too old. Clocks that disagree look the same.
    #[error(
        "the card has expired: it was good until {} s ago by this device's clock",
        now.0.saturating_sub(expires.0) / 1000
    )]
    Expired {
        /// Its end.
        expires: Millis,
        /// This device's clock.
        now: Millis,
    },
    /// More bytes than the message can have.
    #[error("the pairing {step} has {got} bytes, at most {max} are possible")]
    TooLarge {
        /// Which message.
        step: Step,
        /// Its limit.
        max: usize,
        /// Its length.
        got: usize,
    },
    /// A version that this program does not know.
    #[error("expected pairing {step} version 1, got {got}; upgrade kinfolk on both devices")]
    Version {
        /// Which message.
        step: Step,
        /// Its version byte.
        got: u8,
    },
    /// Not made with this card by the other side of this pairing, or changed on the way, or of an earlier attempt.
    #[error("the pairing {step} does not belong to this card and this attempt, or was changed on the way")]
    NotAuthentic {
        /// Which message.
        step: Step,
    },
    /// Authentic, and not in the expected shape.
    #[error("the pairing {step} is malformed: {reason}")]
    Malformed {
        /// Which message.
        step: Step,
        /// What is wrong.
        reason: &'static str,
    },
    /// The offer is not by the device that made the card.
    #[error("the pairing offer was not made by the device that showed the card; someone else may have seen it")]
    Commitment,
    /// A signature in an authentic message does not hold.
    #[error("a signature in the pairing {step} does not hold: {source}")]
    Signature {
        /// Which message.
        step: Step,
        /// Why.
        source: SignatureError,
    },
    /// The new device's record is malformed.
    #[error("the new device describes itself wrongly: {0}")]
    Record(#[from] RecordError),
    /// This device's own record names other keys than its own.
    #[error("this device's record does not name its own identity and prekey")]
    OwnRecord,
    /// A second answer was made with the card. The card is burned.
    #[error(
        "someone else used this card too; nothing was shared. run `kin pair show` again and keep the card to yourself"
    )]
    CardUsed,
    /// The typed code is not [`CODE_DIGITS`] digits. Costs no try.
    #[error("a check code has {CODE_DIGITS} digits")]
    CodeFormat,
    /// The typed code is wrong. At no tries left the card is burned.
    #[error("that is not the code that the new device shows; {left} tries left")]
    WrongCode {
        /// Tries left.
        left: u32,
    },
    /// The card was burned by wrong codes or by a second answer.
    #[error("this card can no longer be used; run `kin pair show` again")]
    Burned,
    /// No device has answered yet.
    #[error("no device has answered this card yet")]
    NotAnswered,
    /// The code was typed already.
    #[error("the check code was confirmed already")]
    AlreadyConfirmed,
    /// The code was not typed yet.
    #[error("the check code has not been confirmed yet")]
    NotConfirmed,
    /// HPKE would not seal.
    #[error("a pairing message cannot be sealed: {0}")]
    Seal(#[from] HpkeError),
}

#[cfg(test)]
mod tests;
