//! What the parts of the daemon refuse, as errors of the API: a code, a sentence, what to do about it.

use ipc_proto::v1::error_detail::Payload;
use ipc_proto::v1::{AttemptsLeft, ErrorCode, ErrorDetail, SequenceExpected, StampStands};
use kinfolk_core::bundle::MAX_BODY;
use kinfolk_core::step::{AppBundle, MAX_OPS, Refusal};
use tonic::Status;

use super::admission::limit;
use super::caller::unstamped;
use crate::apps::{AppError, MAX_APPS};
use crate::daemon::{InitError, Locked};
use crate::driver::{DriverError, PushError};
use crate::node::{ExchangeError, MAX_RELAYS, RelayChangeError};
use crate::pairing::{InviteError, JoinError};
use crate::relay::{Fault, RelayError};
use crate::seal::pairing::PairingError;
use crate::setup::SetupError;
use crate::store::StoreError;

/// A device without an identity.
pub(super) fn not_set_up() -> ErrorDetail {
    ErrorDetail::new(ErrorCode::NotSetUp, "this device is not set up")
        .hint("make it the first device with `kin init`, or a sibling of another one with `kin join -`")
}

/// A device that cannot be opened now.
pub(super) fn locked(why: &Locked) -> ErrorDetail {
    ErrorDetail::new(ErrorCode::Locked, &why.reason).hint(why.hint)
}

/// A push that did not happen. `app` is what it was called.
pub(super) fn push(error: &PushError, app: Option<&AppBundle>) -> ErrorDetail {
    match error {
        PushError::Refused(refused) => refusal(refused, app),
        PushError::Driver(error) => driver(error),
    }
}

/// A push that the engine refused.
fn refusal(refusal: &Refusal, app: Option<&AppBundle>) -> ErrorDetail {
    let detail = |code| ErrorDetail::new(code, refusal.to_string());
    let at = |detail: ErrorDetail, index: usize| detail.at_op(u32::try_from(index).unwrap_or(u32::MAX));
    match refusal {
        Refusal::Empty => detail(ErrorCode::InvalidArgument),
        Refusal::TooManyOps(count) => detail(ErrorCode::TooLarge).payload(limit("ops of a push", MAX_OPS, *count)),
        Refusal::TooLarge(bytes) => detail(ErrorCode::TooLarge).payload(limit("bytes of a push", MAX_BODY, *bytes)),
        Refusal::InvalidOp { index, .. } | Refusal::NamedTwice { index } => {
            at(detail(ErrorCode::InvalidArgument), *index)
        }
        Refusal::MessageDiffers { index } => at(detail(ErrorCode::MessageDiffers), *index),
        Refusal::RowChanged { index, .. } => at(
            detail(ErrorCode::Conflict)
                .hint("look at the record, and write again with its row_version or keep what is there"),
            *index,
        ),
        Refusal::NotFound { index } => at(detail(ErrorCode::NotFound), *index),
        Refusal::OutOfOrder { expected } => {
            let (source_id, actual) =
                app.map_or_else(Default::default, |app| (unstamped(&app.source).to_owned(), app.id));
            detail(ErrorCode::OutOfOrder)
                .hint("push the expected bundle id next; a source that has lost count takes a new source_id")
                .payload(Payload::Sequence(SequenceExpected { source_id, expected: *expected, actual }))
        }
        Refusal::StampRegression { yours, stored } => {
            let source_id = app.map_or_else(String::new, |app| unstamped(&app.source).to_owned());
            detail(ErrorCode::StampRegression)
                .hint("set the clock beyond the stored stamp and push the same bundle again")
                .payload(Payload::Stamp(StampStands { source_id, yours: *yours, stored_max: *stored }))
        }
        Refusal::AppBundleDiffers { .. } => detail(ErrorCode::BundleDiffers),
        Refusal::ClockExhausted => detail(ErrorCode::Internal),
        Refusal::RosterRecord => detail(ErrorCode::InvalidArgument),
    }
}

/// The error of a call that pushes a single op: nobody asked for an op number.
pub(super) fn alone(mut detail: ErrorDetail) -> ErrorDetail {
    detail.op_index = None;
    if let Some(rest) = detail.message.strip_prefix("op 0: ") {
        detail.message = rest.to_owned();
    }
    detail
}

