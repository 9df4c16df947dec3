//! Bodies: who keeps the contents of old messages, as letters say it.
//!
//! A device may let go of old contents ([`crate::stub`]) as long as another one keeps them. It asks its siblings to; a *keeper* gives its word, and
//! writes that down first.
//!
//! ```text
//! wants to let go                                    keeps everything
//!      │ ── asks 7, prunes ──────────────────────────────▶ │  lacks nothing: notes "7, for you" on disk
//!      │ ◀───────────────────────── word 7, lacks 0, receipt │
//!      │  lets go of what the receipt covers               │  lets go of nothing while the word stands
//!      │ ── asks 0 ──────────────────────────────────────▶ │  the word is over
//! ```
//!
//! **Why nothing is lost.** A content goes only where a sibling holds all that its receipt covers, and has given its word; and whoever has given its
//! word lets go of nothing. So from each device that lacks a content a chain of words leads to one that has it. A word ends only when the one it was
//! given to says so, which it does not while it lacks anything, or is removed.
//!
//! **Who keeps.** Who lets go of nothing gives its word to anybody. Of devices that all would let go, the lowest id that lacks nothing keeps, if
//! nobody else does: it stops asking those above it and is asked by them.
//!
//! **The number** of an ask tells a word that is given now from one that was given before, in a letter that a relay kept back. It is the time at
//! which the asking began, and so greater after a restart.
//!
//! **Road not taken.** The roster could say which devices keep everything. It says what somebody wants, not what a device holds; two that change
//! their minds at the same time would each count on the other; and a device that keeps everything from today on lacks what it let go before.

use bytes::Bytes;
use prost::Message;

use crate::bound;

/// What a letter says of the contents of messages.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bodies {
    /// The sender lacks contents, or lets go of old ones, and asks the recipient to keep all: the number of the ask. 0 when it does not ask.
    pub asks: u64,
    /// The sender keeps all that it holds, as the recipient asked under this number. 0 when it has not given its word.
    pub word: u64,
    /// The sender lets go of old contents.
    pub prunes: bool,
    /// How many contents the sender lacks, of the messages that its receipt covers.
    pub lacks: u64,
}

impl Bodies {
    /// As it stands in a parcel; nothing when there is nothing to say.
    pub(crate) fn encode(&self) -> Bytes {
        let Self { asks, word, prunes, lacks } = *self;
        BodiesWire { asks, word, prunes, lacks }.encode_to_vec().into()
    }

    /// Reads what a parcel says; `None` when it is nothing of the kind.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if !bound::has_at_most(bytes, BodiesWire::MAX_PARTS) {
            return None;
        }
        let BodiesWire { asks, word, prunes, lacks } = BodiesWire::decode(bytes).ok()?;
        Some(Self { asks, word, prunes, lacks })
    }
}

#[derive(Clone, PartialEq, Message)]
struct BodiesWire {
    #[prost(uint64, tag = "1")]
    asks: u64,
    #[prost(uint64, tag = "2")]
    word: u64,
    #[prost(bool, tag = "3")]
    prunes: bool,
    #[prost(uint64, tag = "4")]
    lacks: u64,
}

impl BodiesWire {
    /// Most fields that its bytes may have: its own, and some of a newer version.
    const MAX_PARTS: usize = 64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_survives_its_bytes_and_silence_takes_none() {
        let said = Bodies { asks: u64::MAX, word: 7, prunes: true, lacks: 12 };
        assert_eq!(Bodies::decode(&said.encode()), Some(said));
        assert!(Bodies::default().encode().is_empty());
        assert_eq!(Bodies::decode(&[]), Some(Bodies::default()));
    }

    #[test]
    fn strange_bytes_are_refused() {
        assert_eq!(Bodies::decode(&[0xFF, 0xFF]), None);
        assert_eq!(Bodies::decode(&[0x0A, 0].repeat(1_000)), None);
    }
}
