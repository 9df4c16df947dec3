//! What goes through a relay: mailboxes, envelopes, and the opaque tokens a relay hands out for them.

use std::fmt;

use bytes::Bytes;
use kinfolk_core::ids::EnvelopeId;

/// A lookup key: the opaque address of one mailbox. Only the person's own devices can compute it; the relay sees it.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mailbox(pub [u8; 32]);

impl Mailbox {
    /// Reads the form written by `Display`: 64 lower-case hex digits, and nothing else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != key.len() * 2 {
            return None;
        }
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = lower_hex(pair[0])? << 4 | lower_hex(pair[1])?;
        }
        Some(Self(key))
    }
}

/// The value of one lower-case hex digit. Upper case is refused where a name must have one spelling.
pub(super) fn lower_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({self})")
    }
}

/// A sealed parcel under the name it keeps for life.
#[derive(Clone, Eq, PartialEq)]
pub struct Envelope {
    /// Chosen once, when the parcel was sealed: the key for idempotent puts and for dedup.
    pub id: EnvelopeId,
    /// Ciphertext. Kept by the sender, because a retry repeats these very bytes.
    pub sealed: Bytes,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope({}, {} bytes)", self.id, self.sealed.len())
    }
}

/// Where to go on collecting: opaque, meaningful only to the handle that gave it, safe to lose at any time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cursor(pub Bytes);

/// Names one stored copy, for [`super::Relay::acknowledge`]. The same envelope may lie there as several copies.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Handle(pub Bytes);

/// One mailbox to collect from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Want {
    /// Which mailbox.
    pub mailbox: Mailbox,
    /// From where; `None` collects everything.
    pub after: Option<Cursor>,
}

impl Want {
    /// Everything that lies in `mailbox`.
    pub fn all(mailbox: Mailbox) -> Self {
        Self { mailbox, after: None }
    }
}

/// One copy that a fetch returned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Delivery {
    /// Names this copy when it is acknowledged.
    pub handle: Handle,
    /// What was in it.
    pub envelope: Envelope,
}

/// What a fetch found in one mailbox.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fetched {
    /// Which mailbox.
    pub mailbox: Mailbox,
    /// Whole copies, in no promised order.
    pub mail: Vec<Delivery>,
    /// Where the next fetch may go on; `None`: from nothing.
    pub cursor: Option<Cursor>,
    /// The byte bound cut this answer short: ask again.
    pub more: bool,
    /// Copies seen that are not whole, or cannot be read. They were left in place.
    pub torn: u32,
}

/// What became of one envelope.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PutOutcome {
    /// It lies in its mailbox, as durable as the kind promises.
    Stored,
    /// The same bytes lay there before.
    AlreadyThere,
    /// The mailbox's budget is used up; the sender waits until the receiver has collected.
    MailboxFull {
        /// Bytes that lie there.
        used: u64,
        /// The budget in bytes.
        max: u64,
    },
    /// This kind takes no envelope of that size.
    TooLarge {
        /// The largest envelope in bytes.
        max: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_has_exactly_one_spelling() {
        let mailbox = Mailbox([0xa7; 32]);
        let text = mailbox.to_string();
        assert_eq!(Mailbox::from_hex(&text), Some(mailbox));
        assert_eq!(Mailbox::from_hex(&text.to_uppercase()), None);
        assert_eq!(Mailbox::from_hex(&text[..62]), None);
        assert_eq!(Mailbox::from_hex(&format!("{text}00")), None);
    }

    #[test]
    fn debugging_an_envelope_shows_no_bytes() {
        let envelope = Envelope { id: EnvelopeId([1; 16]), sealed: Bytes::from_static(b"canary") };
        let text = format!("{envelope:?}");
        assert!(!text.contains("canary") && text.contains("6 bytes"), "{text}");
    }
}
