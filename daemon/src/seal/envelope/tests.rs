//! What opens, what does not, and what must never panic.

mod common_key;

use super::*;
use crate::seal::golden::{Golden, SeededRng};
use kinfolk_core::parcel::MAX_PARCEL;
use rand::Rng;

/// Two devices of one person, and a third.
struct Family {
    alice: Device,
    bob: Device,
    carol: Device,
    group: GroupSecret,
    roster_id: Hash,
    rng: SeededRng,
}

struct Device {
    id: DeviceId,
    identity: Identity,
    prekey: Prekey,
}

impl Device {
    fn new(name: u8, slot: u32, rng: &mut SeededRng) -> Self {
        Self {
            id: DeviceId([name; 16]),
            identity: Identity::generate(rng),
            prekey: Prekey::generate(slot, rng).unwrap(),
        }
    }
}

impl Family {
    fn new(seed: &str) -> Self {
        let mut rng = SeededRng::new(seed);
        Self {
            alice: Device::new(0xA1, 0, &mut rng),
            bob: Device::new(0xB2, 3, &mut rng),
            carol: Device::new(0xC3, 3, &mut rng),
            group: GroupSecret::generate(1, &mut rng),
            roster_id: Hash([0x77; 32]),
            rng,
        }
    }

    /// Alice to Bob.
    fn seal(&mut self, parcel: &[u8]) -> Bytes {
        let public = self.bob.prekey.public();
        let recipient = Recipient { device: self.bob.id, slot: self.bob.prekey.slot(), prekey: &public };
        let sender = Sender { device: self.alice.id, identity: &self.alice.identity };
        seal(parcel, sender, recipient, &self.group, self.roster_id, &mut self.rng).unwrap()
    }

    /// Alice to Bob, with a plaintext made by hand.
    fn seal_plaintext(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let place = Place { recipient: self.bob.id, slot: self.bob.prekey.slot(), epoch: self.group.id() };
        let header = place.header();
        let sealed = suite::seal(
            self.bob.prekey.public().key(),
            Binding {
                psk: self.group.psk(),
                psk_id: &self.group.id().id,
                info: &place.info(self.roster_id),
                aad: &aad(&header, &self.mailbox()),
            },
            plaintext,
            &mut self.rng,
        )
        .unwrap();
        [header.as_slice(), &sealed.encapsulated, &sealed.ciphertext].concat()
    }

    fn keyring(&self, device: &Device) -> Keyring {
        Keyring {
            me: device.id,
            prekeys: vec![device.prekey.clone()],
            groups: vec![self.group.clone()],
            resting: Vec::new(),
            roster_id: self.roster_id,
        }
    }

    fn bob_keyring(&self) -> Keyring {
        self.keyring(&self.bob)
    }

    fn mailbox(&self) -> Mailbox {
        self.group.mailbox(self.bob.id, self.bob.prekey.slot())
    }
}

#[test]
fn a_parcel_comes_back_and_names_its_author() {
    let mut family = Family::new("round trip");
    for parcel in [b"".to_vec(), b"hello".to_vec(), vec![7; 100_000]] {
        let envelope = family.seal(&parcel);
        let opened = open(&envelope, family.mailbox(), &family.bob_keyring()).unwrap();
        assert_eq!(opened.sender(), family.alice.id);
        assert_eq!(opened.epoch(), family.group.id());
        assert_eq!(opened.slot(), 3);
        assert_eq!(opened.parcel_unverified(), parcel);
        assert_eq!(opened.verify(&family.alice.identity.public()).unwrap(), parcel);
    }
}

#[test]
fn the_largest_parcel_makes_an_envelope_within_the_limit() {
    let mut family = Family::new("largest");
    let mut parcel = vec![0; MAX_PARCEL];
    let mut state = 1_u64;
    for byte in &mut parcel {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = state.to_be_bytes()[0];
    }
    let envelope = family.seal(&parcel);
    assert!(envelope.len() <= MAX_ENVELOPE, "{}", envelope.len());
    assert!(open(&envelope, family.mailbox(), &family.bob_keyring()).is_ok());
    parcel.push(0);
    let public = family.bob.prekey.public();
    let sender = Sender { device: family.alice.id, identity: &family.alice.identity };
    let recipient = Recipient { device: family.bob.id, slot: 3, prekey: &public };
    let error = seal(&parcel, sender, recipient, &family.group, family.roster_id, &mut family.rng).unwrap_err();
    assert!(matches!(error, SealError::Compress(CompressError::TooLarge { .. })));
}

