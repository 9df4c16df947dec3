//! The envelope: all that a relay ever sees of a parcel.
//!
//! ```text
//! envelope  = 0x01 ‖ slot u32be ‖ encapsulated key[1120] ‖ ciphertext, tag last
//! plaintext = pad( sender[16] ‖ signature[64] ‖ zstd(parcel) )
//! signature = Ed25519 over "kinfolk/1/parcel" ‖ sender[16] ‖ recipient[16] ‖ epoch id[16] ‖ slot u32be ‖ SHA-256(parcel)
//! psk       = the group's, psk_id = epoch id[16]
//! info      = "kinfolk/1/envelope" ‖ roster id[32] ‖ epoch id[16] ‖ recipient[16]
//! aad       = 0x01 ‖ slot u32be ‖ mailbox[32]
//! ```
//!
//! Neither the epoch nor any device is named outside the ciphertext. The mailbox that an envelope was found in says which
//! epoch it is for, because addresses are derived from the group secret; so there is one key to try, never a list.
//!
//! # Opening is two steps
//!
//! [`open`] proves that a device which knows the group secret sealed this for us. [`Opened::verify`] proves which device
//! wrote it. They are apart because the key to verify with may be found only inside the parcel: a new sibling introduces
//! itself by roster records that it brings along. Until `verify`, parcel bytes are read only through
//! [`Opened::parcel_unverified`].

use super::compress::{self, CompressError, MAX_COMPRESSED};
use super::group::{GroupId, GroupSecret, Mailbox};
use super::identity::{self, Identity, SIGNATURE_LEN, SignatureError};
use super::label;
use super::padding;
use super::prekey::{Prekey, PrekeyPublic};
use super::suite::{self, Binding, ENCAPSULATED_LEN, HpkeError, TAG_LEN};
use bytes::Bytes;
use kinfolk_core::ids::{DeviceId, Hash, IdentityKey};
use kinfolk_core::prekey::COMMON_SLOT;
use rand::CryptoRng;
use std::borrow::Cow;
use std::fmt;
use zeroize::Zeroizing;

/// The version byte of suite v1.
const VERSION: u8 = 1;
/// Version and slot.
const HEADER_LEN: usize = 1 + 4;
/// Sender and signature, in front of the compressed parcel.
const AUTHOR_LEN: usize = DeviceId::LEN + SIGNATURE_LEN;
/// Smallest envelope: everything around the smallest padded plaintext (5 + 1120 + 1024 + 16).
pub const MIN_ENVELOPE: usize = HEADER_LEN + ENCAPSULATED_LEN + padding::FLOOR + TAG_LEN;
/// Largest envelope: everything around the padded form of the largest compressed parcel.
pub const MAX_ENVELOPE: usize =
    HEADER_LEN + ENCAPSULATED_LEN + padding::padded_len(AUTHOR_LEN + MAX_COMPRESSED) + TAG_LEN;

/// Who seals.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// This device.
    pub device: DeviceId,
    /// Its identity.
    pub identity: &'a Identity,
}

/// Who will open.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    /// The sibling.
    pub device: DeviceId,
    /// The newest slot known of it.
    pub slot: u32,
    /// The prekey in that slot.
    pub prekey: &'a PrekeyPublic,
}

/// Everything a device needs to open what is sealed for it.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// This device.
    pub me: DeviceId,
    /// The prekeys whose seeds are still held.
    pub prekeys: Vec<Prekey>,
    /// The secrets of the epochs whose mailboxes are looked into.
    pub groups: Vec<GroupSecret>,
    /// The secrets of further epochs, in which devices are written to that know no later one.
    pub resting: Vec<GroupSecret>,
    /// The name of the roster: the hash of its first record.
    pub roster_id: Hash,
}

impl Keyring {
    /// The secret of an epoch, if it is held.
    pub fn group(&self, epoch: GroupId) -> Option<&GroupSecret> {
        self.groups.iter().chain(&self.resting).find(|group| group.id() == epoch)
    }

    /// The mailboxes to poll: every held slot and the common one, times every live epoch.
    pub fn mailboxes(&self) -> Vec<Mailbox> {
        let slots = || self.prekeys.iter().map(Prekey::slot).chain([COMMON_SLOT]);
        self.groups.iter().flat_map(|group| slots().map(|slot| group.mailbox(self.me, slot))).collect()
    }

    /// The key that an envelope of `group` to this slot opens with.
    fn prekey(&self, slot: u32, group: &GroupSecret) -> Result<Cow<'_, Prekey>, OpenError> {
        if slot == COMMON_SLOT {
            return Ok(Cow::Owned(group.common(self.me)?));
        }
        let held = self.prekeys.iter().find(|prekey| prekey.slot() == slot);
        held.map(Cow::Borrowed).ok_or(OpenError::Slot { slot })
    }
}

