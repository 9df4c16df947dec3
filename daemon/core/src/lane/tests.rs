use super::*;

mod kept;

const NEAR: RelayId = RelayId([1; 16]);
const FAR: RelayId = RelayId([2; 16]);
const MID: u64 = 511;

fn sent_up_to(seq: u64) -> Lane {
    let mut lane = Lane::default();
    lane.relay(&[NEAR, FAR], Millis(0));
    lane.departed(NEAR, Some((Seq(0), Seq(seq))), Millis(0));
    lane.arrived(NEAR, Some(Seq(seq)), Millis(10), MID);
    lane
}

#[test]
fn a_lane_stays_on_its_relay_while_that_is_healthy() {
    let mut lane = Lane::default();
    assert_eq!(lane.relay(&[NEAR, FAR], Millis(0)), Some(NEAR));
    assert_eq!(lane.relay(&[FAR, NEAR], Millis(0)), Some(NEAR));
    assert_eq!(lane.relay(&[FAR], Millis(0)), Some(FAR));
    assert_eq!(lane.relay(&[], Millis(0)), None);
}

#[test]
fn one_parcel_at_a_time_is_under_way_to_a_relay() {
    let mut lane = Lane::default();
    lane.departed(NEAR, Some((Seq(0), Seq(1))), Millis(0));
    assert!(!lane.is_free(NEAR, Millis(0)));
    assert!(lane.is_free(FAR, Millis(0)));
    lane.arrived(NEAR, Some(Seq(1)), Millis(1), MID);
    assert!(lane.is_free(NEAR, Millis(1)));
}

#[test]
fn without_a_receipt_it_goes_back_to_what_was_receipted_and_takes_the_next_relay() {
    let mut lane = sent_up_to(5);
    assert!(!lane.is_late(Millis(5_000)));
    assert!(lane.is_late(Millis(9_000)));
    lane.rewind(&[NEAR, FAR], Millis(9_000));
    assert_eq!(lane.relay(&[NEAR, FAR], Millis(0)), Some(FAR));
    assert_eq!(lane.sent(FAR), Seq(0));
}

#[test]
fn a_rewind_is_outstanding_until_something_was_sent_again() {
    let mut lane = sent_up_to(5);
    lane.rewind(&[NEAR], Millis(9_000));
    assert!(!lane.is_late(Millis(1_000_000)));
    lane.departed(NEAR, Some((Seq(0), Seq(5))), Millis(19_000));
    lane.arrived(NEAR, Some(Seq(5)), Millis(20_000), MID);
    assert!(lane.is_late(Millis(60_000)));
}

#[test]
fn each_rewind_without_progress_doubles_the_wait_up_to_an_hour() {
    let waits: Vec<u64> = (0..20).map(|attempts| backed_off(Millis(7_000), attempts, MID).0).collect();
    assert!(waits[1] > waits[0] * 19 / 10);
    assert!(waits.iter().all(|wait| *wait <= RESEND_MAX.0 * 12 / 10));
    assert!(waits[19] >= RESEND_MAX.0 * 9 / 10);
}

#[test]
fn jitter_stays_within_a_fifth() {
    assert_eq!(backed_off(Millis(10_000), 0, 0), Millis(8_000));
    assert_eq!(backed_off(Millis(10_000), 0, 1023), Millis(12_000));
}

#[test]
fn a_receipt_for_everything_ends_the_wait() {
    let mut lane = sent_up_to(5);
    assert!(lane.receipted(Seq(5), Millis(100), MID));
    assert_eq!(lane.wake_at(Millis(100)), None);
    assert!(!lane.receipted(Seq(4), Millis(100), MID));
    assert_eq!(lane.acked(), Seq(5));
}

#[test]
fn a_receipt_for_a_part_starts_the_wait_anew() {
    let mut lane = sent_up_to(5);
    lane.receipted(Seq(3), Millis(6_000), MID);
    assert!(!lane.is_late(Millis(9_000)));
    assert!(lane.is_late(Millis(20_000)));
}

#[test]
fn a_sibling_that_usually_answers_late_is_given_four_times_as_long() {
    let mut lane = sent_up_to(5);
    lane.receipted(Seq(5), Millis(25_000), MID);
    lane.departed(NEAR, Some((Seq(5), Seq(6))), Millis(30_000));
    lane.arrived(NEAR, Some(Seq(6)), Millis(30_000), MID);
    assert!(!lane.is_late(Millis(90_000)));
    assert!(lane.is_late(Millis(140_000)));
}

#[test]
fn a_refused_parcel_holds_the_lane_for_a_while() {
    let mut lane = Lane::default();
    lane.departed(NEAR, Some((Seq(0), Seq(1))), Millis(0));
    lane.failed(NEAR, Millis(0), MID);
    assert!(!lane.is_free(NEAR, Millis(1_000)));
    assert!(lane.is_free(NEAR, Millis(3_000)));
    lane.hurry(Millis(500));
    assert!(lane.is_free(NEAR, Millis(500)));
}

