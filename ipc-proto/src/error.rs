//! Errors of the local API: their codes, their way through gRPC, and what a client makes of them.
//!
//! ```text
//! daemon: ErrorDetail::new(code, …).into_status() ──grpc-status-details-bin──▶ client: Error::from(status)
//! ```
//!
//! The detail travels as gRPC's richer error model wants it (`google.rpc.Status` with one `Any`), so that `grpcurl` and
//! the status packages of other languages show it without knowing kinfolk.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};

use crate::MAX_REQUEST_BYTES;
use crate::v1::{ErrorCode, ErrorDetail, VersionRange, error_detail::Payload};

/// Why a call to the daemon did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing answers on the socket.
    #[error("no daemon answers at {}", address.display())]
    Unreachable {
        /// Where it was looked for.
        address: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something listens, but did not answer in time.
    #[error("the daemon at {} did not answer within {} s", address.display(), waited.as_secs())]
    NotReady {
        /// Where it was looked for.
        address: PathBuf,
        /// How long.
        waited: Duration,
    },
    /// It took the connection and closed it unanswered: it has as many as it takes, or is stopping.
    #[error("the daemon at {} serves as many clients as it can, or is stopping", address.display())]
    TurnedAway {
        /// Where it is.
        address: PathBuf,
    },
    /// The socket is someone else's: whoever it is must not see our data.
    #[error("the socket {} belongs to user {owner}, not to you", address.display())]
    ForeignSocket {
        /// The socket.
        address: PathBuf,
        /// The user id behind it.
        owner: u32,
    },
    /// There is no token in the file that was named.
    #[error("no token can be read from {}: {source}", path.display())]
    Credential {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// No protocol version in common.
    #[error("the daemon {version} speaks versions {} to {} of the local API, this client {} to {}",
        daemon.min, daemon.max, client.min, client.max)]
    VersionMismatch {
        /// The daemon's own version.
        version: String,
        /// What the daemon speaks.
        daemon: VersionRange,
        /// What this client speaks.
        client: VersionRange,
    },
    /// The daemon said no.
    #[error("{}", .0.message)]
    Refused(Box<ErrorDetail>),
    /// The connection broke during the call, or the call failed without a detail.
    #[error("the call to the daemon failed: {}", .0.message())]
    Failed(Box<Status>),
    /// The call's deadline passed. What it asked for may have happened.
    #[error("the daemon did not finish the call in time")]
    Deadline,
}

impl Error {
    /// A name for programs: that of the [`ErrorCode`], or one of `daemon_unreachable`, `busy`, `permission_denied`, `bad_credential`,
    /// `version_mismatch`, `deadline_exceeded`, `connection_lost`.
    pub fn code(&self) -> &str {
        match self {
            Self::Unreachable { .. } | Self::NotReady { .. } => "daemon_unreachable",
            Self::TurnedAway { .. } => "busy",
            Self::ForeignSocket { .. } => "permission_denied",
            Self::Credential { .. } => "bad_credential",
            Self::VersionMismatch { .. } => "version_mismatch",
            Self::Refused(detail) => &detail.code,
            Self::Failed(status) if status.code() == Code::Unimplemented => "version_mismatch",
            Self::Failed(_) => "connection_lost",
            Self::Deadline => "deadline_exceeded",
        }
    }

