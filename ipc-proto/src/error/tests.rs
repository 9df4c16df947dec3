use super::*;
use crate::v1::AttemptsLeft;

#[test]
fn a_refusal_comes_out_as_it_went_in() {
    let detail = ErrorDetail::new(ErrorCode::WrongCode, "that is not the code")
        .hint("look again")
        .at_op(3)
        .payload(Payload::Attempts(AttemptsLeft { left: 2 }));
    let status = detail.clone().into_status();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(ErrorDetail::from_status(&status), Some(detail.clone()));
    let error = Error::from(status);
    assert_eq!((error.code(), error.hint(), error.exit_code()), ("wrong_code", "look again", 1));
    assert_eq!(error.to_string(), "that is not the code");
}

#[test]
fn every_code_has_a_name_that_leads_back_to_it() {
    for number in 0..=35 {
        let code = ErrorCode::try_from(number).unwrap();
        assert_eq!(ErrorCode::from_name(&code.name()), code);
    }
    assert!(ErrorCode::try_from(36).is_err(), "extend the range of this test");
    assert_eq!(ErrorCode::from_name("from_the_future"), ErrorCode::Unspecified);
}

#[test]
fn a_status_without_detail_is_still_an_error_with_a_code() {
    let lost = Error::from(Status::unavailable("gone"));
    assert_eq!((lost.code(), lost.exit_code(), lost.retryable()), ("connection_lost", 3, true));
    let old = Error::from(Status::unimplemented("no such method"));
    assert_eq!((old.code(), old.exit_code(), old.retryable()), ("version_mismatch", 10, false));
    assert_eq!(Error::from(Status::deadline_exceeded("late")).exit_code(), 6);
}

#[test]
fn what_the_transport_finds_too_large_is_called_so() {
    let error = Error::from(Status::out_of_range("decoded message length too large"));
    assert_eq!((error.code(), error.exit_code()), ("too_large", 1));
}

#[test]
fn garbage_in_the_details_is_no_detail() {
    let status = Status::with_details(Code::NotFound, "x", vec![0xFF; 40].into());
    assert_eq!(ErrorDetail::from_status(&status), None);
}