#[test]
fn a_relay_that_refuses_does_not_hold_back_another() {
    let mut lane = Lane::default();
    assert_eq!(lane.relay(&[NEAR, FAR], Millis(0)), Some(NEAR));
    lane.departed(NEAR, Some((Seq(0), Seq(1))), Millis(0));
    lane.failed(NEAR, Millis(0), MID);
    assert_eq!(lane.relay(&[NEAR, FAR], Millis(0)), Some(FAR));
    assert!(lane.is_free(FAR, Millis(0)));
}

#[test]
fn an_outage_of_a_relay_does_not_lengthen_the_wait_for_a_receipt() {
    let mut lane = Lane::default();
    for minute in 0..60 {
        lane.departed(NEAR, Some((Seq(0), Seq(1))), Millis(minute * 60_000));
        lane.failed(NEAR, Millis(minute * 60_000), MID);
    }
    lane.departed(NEAR, Some((Seq(0), Seq(1))), Millis(4_000_000));
    lane.arrived(NEAR, Some(Seq(1)), Millis(4_000_000), MID);
    assert!(lane.is_late(Millis(4_009_000)));
}

#[test]
fn a_parcel_that_left_before_a_rewind_does_not_count_as_sent_when_it_arrives() {
    let mut lane = sent_up_to(5);
    lane.departed(NEAR, Some((Seq(5), Seq(7))), Millis(8_900));
    lane.rewind(&[NEAR], Millis(9_000));
    lane.arrived(NEAR, Some(Seq(7)), Millis(9_100), MID);
    assert_eq!(lane.sent(NEAR), Seq(0));
}

#[test]
fn a_returned_relay_gets_unreceipted_mail_again_after_five_seconds_however_late_it_was() {
    let mut lane = sent_up_to(5);
    assert!(lane.is_late(Millis(100_000)));
    lane.returned(NEAR, Millis(100_000));
    assert!(!lane.is_late(Millis(104_999)));
    assert!(lane.is_late(Millis(105_000)));
}

#[test]
fn a_question_that_a_relay_repeats_is_answered_once() {
    let mut lane = sent_up_to(5);
    lane.wanted(Seq(2), Millis(1_000));
    lane.departed(NEAR, Some((Seq(2), Seq(5))), Millis(1_000));
    lane.arrived(NEAR, Some(Seq(5)), Millis(1_100), MID);
    lane.wanted(Seq(2), Millis(2_000));
    assert_eq!(lane.sent(NEAR), Seq(5));
}

#[test]
fn a_want_moves_the_lane_back_once() {
    let mut lane = sent_up_to(5);
    lane.wanted(Seq(2), Millis(0));
    assert_eq!(lane.sent(NEAR), Seq(2));
    lane.rewind(&[NEAR], Millis(9_000));
    lane.mailboxes.entry(NEAR).or_default().sent = Seq(5);
    lane.wanted(Seq(2), Millis(0));
    assert_eq!(lane.sent(NEAR), Seq(5));
}

#[test]
fn a_lane_chooses_the_best_relay_again_when_one_comes_back() {
    let mut lane = sent_up_to(5);
    assert_eq!(lane.relay(&[FAR], Millis(100)), Some(FAR));
    assert_eq!(lane.relay(&[NEAR, FAR], Millis(200)), Some(FAR), "it is merely healthy again");
    lane.returned(NEAR, Millis(300));
    assert_eq!(lane.relay(&[NEAR, FAR], Millis(300)), Some(NEAR));
}

#[test]
fn a_lane_that_strayed_goes_home_when_nothing_waits_for_a_receipt() {
    let mut lane = sent_up_to(5);
    lane.rewind(&[NEAR, FAR], Millis(9_000));
    assert_eq!(lane.relay(&[NEAR, FAR], Millis(9_000)), Some(FAR));
    let mut send = |upto: u64, receipted: u64, at: Millis| {
        lane.departed(FAR, Some((Seq(0), Seq(upto))), at);
        lane.arrived(FAR, Some(Seq(upto)), at, MID);
        lane.receipted(Seq(receipted), at, MID);
        lane.relay(&[NEAR, FAR], at)
    };
    assert_eq!(send(6, 6, Millis(10_000)), Some(FAR), "what was late there a moment ago is late there now");
    assert_eq!(send(8, 7, Millis(700_000)), Some(FAR), "moving would repeat what waits for its receipt");
    assert_eq!(send(9, 9, Millis(700_001)), Some(NEAR));
}