#[test]
fn small_parcels_all_have_one_size() {
    let mut family = Family::new("sizes");
    let empty = family.seal(b"");
    let mut noise = vec![0; 900];
    family.rng.fill_bytes(&mut noise);
    assert_eq!(empty.len(), MIN_ENVELOPE);
    assert_eq!(family.seal(&noise).len(), MIN_ENVELOPE);
}

#[test]
fn an_envelope_changed_in_any_place_does_not_open() {
    let mut family = Family::new("flip");
    let envelope = family.seal(b"hello").to_vec();
    let (mailbox, keyring) = (family.mailbox(), family.bob_keyring());
    assert!(open(&envelope, mailbox, &keyring).is_ok());
    // Every byte of the header and the tag, every 3rd between.
    let end = envelope.len();
    let places = (0..HEADER_LEN).chain((HEADER_LEN..end - TAG_LEN).step_by(3)).chain(end - TAG_LEN..end);
    for at in places {
        let mut changed = envelope.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(open(&changed, mailbox, &keyring).is_err(), "opened with byte {at} changed");
    }
}

#[test]
fn a_truncated_or_extended_envelope_does_not_open() {
    let mut family = Family::new("length");
    let envelope = family.seal(b"hello").to_vec();
    let (mailbox, keyring) = (family.mailbox(), family.bob_keyring());
    for len in [0, 1, 4, 5, 1124, 1125, 1126, envelope.len() - 17, envelope.len() - 1] {
        assert!(matches!(open(&envelope[..len], mailbox, &keyring), Err(OpenError::Length { got }) if got == len));
    }
    let longer = [envelope.as_slice(), &[0]].concat();
    assert!(matches!(open(&longer, mailbox, &keyring), Err(OpenError::Sealing(_))));
    let huge = vec![1; MAX_ENVELOPE + 1];
    assert!(matches!(open(&huge, mailbox, &keyring), Err(OpenError::Length { .. })));
}

#[test]
fn an_unknown_version_is_named() {
    let mut family = Family::new("version");
    let mut envelope = family.seal(b"hello").to_vec();
    envelope[0] = 2;
    assert!(matches!(open(&envelope, family.mailbox(), &family.bob_keyring()), Err(OpenError::Version { got: 2 })));
}

#[test]
fn an_envelope_for_a_destroyed_prekey_says_which_slot() {
    let mut family = Family::new("slot");
    let envelope = family.seal(b"hello");
    let mut keyring = family.bob_keyring();
    keyring.prekeys = vec![Prekey::generate(4, &mut family.rng).unwrap()];
    assert!(matches!(open(&envelope, family.mailbox(), &keyring), Err(OpenError::Slot { slot: 3 })));
}

#[test]
fn another_key_in_the_same_slot_does_not_open() {
    let mut family = Family::new("other key");
    let envelope = family.seal(b"hello");
    let mut keyring = family.bob_keyring();
    keyring.prekeys = vec![Prekey::generate(3, &mut family.rng).unwrap()];
    assert!(matches!(open(&envelope, family.mailbox(), &keyring), Err(OpenError::Sealing(_))));
}

#[test]
fn an_envelope_moved_to_another_mailbox_does_not_open() {
    let mut family = Family::new("moved");
    let envelope = family.seal(b"hello");
    assert!(matches!(open(&envelope, [9; 32], &family.bob_keyring()), Err(OpenError::Mailbox { slot: 3 })));
    // A mailbox of ours, but of another epoch.
    let mut keyring = family.bob_keyring();
    let other = GroupSecret::generate(2, &mut family.rng);
    let other_mailbox = other.mailbox(family.bob.id, 3);
    keyring.groups.push(other);
    assert!(matches!(open(&envelope, other_mailbox, &keyring), Err(OpenError::Sealing(_))));
    assert!(open(&envelope, family.mailbox(), &keyring).is_ok());
}

