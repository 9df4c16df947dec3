//! What a lane keeps across a restart, a refusal, a fresh start and a detour.

use super::*;

#[test]
fn a_lane_is_resumed_with_a_question_only_if_something_lies_there_unreceipted() {
    let mailbox = |sent: u64| Mailbox { sent: Seq(sent), parcels: 1, ..Mailbox::default() };
    assert!(Lane::resume(Seq(4), [(NEAR, mailbox(5))]).is_late(Millis(0)));
    assert!(!Lane::resume(Seq(5), [(NEAR, mailbox(5))]).is_late(Millis(0)));
}

#[test]
fn a_mailbox_is_remembered_while_parcels_or_unreceipted_bundles_lie_there() {
    let kept = |sent: u64, parcels: u32| {
        let mailbox = Mailbox { sent: Seq(sent), parcels, ..Mailbox::default() };
        Lane::resume(Seq(5), [(NEAR, mailbox)]).posted().collect::<Vec<_>>() == [(NEAR, mailbox)]
    };
    assert!(kept(6, 0) && kept(5, 1) && kept(4, 2) && kept(7, 3));
    assert!(!kept(5, 0) && !kept(4, 0));
}

#[test]
fn a_refused_parcel_that_asked_asks_again_and_one_that_went_on_goes_on() {
    let mut lane = sent_up_to(5);
    lane.departed(NEAR, Some((Seq(5), Seq(7))), Millis(100));
    lane.failed(NEAR, Millis(110), MID);
    assert_eq!(lane.stretch(NEAR, Seq(7)), Some((Seq(5), Seq(7))));
    lane.departed(NEAR, Some((Seq(4), Seq(5))), Millis(200));
    lane.failed(NEAR, Millis(210), MID);
    assert_eq!(lane.stretch(NEAR, Seq(7)), Some((Seq(0), Seq(1))));
}

#[test]
fn a_fresh_start_takes_no_mail_off_relays_and_clears_no_relay_of_suspicion() {
    let mut lane = sent_up_to(5);
    lane.posted_to(NEAR, MAX_BYTES, Millis(1));
    for round in 1..=3 {
        lane.choose_anew();
        assert_eq!(lane.relay(&[NEAR, FAR], Millis(0)), Some(NEAR));
        lane.rewind(&[NEAR, FAR], Millis(0));
        lane.receipted(Seq(round), Millis(0), MID);
    }
    assert_eq!(lane.suspected(Millis(0), Millis(0)).collect::<Vec<_>>(), [NEAR]);
    lane.reset(Seq(0));
    assert!(lane.is_full(NEAR));
    assert_eq!(lane.suspected(Millis(0), Millis(0)).collect::<Vec<_>>(), [NEAR]);
}

#[test]
fn after_a_detour_the_best_relay_is_chosen_again_unless_something_waits_for_its_receipt() {
    for (receipted, next) in [(5, NEAR), (4, FAR)] {
        let mut lane = sent_up_to(5);
        lane.receipted(Seq(receipted), Millis(100), MID);
        lane.detour(&[NEAR, FAR], Millis(200));
        assert_eq!(lane.relay(&[NEAR, FAR], Millis(200)), Some(FAR));
        lane.heard(Millis(300));
        assert_eq!(lane.relay(&[NEAR, FAR], Millis(300)), Some(next), "{receipted} of 5 are receipted");
    }
}

/// A lane whose receipts came only over the far relay so many times; what becomes of it in between is up to the caller.
fn helped_out(times: u64, between: impl Fn(&mut Lane)) -> Lane {
    let mut lane = sent_up_to(9);
    for round in 1..=times {
        lane.choose_anew();
        lane.relay(&[NEAR, FAR], Millis(0));
        lane.rewind(&[NEAR, FAR], Millis(0));
        between(&mut lane);
        lane.receipted(Seq(round), Millis(0), MID);
    }
    lane
}

fn suspects(lane: &Lane) -> Vec<RelayId> {
    lane.suspected(Millis(0), Millis(0)).collect()
}

#[test]
fn only_a_receipt_in_time_clears_a_relay_of_suspicion() {
    let mut lane = helped_out(3, |_| {});
    lane.choose_anew();
    lane.relay(&[NEAR], Millis(0));
    lane.rewind(&[NEAR], Millis(0));
    lane.receipted(Seq(4), Millis(0), MID);
    assert_eq!(suspects(&lane), [NEAR], "it was late there again");
    lane.receipted(Seq(5), Millis(0), MID);
    assert_eq!(suspects(&lane), []);
}

#[test]
fn a_relay_that_was_taken_out_is_no_suspect_and_another_stays_one() {
    let third = RelayId([3; 16]);
    let mut lane = helped_out(3, |lane| lane.forget(third));
    assert_eq!(suspects(&lane), [NEAR]);
    lane.forget(NEAR);
    assert_eq!(suspects(&lane), []);
    assert_eq!(suspects(&helped_out(4, |lane| lane.forget(NEAR))), [], "nothing is late where nobody looks");
}
