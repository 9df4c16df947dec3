//! Epochs of the group: which secret the devices share, by name. The secrets themselves never come here.
//!
//! **Why.** All devices of a person share a secret: it keys the addresses of their mailboxes and is the pre-shared key of their envelopes. A
//! removed device knows it. So whoever removes a device draws a new one in the same transaction, and gives it to the others.
//!
//! **Which epoch is safe** follows from the roster alone. An epoch is minted by a roster record; it is *fit* when every removal that counts lies
//! in that record's past: then whoever minted it and whoever was given it knew whom not to give it to. After two removals that did not know of
//! each other neither epoch is fit, since each was given to a device that the other one removed; then somebody mints a third. A removed
//! device can mint nothing fit: its own removal lies in the past of nothing that counts of it.
//!
//! **Which one is used**: of the epochs whose secret a device holds, a fit one before any other, then the greatest (number, id). Devices with equal
//! rosters that hold the same secrets therefore live in the same epoch, in whatever order they heard of them.

use bytes::Bytes;

use crate::ids::Hash;

/// The name of an epoch. Of two the greater is the later, or the one that is agreed on when both came at the same time.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch {
    /// Counts up with every new epoch; 0 is none.
    pub number: u32,
    /// Random, because two devices may mint the same number at the same time.
    pub id: [u8; 16],
}

/// An epoch as it came to be: what a roster record says of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewEpoch {
    /// Its name.
    pub epoch: Epoch,
    /// Binds the secret: what is given under this name and has another commitment is not taken.
    pub commitment: Hash,
}

/// An epoch that a letter gives to its recipient.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GivenEpoch {
    /// Which.
    pub epoch: Epoch,
    /// Its secret, sealed to the recipient's prekey: at most [`MAX_GIFT`] bytes. The engine leaves it empty; who seals the letter fills it.
    pub gift: Bytes,
}

/// An epoch whose secret is held, or about to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeptEpoch {
    /// Which.
    pub epoch: Epoch,
    /// The commitment that its secret has.
    pub commitment: Hash,
    /// The secret as the store keeps it: wrapped, and opaque here.
    pub kept: Bytes,
}

/// An epoch whose secret is held, as the engine knows it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HeldEpoch {
    /// Which.
    pub epoch: Epoch,
    /// Since when, by the wall clock, no live sibling is known to live in an earlier epoch than this device.
    pub quiet: Option<crate::ids::Millis>,
}

/// Most epochs in a letter: one is given, and a later version may want to give more.
pub const MAX_GIVEN: usize = 8;
/// Most bytes of a gift: an encapsulated key of 1,120 bytes, 32 of secret and 16 of tag, and room for a later suite.
pub const MAX_GIFT: usize = 4_096;
