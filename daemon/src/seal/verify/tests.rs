//! Real signatures, real envelopes, and what a relay, a stranger or a false sibling could try.

use super::*;
use crate::seal::golden::SeededRng;
use crate::seal::{GroupSecret, Identity, Keyring, Prekey, Recipient, Sender, open, seal};
use bytes::Bytes;
use kinfolk_core::bundle::{Body, Bundle};
use kinfolk_core::clock::Stamp;
use kinfolk_core::ids::{Dot, Hash, Millis, Seq, SourceId};
use kinfolk_core::parcel::{self, Letter, RunBodies};
use kinfolk_core::roster::{self, Addition, Device, Removal};
use std::collections::BTreeSet;

const CARD: Hash = Hash([0xCA; 32]);

struct Member {
    device: Device,
    identity: Identity,
    prekey: Prekey,
}

impl Member {
    fn new(n: u8) -> Self {
        let mut rng = SeededRng::new(&format!("member {n}"));
        let identity = Identity::generate(&mut rng);
        let prekey = Prekey::generate(1, &mut rng).unwrap();
        let device = Device {
            id: DeviceId([n; 16]),
            key: identity.public(),
            name: format!("device {n}"),
            platform: "linux".into(),
            prekey: roster::Prekey { slot: 1, public: Bytes::from(prekey.public().to_bytes()) },
        };
        Self { device, identity, prekey }
    }

    fn sign(&self, roster: Option<Hash>, parents: &[&SignedRecord], change: RosterChange) -> SignedRecord {
        let record = Record {
            roster,
            author: self.device.id,
            author_key: self.device.key,
            parents: parents.iter().map(|parent| parent.id()).collect::<BTreeSet<_>>(),
            stamp: Stamp(parents.len() as u64 + 1),
            change,
        };
        let bytes = record.encode();
        let signature = Bytes::copy_from_slice(&self.identity.sign_record(&bytes));
        SignedRecord { bytes, signature }
    }

    fn genesis(&self) -> SignedRecord {
        self.sign(None, &[], RosterChange::Genesis(self.device.clone()))
    }

    /// This device adds `other`, which signs its join itself.
    fn add(&self, genesis: &SignedRecord, other: &Self) -> SignedRecord {
        let device_bytes = other.device.encode();
        let join_signature = Bytes::copy_from_slice(&other.identity.sign_join(genesis.id(), CARD, &device_bytes));
        let addition = Addition { device: other.device.clone(), device_bytes, join_signature, card_hash: CARD };
        self.sign(Some(genesis.id()), &[genesis], RosterChange::Add(addition))
    }

    /// A run of `length` bundles in a source named after the device.
    fn run(&self, length: u64) -> RunBodies {
        self.run_from(1, length)
    }

    /// The same with stamps from another one on.
    fn run_from(&self, stamp: u64, length: u64) -> RunBodies {
        let source = SourceId(self.device.id.0);
        let mut prev = Hash::default();
        let mut bodies = Vec::new();
        for seq in 1..=length {
            let body = Body { stamp: Stamp(stamp + seq), ..Body::default() };
            let bundle = Bundle::write(Dot { source, seq: Seq(seq) }, prev, body).unwrap();
            prev = bundle.hash;
            bodies.push(bundle.bytes);
        }
        let signature = self.identity.sign_head(self.device.id, source, Seq(length), prev);
        RunBodies {
            device: self.device.id,
            source,
            first: Seq(1),
            prev: Hash::default(),
            bodies,
            signature: Bytes::copy_from_slice(&signature),
        }
    }

