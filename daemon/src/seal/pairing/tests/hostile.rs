//! Every way a thief, a relay or a false sibling could bend a pairing.

use super::*;

#[test]
fn a_thief_with_the_card_who_answers_second_stops_the_pairing() {
    let mut house = House::new("second");
    let trusting = house.up_to_code(&Newcomer::new("laptop"));
    let thief = house.answer_of(&Newcomer::new("thief"));
    assert_eq!(house.take(&thief.answer().bytes).unwrap_err(), PairingError::CardUsed);
    assert_eq!(house.inviter.confirm(&trusting.code().to_string(), NOW).unwrap_err(), PairingError::Burned);

    // Whatever the second answer says: who could seal it has the card.
    let mut house = House::new("second, empty");
    house.up_to_code(&Newcomer::new("laptop"));
    let empty = answer_by_hand(&mut house, &[]);
    assert_eq!(house.take(&empty).unwrap_err(), PairingError::CardUsed);
    assert_eq!(house.inviter.candidate(), None);

    // The same between code and finalize.
    let mut house = House::new("second, later");
    let trusting = house.up_to_code(&Newcomer::new("laptop"));
    house.inviter.confirm(&trusting.code().to_string(), NOW).unwrap();
    let thief = house.answer_of(&Newcomer::new("thief"));
    assert_eq!(house.take(&thief.answer().bytes).unwrap_err(), PairingError::CardUsed);
    assert_eq!(house.finalize().unwrap_err(), PairingError::Burned);
}

#[test]
fn a_thief_with_the_card_who_answers_first_leaves_the_new_device_without_a_code() {
    let mut house = House::new("first");
    let laptop = house.answer_of(&Newcomer::new("laptop"));
    let thief = house.answer_of(&Newcomer::new("thief"));
    let accept = house.take(&thief.answer().bytes).unwrap();
    assert!(not_authentic(laptop.on_accept(&accept.bytes), Step::Accept));
    assert_eq!(house.take(&laptop.answer().bytes).unwrap_err(), PairingError::CardUsed);
    assert_eq!(house.finalize().unwrap_err(), PairingError::Burned);
}

#[test]
fn a_card_used_again_after_a_finished_pairing_changes_nothing() {
    let mut house = House::new("again");
    let trusting = house.up_to_code(&Newcomer::new("laptop"));
    house.inviter.confirm(&trusting.code().to_string(), NOW).unwrap();
    let finalize = house.finalize().unwrap();
    let late = house.answer_of(&Newcomer::new("late"));
    assert_eq!(house.take(&late.answer().bytes).unwrap_err(), PairingError::CardUsed);
    assert_eq!(house.inviter.candidate().unwrap().name, "laptop");
    assert_eq!(house.finalize().unwrap(), finalize);
}

#[test]
fn litter_in_the_answers_mailbox_changes_nothing() {
    let mut house = House::new("litter");
    for litter in [&[][..], &[1], &[1; 100], &[1; 5000], &[2; 5000], &vec![1; MAX_MESSAGE + 1]] {
        assert!(house.take(litter).is_err());
    }
    let trusting = house.up_to_code(&Newcomer::new("laptop"));
    let state = house.state();
    for litter in [&[][..], &[1; 5000], &[2; 5000]] {
        let error = house.take(litter).unwrap_err();
        assert_ne!(error, PairingError::CardUsed);
        assert_eq!(house.state(), state);
    }
    assert!(house.inviter.confirm(&trusting.code().to_string(), NOW).is_ok());
}

#[test]
fn an_offer_that_the_card_does_not_name_is_refused() {
    let mut house = House::new("offer");
    let card = house.inviter.card().clone();
    // Someone who has the card, and so its secret, offers a pairing key of their own.
    let thief = Newcomer::new("thief");
    let forged =
        message::seal_offer(&card, &thief.prekey.public().to_bytes(), &thief.identity.public(), &mut house.rng)
            .unwrap();
    assert_eq!(forged.mailbox, house.inviter.offer().mailbox);
    let joiner = Newcomer::new("laptop").join(&card).unwrap();
    assert_eq!(joiner.on_offer(&forged.bytes, &mut house.rng).unwrap_err(), PairingError::Commitment);
    assert!(joiner.on_offer(&house.inviter.offer().bytes, &mut house.rng).is_ok());
}

