//! Pairing as it should go, and as it goes with people who are tired, late or in doubt.

use super::*;
use crate::seal::golden::{Golden, SeededRng};
use crate::seal::{Identity, Prekey, verify_join};
use kinfolk_core::ids::{DeviceId, Hash};
use kinfolk_core::roster::{self, Device};

mod hostile;

const NOW: Millis = Millis(1_800_000_000_000);
const ROSTER: Hash = Hash([0x77; 32]);
const WELCOME: &[u8] = b"roster, group secret, relays";

/// A device that could join.
struct Newcomer {
    device: Device,
    identity: Identity,
    prekey: Prekey,
}

impl Newcomer {
    fn new(name: &str) -> Self {
        let mut rng = SeededRng::new(name);
        let identity = Identity::generate(&mut rng);
        let prekey = Prekey::generate(0, &mut rng).unwrap();
        let device = Device {
            id: DeviceId(Hash::of(name.as_bytes()).0[..16].try_into().unwrap()),
            key: identity.public(),
            name: name.into(),
            platform: "linux".into(),
            prekey: roster::Prekey { slot: 0, public: Bytes::from(prekey.public().to_bytes()) },
        };
        Self { device, identity, prekey }
    }

    fn join(&self, card: &Card) -> Result<Joiner, PairingError> {
        Joiner::new(card.clone(), &self.device, &self.identity, &self.prekey, NOW)
    }
}

/// The inviting side, and randomness for both.
struct House {
    identity: Identity,
    inviter: Inviter,
    rng: SeededRng,
}

impl House {
    fn new(seed: &str) -> Self {
        let mut rng = SeededRng::new(seed);
        let identity = Identity::generate(&mut rng);
        let relays = vec!["folder:/mnt/shared".into()];
        let inviter = Inviter::new(&identity, ROSTER, relays, NOW, &mut rng).unwrap();
        Self { identity, inviter, rng }
    }

    fn answer_of(&mut self, newcomer: &Newcomer) -> Answered {
        let offer = self.inviter.offer().bytes.clone();
        newcomer.join(self.inviter.card()).unwrap().on_offer(&offer, &mut self.rng).unwrap()
    }

    fn take(&mut self, answer: &[u8]) -> Result<Post, PairingError> {
        self.inviter.on_answer(answer, NOW, &self.identity, &mut self.rng)
    }

    fn finalize(&mut self) -> Result<Post, PairingError> {
        self.inviter.finalize(WELCOME, &self.identity, &mut self.rng)
    }

    /// Everything up to the code on the new device's screen.
    fn up_to_code(&mut self, newcomer: &Newcomer) -> Trusting {
        let answered = self.answer_of(newcomer);
        let accept = self.take(&answered.answer().bytes).unwrap();
        assert_eq!(accept.mailbox, answered.accept_mailbox());
        answered.on_accept(&accept.bytes).unwrap()
    }

    fn state(&self) -> String {
        format!("{:?}", self.inviter)
    }
}

/// A code that is not the right one.
fn wrong(code: &CheckCode) -> String {
    let right: u32 = code.to_string().parse().unwrap();
    format!("{:06}", (right + 1) % 1_000_000)
}

fn not_authentic<T>(result: Result<T, PairingError>, step: Step) -> bool {
    matches!(result, Err(PairingError::NotAuthentic { step: found }) if found == step)
}

#[test]
fn a_new_device_is_let_in_after_its_code_was_typed() {
    let mut house = House::new("happy");
    let laptop = Newcomer::new("laptop");
    let card = Card::parse(&house.inviter.card().to_text()).unwrap();
    let joiner = laptop.join(&card).unwrap();
    assert_eq!(joiner.offer_mailbox(), house.inviter.offer().mailbox);
    let answered = joiner.on_offer(&house.inviter.offer().bytes, &mut house.rng).unwrap();
    assert_eq!(answered.answer().mailbox, house.inviter.answer_mailbox());
    let accept = house.take(&answered.answer().bytes).unwrap();
    assert_eq!(house.inviter.candidate().unwrap().name, "laptop");
    let trusting = answered.on_accept(&accept.bytes).unwrap();

    let confirmed = house.inviter.confirm(&trusting.code().to_string(), NOW).unwrap();
    assert_eq!(confirmed.device, laptop.device);
    assert_eq!(confirmed.card_hash, card.hash());
    let (bytes, signature) = (&confirmed.device_bytes, &confirmed.join_signature);
    assert_eq!(verify_join(&laptop.device.key, ROSTER, card.hash(), bytes, signature), Ok(()));

    let finalize = house.finalize().unwrap();
    assert_eq!(finalize.mailbox, trusting.finalize_mailbox());
    let welcome = trusting.on_finalize(&finalize.bytes).unwrap();
    assert_eq!(welcome.content.as_slice(), WELCOME);
    assert_eq!(welcome.inviter, house.identity.public());
    assert_eq!(welcome.roster_id, ROSTER);
}