/// Why a parcel could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It is larger than [`MAX_PARCEL`](kinfolk_core::parcel::MAX_PARCEL), or zstd refused it.
    #[error("the parcel cannot be compressed: {0}")]
    Compress(#[from] CompressError),
    /// HPKE refused the recipient's key.
    #[error("the parcel cannot be sealed: {0}")]
    Hpke(#[from] HpkeError),
}

/// Why an envelope was not opened. Nobody outside is told: the envelope is dropped and counted.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not between [`MIN_ENVELOPE`] and [`MAX_ENVELOPE`] bytes.
    #[error("an envelope has {MIN_ENVELOPE} to {MAX_ENVELOPE} bytes, got {got}")]
    Length {
        /// Its length.
        got: usize,
    },
    /// A version that this program does not know.
    #[error("expected envelope version {VERSION}, got {got}; upgrade kinfolk on this device")]
    Version {
        /// Its version byte.
        got: u8,
    },
    /// Sealed to a prekey that this device never had or has destroyed.
    #[error("no prekey in slot {slot}")]
    Slot {
        /// Its slot.
        slot: u32,
    },
    /// The mailbox it was found in belongs to no live epoch of ours with that slot.
    #[error("found in a mailbox that is not for slot {slot} in any live epoch")]
    Mailbox {
        /// Its slot.
        slot: u32,
    },
    /// Not sealed for us under this group, or changed on the way.
    #[error("not sealed for this device, or changed on the way")]
    Sealing(#[from] HpkeError),
    /// The plaintext is not padded as it must be.
    #[error("{0}")]
    Padding(#[from] padding::PaddingError),
    /// The plaintext has no room for sender and signature.
    #[error("expected at least {AUTHOR_LEN} bytes of plaintext, got {got}")]
    Plaintext {
        /// Its length after padding was taken off.
        got: usize,
    },
    /// The compressed parcel is damaged or too large.
    #[error("{0}")]
    Compress(#[from] CompressError),
    /// The author's signature does not hold.
    #[error("{0}")]
    Signature(#[from] SignatureError),
}

/// Seals `parcel` (at most [`MAX_PARCEL`](kinfolk_core::parcel::MAX_PARCEL) bytes) for one sibling. The result belongs into
/// `group.mailbox(recipient.device, recipient.slot)` and opens nowhere else.
pub fn seal(
    parcel: &[u8],
    sender: Sender<'_>,
    recipient: Recipient<'_>,
    group: &GroupSecret,
    roster_id: Hash,
    rng: &mut impl CryptoRng,
) -> Result<Bytes, SealError> {
    let compressed = Zeroizing::new(compress::compress(parcel)?);
    let place = Place { recipient: recipient.device, slot: recipient.slot, epoch: group.id() };
    let signature = sender.identity.sign(&place.statement(sender.device, Hash::of(parcel)));
    seal_signed(sender.device, &signature, &compressed, place, recipient.prekey, group, roster_id, rng)
}

/// Opens an envelope that was found in `mailbox`. Costs one decapsulation at most, and none for what cannot be ours.
pub fn open(envelope: &[u8], mailbox: Mailbox, keyring: &Keyring) -> Result<Opened, OpenError> {
    if !(MIN_ENVELOPE..=MAX_ENVELOPE).contains(&envelope.len()) {
        return Err(OpenError::Length { got: envelope.len() });
    }
    let wrong_length = OpenError::Length { got: envelope.len() };
    let Some((header, sealed)) = envelope.split_first_chunk::<HEADER_LEN>() else {
        return Err(wrong_length);
    };
    let Some((encapsulated, ciphertext)) = sealed.split_at_checked(ENCAPSULATED_LEN) else {
        return Err(wrong_length);
    };
    let [version, slot @ ..] = *header;
    if version != VERSION {
        return Err(OpenError::Version { got: version });
    }
    let slot = u32::from_be_bytes(slot);
    if slot != COMMON_SLOT && keyring.prekeys.iter().all(|prekey| prekey.slot() != slot) {
        return Err(OpenError::Slot { slot });
    }
    let group = keyring
        .groups
        .iter()
        .find(|group| group.mailbox(keyring.me, slot) == mailbox)
        .ok_or(OpenError::Mailbox { slot })?;
    let prekey = keyring.prekey(slot, group)?;
    let place = Place { recipient: keyring.me, slot, epoch: group.id() };
    let plaintext = suite::open(
        prekey.private(),
        Binding {
            psk: group.psk(),
            psk_id: &group.id().id,
            info: &place.info(keyring.roster_id),
            aad: &aad(header, &mailbox),
        },
        encapsulated,
        ciphertext,
    )?
    .plaintext;

    let content = padding::unpad(&plaintext)?;
    let Some((author, compressed)) = content.split_first_chunk::<AUTHOR_LEN>() else {
        return Err(OpenError::Plaintext { got: content.len() });
    };
    let (sender, signature) = author.split_at(DeviceId::LEN);
    let (Some(sender), Ok(signature)) = (DeviceId::from_slice(sender), signature.try_into()) else {
        return Err(OpenError::Plaintext { got: content.len() });
    };
    Ok(Opened { sender, signature, place, parcel: compress::decompress(compressed)? })
}

/// A parcel that a device with the group secret sealed for us; which device, is only claimed.
#[derive(Clone)]
pub struct Opened {
    sender: DeviceId,
    signature: [u8; SIGNATURE_LEN],
    place: Place,
    parcel: Vec<u8>,
}

impl Opened {
    /// Which device claims to have written this.
    pub fn sender(&self) -> DeviceId {
        self.sender
    }

    /// The epoch that the sender used: an older one than ours says that it does not know ours yet.
    pub fn epoch(&self) -> GroupId {
        self.place.epoch
    }

    /// The prekey slot that the sender used.
    pub fn slot(&self) -> u32 {
        self.place.slot
    }

    /// The parcel before its author is proven. For one purpose: to find the roster records by which a new sibling proves
    /// that the key to verify with is its own.
    pub fn parcel_unverified(&self) -> &[u8] {
        &self.parcel
    }

    /// Proves that the holder of `key` wrote the parcel for this device, epoch and slot, and gives it out.
    pub fn verify(self, key: &IdentityKey) -> Result<Vec<u8>, OpenError> {
        let statement = self.place.statement(self.sender, Hash::of(&self.parcel));
        identity::verify(key, &statement, &self.signature)?;
        Ok(self.parcel)
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("sender", &self.sender)
            .field("slot", &self.place.slot)
            .field("epoch", &self.place.epoch)
            .field("parcel", &format_args!("{} bytes", self.parcel.len()))
            .finish_non_exhaustive()
    }
}

/// What an envelope is bound to: moved anywhere else, it does not open.
#[derive(Clone, Copy)]
struct Place {
    recipient: DeviceId,
    slot: u32,
    epoch: GroupId,
}

impl Place {
    fn statement(&self, sender: DeviceId, parcel: Hash) -> Vec<u8> {
        [label::PARCEL, &sender.0, &self.recipient.0, &self.epoch.id, &self.slot.to_be_bytes(), &parcel.0].concat()
    }

    fn info(&self, roster_id: Hash) -> Vec<u8> {
        [label::ENVELOPE, &roster_id.0, &self.epoch.id, &self.recipient.0].concat()
    }

    fn header(&self) -> [u8; HEADER_LEN] {
        let [a, b, c, d] = self.slot.to_be_bytes();
        [VERSION, a, b, c, d]
    }
}

fn aad(header: &[u8; HEADER_LEN], mailbox: &Mailbox) -> Vec<u8> {
    [header.as_slice(), mailbox].concat()
}

/// The part of [`seal`] after compression and signature.
#[expect(clippy::too_many_arguments, reason = "each is one field of the format; a struct would only rename them")]
fn seal_signed(
    sender: DeviceId,
    signature: &[u8; SIGNATURE_LEN],
    compressed: &[u8],
    place: Place,
    prekey: &PrekeyPublic,
    group: &GroupSecret,
    roster_id: Hash,
    rng: &mut impl CryptoRng,
) -> Result<Bytes, SealError> {
    let mut plaintext = Zeroizing::new(Vec::with_capacity(padding::padded_len(AUTHOR_LEN + compressed.len())));
    plaintext.extend_from_slice(&sender.0);
    plaintext.extend_from_slice(signature);
    plaintext.extend_from_slice(compressed);
    padding::pad(&mut plaintext);
    let header = place.header();
    let mailbox = group.mailbox(place.recipient, place.slot);
    let sealed = suite::seal(
        prekey.key(),
        Binding {
            psk: group.psk(),
            psk_id: &group.id().id,
            info: &place.info(roster_id),
            aad: &aad(&header, &mailbox),
        },
        &plaintext,
        rng,
    )?;
    Ok(Bytes::from([header.as_slice(), &sealed.encapsulated, &sealed.ciphertext].concat()))
}

#[cfg(test)]
mod tests;
