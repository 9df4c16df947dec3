//! Devices that leave: by whom, beside what, and in whatever order it is heard of.

use proptest::prelude::*;

use super::*;
use crate::ids::SourceId;

fn end(source: u8, seq: u64) -> End {
    let head = Head { seq: Seq(seq), hash: Hash([u8::try_from(seq).unwrap(); 32]) };
    End { source: SourceId([source; 16]), head, signature: Bytes::from_static(&[0; 64]) }
}

fn remove(n: u8, ends: Vec<End>) -> RosterChange {
    RosterChange::Remove(Removal { device: DeviceId([n; 16]), key: IdentityKey([n; 32]), ends })
}

/// Devices 1 to 4, each added by the first, and the record that made the last of them a member.
fn family() -> (Vec<Verified<SignedRecord>>, Verified<SignedRecord>) {
    let mut records = vec![genesis()];
    for n in 2..=4 {
        let parent = records.last().cloned().unwrap();
        records.push(record(1, &[&parent], u64::from(n), add(n)));
    }
    let last = records.last().cloned().unwrap();
    (records, last)
}

fn with(mut records: Vec<Verified<SignedRecord>>, more: &[&Verified<SignedRecord>]) -> Roster {
    records.extend(more.iter().copied().cloned());
    roster_of(&records)
}

fn gone(roster: &Roster) -> Vec<u8> {
    roster.removed().map(|(id, _)| id.0[0]).collect()
}

#[test]
fn a_removed_device_is_no_member_and_its_sources_end_where_the_removal_says() {
    let (records, last) = family();
    let roster = with(records, &[&record(1, &[&last], 9, remove(3, vec![end(30, 5)]))]);
    assert_eq!((ids(&roster), gone(&roster)), (vec![1, 2, 4], vec![3]));
    let removed = roster.removal(DeviceId([3; 16])).unwrap();
    assert_eq!(removed.end(SourceId([30; 16])), Seq(5));
    assert_eq!(removed.end(SourceId([31; 16])), Seq::ZERO);
    assert_eq!(roster.known(DeviceId([3; 16])).unwrap().key, IdentityKey([3; 32]));
}

#[test]
fn what_a_device_said_before_it_was_removed_stands_and_what_it_says_beside_or_after_is_void() {
    let (records, last) = family();
    let before = record(3, &[&last], 5, add(5));
    let removal = record(1, &[&before], 6, remove(3, vec![]));
    let beside = record(3, &[&before], 7, add(6));
    let after = record(3, &[&removal], 8, add(7));
    let roster = with(records, &[&before, &removal, &beside, &after]);
    assert_eq!(ids(&roster), [1, 2, 4, 5]);
    // They may have been members for whoever had not heard of the removal: what they brought is cut.
    assert_eq!(gone(&roster), [3, 6, 7]);
}

#[test]
fn what_a_void_device_did_is_void_too() {
    let (records, last) = family();
    let removal = record(1, &[&last], 6, remove(3, vec![]));
    let beside = record(3, &[&last], 5, add(6));
    let grandchild = record(6, &[&beside], 6, add(7));
    let revenge = record(6, &[&beside], 7, remove(1, vec![]));
    let roster = with(records, &[&removal, &beside, &grandchild, &revenge]);
    assert_eq!((ids(&roster), gone(&roster)), (vec![1, 2, 4], vec![3, 6, 7]));
}

#[test]
fn of_two_that_remove_each_other_the_one_added_first_stays() {
    let (records, last) = family();
    let by_second = record(2, &[&last], 9, remove(3, vec![]));
    let by_third = record(3, &[&last], 5, remove(2, vec![]));
    let roster = with(records, &[&by_second, &by_third]);
    assert_eq!(ids(&roster), [1, 2, 4]);
}

#[test]
fn a_removal_beside_the_removal_of_its_author_is_void_however_old_the_author_is() {
    let (records, last) = family();
    let by_fourth = record(4, &[&last], 9, remove(1, vec![]));
    let by_first = record(1, &[&last], 5, remove(3, vec![]));
    let roster = with(records, &[&by_fourth, &by_first]);
    assert_eq!(ids(&roster), [2, 3, 4]);
}

