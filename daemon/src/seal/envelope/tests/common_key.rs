//! Envelopes sealed to the common key.

use super::*;

#[test]
fn what_is_sealed_to_the_common_key_opens_for_its_recipient_whatever_prekeys_it_holds() {
    let mut family = Family::new("common");
    let public = family.group.common(family.bob.id).unwrap().public();
    let recipient = Recipient { device: family.bob.id, slot: COMMON_SLOT, prekey: &public };
    let sender = Sender { device: family.alice.id, identity: &family.alice.identity };
    let envelope = seal(b"knock", sender, recipient, &family.group, family.roster_id, &mut family.rng).unwrap();
    let mailbox = family.group.mailbox(family.bob.id, COMMON_SLOT);
    let keyring = Keyring { prekeys: Vec::new(), ..family.bob_keyring() };
    let opened = open(&envelope, mailbox, &keyring).unwrap();
    assert_eq!((opened.slot(), opened.sender()), (COMMON_SLOT, family.alice.id));
    assert_eq!(opened.verify(&family.alice.identity.public()).unwrap(), b"knock");
    let carols = family.keyring(&family.carol);
    assert!(matches!(open(&envelope, mailbox, &carols), Err(OpenError::Mailbox { slot: COMMON_SLOT })));
    let elsewhere = Keyring { groups: vec![GroupSecret::generate(1, &mut family.rng)], ..keyring };
    assert!(matches!(open(&envelope, mailbox, &elsewhere), Err(OpenError::Mailbox { slot: COMMON_SLOT })));
}