/// The same for one that is on its way already.
pub(super) fn alone_in(status: Status) -> Status {
    ErrorDetail::from_status(&status).map_or(status, |detail| alone(detail).into())
}

/// The driver could not do it.
pub(super) fn driver(error: &DriverError) -> ErrorDetail {
    let detail = |code| ErrorDetail::new(code, error.to_string());
    match error {
        DriverError::Stopping => detail(ErrorCode::ShuttingDown),
        DriverError::StoreFull(_) => detail(ErrorCode::StoreFull).hint("free some space and try again"),
        DriverError::Store(_) => {
            detail(ErrorCode::StoreBroken).hint("look into the log; `kin store verify` checks the store")
        }
        DriverError::Roster(_) => detail(ErrorCode::InvalidArgument),
    }
}

/// The store could not be read.
pub(super) fn store(error: &StoreError) -> ErrorDetail {
    if matches!(error, StoreError::Full) {
        return ErrorDetail::new(ErrorCode::StoreFull, error.to_string()).hint("free some space and try again");
    }
    let hint = "look into the log; `kin store verify` checks the store";
    ErrorDetail::new(ErrorCode::StoreBroken, error.to_string()).hint(hint)
}

/// A relay failed.
pub(super) fn relay(error: &RelayError) -> ErrorDetail {
    let code = match error.fault() {
        Fault::Away => ErrorCode::RelayUnreachable,
        Fault::Denied => ErrorCode::RelayDenied,
        Fault::Config => ErrorCode::RelayConfig,
    };
    ErrorDetail::new(code, error.to_string())
}

/// The person wants no network; `words` say what does not happen.
pub(super) fn sync_off(words: &dyn std::fmt::Display) -> ErrorDetail {
    ErrorDetail::new(ErrorCode::SyncOff, words.to_string()).hint("`kin sync mode realtime` switches it on")
}

/// There was no pass.
pub(super) fn exchange(error: &ExchangeError) -> ErrorDetail {
    match error {
        ExchangeError::Off => sync_off(error),
        ExchangeError::NoRelay => {
            ErrorDetail::new(ErrorCode::NoRelay, error.to_string()).hint("add one with `kin relay add URL`")
        }
        ExchangeError::Driver(error) => driver(error),
    }
}

/// A relay was not added or removed.
pub(super) fn relay_change(error: &RelayChangeError) -> ErrorDetail {
    match error {
        RelayChangeError::Relay(error) => relay(error),
        RelayChangeError::NotFound(_) => {
            ErrorDetail::new(ErrorCode::NotFound, error.to_string()).hint("`kin relay list` shows URLs and ids")
        }
        RelayChangeError::TooMany => ErrorDetail::new(ErrorCode::TooLarge, error.to_string())
            .hint("`kin relay rm URL` makes room")
            .payload(limit("relays", MAX_RELAYS, MAX_RELAYS + 1)),
        RelayChangeError::Off => sync_off(error),
        RelayChangeError::Driver(error) => driver(error),
        RelayChangeError::Wrap(_) => ErrorDetail::new(ErrorCode::Internal, error.to_string()),
    }
}

/// A device was not made.
pub(super) fn setup(error: &SetupError) -> ErrorDetail {
    let detail = |code| ErrorDetail::new(code, error.to_string());
    match error {
        SetupError::AlreadySetUp => detail(ErrorCode::AlreadySetUp).hint("`kin status` shows it"),
        SetupError::Busy => detail(ErrorCode::PairingBusy),
        SetupError::Name => detail(ErrorCode::InvalidArgument),
        SetupError::Store(StoreError::Missing(_) | StoreError::WrongKey(_))
        | SetupError::StoreGone { .. }
        | SetupError::Key(_) => detail(ErrorCode::Locked),
        SetupError::Store(error) => store(error),
        SetupError::Secret(_)
        | SetupError::Group(_)
        | SetupError::NoSecret(_)
        | SetupError::Keys(_)
        | SetupError::Io { .. } => detail(ErrorCode::Internal).hint("look into the log; `kin paths` says where it is"),
    }
}