#[test]
fn another_cards_messages_mean_nothing_here() {
    let (mut here, mut there) = (House::new("here"), House::new("there"));
    let laptop = Newcomer::new("laptop");
    let joiner = laptop.join(here.inviter.card()).unwrap();
    assert!(not_authentic(joiner.on_offer(&there.inviter.offer().bytes, &mut here.rng), Step::Offer));

    let there_answered = there.answer_of(&laptop);
    assert!(not_authentic(here.take(&there_answered.answer().bytes), Step::Answer));

    let here_answered = here.answer_of(&laptop);
    let there_accept = there.take(&there_answered.answer().bytes).unwrap();
    assert!(not_authentic(here_answered.on_accept(&there_accept.bytes), Step::Accept));

    let there_trusting = there_answered.on_accept(&there_accept.bytes).unwrap();
    there.inviter.confirm(&there_trusting.code().to_string(), NOW).unwrap();
    let there_finalize = there.finalize().unwrap();
    let here_accept = here.take(&here_answered.answer().bytes).unwrap();
    let here_trusting = here_answered.on_accept(&here_accept.bytes).unwrap();
    assert!(not_authentic(here_trusting.on_finalize(&there_finalize.bytes), Step::Finalize));
    for (mailbox, other) in here.inviter.mailboxes().iter().zip(there.inviter.mailboxes()) {
        assert_ne!(*mailbox, other);
    }
}

#[test]
fn an_acceptance_of_an_earlier_attempt_with_the_same_card_is_refused() {
    let mut house = House::new("attempts");
    let laptop = Newcomer::new("laptop");
    let first = house.answer_of(&laptop);
    let second = house.answer_of(&laptop);
    let accept = house.take(&first.answer().bytes).unwrap();
    assert!(not_authentic(second.on_accept(&accept.bytes), Step::Accept));
    assert!(first.on_accept(&accept.bytes).is_ok());
}

#[test]
fn no_message_can_stand_in_for_another() {
    let mut house = House::new("swapped");
    let answered = house.answer_of(&Newcomer::new("laptop"));
    let accept = house.take(&answered.answer().bytes).unwrap();
    let trusting = answered.on_accept(&accept.bytes).unwrap();
    assert!(not_authentic(trusting.on_finalize(&accept.bytes), Step::Finalize));
    assert!(not_authentic(answered.on_accept(&answered.answer().bytes), Step::Accept));
    let mut boxes = house.inviter.mailboxes().to_vec();
    boxes.sort_unstable();
    boxes.dedup();
    assert_eq!(boxes.len(), 4);
}

/// Runs `open` on every 5th change of `bytes`, on every cut of a few, and demands an error.
fn refuses_every_change<T>(bytes: &[u8], open: impl Fn(&[u8]) -> Result<T, PairingError>) {
    assert!(open(bytes).is_ok());
    for at in (0..bytes.len()).step_by(5).chain([bytes.len() - 1]) {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1 << (at % 8);
        assert!(open(&changed).is_err(), "opened with byte {at} changed");
    }
    for len in [0, 1, 2, 24, 25, 41, 1120, 1121, 1122, bytes.len() - 1] {
        assert!(open(&bytes[..len]).is_err(), "opened when cut to {len}");
    }
    assert!(open(&[bytes, &[0]].concat()).is_err());
}

#[test]
fn a_message_changed_in_any_place_is_refused() {
    let mut house = House::new("tamper");
    let laptop = Newcomer::new("laptop");
    let joiner = laptop.join(house.inviter.card()).unwrap();
    refuses_every_change(&house.inviter.offer().bytes, |offer| joiner.on_offer(offer, &mut SeededRng::new("any")));
    let answered = house.answer_of(&laptop);
    let accept = house.take(&answered.answer().bytes).unwrap();
    refuses_every_change(&accept.bytes, |accept| answered.on_accept(accept));
    let trusting = answered.on_accept(&accept.bytes).unwrap();
    house.inviter.confirm(&trusting.code().to_string(), NOW).unwrap();
    let finalize = house.finalize().unwrap();
    refuses_every_change(&finalize.bytes, |finalize| trusting.on_finalize(finalize));

    let mut fresh = House::new("tamper");
    let answer = fresh.answer_of(&laptop).answer().bytes.clone();
    for at in (0..answer.len()).step_by(5) {
        let mut changed = answer.to_vec();
        changed[at] ^= 1 << (at % 8);
        assert!(fresh.take(&changed).is_err(), "taken with byte {at} changed");
    }
    assert_eq!(fresh.inviter.candidate(), None);
    assert!(fresh.take(&answer).is_ok());
}

