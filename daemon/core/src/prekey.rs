//! Prekeys of this device as the engine knows them: which seeds it holds, since when, and which are of no use any more.
//!
//! Mail is sealed to the prekey that its sender knows; whoever takes the seeds later can open what relays kept of it. So prekeys are changed,
//! and old seeds are destroyed once nothing can come in that is sealed to them. The seeds themselves never come here.

use bytes::Bytes;

use crate::ids::Millis;
use crate::roster::Prekey;

/// The slot of no prekey. What lies in its mailbox is sealed to a key that follows from the epoch's secret and the recipient's id alone: whoever lives in the
/// epoch can write and read it without having heard of any prekey. Prekeys begin with slot 1.
pub const COMMON_SLOT: u32 = 0;

/// A prekey whose seed is held.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HeldPrekey {
    /// Its slot.
    pub slot: u32,
    /// When it was made, by the wall clock; 0 when it is to be replaced at once.
    pub made: Millis,
    /// Since when, by the wall clock, every live sibling is known to know a later one.
    pub quiet: Option<Millis>,
}

impl HeldPrekey {
    /// The same, to be replaced at once: siblings may know later ones that were lost.
    #[must_use]
    pub fn spoilt(self) -> Self {
        Self { made: Millis(0), ..self }
    }
}

/// A prekey that was just made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeptPrekey {
    /// What siblings seal to.
    pub prekey: Prekey,
    /// When it was made, by the wall clock.
    pub made: Millis,
    /// Its seed as the store keeps it: wrapped, and opaque here.
    pub kept: Bytes,
}