#[test]
fn a_circle_of_removals_is_broken_by_the_oldest_and_nobody_else_goes_with_it() {
    let (records, last) = family();
    let circle =
        [(2, 3), (3, 4), (4, 2)].map(|(by, who)| record(by, &[&last], 10 + u64::from(by), remove(who, vec![])));
    let roster = with(records, &[&circle[0], &circle[1], &circle[2]]);
    assert_eq!(ids(&roster), [1, 2, 4]);
}

#[test]
fn a_removal_that_its_author_had_seen_is_not_undone_by_removing_in_return() {
    let (records, last) = family();
    let removal = record(3, &[&last], 5, remove(2, vec![]));
    let revenge = record(2, &[&removal], 6, remove(3, vec![]));
    assert_eq!(ids(&with(records, &[&removal, &revenge])), [1, 3, 4]);
}

#[test]
fn of_two_removals_of_one_device_the_shorter_ends_stand() {
    let (records, last) = family();
    let one = record(1, &[&last], 5, remove(3, vec![end(30, 5), end(31, 2), end(32, 1)]));
    let other = record(2, &[&last], 6, remove(3, vec![end(30, 3), end(31, 4)]));
    let roster = with(records, &[&one, &other]);
    let removed = roster.removal(DeviceId([3; 16])).unwrap();
    assert_eq!([30, 31, 32].map(|n| removed.end(SourceId([n; 16])).0), [3, 2, 0]);
}

#[test]
fn a_removed_device_does_not_come_back_under_its_id() {
    let (records, last) = family();
    let removal = record(1, &[&last], 5, remove(3, vec![]));
    let again = record(2, &[&removal], 6, add(3));
    assert_eq!(ids(&with(records, &[&removal, &again])), [1, 2, 4]);
}

#[test]
fn a_removal_under_another_key_or_of_a_device_not_seen_is_nothing() {
    let (records, last) = family();
    let mut forged = Record::decode(&record(1, &[&last], 5, remove(3, vec![])).get().bytes).unwrap();
    let RosterChange::Remove(removal) = &mut forged.change else { panic!("not a removal") };
    removal.key = IdentityKey([9; 32]);
    let unseen = record(1, &[&genesis()], 6, remove(2, vec![]));
    assert_eq!(ids(&with(records, &[&sign(&forged), &unseen])), [1, 2, 3, 4]);
}

#[test]
fn an_id_that_follows_from_its_key_cannot_be_taken_over_by_an_older_looking_addition() {
    let first = genesis();
    let second = record(1, &[&first], 2, add(2));
    let key = IdentityKey([7; 32]);
    let victim = Device { id: DeviceId::of(&key), key, ..device(7) };
    let thief = Device { id: victim.id, ..device(8) };
    let addition = |device: &Device| {
        let (join_signature, card_hash) = (Bytes::from_static(&[0; 64]), Hash::default());
        let device_bytes = device.encode();
        RosterChange::Add(Addition { device: device.clone(), device_bytes, join_signature, card_hash })
    };
    let real = record(1, &[&second], 50, addition(&victim));
    let forged = record(2, &[&second], 3, addition(&thief));
    for order in [[real.clone(), forged.clone()], [forged, real]] {
        let roster = with(vec![first.clone(), second.clone()], &[&order[0], &order[1]]);
        assert_eq!(roster.member(victim.id).unwrap().device.key, key);
    }
}

/// One step of somebody: who, what, to whom, and how many of the records before it he has seen.
#[derive(Clone, Debug)]
struct Step {
    by: u8,
    what: u8,
    whom: u8,
    seen: usize,
    stamp: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (1..7_u8, 0..5_u8, 1..9_u8, 0..12_usize, 1..20_u64);
    proptest::collection::vec(
        step.prop_map(|(by, what, whom, seen, stamp)| Step { by, what, whom, seen, stamp }),
        0..14,
    )
}

fn played(steps: &[Step]) -> Vec<Verified<SignedRecord>> {
    let (mut records, _) = family();
    for step in steps {
        let seen = records.len().saturating_sub(step.seen % records.len()).max(1);
        let parents: Vec<_> = records[..seen].iter().rev().take(2).collect();
        let change = match step.what {
            0 => add(step.whom),
            1 => RosterChange::Rename { device: DeviceId([step.whom; 16]), name: format!("n{}", step.stamp) },
            2 => mint(u32::from(step.whom), step.by),
            _ => remove(step.whom, vec![end(step.whom, step.stamp)]),
        };
        let made = record(step.by, &parents, step.stamp, change);
        records.push(made);
    }
    records
}

