//! The secret of an epoch on its way to a sibling.
//!
//! ```text
//! gift = encapsulated key[1120] ‖ ciphertext of the secret[32], tag last
//! psk  = the group's of the envelope's epoch, psk_id = that epoch's id[16]
//! info = "kinfolk/1/gift" ‖ roster id[32] ‖ given epoch's id[16] ‖ recipient[16]
//! aad  = given epoch's number u32be ‖ slot u32be
//! ```
//!
//! A gift lies in a letter, which is sealed to the same prekey and signed by its sender. It is sealed once more, so that the secret is in the
//! clear nowhere but here: not in parcels, not in the core, not in a store that keeps it for later.

use super::envelope::{Keyring, Recipient};
use super::group::{GroupId, GroupSecret};
use super::label;
use super::suite::{self, Binding, ENCAPSULATED_LEN, HpkeError};
use bytes::Bytes;
use kinfolk_core::ids::{DeviceId, Hash};
use rand::CryptoRng;
use zeroize::Zeroizing;

/// Length of an epoch's secret.
const SECRET_LEN: usize = 32;
/// Length of a gift.
pub const GIFT_LEN: usize = ENCAPSULATED_LEN + SECRET_LEN + suite::TAG_LEN;

/// Seals the secret of `given` for a sibling, under an epoch that it holds already.
pub fn seal_gift(
    given: &GroupSecret,
    recipient: Recipient<'_>,
    under: &GroupSecret,
    roster: Hash,
    rng: &mut impl CryptoRng,
) -> Result<Bytes, HpkeError> {
    let (info, aad) = (info(roster, given.id(), recipient.device), aad(given.id(), recipient.slot));
    let binding = Binding { psk: under.psk(), psk_id: &under.id().id, info: &info, aad: &aad };
    let sealed = suite::seal(recipient.prekey.key(), binding, given.secret().as_slice(), rng)?;
    Ok(Bytes::from([sealed.encapsulated.as_slice(), &sealed.ciphertext].concat()))
}

/// Opens a gift that came in an envelope sealed to `slot` under `under`. `None` when it is not for this device, or not what it says.
pub fn open_gift(gift: &[u8], given: GroupId, under: GroupId, slot: u32, keyring: &Keyring) -> Option<GroupSecret> {
    if gift.len() != GIFT_LEN {
        return None;
    }
    let (encapsulated, ciphertext) = gift.split_at_checked(ENCAPSULATED_LEN)?;
    let prekey = keyring.prekeys.iter().find(|prekey| prekey.slot() == slot)?;
    let group = keyring.group(under)?;
    let (info, aad) = (info(keyring.roster_id, given, keyring.me), aad(given, slot));
    let binding = Binding { psk: group.psk(), psk_id: &under.id, info: &info, aad: &aad };
    let plaintext = suite::open(prekey.private(), binding, encapsulated, ciphertext).ok()?.plaintext;
    let secret = Zeroizing::new(<[u8; SECRET_LEN]>::try_from(plaintext.as_slice()).ok()?);
    Some(GroupSecret::from_secret(given, &secret))
}

fn info(roster: Hash, given: GroupId, recipient: DeviceId) -> Vec<u8> {
    [label::GIFT, &roster.0, &given.id, &recipient.0].concat()
}

fn aad(given: GroupId, slot: u32) -> Vec<u8> {
    [given.number.to_be_bytes(), slot.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::golden::{Golden, SeededRng};
    use crate::seal::prekey::Prekey;

    const ME: DeviceId = DeviceId([2; 16]);
    const ROSTER: Hash = Hash([7; 32]);

    struct Scene {
        keyring: Keyring,
        given: GroupSecret,
        gift: Bytes,
    }

    fn scene() -> Scene {
        let mut rng = SeededRng::new("gift");
        let (under, given) = (GroupSecret::generate(1, &mut rng), GroupSecret::generate(2, &mut rng));
        let prekey = Prekey::generate(5, &mut rng).unwrap();
        let public = prekey.public();
        let recipient = Recipient { device: ME, slot: 5, prekey: &public };
        let gift = seal_gift(&given, recipient, &under, ROSTER, &mut rng).unwrap();
        let keyring =
            Keyring { me: ME, prekeys: vec![prekey], groups: vec![under], resting: Vec::new(), roster_id: ROSTER };
        Scene { keyring, given, gift }
    }

    fn opened(scene: &Scene, given: GroupId, slot: u32) -> Option<[u8; 32]> {
        let under = scene.keyring.groups[0].id();
        open_gift(&scene.gift, given, under, slot, &scene.keyring).map(|group| *group.secret())
    }

    #[test]
    fn a_gift_opens_for_its_recipient_under_its_name_only() {
        let scene = scene();
        let id = scene.given.id();
        assert_eq!(scene.gift.len(), GIFT_LEN);
        assert_eq!(opened(&scene, id, 5), Some(*scene.given.secret()));
        assert_eq!(opened(&scene, GroupId { number: 3, ..id }, 5), None);
        assert_eq!(opened(&scene, GroupId { id: [0; 16], ..id }, 5), None);
        assert_eq!(opened(&scene, id, 6), None);
        for keyring in [
            Keyring { me: DeviceId([3; 16]), ..scene.keyring.clone() },
            Keyring { roster_id: Hash([8; 32]), ..scene.keyring.clone() },
            Keyring { groups: Vec::new(), ..scene.keyring.clone() },
        ] {
            assert!(open_gift(&scene.gift, id, scene.keyring.groups[0].id(), 5, &keyring).is_none());
        }
    }

    #[test]
    fn a_gift_that_is_changed_or_cut_does_not_open() {
        let mut scene = scene();
        let (id, gift) = (scene.given.id(), scene.gift.clone());
        for at in [0, ENCAPSULATED_LEN - 1, ENCAPSULATED_LEN, GIFT_LEN - 1] {
            let mut changed = gift.to_vec();
            changed[at] ^= 1;
            scene.gift = Bytes::from(changed);
            assert_eq!(opened(&scene, id, 5), None, "byte {at}");
            scene.gift = gift.slice(..at);
            assert_eq!(opened(&scene, id, 5), None, "cut to {at}");
        }
    }

    #[test]
    fn gifts_are_what_they_were_in_the_first_release() {
        let scene = scene();
        let mut golden = Golden::open("gift");
        golden.bytes("prekey_seed", scene.keyring.prekeys[0].seed().as_slice());
        golden.bytes("under_secret", scene.keyring.groups[0].secret().as_slice());
        golden.bytes("given_secret", scene.given.secret().as_slice());
        golden.bytes("commitment", &scene.given.commitment(ROSTER).0);
        golden.bytes("gift", &scene.gift);
        golden.finish();
    }
}
