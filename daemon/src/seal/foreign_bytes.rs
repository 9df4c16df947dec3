//! Foreign bytes cannot harm: whatever a relay, a card or a false sibling brings, the answer is an error or a value within
//! bounds, never a panic. `tests/fuzz` has the same entrances for long runs.

use super::golden::{SeededRng, to_hex};
use super::pairing::{Card, Inviter, MAX_CARD_TEXT};
use super::wrap::{MAX_SECRET, Place};
use super::{GroupSecret, Identity, Kek, Keyring, Prekey, compress, open, padding};
use kinfolk_core::ids::{DeviceId, Hash, Millis};
use kinfolk_core::parcel::MAX_PARCEL;
use proptest::collection::vec;
use proptest::prelude::*;

const PLACE: Place<'static> = Place { table: "t", row: b"r", version: 1 };
const NOW: Millis = Millis(1_000_000);

fn keyring() -> Keyring {
    let mut rng = SeededRng::new("foreign bytes");
    Keyring {
        me: DeviceId([1; 16]),
        prekeys: vec![Prekey::generate(1, &mut rng).unwrap()],
        groups: vec![GroupSecret::generate(1, &mut rng)],
        resting: Vec::new(),
        roster_id: Hash([2; 32]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_in_a_mailbox_are_refused(head in vec(any::<u8>(), 0..8), body in vec(any::<u8>(), 0..3000)) {
        let keyring = keyring();
        let mailbox = keyring.mailboxes()[0];
        prop_assert!(open(&[head.as_slice(), &body].concat(), mailbox, &keyring).is_err());
        // Past version, slot and mailbox.
        prop_assert!(open(&[&[1, 0, 0, 0, 0], body.as_slice()].concat(), mailbox, &keyring).is_err());
    }

    #[test]
    fn any_text_is_a_card_or_refused(text in ".{0,200}", bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(Card::parse(&text).is_err());
        let prefixed = format!("kinfolk:{text}");
        prop_assert!(Card::parse(&prefixed).is_err());
        let hex = format!("kinfolk:{}", to_hex(&bytes));
        prop_assert!(hex.len() <= MAX_CARD_TEXT && Card::parse(&hex).is_err());
    }

    #[test]
    fn any_bytes_for_an_answer_leave_the_inviter_waiting(body in vec(any::<u8>(), 0..3000)) {
        let mut rng = SeededRng::new("foreign answers");
        let identity = Identity::generate(&mut rng);
        let mut inviter = Inviter::new(&identity, Hash([2; 32]), vec!["r".into()], NOW, &mut rng).unwrap();
        prop_assert!(inviter.on_answer(&body, NOW, &identity, &mut rng).is_err());
        prop_assert!(inviter.on_answer(&[&[1], body.as_slice()].concat(), NOW, &identity, &mut rng).is_err());
        prop_assert_eq!(inviter.candidate(), None);
        let shown = format!("{inviter:?}");
        prop_assert!(shown.contains("waiting"));
    }

    #[test]
    fn any_bytes_are_no_wrapped_secret(body in vec(any::<u8>(), 0..300)) {
        let kek = Kek::from_bytes(&[3; 32]);
        prop_assert!(kek.reveal(PLACE, &body).is_err());
        prop_assert!(kek.reveal(PLACE, &[&[1], body.as_slice()].concat()).is_err());
    }

    #[test]
    fn every_secret_comes_back(secret in vec(any::<u8>(), 0..500), table in "[a-z]{0,9}", row in vec(any::<u8>(), 0..20)) {
        let kek = Kek::from_bytes(&[3; 32]);
        let place = Place { table: &table, row: &row, version: 7 };
        let wrapped = kek.wrap(place, &secret, &mut SeededRng::new("nonce")).unwrap();
        prop_assert!(wrapped.len() <= MAX_SECRET);
        prop_assert_eq!(kek.reveal(place, &wrapped).unwrap().to_vec(), secret);
    }

    #[test]
    fn what_is_unpadded_was_padded(content in vec(any::<u8>(), 0..3000), damage in any::<(prop::sample::Index, u8)>()) {
        let mut padded = content.clone();
        padding::pad(&mut padded);
        prop_assert_eq!(padding::unpad(&padded).unwrap(), content.as_slice());
        let at = damage.0.index(padded.len());
        padded[at] = damage.1;
        if let Ok(other) = padding::unpad(&padded) {
            let mut again = other.to_vec();
            padding::pad(&mut again);
            prop_assert_eq!(again, padded);
        }
    }

    #[test]
    fn damaged_compression_stays_within_bounds(len in 0..200_000_usize, damage in any::<(prop::sample::Index, u8)>()) {
        let mut compressed = compress::compress(&vec![7; len]).unwrap();
        let at = damage.0.index(compressed.len());
        compressed[at] = damage.1;
        if let Ok(parcel) = compress::decompress(&compressed) {
            prop_assert!(parcel.len() <= MAX_PARCEL);
        }
    }
}
