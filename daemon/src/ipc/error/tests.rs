use std::io;

use kinfolk_core::ids::{BundleSeq, Millis};
use kinfolk_core::step::Refusal::{
    AppBundleDiffers, ClockExhausted, Empty, InvalidOp, MessageDiffers, NamedTwice, NotFound, OutOfOrder, RosterRecord,
    RowChanged, StampRegression, TooLarge, TooManyOps,
};

use super::*;
use crate::relay::{ConfigError, Reason};
use crate::seal::pairing::Step;

#[test]
fn every_refusal_has_a_code_and_names_its_op() {
    let table = [
        (Empty, "invalid_argument", None),
        (TooManyOps(10_001), "too_large", None),
        (TooLarge(2 << 20), "too_large", None),
        (InvalidOp { index: 3, reason: "x" }, "invalid_argument", Some(3)),
        (NamedTwice { index: 1 }, "invalid_argument", Some(1)),
        (MessageDiffers { index: 0 }, "message_differs", Some(0)),
        (NotFound { index: 7 }, "not_found", Some(7)),
        (RowChanged { index: 2, base: BundleSeq(1), version: BundleSeq(4) }, "conflict", Some(2)),
        (OutOfOrder { expected: 5 }, "out_of_order", None),
        (AppBundleDiffers { id: 5 }, "bundle_differs", None),
        (StampRegression { yours: 3, stored: 7 }, "stamp_regression", None),
        (ClockExhausted, "internal", None),
        (RosterRecord, "invalid_argument", None),
    ];
    for (refused, code, op) in table {
        let detail = push(&PushError::Refused(refused.clone()), None);
        assert_eq!((detail.code.as_str(), detail.op_index), (code, op), "{refused:?}");
        assert_eq!(detail.message, refused.to_string());
    }
}

#[test]
fn out_of_order_says_what_is_expected_and_what_came() {
    let app = AppBundle { source: "bridge".into(), id: 9, stamp: Some(3) };
    let detail = refusal(&OutOfOrder { expected: 5 }, Some(&app));
    let sequence = SequenceExpected { source_id: "bridge".into(), expected: 5, actual: 9 };
    assert_eq!(detail.payload, Some(Payload::Sequence(sequence)));
    let detail = refusal(&StampRegression { yours: 3, stored: 7 }, Some(&app));
    let stands = StampStands { source_id: "bridge".into(), yours: 3, stored_max: 7 };
    assert_eq!((detail.code.as_str(), detail.payload), ("stamp_regression", Some(Payload::Stamp(stands))));
}

#[test]
fn a_single_op_has_no_number() {
    let detail = ErrorDetail::from_status(&alone_in(refusal(&NotFound { index: 0 }, None).into())).unwrap();
    assert_eq!((detail.message.as_str(), detail.op_index), ("there is nothing with this name", None));
}

#[test]
fn a_full_disk_is_retryable_and_a_broken_store_is_not() {
    let full = driver(&DriverError::StoreFull("x".into()));
    assert_eq!((full.code.as_str(), full.retryable), ("store_full", true));
    assert_eq!(store(&StoreError::Full).code, "store_full");
    let broken = driver(&DriverError::Store("x".into()));
    assert_eq!((broken.code.as_str(), broken.retryable), ("store_broken", false));
    assert_eq!(store(&StoreError::Damaged("x")).code, "store_broken");
    assert_eq!(driver(&DriverError::Stopping).code, "shutting_down");
}

#[test]
fn a_relay_that_is_away_differs_from_one_that_is_misspelled_or_refuses() {
    let away = RelayError::Transient { place: "/x".into(), reason: Reason::Missing, after: None };
    assert_eq!((relay(&away).code.as_str(), relay(&away).retryable), ("relay_unreachable", true));
    let misspelled = RelayChangeError::Relay(ConfigError::NotAUrl.into());
    assert_eq!(relay_change(&misspelled).code, "relay_config");
    let refuses = relay(&RelayError::Denied { place: "/x".into(), reason: Reason::Refused });
    assert_eq!((refuses.code.as_str(), refuses.retryable), ("relay_denied", false));
    let unmounted = RelayError::Config(ConfigError::ParentMissing { path: "/media/stick".into() });
    assert_eq!(relay(&unmounted).code, "relay_unreachable");
    assert_eq!(relay_change(&RelayChangeError::NotFound("x".into())).code, "not_found");
}

#[test]
fn every_end_of_a_pairing_has_its_code() {
    let table = [
        (PairingError::Expired { expires: Millis(1), now: Millis(2) }, "card_expired"),
        (PairingError::CardUsed, "card_used"),
        (PairingError::CodeFormat, "invalid_argument"),
        (PairingError::WrongCode { left: 2 }, "wrong_code"),
        (PairingError::WrongCode { left: 0 }, "card_burnt"),
        (PairingError::Burned, "card_burnt"),
        (PairingError::NotAnswered, "no_pairing"),
        (PairingError::AlreadyConfirmed, "no_pairing"),
        (PairingError::Commitment, "bad_card"),
        (PairingError::NotAuthentic { step: Step::Answer }, "bad_card"),
    ];
    for (error, code) in table {
        assert_eq!(invite(&InviteError::Pairing(error.clone())).code, code, "{error:?}");
        assert_eq!(join(&JoinError::Pairing(error.clone())).code, code, "{error:?}");
    }
    let tries = invite(&InviteError::Pairing(PairingError::WrongCode { left: 2 })).payload;
    assert_eq!(tries, Some(Payload::Attempts(AttemptsLeft { left: 2 })));
    assert_eq!(invite(&InviteError::Busy).code, "pairing_busy");
    assert_eq!(invite(&InviteError::None).code, "no_pairing");
    assert_eq!(invite(&InviteError::NoRelay).code, "no_relay");
    assert_eq!(join(&JoinError::Silent).code, "pairing_timeout");
    assert_eq!(join(&JoinError::Ended).code, "card_burnt");
    assert_eq!(join(&JoinError::NoOffer).code, "no_pairing");
}

#[test]
fn a_device_that_cannot_be_opened_is_locked_and_nothing_else_is() {
    let gone = SetupError::StoreGone { key: "/k".into(), store: "/s".into() };
    assert_eq!((setup(&gone).code.as_str(), setup(&gone).retryable), ("locked", true));
    let wrong = SetupError::Store(StoreError::WrongKey("/s".into()));
    assert_eq!((setup(&wrong).code.as_str(), wrong.is_locked()), ("locked", true));
    assert_eq!(setup(&SetupError::AlreadySetUp).code, "already_set_up");
    assert_eq!(setup(&SetupError::Name).code, "invalid_argument");
    let disk = SetupError::Io { path: "/s".into(), source: io::Error::other("x") };
    assert_eq!(setup(&disk).code, "internal");
}