#[test]
fn every_message_may_be_delivered_twice() {
    let mut house = House::new("twice");
    let answered = house.answer_of(&Newcomer::new("laptop"));
    let accept = house.take(&answered.answer().bytes).unwrap();
    assert_eq!(house.take(&answered.answer().bytes).unwrap(), accept);
    let trusting = answered.on_accept(&accept.bytes).unwrap();
    assert_eq!(answered.on_accept(&accept.bytes).unwrap().code(), trusting.code());
    house.inviter.confirm(&trusting.code().to_string(), NOW).unwrap();
    assert_eq!(house.take(&answered.answer().bytes).unwrap(), accept);
    let finalize = house.finalize().unwrap();
    assert_eq!(house.finalize().unwrap(), finalize);
    assert_eq!(house.take(&answered.answer().bytes).unwrap(), accept);
    assert!(trusting.on_finalize(&finalize.bytes).is_ok());
}

#[test]
fn nothing_is_given_out_before_the_code_was_typed() {
    let mut house = House::new("early");
    assert_eq!(house.finalize().unwrap_err(), PairingError::NotConfirmed);
    assert_eq!(house.inviter.confirm("123456", NOW).unwrap_err(), PairingError::NotAnswered);
    house.up_to_code(&Newcomer::new("laptop"));
    assert_eq!(house.finalize().unwrap_err(), PairingError::NotConfirmed);
}

#[test]
fn the_third_wrong_code_burns_the_card() {
    let mut house = House::new("codes");
    let trusting = house.up_to_code(&Newcomer::new("laptop"));
    let (right, wrong) = (trusting.code().to_string(), wrong(trusting.code()));
    for left in [2, 1, 0] {
        assert_eq!(house.inviter.confirm("12345", NOW).unwrap_err(), PairingError::CodeFormat);
        assert_eq!(house.inviter.confirm(&wrong, NOW).unwrap_err(), PairingError::WrongCode { left });
    }
    assert_eq!(house.inviter.confirm(&right, NOW).unwrap_err(), PairingError::Burned);
    assert_eq!(house.finalize().unwrap_err(), PairingError::Burned);
    let again = house.answer_of(&Newcomer::new("laptop"));
    assert_eq!(house.take(&again.answer().bytes).unwrap_err(), PairingError::Burned);
    assert_eq!(house.inviter.candidate(), None);
}

#[test]
fn a_code_after_two_wrong_ones_still_counts_and_counts_once() {
    let mut house = House::new("third time");
    let trusting = house.up_to_code(&Newcomer::new("laptop"));
    let (right, wrong) = (trusting.code().to_string(), wrong(trusting.code()));
    house.inviter.confirm(&wrong, NOW).unwrap_err();
    house.inviter.confirm(&wrong, NOW).unwrap_err();
    assert!(house.inviter.confirm(&right, NOW).is_ok());
    assert_eq!(house.inviter.confirm(&right, NOW).unwrap_err(), PairingError::AlreadyConfirmed);
    assert!(house.finalize().is_ok());
}

#[test]
fn an_expired_card_is_refused_on_both_sides() {
    let mut house = House::new("expiry");
    let laptop = Newcomer::new("laptop");
    let expires = house.inviter.card().expires();
    assert_eq!(expires, NOW.plus(CARD_LIFETIME));
    let join = |now| Joiner::new(house.inviter.card().clone(), &laptop.device, &laptop.identity, &laptop.prekey, now);
    let late = PairingError::Expired { expires, now: expires };
    assert!(join(Millis(expires.0 - 1)).is_ok());
    assert_eq!(join(expires).unwrap_err(), late);

    let answered = house.answer_of(&laptop);
    let answer = &answered.answer().bytes;
    assert_eq!(house.inviter.on_answer(answer, expires, &house.identity, &mut house.rng).unwrap_err(), late);
    assert_eq!(house.inviter.candidate(), None);
    let accept = house.take(answer).unwrap();
    let code = answered.on_accept(&accept.bytes).unwrap().code().to_string();
    assert_eq!(house.inviter.confirm(&code, expires).unwrap_err(), late);
    assert!(house.inviter.confirm(&code, NOW).is_ok());
}