#[test]
fn a_changed_offer_that_still_opens_is_noticed_at_the_answer() {
    let mut house = House::new("resealed");
    let card = house.inviter.card().clone();
    // The same content sealed again by someone with the card: genuine for the joiner, but not what the inviter sent.
    let (_, inviter) = message::open_offer(&card, &house.inviter.offer().bytes).unwrap();
    let opened = crate::seal::aead::open(
        &crate::seal::derive::expand(card.secret(), crate::seal::label::PAIR_KEY_OFFER, &[]),
        &[crate::seal::label::PAIR_OFFER, &card.hash().0].concat(),
        &house.inviter.offer().bytes[1..],
    )
    .unwrap();
    let resealed = message::seal_offer(&card, &opened[..1216], &inviter, &mut house.rng).unwrap();
    let joiner = Newcomer::new("laptop").join(&card).unwrap();
    let answered = joiner.on_offer(&resealed.bytes, &mut house.rng).unwrap();
    assert!(not_authentic(house.take(&answered.answer().bytes), Step::Answer));
}

/// An answer made by hand, by someone who has the card.
fn answer_by_hand(house: &mut House, content: &[u8]) -> Bytes {
    let card = house.inviter.card().clone();
    let offer = house.inviter.offer().bytes.clone();
    let (key, _) = message::open_offer(&card, &offer).unwrap();
    let channel = message::Channel::answer(&card, message::offered(&card, &offer));
    channel.seal(&key, content, &mut house.rng).unwrap().0.bytes
}

#[test]
fn an_answer_without_the_joining_devices_signature_is_refused() {
    use prost::Message;
    let mut house = House::new("unsigned");
    let (laptop, other) = (Newcomer::new("laptop"), Newcomer::new("other"));
    let device = laptop.device.encode();
    let card_hash = house.inviter.card().hash();
    for signature in [
        other.identity.sign_join(ROSTER, card_hash, &device),
        laptop.identity.sign_join(Hash([0; 32]), card_hash, &device),
        laptop.identity.sign_join(ROSTER, Hash([0; 32]), &device),
    ] {
        let wire = message::AnswerWire { device: device.clone(), join_signature: Bytes::copy_from_slice(&signature) };
        let answer = answer_by_hand(&mut house, &wire.encode_to_vec());
        assert!(matches!(house.take(&answer), Err(PairingError::Signature { step: Step::Answer, .. })));
    }
    let malformed = answer_by_hand(&mut house, &[0xFF; 40]);
    assert!(matches!(house.take(&malformed), Err(PairingError::Malformed { step: Step::Answer, .. })));
    let empty = answer_by_hand(&mut house, &[]);
    assert!(matches!(house.take(&empty), Err(PairingError::Record(_))));
    assert_eq!(house.inviter.candidate(), None);
}

#[test]
fn an_acceptance_or_a_welcome_that_the_inviter_did_not_sign_is_refused() {
    let mut house = House::new("signer");
    let answered = house.answer_of(&Newcomer::new("laptop"));
    // The one-use pairing key was stolen, the identity was not.
    let honest = std::mem::replace(&mut house.identity, Identity::generate(&mut SeededRng::new("thief")));
    let accept = house.take(&answered.answer().bytes).unwrap();
    assert!(matches!(answered.on_accept(&accept.bytes), Err(PairingError::Signature { step: Step::Accept, .. })));

    let mut house = House::new("signer, later");
    let trusting = house.up_to_code(&Newcomer::new("laptop"));
    house.inviter.confirm(&trusting.code().to_string(), NOW).unwrap();
    house.identity = honest;
    let finalize = house.finalize().unwrap();
    assert!(matches!(trusting.on_finalize(&finalize.bytes), Err(PairingError::Signature { step: Step::Finalize, .. })));
}