#[test]
fn an_envelope_replayed_to_another_recipient_does_not_open() {
    let mut family = Family::new("replay");
    let envelope = family.seal(b"hello");
    let carol = family.keyring(&family.carol);
    assert!(matches!(open(&envelope, family.mailbox(), &carol), Err(OpenError::Mailbox { .. })));
    let carol_mailbox = family.group.mailbox(family.carol.id, 3);
    assert!(matches!(open(&envelope, carol_mailbox, &carol), Err(OpenError::Sealing(_))));
    // Even with Bob's own prekey: the recipient's name is bound in.
    let mut impostor = family.bob_keyring();
    impostor.me = family.carol.id;
    assert!(matches!(open(&envelope, carol_mailbox, &impostor), Err(OpenError::Sealing(_))));
}

#[test]
fn an_envelope_from_outside_the_group_does_not_open() {
    let mut family = Family::new("outsider");
    let mut outsider = Family::new("stranger");
    // The outsider knows everything public of Bob and the epoch's name, but not the secret.
    outsider.bob.prekey = family.bob.prekey.clone();
    outsider.group = GroupSecret::from_secret(family.group.id(), &[0; 32]);
    let envelope = outsider.seal(b"hello");
    assert!(matches!(open(&envelope, family.mailbox(), &family.bob_keyring()), Err(OpenError::Sealing(_))));
    assert!(open(&family.seal(b"hello"), family.mailbox(), &family.bob_keyring()).is_ok());
}

#[test]
fn an_envelope_of_another_roster_does_not_open() {
    let mut family = Family::new("roster");
    let envelope = family.seal(b"hello");
    let mut keyring = family.bob_keyring();
    keyring.roster_id = Hash([0x78; 32]);
    assert!(matches!(open(&envelope, family.mailbox(), &keyring), Err(OpenError::Sealing(_))));
}

#[test]
fn a_sibling_cannot_speak_for_another() {
    let mut family = Family::new("impostor");
    // Carol signs with her own key and claims to be Alice.
    let public = family.bob.prekey.public();
    let sender = Sender { device: family.alice.id, identity: &family.carol.identity };
    let recipient = Recipient { device: family.bob.id, slot: 3, prekey: &public };
    let envelope = seal(b"forged", sender, recipient, &family.group, family.roster_id, &mut family.rng).unwrap();
    let opened = open(&envelope, family.mailbox(), &family.bob_keyring()).unwrap();
    assert_eq!(opened.sender(), family.alice.id);
    assert!(matches!(
        opened.verify(&family.alice.identity.public()),
        Err(OpenError::Signature(SignatureError::Invalid))
    ));
}

#[test]
fn a_sibling_cannot_pass_on_a_parcel_as_if_its_author_had_sent_it() {
    let mut family = Family::new("passed on");
    let envelope = family.seal(b"for bob");
    let opened = open(&envelope, family.mailbox(), &family.bob_keyring()).unwrap();
    // Bob seals Alice's words and signature again, for Carol.
    let place = Place { recipient: family.carol.id, slot: 3, epoch: family.group.id() };
    let forged = seal_signed(
        opened.sender,
        &opened.signature,
        &compress::compress(&opened.parcel).unwrap(),
        place,
        &family.carol.prekey.public(),
        &family.group,
        family.roster_id,
        &mut family.rng,
    )
    .unwrap();
    let carol = family.keyring(&family.carol);
    let opened = open(&forged, family.group.mailbox(family.carol.id, 3), &carol).unwrap();
    assert!(opened.verify(&family.alice.identity.public()).is_err());
}

#[test]
fn a_sibling_with_malformed_padding_is_refused() {
    let mut family = Family::new("padding");
    let mut content = vec![1; AUTHOR_LEN + 20];
    content.resize(padding::FLOOR, 0);
    let envelope = family.seal_plaintext(&content);
    assert!(matches!(open(&envelope, family.mailbox(), &family.bob_keyring()), Err(OpenError::Padding(_))));
}

#[test]
fn a_sibling_with_no_room_for_its_name_is_refused() {
    let mut family = Family::new("short");
    let mut content = vec![1; AUTHOR_LEN - 1];
    padding::pad(&mut content);
    let envelope = family.seal_plaintext(&content);
    assert!(matches!(
        open(&envelope, family.mailbox(), &family.bob_keyring()),
        Err(OpenError::Plaintext { got }) if got == AUTHOR_LEN - 1
    ));
}