    /// Seals a letter and runs for `to` and opens them there.
    fn tell(&self, to: &Self, roster_id: Hash, letter: &Letter, runs: &[RunBodies]) -> Opened {
        let mut rng = SeededRng::new("tell");
        let group = GroupSecret::generate(1, &mut rng);
        let bytes = parcel::encode(letter, runs).unwrap();
        let public = to.prekey.public();
        let sender = Sender { device: self.device.id, identity: &self.identity };
        let recipient = Recipient { device: to.device.id, slot: 1, prekey: &public };
        let envelope = seal(&bytes, sender, recipient, &group, roster_id, &mut rng).unwrap();
        let mailbox = group.mailbox(to.device.id, 1);
        let (prekeys, groups, resting) = (vec![to.prekey.clone()], vec![group], Vec::new());
        let keyring = Keyring { me: to.device.id, prekeys, groups, resting, roster_id };
        open(&envelope, mailbox, &keyring).unwrap()
    }

    fn letter(&self) -> Letter {
        Letter::bare(self.device.id, Millis(1))
    }
}

fn roster_of(genesis: &SignedRecord, records: &[&SignedRecord]) -> Roster {
    let mut roster = Roster::new(genesis.id());
    let (verified, refused) = verify_records(records.iter().map(|record| (*record).clone()));
    assert_eq!(refused, 0);
    roster.extend(verified);
    roster
}

#[test]
fn a_siblings_parcel_is_vouched_for_with_its_runs() {
    let (a, b) = (Member::new(1), Member::new(2));
    let genesis = a.genesis();
    let roster = roster_of(&genesis, &[&genesis, &a.add(&genesis, &b)]);
    let opened = b.tell(&a, genesis.id(), &b.letter(), &[b.run(3), a.run(2)]);
    let parcel = verify(opened, &roster).unwrap();
    assert_eq!(parcel.letter, b.letter());
    assert_eq!(parcel.runs.len(), 2);
    assert_eq!(parcel.runs[0].get().bundles.len(), 3);
    assert_eq!(parcel.rejected, 0);
}

#[test]
fn a_new_sibling_proves_itself_by_the_records_it_brings() {
    let (a, b, c) = (Member::new(1), Member::new(2), Member::new(3));
    let genesis = a.genesis();
    let (add_b, add_c) = (a.add(&genesis, &b), a.add(&genesis, &c));
    // B has not heard of C yet.
    let roster = roster_of(&genesis, &[&genesis, &add_b]);
    let opened = c.tell(&b, genesis.id(), &c.letter(), &[c.run(1)]);
    assert!(matches!(verify(opened, &roster), Err(VerifyError::Stranger { sender }) if sender == c.device.id));
    let mut letter = c.letter();
    letter.records = vec![genesis.clone(), add_c.clone()];
    let parcel = verify(c.tell(&b, genesis.id(), &letter, &[c.run(1)]), &roster).unwrap();
    assert_eq!(parcel.records.iter().map(|record| record.get().id()).collect::<Vec<_>>(), [genesis.id(), add_c.id()]);
    assert_eq!(parcel.runs.len(), 1);
}

#[test]
fn of_a_removed_device_only_records_that_are_new_are_left() {
    let (a, b) = (Member::new(1), Member::new(2));
    let genesis = a.genesis();
    let add_b = a.add(&genesis, &b);
    let removes = |by: &Member, whom: &Member| {
        let removal = Removal { device: whom.device.id, key: whom.device.key, ends: Vec::new() };
        by.sign(Some(genesis.id()), &[&add_b], RosterChange::Remove(removal))
    };
    let roster = roster_of(&genesis, &[&genesis, &add_b, &removes(&a, &b)]);
    let removed =
        |opened| matches!(verify(opened, &roster), Err(VerifyError::Removed { sender }) if sender == b.device.id);
    let mut letter = b.letter();
    letter.receipt.generation = 7;
    assert!(removed(b.tell(&a, genesis.id(), &letter, &[b.run(3)])));
    letter.records = vec![genesis.clone(), add_b.clone()];
    assert!(removed(b.tell(&a, genesis.id(), &letter, &[b.run(3)])), "all of that is known");
    letter.records.push(removes(&b, &a));
    let parcel = verify(b.tell(&a, genesis.id(), &letter, &[b.run(3)]), &roster).unwrap();
    assert_eq!(parcel.records.iter().map(|record| record.get().id()).collect::<Vec<_>>(), [removes(&b, &a).id()]);
    assert!(parcel.runs.is_empty());
    assert_eq!(parcel.letter, b.letter(), "what else it says is not heard");
}

