//! The group secret: one random secret for each epoch, shared by a person's devices.
//!
//! ```text
//! K_psk   = HKDF-Expand(secret, "kinfolk/1/group-psk")       pre-shared key of every envelope of the epoch
//! K_addr  = HKDF-Expand(secret, "kinfolk/1/group-address")   key of mailbox addresses
//! mailbox = HMAC(K_addr, 0x00 ‖ recipient[16] ‖ prekey slot u32be)
//! common  = the X-Wing key with the seed HKDF-Expand(secret, "kinfolk/1/group-common" ‖ recipient[16]), in slot 0
//! commitment = SHA-256("kinfolk/1/epoch" ‖ roster id[32] ‖ number u32be ‖ id[16] ‖ secret)
//! ```
//!
//! A mailbox address is bound to one epoch and one prekey slot. It tells a relay nothing, and no clock is involved: a
//! recipient polls the slots whose seeds it still holds, times the live epochs. The first byte keeps room for other kinds
//! of address under the same key.
//!
//! The common key is for letters to a device of which no prekey is known that it still holds (`knock` in the core): whoever knows the secret
//! can write and read them, as with the external key of a group in MLS (RFC 9420 §8.3).

use super::derive::{self, Key};
use super::label;
use super::prekey::Prekey;
use super::suite::HpkeError;
pub use kinfolk_core::epoch::Epoch as GroupId;
use kinfolk_core::ids::{DeviceId, Hash};
use kinfolk_core::prekey::COMMON_SLOT;
use rand::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

/// The opaque address of a mailbox on a relay.
pub type Mailbox = [u8; 32];

/// The first byte under `K_addr`: a mailbox for envelopes.
const KIND_MAILBOX: u8 = 0x00;

/// The secret of one epoch, with the keys derived from it. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct GroupSecret {
    id: GroupId,
    secret: Key,
    psk: Key,
    address: Key,
}

impl GroupSecret {
    /// Draws the secret and the random half of the name of epoch `number`.
    pub fn generate(number: u32, rng: &mut impl CryptoRng) -> Self {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(secret.as_mut_slice());
        Self::from_secret(GroupId { number, id }, &secret)
    }

    /// Takes the 32 bytes that [`GroupSecret::secret`] gave.
    pub fn from_secret(id: GroupId, secret: &[u8; 32]) -> Self {
        Self {
            id,
            secret: Zeroizing::new(*secret),
            psk: derive::expand(secret, label::GROUP_PSK, &[]),
            address: derive::expand(secret, label::GROUP_ADDRESS, &[]),
        }
    }

    /// The epoch's name.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// The 32 secret bytes, to be wrapped and stored or given to a sibling.
    pub fn secret(&self) -> Zeroizing<[u8; 32]> {
        self.secret.clone()
    }

    /// Where envelopes for `recipient` lie that are sealed to its prekey in `slot`.
    pub fn mailbox(&self, recipient: DeviceId, slot: u32) -> Mailbox {
        derive::hmac(&self.address, &[&[KIND_MAILBOX], &recipient.0, &slot.to_be_bytes()])
    }

    /// The key that letters to `recipient` are sealed to when no prekey of its is known.
    pub fn common(&self, recipient: DeviceId) -> Result<Prekey, HpkeError> {
        let seed = derive::expand(&self.secret, label::GROUP_COMMON, &[&recipient.0]);
        Prekey::from_seed(COMMON_SLOT, &seed)
    }

    /// What the roster record that mints the epoch says of its secret.
    pub fn commitment(&self, roster: Hash) -> Hash {
        Hash::of_parts(&[label::EPOCH, &roster.0, &self.id.number.to_be_bytes(), &self.id.id, self.secret.as_slice()])
    }

    pub(super) fn psk(&self) -> &Key {
        &self.psk
    }
}

impl fmt::Debug for GroupSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupSecret(redacted, epoch {})", self.id.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::golden::{Golden, SeededRng, to_hex};
    use std::collections::BTreeSet;

    #[test]
    fn every_device_slot_and_epoch_has_a_mailbox_of_its_own() {
        let mut rng = SeededRng::new("group");
        let mut mailboxes = BTreeSet::new();
        for epoch in 0..3 {
            let group = GroupSecret::generate(epoch, &mut rng);
            for device in 0..3 {
                for slot in [0, 1, 256, u32::MAX] {
                    mailboxes.insert(group.mailbox(DeviceId([device; 16]), slot));
                }
            }
        }
        assert_eq!(mailboxes.len(), 3 * 3 * 4);
    }

    #[test]
    fn the_same_secret_gives_the_same_mailbox_on_every_device() {
        let group = GroupSecret::generate(1, &mut SeededRng::new("group"));
        let same = GroupSecret::from_secret(group.id(), &group.secret());
        assert_eq!(same.mailbox(DeviceId([1; 16]), 5), group.mailbox(DeviceId([1; 16]), 5));
    }

    #[test]
    fn every_device_and_epoch_has_a_common_key_of_its_own() {
        let mut rng = SeededRng::new("group");
        let groups = [GroupSecret::generate(1, &mut rng), GroupSecret::generate(2, &mut rng)];
        let keys = groups.iter().flat_map(|group| [1, 2].map(|device| group.common(DeviceId([device; 16])).unwrap()));
        let seeds: BTreeSet<[u8; 32]> = keys.map(|key| *key.seed()).collect();
        assert_eq!(seeds.len(), 4);
    }

    #[test]
    fn the_secret_is_never_shown() {
        let group = GroupSecret::generate(9, &mut SeededRng::new("group"));
        let shown = format!("{group:?}");
        assert_eq!(shown, "GroupSecret(redacted, epoch 9)");
        assert!(!shown.contains(&to_hex(group.secret().as_slice())));
    }

    #[test]
    fn addresses_are_what_they_were_in_the_first_release() {
        let group = GroupSecret::generate(9, &mut SeededRng::new("group"));
        let mut golden = Golden::open("group");
        golden.bytes("secret", group.secret().as_slice());
        golden.bytes("epoch_id", &group.id().id);
        golden.bytes("psk", group.psk().as_slice());
        golden.bytes("mailbox_device_01_slot_0", &group.mailbox(DeviceId([1; 16]), 0));
        golden.bytes("mailbox_device_01_slot_258", &group.mailbox(DeviceId([1; 16]), 258));
        golden.bytes("common_device_01", group.common(DeviceId([1; 16])).unwrap().seed().as_slice());
        golden.finish();
    }
}