#[test]
fn a_relay_that_refused_is_tried_again_at_once_when_asked() {
    let mut lane = Lane::default();
    lane.departed(NEAR, Some((Seq(0), Seq(1))), Millis(0));
    lane.failed(NEAR, Millis(0), MID);
    assert!(!lane.is_free(NEAR, Millis(10)));
    lane.retry(Millis(10));
    assert!(lane.is_free(NEAR, Millis(10)));
}

#[test]
fn a_lane_that_never_moved_has_not_strayed() {
    let mut lane = sent_up_to(5);
    assert_eq!(lane.relay(&[FAR, NEAR], Millis(20)), Some(NEAR));
    lane.receipted(Seq(5), STRAY.plus(Millis(1_000)), MID);
    assert_eq!(lane.relay(&[FAR, NEAR], STRAY.plus(Millis(1_000))), Some(NEAR));
}

#[test]
fn a_lane_that_was_taken_back_on_the_only_relay_has_not_strayed() {
    let mut lane = sent_up_to(5);
    lane.rewind(&[NEAR], Millis(9_000));
    lane.receipted(Seq(5), STRAY.plus(Millis(10_000)), MID);
    assert_eq!(lane.relay(&[FAR, NEAR], STRAY.plus(Millis(10_000))), Some(NEAR));
}

#[test]
fn a_lane_that_strayed_goes_home_after_exactly_ten_minutes() {
    for (at, home) in [(STRAY.0 + 8_999, FAR), (STRAY.0 + 9_000, NEAR)] {
        let mut lane = sent_up_to(5);
        lane.rewind(&[NEAR, FAR], Millis(9_000));
        lane.receipted(Seq(5), Millis(at), MID);
        assert_eq!(lane.relay(&[NEAR, FAR], Millis(at)), Some(home));
    }
}

#[test]
fn what_is_sent_meanwhile_does_not_prolong_the_wait() {
    let mut lane = sent_up_to(5);
    let due = lane.resend_at;
    lane.departed(NEAR, Some((Seq(5), Seq(6))), Millis(3_000));
    lane.arrived(NEAR, Some(Seq(6)), Millis(3_010), MID);
    assert_eq!(lane.resend_at, due);
}

#[test]
fn what_was_receipted_before_the_relay_said_that_it_lies_there_is_not_waited_for() {
    let mut lane = Lane::default();
    lane.departed(NEAR, Some((Seq(0), Seq(5))), Millis(0));
    lane.receipted(Seq(5), Millis(5), MID);
    lane.arrived(NEAR, Some(Seq(5)), Millis(10), MID);
    assert_eq!((lane.sent(NEAR), lane.wake_at(Millis(10))), (Seq(5), None));
}

#[test]
fn a_fresh_start_keeps_the_round_trip_and_what_is_under_way_and_nothing_else() {
    let mut lane = sent_up_to(5);
    lane.receipted(Seq(5), Millis(25_000), MID);
    lane.departed(FAR, Some((Seq(5), Seq(6))), Millis(26_000));
    lane.reset(Seq(2));
    assert_eq!((lane.acked(), lane.sent(NEAR), lane.is_free(FAR, Millis(26_000))), (Seq(2), Seq(2), false));
    lane.departed(NEAR, Some((Seq(2), Seq(6))), Millis(30_000));
    lane.arrived(NEAR, Some(Seq(6)), Millis(30_000), MID);
    assert!(!lane.is_late(Millis(90_000)));
    assert!(lane.is_late(Millis(140_000)));
}

#[test]
fn a_want_is_heard_while_a_rewind_waits_for_its_receipt() {
    let mut lane = sent_up_to(5);
    lane.rewind(&[NEAR], Millis(9_000));
    lane.departed(NEAR, Some((Seq(0), Seq(5))), Millis(9_000));
    lane.arrived(NEAR, Some(Seq(5)), Millis(9_010), MID);
    lane.wanted(Seq(2), Millis(10_000));
    assert_eq!(lane.sent(NEAR), Seq(2));
}

#[test]
fn a_question_counts_as_a_new_one_after_four_seconds() {
    for (at, sent) in [(4_999, Seq(5)), (5_000, Seq(2))] {
        let mut lane = sent_up_to(5);
        lane.wanted(Seq(2), Millis(1_000));
        lane.departed(NEAR, Some((Seq(2), Seq(5))), Millis(1_000));
        lane.arrived(NEAR, Some(Seq(5)), Millis(1_100), MID);
        lane.wanted(Seq(2), Millis(at));
        assert_eq!(lane.sent(NEAR), sent);
    }
}