    /// The daemon's code; [`ErrorCode::Unspecified`] when the error is not the daemon's or its code is too new.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::Refused(detail) => ErrorCode::from_name(&detail.code),
            Self::VersionMismatch { .. } => ErrorCode::VersionMismatch,
            Self::ForeignSocket { .. } => ErrorCode::PermissionDenied,
            Self::Credential { .. } => ErrorCode::Unauthenticated,
            Self::TurnedAway { .. } => ErrorCode::Busy,
            Self::Unreachable { .. } | Self::NotReady { .. } | Self::Failed(_) | Self::Deadline => {
                ErrorCode::Unspecified
            }
        }
    }

    /// What to do about it; may be empty.
    pub fn hint(&self) -> &str {
        match self {
            Self::Unreachable { .. } => "start it with `kin up`",
            Self::NotReady { .. } => "look into its log; `kin paths` says where it is",
            Self::TurnedAway { .. } => "try again in a moment; if it stays so, end programs that keep connections open",
            Self::ForeignSocket { .. } => "set KINFOLK_SOCKET to a path that only you can write",
            Self::Credential { .. } => {
                "`kin apps authorize NAME --out FILE` writes a token there; KINFOLK_TOKEN_FILE names the file"
            }
            Self::VersionMismatch { .. } => "restart the daemon after an upgrade: `kin down`, then `kin up`",
            Self::Refused(detail) => &detail.hint,
            Self::Failed(status) if status.code() == Code::Unimplemented => {
                "the daemon is older than this client; restart it: `kin down`, then `kin up`"
            }
            Self::Failed(_) => "look whether the daemon runs (`kin up`) and into its log; `kin paths` says where it is",
            Self::Deadline => "ask for the state before you try again",
        }
    }

    /// Whether the same call may succeed later without any change.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Refused(detail) => detail.retryable,
            Self::Unreachable { .. } | Self::NotReady { .. } | Self::TurnedAway { .. } | Self::Deadline => true,
            Self::Failed(status) => status.code() != Code::Unimplemented,
            Self::ForeignSocket { .. } | Self::Credential { .. } | Self::VersionMismatch { .. } => false,
        }
    }

    /// The exit code of a command that ends with this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::NotReady { .. } => 3,
            Self::Failed(status) if status.code() == Code::Unimplemented => 10,
            Self::Failed(_) => 3,
            Self::TurnedAway { .. } => ErrorCode::Busy.exit_code(),
            Self::ForeignSocket { .. } | Self::Credential { .. } => 5,
            Self::VersionMismatch { .. } => 10,
            Self::Deadline => 6,
            Self::Refused(detail) => ErrorCode::from_name(&detail.code).exit_code(),
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        match ErrorDetail::from_status(&status) {
            Some(detail) => Self::Refused(Box::new(detail)),
            None if status.code() == Code::DeadlineExceeded => Self::Deadline,
            None => Self::Failed(Box::new(status)),
        }
    }
}

impl ErrorDetail {
    /// A refusal with `message`, retryable as is usual for `code`, without a hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code: code.name(),
            message: message.into(),
            hint: String::new(),
            retryable: code.retryable(),
            op_index: None,
            payload: None,
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Says which op of a push was refused.
    #[must_use]
    pub fn at_op(mut self, index: u32) -> Self {
        self.op_index = Some(index);
        self
    }

    /// Adds the typed part.
    #[must_use]
    pub fn payload(mut self, payload: Payload) -> Self {
        self.payload = Some(payload);
        self
    }

    /// What the daemon answers with. The gRPC code follows from the error code.
    pub fn into_status(self) -> Status {
        let code = ErrorCode::from_name(&self.code).grpc();
        let details = RpcStatus {
            code: code.into(),
            message: self.message.clone(),
            details: vec![prost_types::Any { type_url: DETAIL_TYPE.into(), value: self.encode_to_vec() }],
        };
        Status::with_details(code, self.message, details.encode_to_vec().into())
    }

    /// Reads what [`Self::into_status`] wrote; `None` when the status carries none. A request or reply too large for the
    /// transport was refused before anybody could add a detail: that one is made here.
    pub fn from_status(status: &Status) -> Option<Self> {
        if status.code() == Code::OutOfRange && status.details().is_empty() {
            let message = format!("a message of the local API has at most {MAX_REQUEST_BYTES} bytes");
            return Some(Self::new(ErrorCode::TooLarge, message).hint("send it in smaller parts"));
        }
        let details = RpcStatus::decode(status.details()).ok()?;
        let any = details.details.iter().find(|any| any.type_url == DETAIL_TYPE)?;
        Self::decode(any.value.as_slice()).ok()
    }
}

impl From<ErrorDetail> for Status {
    fn from(detail: ErrorDetail) -> Self {
        detail.into_status()
    }
}

impl ErrorCode {
    /// The name in [`ErrorDetail::code`]: `not_set_up` for [`ErrorCode::NotSetUp`].
    pub fn name(self) -> String {
        self.as_str_name().trim_start_matches(PREFIX).to_lowercase()
    }