proptest! {
    #[test]
    fn one_set_of_records_makes_one_roster_however_it_arrives(
        steps in steps(),
        order in Just(()).prop_perturb(|(), mut rng| std::iter::repeat_with(|| rng.next_u64()).take(40).collect::<Vec<_>>()),
    ) {
        let records = played(&steps);
        let at_once = roster_of(&records);
        let mut shuffled: Vec<_> = records.iter().chain(&records).cloned().zip(order.iter().cycle()).collect();
        shuffled.sort_by_key(|(_, place)| **place);
        let mut one_by_one = Roster::new(genesis().get().id());
        for (record, _) in shuffled {
            one_by_one.extend([record]);
            // What is known in part is a roster too, and nobody is both in it and out of it.
            prop_assert!(one_by_one.members().all(|member| one_by_one.removal(member.device.id).is_none()));
        }
        prop_assert_eq!(one_by_one, at_once);
    }

    #[test]
    fn somebody_always_stays(steps in steps()) {
        let (records, _) = family();
        let roster = roster_of(&played(&steps));
        let alone = steps.iter().all(|step| step.what < 3 || step.by != step.whom);
        prop_assert!(!alone || roster.members().next().is_some(), "{} records", records.len());
    }
}

fn epoch(number: u32, id: u8) -> Epoch {
    Epoch { number, id: [id; 16] }
}

fn mint(number: u32, id: u8) -> RosterChange {
    RosterChange::Epoch(NewEpoch { epoch: epoch(number, id), commitment: Hash([id; 32]) })
}

#[test]
fn an_epoch_is_fit_when_its_minter_knew_of_every_removal_that_counts() {
    let (records, last) = family();
    let founding = epoch(1, 0);
    assert!(with(records.clone(), &[]).is_fit(founding));
    let removal = record(1, &[&last], 5, remove(3, vec![]));
    let minted = record(1, &[&removal], 6, mint(2, 1));
    let roster = with(records.clone(), &[&removal, &minted]);
    assert!(!roster.is_fit(founding) && roster.is_fit(epoch(2, 1)));
    assert_eq!(roster.last_epoch(), 2);

    let beside = record(2, &[&last], 7, remove(4, vec![]));
    let theirs = record(2, &[&beside], 8, mint(2, 2));
    let roster = with(records.clone(), &[&removal, &minted, &beside, &theirs]);
    assert!(!roster.is_fit(epoch(2, 1)) && !roster.is_fit(epoch(2, 2)));
    let after_both = record(2, &[&minted, &theirs], 9, mint(3, 3));
    let roster = with(records, &[&removal, &minted, &beside, &theirs, &after_both]);
    assert!(roster.is_fit(epoch(3, 3)) && !roster.is_fit(epoch(2, 2)));
}

#[test]
fn a_removed_device_can_mint_nothing_fit() {
    let (records, last) = family();
    let before = record(3, &[&last], 4, mint(9, 1));
    let removal = record(1, &[&before], 5, remove(3, vec![]));
    let beside = record(3, &[&before], 6, mint(10, 2));
    let after = record(3, &[&removal], 7, mint(11, 3));
    let roster = with(records, &[&before, &removal, &beside, &after]);
    assert_eq!(roster.epoch(epoch(9, 1)), Some(Minted { commitment: Hash([1; 32]), fit: false }));
    assert_eq!((roster.epoch(epoch(10, 2)), roster.epoch(epoch(11, 3))), (None, None));
    assert!(!roster.is_fit(epoch(10, 2)));
}

#[test]
fn a_device_is_known_to_have_joined_in_the_greatest_epoch_that_its_addition_had_seen() {
    let (records, last) = family();
    let removal = record(1, &[&last], 5, remove(3, vec![]));
    let minted = record(1, &[&removal], 6, mint(2, 1));
    let joined = record(1, &[&minted], 7, add(8));
    let beside = record(2, &[&last], 8, add(9));
    let roster = with(records, &[&removal, &minted, &joined, &beside]);
    assert_eq!(roster.member(DeviceId([8; 16])).unwrap().epoch, Some(epoch(2, 1)));
    assert_eq!(roster.member(DeviceId([9; 16])).unwrap().epoch, None);
}