#[test]
fn a_question_for_what_was_receipted_or_not_sent_changes_nothing() {
    let mut lane = sent_up_to(5);
    lane.receipted(Seq(3), Millis(100), MID);
    lane.wanted(Seq(2), Millis(200));
    assert_eq!(lane.sent(NEAR), Seq(5));
    lane.wanted(Seq(5), Millis(300));
    lane.departed(NEAR, Some((Seq(5), Seq(7))), Millis(300));
    lane.arrived(NEAR, Some(Seq(7)), Millis(310), MID);
    lane.wanted(Seq(5), Millis(400));
    assert_eq!(lane.sent(NEAR), Seq(5), "the question before was about nothing");
    let mut lane = sent_up_to(5);
    lane.receipted(Seq(3), Millis(100), MID);
    lane.wanted(Seq(3), Millis(200));
    assert_eq!(lane.sent(NEAR), Seq(3));
}

#[test]
fn a_relay_that_returns_when_the_wait_ends_gets_its_five_seconds() {
    let mut lane = sent_up_to(5);
    let due = lane.resend_at.unwrap();
    lane.returned(NEAR, due);
    assert_eq!(lane.resend_at, Some(due.plus(RESEND_AFTER_RETURN)));
    let mut lane = sent_up_to(5);
    lane.returned(NEAR, Millis(due.0 - 1));
    assert_eq!(lane.resend_at, Some(due), "what comes earlier stays");
}

#[test]
fn a_released_relay_takes_parcels_at_once() {
    let mut lane = Lane::default();
    lane.departed(NEAR, None, Millis(0));
    lane.failed(NEAR, Millis(0), MID);
    lane.release(NEAR);
    assert!(lane.is_free(NEAR, Millis(0)));
}

#[test]
fn a_lane_waits_long_from_its_first_rewind_to_the_next_receipt() {
    let mut lane = sent_up_to(5);
    assert!(!lane.is_waiting_long());
    lane.rewind(&[NEAR], Millis(9_000));
    assert!(lane.is_waiting_long());
    lane.receipted(Seq(1), Millis(10_000), MID);
    assert!(!lane.is_waiting_long());
}

#[test]
fn a_relay_that_is_taken_out_is_forgotten_and_no_other() {
    let mut lane = sent_up_to(5);
    lane.departed(NEAR, Some((Seq(5), Seq(6))), Millis(20));
    lane.forget(FAR);
    assert_eq!((lane.sent(NEAR), lane.is_free(NEAR, Millis(20))), (Seq(5), false));
    assert_eq!(lane.relay(&[FAR, NEAR], Millis(20)), Some(NEAR));
    lane.forget(NEAR);
    assert_eq!((lane.sent(NEAR), lane.is_free(NEAR, Millis(20))), (Seq(0), true));
    assert_eq!(lane.relay(&[FAR, NEAR], Millis(20)), Some(FAR));
}

#[test]
fn a_lane_wakes_at_the_first_time_ahead() {
    let mut lane = sent_up_to(5);
    let due = lane.resend_at.unwrap();
    assert_eq!(lane.wake_at(Millis(10)), Some(due));
    lane.failed(FAR, Millis(10), MID);
    let held = lane.wake_at(Millis(10)).unwrap();
    assert!(held < due);
    assert_eq!(lane.wake_at(held), Some(due));
    assert_eq!(lane.wake_at(due), None);
    assert!(!lane.is_free(FAR, Millis(held.0 - 1)) && lane.is_free(FAR, held));
}

#[test]
fn a_pause_is_doubled_and_moved_by_its_jitter() {
    // 7,005 × 2 = 14,010: four fifths are 11,208, and 511 of 1,023 parts of two fifths 2,799.
    assert_eq!(backed_off(Millis(7_005), 1, 511), Millis(11_208 + 2_799));
    assert_eq!(backed_off(Millis(10_000), 0, 2 * 1_024 - 1), Millis(12_000), "any number is jitter");
    assert_eq!(backed_off(Millis(1), 0, 0), Millis(0));
}

#[test]
fn the_round_trip_is_measured_without_rewinds_and_smoothed() {
    let mut lane = sent_up_to(5);
    lane.receipted(Seq(4), Millis(6_000), MID);
    assert_eq!(lane.round_trip, None, "what was probed is not receipted yet");
    lane.receipted(Seq(5), Millis(13_000), MID);
    assert_eq!(lane.round_trip, Some(Millis(8_000)), "less the five seconds that a receipt may wait");
    lane.departed(NEAR, Some((Seq(5), Seq(6))), Millis(20_000));
    lane.departed(NEAR, Some((Seq(6), Seq(7))), Millis(21_000));
    lane.receipted(Seq(6), Millis(41_000), MID);
    assert_eq!(lane.round_trip, Some(Millis(9_000)), "an eighth of 16 s and seven of 8 s");
    lane.rewind(&[NEAR], Millis(50_000));
    lane.departed(NEAR, Some((Seq(6), Seq(7))), Millis(50_000));
    lane.receipted(Seq(7), Millis(90_000), MID);
    assert_eq!(lane.round_trip, Some(Millis(9_000)), "nobody knows which of the two copies was receipted");
}