/// An app was not authorized or revoked.
pub(super) fn app(error: &AppError) -> ErrorDetail {
    let detail = |code| ErrorDetail::new(code, error.to_string());
    match error {
        AppError::Name | AppError::Grant(_) | AppError::NoPrefix => detail(ErrorCode::InvalidArgument),
        AppError::Known(_) => {
            detail(ErrorCode::InvalidArgument).hint("revoke it first with `kin apps revoke`, or choose another name")
        }
        AppError::NotFound(_) => detail(ErrorCode::NotFound).hint("`kin apps list` shows all of them"),
        AppError::TooMany => detail(ErrorCode::TooLarge).hint("`kin apps revoke` makes room").payload(limit(
            "apps",
            MAX_APPS,
            MAX_APPS + 1,
        )),
        AppError::Driver(error) => driver(error),
    }
}

/// A first device was not made.
pub(super) fn init(error: &InitError) -> ErrorDetail {
    match error {
        InitError::Setup(error) => setup(error),
        InitError::Relay(error) => relay(error),
        InitError::Change(error) => relay_change(error),
    }
}

/// Nobody was added.
pub(super) fn invite(error: &InviteError) -> ErrorDetail {
    let detail = |code| ErrorDetail::new(code, error.to_string());
    match error {
        InviteError::NoRelay => detail(ErrorCode::NoRelay),
        InviteError::Off => sync_off(error),
        InviteError::Busy => detail(ErrorCode::PairingBusy),
        InviteError::None => detail(ErrorCode::NoPairing),
        InviteError::Pairing(error) => pairing(error),
        InviteError::Relay(error) => relay(error),
        InviteError::Driver(error) => driver(error),
    }
}

/// This device did not become a sibling.
pub(super) fn join(error: &JoinError) -> ErrorDetail {
    let detail = |code| ErrorDetail::new(code, error.to_string());
    match error {
        JoinError::Pairing(error) => pairing(error),
        JoinError::Unreachable(_) => detail(ErrorCode::RelayUnreachable),
        JoinError::NoRelay | JoinError::Welcome(_) => detail(ErrorCode::BadCard),
        JoinError::NoOffer => detail(ErrorCode::NoPairing).hint(
            "run `kin pair show` again on the other device; if a sync tool carries the relay folder, wait for it",
        ),
        JoinError::Silent => detail(ErrorCode::PairingTimeout).hint("run `kin pair show` again on the other device"),
        JoinError::Ended => detail(ErrorCode::CardBurnt).hint("run `kin pair show` again on the other device"),
        JoinError::Setup(error) => setup(error),
    }
}

/// A step of pairing was refused.
fn pairing(error: &PairingError) -> ErrorDetail {
    let detail = |code| ErrorDetail::new(code, error.to_string());
    let attempts = |left| Payload::Attempts(AttemptsLeft { left });
    match error {
        PairingError::Expired { .. } => detail(ErrorCode::CardExpired).hint("run `kin pair show` again"),
        PairingError::CardUsed => detail(ErrorCode::CardUsed),
        PairingError::CodeFormat => detail(ErrorCode::InvalidArgument),
        PairingError::WrongCode { left: 0 } => detail(ErrorCode::CardBurnt).payload(attempts(0)),
        PairingError::WrongCode { left } => {
            detail(ErrorCode::WrongCode).hint("look at the new device and type its code again").payload(attempts(*left))
        }
        PairingError::Burned => detail(ErrorCode::CardBurnt),
        PairingError::NotAnswered | PairingError::AlreadyConfirmed | PairingError::NotConfirmed => {
            detail(ErrorCode::NoPairing)
        }
        PairingError::Card(_)
        | PairingError::TooLarge { .. }
        | PairingError::Version { .. }
        | PairingError::NotAuthentic { .. }
        | PairingError::Malformed { .. }
        | PairingError::Commitment
        | PairingError::Signature { .. }
        | PairingError::Record(_) => {
            detail(ErrorCode::BadCard).hint("copy the card again, or show a new one with `kin pair show`")
        }
        PairingError::OwnRecord | PairingError::Seal(_) => detail(ErrorCode::Internal),
    }
}

/// The code that a status carries.
#[cfg(test)]
pub(super) fn code(status: &Status) -> String {
    ErrorDetail::from_status(status).map(|detail| detail.code).unwrap_or_default()
}

#[cfg(test)]
mod tests;