#[test]
fn a_bomb_from_a_sibling_is_refused() {
    let mut family = Family::new("bomb");
    let mut content = vec![1; AUTHOR_LEN];
    content.extend(zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap());
    padding::pad(&mut content);
    let envelope = family.seal_plaintext(&content);
    assert!(matches!(open(&envelope, family.mailbox(), &family.bob_keyring()), Err(OpenError::Compress(_))));
}

#[test]
fn garbage_of_every_length_never_panics() {
    let mut family = Family::new("garbage");
    let (mailbox, keyring) = (family.mailbox(), family.bob_keyring());
    for len in (0..3000).step_by(37).chain([MIN_ENVELOPE, MAX_ENVELOPE]) {
        let mut garbage = vec![0; len];
        family.rng.fill_bytes(&mut garbage);
        if let Some(header) = garbage.first_chunk_mut::<HEADER_LEN>() {
            *header = [VERSION, 0, 0, 0, 3];
        }
        assert!(open(&garbage, mailbox, &keyring).is_err());
    }
}

#[test]
fn a_device_polls_every_slot_in_every_epoch() {
    let mut family = Family::new("mailboxes");
    let mut keyring = family.bob_keyring();
    keyring.prekeys.push(Prekey::generate(4, &mut family.rng).unwrap());
    keyring.groups.push(GroupSecret::generate(2, &mut family.rng));
    let mailboxes = keyring.mailboxes();
    assert_eq!(mailboxes.len(), 6);
    for group in &keyring.groups {
        for slot in [COMMON_SLOT, 3, 4] {
            assert!(mailboxes.contains(&group.mailbox(family.bob.id, slot)));
        }
    }
}

#[test]
fn neither_words_nor_keys_are_shown() {
    let mut family = Family::new("debug");
    let envelope = family.seal(b"canary");
    let opened = open(&envelope, family.mailbox(), &family.bob_keyring()).unwrap();
    assert_eq!(
        format!("{opened:?}"),
        format!(
            "Opened {{ sender: {:?}, slot: 3, epoch: {:?}, parcel: 6 bytes, .. }}",
            family.alice.id,
            family.group.id()
        )
    );
    let keyring = format!("{:?}", family.bob_keyring());
    assert!(keyring.contains("Prekey(redacted, slot 3)") && keyring.contains("GroupSecret(redacted, epoch 1)"));
}

/// zstd may write other bytes for the same parcel in another version, so the frozen vector starts from compressed bytes;
/// those must give the parcel for ever.
#[test]
fn envelopes_are_what_they_were_in_the_first_release() {
    let mut family = Family::new("frozen envelope");
    let parcel = b"the first parcel, the first parcel, the first parcel".as_slice();
    let mut golden = Golden::open("envelope");
    golden.bytes("parcel", parcel);
    golden.bytes("identity_seed", family.alice.identity.to_bytes().as_slice());
    golden.bytes("prekey_seed_slot_3", family.bob.prekey.seed().as_slice());
    golden.bytes("group_secret", family.group.secret().as_slice());
    golden.bytes("epoch_id", &family.group.id().id);
    golden.bytes("roster_id", &family.roster_id.0);
    golden.bytes("mailbox", &family.mailbox());
    let compressed = golden.frozen_or("compressed", &compress::compress(parcel).unwrap());
    let place = Place { recipient: family.bob.id, slot: 3, epoch: family.group.id() };
    let signature = family.alice.identity.sign(&place.statement(family.alice.id, Hash::of(parcel)));
    let envelope = seal_signed(
        family.alice.id,
        &signature,
        &compressed,
        place,
        &family.bob.prekey.public(),
        &family.group,
        family.roster_id,
        &mut family.rng,
    )
    .unwrap();
    golden.bytes("envelope", &envelope);
    golden.finish();
    let opened = open(&envelope, family.mailbox(), &family.bob_keyring()).unwrap();
    assert_eq!(opened.verify(&family.alice.identity.public()).unwrap(), parcel);
}
