use super::*;
use crate::evidence::{Ground, Verdict};

const OWN: SourceId = SourceId([1; 16]);
const OTHER: SourceId = SourceId([2; 16]);
const NEAR: RelayId = RelayId([1; 16]);
const FAR: RelayId = RelayId([2; 16]);
const MID: u64 = 511;

fn receipt(generation: u64, seq: u64) -> Receipt {
    let vector = VersionVector::from_iter([(OWN, Head { seq: Seq(seq), hash: Hash([7; 32]) })]);
    Receipt { generation, vector, ..Receipt::default() }
}

/// A sibling that has receipted `acked` own bundles and for which those up to `sent` lie on a relay.
fn sibling(acked: u64, sent: u64) -> Sibling {
    let mut sibling = Sibling { receipt: receipt(1, acked), ..Sibling::default() };
    sibling.lane = Lane::resume(Seq(acked), []);
    sibling.lane.relay(&[NEAR], Millis(0));
    sibling.lane.departed(NEAR, Some((Seq(acked), Seq(sent))), Millis(0));
    sibling.lane.arrived(NEAR, Some(Seq(sent)), Millis(0), MID);
    sibling
}

#[test]
fn what_was_posted_is_recalled_up_to_what_is_held_and_only_of_the_source_in_use() {
    let posted = |relay, source| Posted { relay, source, mailbox: Mailbox { sent: Seq(9), ..Mailbox::default() } };
    let saved = SavedSibling {
        receipt: receipt(1, 2),
        posted: vec![posted(NEAR, OWN), posted(FAR, OTHER)],
        ..Sibling::default().saved(DeviceId([3; 16]), OWN)
    };
    let mut recalled = Sibling::default();
    recalled.recall(saved.clone(), OWN, Seq(5));
    assert_eq!((recalled.lane.sent(NEAR), recalled.lane.sent(FAR)), (Seq(5), Seq(2)));
    assert_eq!(recalled.heard, None, "it never spoke");
    recalled.recall(SavedSibling { heard: Millis(1), ..saved }, OWN, Seq(5));
    assert_eq!(recalled.heard, Some(Millis(1)));
}

#[test]
fn a_fresh_start_takes_the_lane_back_only_if_it_receipts_less() {
    for (seq, sent, stuck) in [(2, 2, false), (3, 5, true), (4, 5, false)] {
        let mut sibling = sibling(3, 5);
        let taken = sibling.take_word(receipt(2, seq), (OWN, Seq(5)), Millis(10), MID);
        assert_eq!((sibling.lane.sent(NEAR), taken.stuck), (Seq(sent), stuck), "it receipts {seq}");
        assert!(taken.news);
    }
}

#[test]
fn who_receipted_everything_is_not_stuck() {
    let mut sibling = sibling(3, 5);
    assert!(sibling.take_word(receipt(1, 3), (OWN, Seq(5)), Millis(10), MID).stuck);
    assert!(!sibling.take_word(receipt(1, 5), (OWN, Seq(5)), Millis(10), MID).stuck);
    assert!(!sibling.take_word(receipt(1, 5), (OWN, Seq(5)), Millis(10), MID).stuck);
}

#[test]
fn what_it_holds_and_is_owed_of_cut_sources_counts_up_to_their_ends() {
    let mut sibling = sibling(3, 5);
    let owed = |after: u64, upto: u64| Owed { after: Seq(after), upto: Seq(upto) };
    let (whole, none) = (SourceId([8; 16]), SourceId([9; 16]));
    sibling.owed = BTreeMap::from([(OTHER, owed(2, 9)), (whole, owed(0, 4)), (none, owed(5, 9))]);
    sibling.recap(sibling.receipt.vector.clone(), &BTreeMap::from([(OTHER, Seq(5)), (none, Seq(5))]));
    assert_eq!(sibling.owed, BTreeMap::from([(OTHER, owed(2, 5)), (whole, owed(0, 4))]));
    assert_eq!(sibling.take_unsaved(DeviceId([3; 16]), OWN), None, "nothing of its word changed");
    let capped = receipt(1, 1).vector;
    sibling.recap(capped.clone(), &BTreeMap::new());
    assert_eq!(sibling.receipt.vector, capped);
    assert!(sibling.take_unsaved(DeviceId([3; 16]), OWN).is_some());
}

#[test]
fn a_burst_begins_at_sixteen_bundles_and_is_asked_about_once_a_second() {
    let mut sibling = sibling(3, 3);
    let run = |upto: u64| RunRequest { device: DeviceId([3; 16]), source: OWN, after: Seq(3), upto: Seq(upto) };
    assert!(!sibling.ends_burst(Some(&run(18)), Millis(0)));
    assert!(sibling.ends_burst(Some(&run(19)), Millis(0)));
    assert!(!sibling.ends_burst(Some(&run(20)), Millis(999)));
    assert_eq!(sibling.ask_at, Some(Millis(1_000)));
    assert!(sibling.ends_burst(Some(&run(20)), Millis(1_000)));
}

#[test]
fn nobody_is_asked_about_the_end_of_a_burst_that_is_receipted() {
    for (last, asks) in [(5, false), (6, true)] {
        let mut sibling = sibling(5, 5);
        sibling.ask_at = Some(Millis(1_000));
        sibling.ask_about_burst(Seq(last), Millis(999));
        assert!(!sibling.ask_receipt && sibling.ask_at.is_some());
        sibling.ask_about_burst(Seq(last), Millis(1_000));
        assert_eq!((sibling.ask_receipt, sibling.ask_at), (asks, None));
    }
}

#[test]
fn evidence_is_told_at_once_then_after_a_pause_and_sooner_when_the_parcel_failed_or_there_is_more() {
    let ground = Ground::Forked { at: Seq(1), one: Hash([1; 32]), other: Hash([2; 32]) };
    let verdict = Verdict { source: OTHER, device: DeviceId([3; 16]), end: Head::default(), ground };
    let forks = Forks::resume(vec![(verdict, 1)]);
    let mut sibling = Sibling { roster_known: true, epoch_known: true, prekey_known: true, ..Sibling::default() };
    let next = |sibling: &mut Sibling, now: u64| sibling.next_evidence(&forks, Millis(now), MID);
    assert_eq!(next(&mut sibling, 0), Some(OTHER));
    assert_eq!(next(&mut sibling, 0), None);
    let again = sibling.wake_at(Millis(0)).unwrap();
    assert!((8_000..=12_000).contains(&again.0), "{again:?}");
    sibling.untold(Millis(1_000));
    assert_eq!((next(&mut sibling, 2_999), next(&mut sibling, 3_000)), (None, Some(OTHER)));
    sibling.tell_evidence_anew();
    assert_eq!(next(&mut sibling, 3_000), Some(OTHER));
    sibling.evidence_known = true;
    assert_eq!((next(&mut sibling, 900_000), sibling.wake_at(Millis(3_000))), (None, None));
    sibling.tell_evidence_anew();
    assert_eq!(next(&mut sibling, 3_000), Some(OTHER));
}