#[test]
fn a_device_cannot_join_under_a_record_that_is_not_its_own() {
    let house = House::new("own record");
    let (laptop, other) = (Newcomer::new("laptop"), Newcomer::new("other"));
    let join =
        |device: &Device| Joiner::new(house.inviter.card().clone(), device, &laptop.identity, &laptop.prekey, NOW);
    assert!(join(&laptop.device).is_ok());
    let other_key = Device { key: other.device.key, ..laptop.device.clone() };
    let other_prekey = Device { prekey: other.device.prekey.clone(), ..laptop.device.clone() };
    assert_eq!(join(&other_key).unwrap_err(), PairingError::OwnRecord);
    assert_eq!(join(&other_prekey).unwrap_err(), PairingError::OwnRecord);
}

#[test]
fn the_largest_welcome_arrives_and_a_larger_one_is_refused() {
    let mut house = House::new("large");
    let trusting = house.up_to_code(&Newcomer::new("laptop"));
    house.inviter.confirm(&trusting.code().to_string(), NOW).unwrap();
    let got = MAX_WELCOME + 1;
    let mut welcome = vec![7; got];
    let error = house.inviter.finalize(&welcome, &house.identity, &mut house.rng).unwrap_err();
    assert_eq!(error, PairingError::TooLarge { step: Step::Finalize, max: MAX_WELCOME, got });
    welcome.pop();
    let finalize = house.inviter.finalize(&welcome, &house.identity, &mut house.rng).unwrap();
    assert_eq!(trusting.on_finalize(&finalize.bytes).unwrap().content.as_slice(), welcome);
}

#[test]
fn secrets_of_a_pairing_are_never_shown() {
    let mut house = House::new("debug");
    let laptop = Newcomer::new("laptop");
    let joiner = laptop.join(house.inviter.card()).unwrap();
    let answered = house.answer_of(&laptop);
    let hash = house.inviter.card().hash();
    assert_eq!(house.state(), format!("Inviter(redacted, waiting, card {hash})"));
    let trusting = house.up_to_code(&laptop);
    assert_eq!(house.state(), format!("Inviter(redacted, answered, card {hash})"));
    house.inviter.confirm(&trusting.code().to_string(), NOW).unwrap();
    let finalize = house.finalize().unwrap();
    assert_eq!(house.state(), format!("Inviter(redacted, finalized, card {hash})"));
    assert_eq!(format!("{joiner:?}"), format!("Joiner(redacted, card {hash})"));
    assert_eq!(format!("{answered:?}"), format!("Answered(redacted, card {hash})"));
    assert_eq!(format!("{trusting:?}"), format!("Trusting(redacted, card {hash})"));
    let welcome = trusting.on_finalize(&finalize.bytes).unwrap();
    let inviter = house.identity.public();
    assert_eq!(format!("{welcome:?}"), format!("Welcome(redacted, {} bytes, from {inviter})", WELCOME.len()));
}

#[test]
fn pairing_is_what_it_was_in_the_first_release() {
    let mut house = House::new("frozen pairing");
    let laptop = Newcomer::new("frozen laptop");
    let answered = house.answer_of(&laptop);
    let accept = house.take(&answered.answer().bytes).unwrap();
    let trusting = answered.on_accept(&accept.bytes).unwrap();
    house.inviter.confirm(&trusting.code().to_string(), NOW).unwrap();
    let finalize = house.finalize().unwrap();
    let mut golden = Golden::open("pairing");
    golden.text("card", &house.inviter.card().to_text());
    for (name, mailbox) in ["offer", "answer", "accept", "finalize"].iter().zip(house.inviter.mailboxes()) {
        golden.bytes(&format!("box_{name}"), &mailbox);
    }
    golden.bytes("offer", &house.inviter.offer().bytes);
    golden.bytes("answer", &answered.answer().bytes);
    golden.bytes("accept", &accept.bytes);
    golden.text("check_code", &trusting.code().to_string());
    golden.bytes("finalize", &finalize.bytes);
    golden.finish();
}