#[test]
fn a_stranger_with_records_of_its_own_making_stays_a_stranger() {
    let (a, b, stranger) = (Member::new(1), Member::new(2), Member::new(9));
    let genesis = a.genesis();
    let roster = roster_of(&genesis, &[&genesis, &a.add(&genesis, &b)]);
    let mut letter = stranger.letter();
    letter.records = vec![stranger.genesis(), stranger.add(&genesis, &stranger)];
    let opened = stranger.tell(&b, genesis.id(), &letter, &[]);
    assert!(matches!(verify(opened, &roster), Err(VerifyError::Stranger { .. })));
}

#[test]
fn a_sibling_that_names_another_as_sender_is_refused() {
    let (a, b) = (Member::new(1), Member::new(2));
    let genesis = a.genesis();
    let roster = roster_of(&genesis, &[&genesis, &a.add(&genesis, &b)]);
    // The envelope is honestly B's; the letter in it speaks as A.
    let opened = b.tell(&a, genesis.id(), &a.letter(), &[]);
    assert!(matches!(verify(opened, &roster), Err(VerifyError::Sender { .. })));
    // The envelope claims to be A's and is signed by B.
    let forger = Member { identity: b.identity.clone(), ..Member::new(1) };
    let opened = forger.tell(&b, genesis.id(), &a.letter(), &[]);
    assert!(matches!(verify(opened, &roster), Err(VerifyError::Signature(_))));
}

#[test]
fn what_a_sibling_passes_on_of_others_holds_only_in_their_own_words() {
    let (a, b, c) = (Member::new(1), Member::new(2), Member::new(3));
    let genesis = a.genesis();
    let known = [&genesis, &a.add(&genesis, &b), &a.add(&genesis, &c)];
    let roster = roster_of(&genesis, &known);
    let of_c = |generation| {
        let mut letter = c.letter();
        letter.receipt.generation = generation;
        let signature = c.identity.sign_statement(c.device.id, letter.statement().content());
        letter.signature = Some(Bytes::copy_from_slice(&signature));
        letter
    };
    let direct = verify(c.tell(&b, genesis.id(), &of_c(4), &[]), &roster).unwrap();
    assert_eq!(direct.statements[0].get(), &of_c(4).statement());
    // B passes it on as it is, changed, and in the name of A.
    let mut changed = of_c(4).statement();
    changed.receipt.generation = 9;
    let mut renamed = of_c(4).statement();
    renamed.device = a.device.id;
    let mut letter = b.letter();
    letter.statements = vec![changed, of_c(5).statement(), renamed];
    let parcel = verify(b.tell(&a, genesis.id(), &letter, &[]), &roster).unwrap();
    let held: Vec<_> = parcel.statements.iter().map(|said| said.get().clone()).collect();
    assert_eq!((held, parcel.rejected), (vec![of_c(5).statement()], 2));
    // Nobody hears what a device said that is no member.
    let without_c = roster_of(&genesis, &known[..2]);
    let parcel = verify(b.tell(&a, genesis.id(), &letter, &[]), &without_c).unwrap();
    assert_eq!((parcel.statements.len(), parcel.rejected), (0, 3));
    // A signature of its own that does not hold is no statement; the letter is signed beside and stays.
    let forged = Letter { signature: Some(Bytes::from_static(&[7; 64])), ..b.letter() };
    let parcel = verify(b.tell(&a, genesis.id(), &forged, &[]), &roster).unwrap();
    assert_eq!((parcel.statements.len(), parcel.rejected), (0, 1));
}

