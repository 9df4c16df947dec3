//! What a kind of relay can do, as data: the only thing the code above the trait may know about a kind.

use std::time::Duration;

/// What one relay can do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Capabilities {
    /// How it tells of new mail.
    pub push: Push,
    /// Who may delete.
    pub deletes: Deletes,
    /// How long mail lasts by itself.
    pub retention: Retention,
    /// What a stored envelope survives.
    pub durability: Durability,
    /// Largest envelope in sealed bytes; larger ones come back as `TooLarge`.
    pub max_envelope: usize,
    /// The most a caller should hand over in one put, so that a call stays well inside its deadline.
    pub max_batch: Batch,
    /// Budget of one mailbox in sealed bytes; `None`: the relay's own limits only.
    pub max_mailbox_bytes: Option<u64>,
    /// The most mailboxes one fetch or watch should name.
    pub max_mailboxes_per_call: usize,
    /// How often to ask when no push arrives.
    pub poll: Poll,
}

/// How a relay tells of new mail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Push {
    /// Not at all: a watch says *gap* once and then nothing, callers poll.
    None,
    /// A watch says which mailbox to look into.
    Hint,
    /// As [`Push::Hint`], and the relay carries the mail along with the hint inside its module, so that the fetch
    /// after it costs no round trip.
    Inline,
}

/// Who may delete mail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Deletes {
    /// Nobody: acknowledging does nothing, mail dies by itself.
    Nobody,
    /// Whoever can reach the mailbox.
    Anyone,
}

/// How long mail lasts by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retention {
    /// Until it is deleted or this old.
    Stored {
        /// Age at which a sweep takes it.
        ttl: Duration,
    },
    /// Only while the sender puts it again and again.
    SoftState {
        /// Age at which it is gone.
        ttl: Duration,
        /// How often to put it again.
        refresh: Duration,
    },
}

impl Retention {
    /// The age at which mail that nobody touches is gone.
    pub fn keeps(self) -> Duration {
        match self {
            Self::Stored { ttl } | Self::SoftState { ttl, .. } => ttl,
        }
    }
}

/// What a stored envelope survives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Durability {
    /// Nothing: it lies in memory.
    Memory,
    /// A power cut: it was synced to disk.
    Synced,
    /// The loss of one machine.
    Replicated,
    /// The relay does not say.
    Unknown,
}

/// The size of one put.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Batch {
    /// Envelopes.
    pub count: usize,
    /// Sealed bytes in all.
    pub bytes: usize,
}

/// How often to ask when no push arrives, and what asking costs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Poll {
    /// Never more often than this.
    pub floor: Duration,
    /// As rarely as this when nothing happens.
    pub idle: Duration,
    /// Price of one poll in billionths of a US dollar; 0 when it is free.
    pub nano_usd: u64,
}