    /// The code with that name; [`ErrorCode::Unspecified`] when there is none.
    pub fn from_name(name: &str) -> Self {
        Self::from_str_name(&format!("{PREFIX}{}", name.to_uppercase())).unwrap_or_default()
    }

    /// The canonical gRPC code.
    pub fn grpc(self) -> Code {
        match self {
            Self::Unspecified | Self::Internal => Code::Internal,
            Self::InvalidArgument | Self::TooLarge | Self::RelayConfig | Self::BadCard | Self::WrongCode => {
                Code::InvalidArgument
            }
            Self::NotFound => Code::NotFound,
            Self::NotSetUp
            | Self::AlreadySetUp
            | Self::Locked
            | Self::OutOfOrder
            | Self::StampRegression
            | Self::NoRelay
            | Self::CardExpired
            | Self::NoPairing
            | Self::PairingBusy
            | Self::SyncOff
            | Self::VersionMismatch => Code::FailedPrecondition,
            Self::PermissionDenied | Self::RelayDenied => Code::PermissionDenied,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::MessageDiffers | Self::BundleDiffers => Code::AlreadyExists,
            Self::RelayUnreachable | Self::ShuttingDown => Code::Unavailable,
            Self::CardUsed | Self::CardBurnt | Self::TooSlow | Self::Conflict => Code::Aborted,
            Self::PairingTimeout => Code::DeadlineExceeded,
            Self::StoreFull | Self::Busy | Self::QuotaExceeded => Code::ResourceExhausted,
            Self::StoreBroken => Code::DataLoss,
            Self::ResyncRequired => Code::OutOfRange,
        }
    }

    /// Whether an error of this kind usually passes by itself.
    pub fn retryable(self) -> bool {
        match self {
            Self::Locked
            | Self::RelayUnreachable
            | Self::PairingBusy
            | Self::PairingTimeout
            | Self::WrongCode
            | Self::StoreFull
            | Self::Busy
            | Self::ShuttingDown
            | Self::TooSlow => true,
            Self::Unspecified
            | Self::Internal
            | Self::InvalidArgument
            | Self::NotFound
            | Self::NotSetUp
            | Self::AlreadySetUp
            | Self::PermissionDenied
            | Self::Unauthenticated
            | Self::MessageDiffers
            | Self::BundleDiffers
            | Self::OutOfOrder
            | Self::StampRegression
            | Self::TooLarge
            | Self::RelayConfig
            | Self::RelayDenied
            | Self::NoRelay
            | Self::BadCard
            | Self::CardExpired
            | Self::CardUsed
            | Self::CardBurnt
            | Self::NoPairing
            | Self::StoreBroken
            | Self::SyncOff
            | Self::Conflict
            | Self::ResyncRequired
            | Self::QuotaExceeded
            | Self::VersionMismatch => false,
        }
    }

    /// The exit code of a command that ends with it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::ShuttingDown => 3,
            Self::NotSetUp | Self::Locked => 4,
            Self::PermissionDenied | Self::Unauthenticated | Self::RelayDenied => 5,
            Self::RelayUnreachable | Self::NoRelay | Self::PairingTimeout | Self::SyncOff => 6,
            Self::NotFound => 8,
            Self::ResyncRequired => 9,
            Self::VersionMismatch => 10,
            Self::MessageDiffers | Self::BundleDiffers | Self::Conflict | Self::StampRegression => 11,
            Self::RelayConfig => 78,
            Self::Unspecified
            | Self::Internal
            | Self::InvalidArgument
            | Self::AlreadySetUp
            | Self::OutOfOrder
            | Self::TooLarge
            | Self::BadCard
            | Self::CardExpired
            | Self::CardUsed
            | Self::WrongCode
            | Self::CardBurnt
            | Self::NoPairing
            | Self::PairingBusy
            | Self::StoreFull
            | Self::StoreBroken
            | Self::Busy
            | Self::QuotaExceeded
            | Self::TooSlow => 1,
        }
    }
}

const PREFIX: &str = "ERROR_CODE_";
const DETAIL_TYPE: &str = "type.googleapis.com/kinfolk.v1.ErrorDetail";

/// `google.rpc.Status`, the envelope of typed error details.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

#[cfg(test)]
mod tests;