#[test]
fn runs_that_do_not_hold_are_left_out_and_counted_and_the_rest_stays() {
    let (a, b, stranger) = (Member::new(1), Member::new(2), Member::new(9));
    let genesis = a.genesis();
    let roster = roster_of(&genesis, &[&genesis, &a.add(&genesis, &b)]);
    let mut cut = a.run(3);
    cut.bodies.pop();
    let mut claimed = b.run(2);
    claimed.device = a.device.id;
    let mut moved = a.run(2);
    moved.source = SourceId([7; 16]);
    let runs = [cut, claimed, moved, stranger.run(1), b.run(2)];
    let parcel = verify(b.tell(&a, genesis.id(), &b.letter(), &runs), &roster).unwrap();
    assert_eq!(parcel.runs.len(), 1);
    assert_eq!(parcel.runs[0].get().device, b.device.id);
    assert_eq!(parcel.rejected, 4);
}

#[test]
fn evidence_counts_only_when_the_device_it_speaks_against_signed_all_of_it() {
    let (a, b) = (Member::new(1), Member::new(2));
    let genesis = a.genesis();
    let roster = roster_of(&genesis, &[&genesis, &a.add(&genesis, &b)]);
    let (one, other) = (a.run_from(1, 3).rebuild().unwrap(), a.run_from(7, 1).rebuild().unwrap());
    let proof = Evidence::of(vec![one.clone(), other.clone()]).unwrap();
    let forged = Run { signature: one.signature.clone(), ..other };
    let forgery = Evidence::of(vec![one, forged]).unwrap();
    let mut letter = b.letter();
    letter.evidence = vec![proof.clone(), forgery];
    let parcel = verify(b.tell(&a, genesis.id(), &letter, &[b.run(1)]), &roster).unwrap();
    assert_eq!(parcel.evidence.iter().map(Verified::get).collect::<Vec<_>>(), [&proof]);
    assert_eq!((parcel.runs.len(), parcel.rejected), (1, 1));
    assert_eq!(parcel.letter.evidence, []);
}

#[test]
fn a_record_signed_by_another_than_it_names_is_refused() {
    let (a, b) = (Member::new(1), Member::new(2));
    let genesis = a.genesis();
    let forger = Member { identity: b.identity.clone(), ..Member::new(1) };
    assert!(matches!(verify_record(forger.add(&genesis, &b)), Err(RecordRefused::Author(SignatureError::Invalid))));
    assert!(verify_record(a.add(&genesis, &b)).is_ok());
}

#[test]
fn a_device_that_did_not_sign_its_join_is_not_added() {
    let (a, b) = (Member::new(1), Member::new(2));
    let genesis = a.genesis();
    let with_other_key = Member { identity: a.identity.clone(), ..Member::new(2) };
    assert!(matches!(
        verify_record(a.add(&genesis, &with_other_key)),
        Err(RecordRefused::Join(SignatureError::Invalid))
    ));
    // A join signed for another roster does not count in this one.
    let elsewhere = b.genesis();
    let addition = Addition {
        device: b.device.clone(),
        device_bytes: b.device.encode(),
        join_signature: Bytes::copy_from_slice(&b.identity.sign_join(elsewhere.id(), CARD, &b.device.encode())),
        card_hash: CARD,
    };
    let record = a.sign(Some(genesis.id()), &[&genesis], RosterChange::Add(addition));
    assert!(matches!(verify_record(record), Err(RecordRefused::Join(SignatureError::Invalid))));
}

#[test]
fn a_refused_record_does_not_take_the_parcel_with_it() {
    let (a, b, c) = (Member::new(1), Member::new(2), Member::new(3));
    let genesis = a.genesis();
    let roster = roster_of(&genesis, &[&genesis, &a.add(&genesis, &b)]);
    let mut bad = a.add(&genesis, &c);
    bad.signature = Bytes::from_static(&[0; 64]);
    let mut letter = b.letter();
    letter.records = vec![bad, a.add(&genesis, &c)];
    let parcel = verify(b.tell(&a, genesis.id(), &letter, &[b.run(1)]), &roster).unwrap();
    assert_eq!((parcel.records.len(), parcel.runs.len(), parcel.rejected), (1, 1, 1));
}
