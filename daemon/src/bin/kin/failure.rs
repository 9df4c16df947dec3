//! How a command ends when it does not end well: message, hint and exit code.
//!
//! Exit codes: 0 ok · 1 failure · 2 usage · 3 daemon unreachable · 4 not set up or locked · 5 permission · 6 relay
//! unreachable or timeout · 7 attention needed (`status --check`) · 8 not found · 9 resync required · 10 version mismatch
//! · 11 conflict · 78 bad configuration · 130 interrupted.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use ipc_proto::paths::PathError;
use ipc_proto::v1::error_detail::Payload;
use ipc_proto::v1::{ErrorDetail, RelayFault};
use serde_json::json;

use crate::view;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The daemon said no, or is not there.
    #[error(transparent)]
    Api(#[from] ipc_proto::Error),
    /// The command line makes no sense in a way that the parser cannot see.
    #[error("{message}")]
    Usage { message: String, hint: &'static str },
    /// The environment gives no paths.
    #[error(transparent)]
    Paths(#[from] PathError),
    /// A file or stream of ours.
    #[error("cannot {action}: {source}")]
    Io { action: String, source: io::Error },
    /// A line of an import.
    #[error("line {line}: {reason}")]
    Line { line: u64, reason: String, hint: String, exit_code: u8, code: String },
    /// The daemon process ended before it answered.
    #[error("the daemon ended before it was ready: {reason}")]
    DaemonEnded { reason: String, bad_config: bool, log: PathBuf },
    /// A stream ended before what it was about.
    #[error("the daemon ended the call before {before}")]
    StreamEnded { before: &'static str },
    /// The daemon went away during an import.
    #[error("the import did not come to its end: {0}")]
    ImportCut(ipc_proto::Error),
    /// `kin wait` and `kin down` ran out of time.
    #[error("{waited_for} after {seconds} s")]
    Timeout { waited_for: &'static str, seconds: u64 },
    /// `kin status --check`: words are in the status already shown.
    #[error("attention needed")]
    Attention,
    /// `kin store verify` and `compare`: the report is shown already.
    #[error("{0}")]
    Unequal(&'static str),
    /// `kin relay test` and `kin sync`: how it went is shown already.
    #[error("{}", match .0 {
        RelayFault::Denied => "the relay does not let this device in",
        RelayFault::Config => "the relay cannot be used as it is",
        RelayFault::Unspecified | RelayFault::Unreachable => "the relay cannot be reached",
    })]
    RelayFailed(RelayFault),
    /// `kin watch --exec`.
    #[error("the command ended with {0}")]
    Command(String),
    /// The daemon is newer than this client.
    #[error("{0} is of a kind that this version of kin does not know")]
    Newer(&'static str),
    /// The demo did not come to its end.
    #[error("the demo failed while {step}: {reason}")]
    Demo { step: &'static str, reason: String },
    /// Ctrl-C or a termination signal.
    #[error("interrupted")]
    Interrupted,
    /// The reader of our output has gone. Not worth a word.
    #[error("the output was closed")]
    BrokenPipe,
}

impl Failure {
    /// A usage error.
    pub(crate) fn usage(message: impl Into<String>, hint: &'static str) -> Self {
        Self::Usage { message: message.into(), hint }
    }

    /// An error of a file or stream; `action` completes "cannot …".
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    /// An error of stdout: a reader that has gone is not worth a word.
    pub(crate) fn stdout(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::BrokenPipe {
            Self::BrokenPipe
        } else {
            Self::Io { action: "write the output".into(), source }
        }
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Api(error) | Self::ImportCut(error) => error.exit_code(),
            Self::Usage { .. } => 2,
            Self::Paths(_) => 78,
            Self::Line { exit_code, .. } => *exit_code,
            Self::DaemonEnded { bad_config: true, .. } => 78,
            Self::DaemonEnded { .. } => 3,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => 5,
            Self::RelayFailed(RelayFault::Denied) => 5,
            Self::RelayFailed(RelayFault::Config) => 78,
            Self::Timeout { .. } | Self::RelayFailed(RelayFault::Unspecified | RelayFault::Unreachable) => 6,
            Self::Attention => 7,
            Self::Io { .. } | Self::StreamEnded { .. } | Self::Unequal(_) | Self::Command(_) | Self::Demo { .. } => 1,
            Self::Newer(_) => 10,
            Self::Interrupted => 130,
            Self::BrokenPipe => 0,
        }
    }

    /// A name for programs.
    fn code(&self) -> &str {
        match self {
            Self::Api(error) | Self::ImportCut(error) => error.code(),
            Self::Usage { .. } => "usage",
            Self::Paths(_) => "bad_config",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => "permission_denied",
            Self::Io { .. } => "io",
            Self::Line { code, .. } => code,
            Self::DaemonEnded { bad_config: true, .. } => "bad_config",
            Self::DaemonEnded { .. } => "daemon_unreachable",
            Self::StreamEnded { .. } => "stream_ended",
            Self::Timeout { .. } => "timeout",
            Self::Attention => "attention",
            Self::Unequal(_) => "unequal",
            Self::RelayFailed(RelayFault::Denied) => "relay_denied",
            Self::RelayFailed(RelayFault::Config) => "relay_config",
            Self::RelayFailed(RelayFault::Unspecified | RelayFault::Unreachable) => "relay_unreachable",
            Self::Command(_) => "command",
            Self::Newer(_) => "version_mismatch",
            Self::Demo { .. } => "demo",
            Self::Interrupted => "interrupted",
            Self::BrokenPipe => "broken_pipe",
        }
    }

    /// What to do about it; may be empty.
    fn hint(&self) -> String {
        match self {
            Self::Api(error) => error.hint().to_owned(),
            Self::ImportCut(_) => {
                "when the daemon runs (`kin status`), run it again: what is in already changes nothing".to_owned()
            }
            Self::Usage { hint, .. } => (*hint).to_owned(),
            Self::Line { hint, .. } => hint.clone(),
            Self::DaemonEnded { log, .. } => format!("its log is {}", log.display()),
            Self::Newer(_) => "use the same version of kin and kinfolkd".to_owned(),
            Self::StreamEnded { .. } => "look into its log; `kin paths` says where it is".to_owned(),
            Self::Timeout { .. } => "`kin status` shows how things stand".to_owned(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "give this user the right to it, or set KINFOLK_HOME to a directory of your own".to_owned()
            }
            Self::Paths(_)
            | Self::Io { .. }
            | Self::Attention
            | Self::Unequal(_)
            | Self::RelayFailed(_)
            | Self::Command(_)
            | Self::Demo { .. }
            | Self::Interrupted
            | Self::BrokenPipe => String::new(),
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Api(error) | Self::ImportCut(error) => error.retryable(),
            Self::Timeout { .. } | Self::StreamEnded { .. } | Self::DaemonEnded { bad_config: false, .. } => true,
            Self::RelayFailed(fault) => matches!(fault, RelayFault::Unspecified | RelayFault::Unreachable),
            Self::Usage { .. }
            | Self::Paths(_)
            | Self::Io { .. }
            | Self::Line { .. }
            | Self::Attention
            | Self::Unequal(_)
            | Self::Command(_)
            | Self::Newer(_)
            | Self::Demo { .. }
            | Self::Interrupted
            | Self::BrokenPipe
            | Self::DaemonEnded { bad_config: true, .. } => false,
        }
    }

    /// Writes the failure to stderr and gives the exit code. What was said on stdout already is not said again.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        let silent = matches!(self, Self::BrokenPipe | Self::Interrupted | Self::Attention);
        if json && !matches!(self, Self::BrokenPipe) {
            eprintln!("{}", self.to_json());
        } else if !silent {
            eprintln!("kin: {self}");
            let hint = self.hint();
            if !hint.is_empty() {
                eprintln!("hint: {hint}");
            }
        }
        ExitCode::from(self.exit_code())
    }

    fn to_json(&self) -> serde_json::Value {
        let mut object = json!({
            "code": self.code(), "message": self.to_string(), "hint": self.hint(), "retryable": self.retryable(),
        });
        if let Self::Api(ipc_proto::Error::Refused(detail)) = self
            && let Some(Payload::Conflict(conflict)) = &detail.payload
        {
            object["conflict"] = view::row_conflict(conflict);
        }
        object
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        Self::Api(status.into())
    }
}

impl From<ErrorDetail> for Failure {
    fn from(detail: ErrorDetail) -> Self {
        Self::Api(ipc_proto::Error::Refused(Box::new(detail)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc_proto::v1::{ChangeKind, ErrorCode, Record, RowConflict};

    #[test]
    fn a_refusal_of_the_daemon_keeps_its_code_hint_and_exit_code() {
        let failure = Failure::from(ErrorDetail::new(ErrorCode::NotSetUp, "not set up").hint("run `kin init`"));
        assert_eq!(failure.exit_code(), 4);
        insta::assert_snapshot!(failure.to_json(), @r#"{"code":"not_set_up","message":"not set up","hint":"run `kin init`","retryable":false}"#);
    }

    #[test]
    fn a_record_that_has_changed_is_told_with_all_that_is_needed_to_decide() {
        let conflict = RowConflict {
            collection: "todo".into(),
            key: "milk".into(),
            op: ChangeKind::RecordPut.into(),
            base_row_version: 4,
            row_version: 7,
            deleted: false,
            current: Some(Record {
                collection: "todo".into(),
                key: "milk".into(),
                row_version: 7,
                ..Record::default()
            }),
        };
        let detail =
            ErrorDetail::new(ErrorCode::Conflict, "the record has changed").payload(Payload::Conflict(conflict));
        let failure = Failure::from(detail);
        assert_eq!(failure.exit_code(), 11);
        insta::assert_snapshot!(format!("{:#}", failure.to_json()["conflict"]), @r#"
        {
          "collection": "todo",
          "key": "milk",
          "op": "record",
          "base_row_version": 4,
          "row_version": 7,
          "deleted": false,
          "current": {
            "collection": "todo",
            "key": "milk",
            "fields": {},
            "row_version": 7
          }
        }
        "#);
    }

    #[test]
    fn what_the_user_may_not_touch_ends_with_the_code_of_a_permission() {
        let failed = |kind: io::ErrorKind| Failure::io("open x")(kind.into());
        assert_eq!(failed(io::ErrorKind::PermissionDenied).exit_code(), 5);
        assert_eq!(failed(io::ErrorKind::PermissionDenied).code(), "permission_denied");
        assert_eq!(failed(io::ErrorKind::NotFound).exit_code(), 1);
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        let failure = Failure::Line {
            line: 17,
            reason: "`conversation` is missing".into(),
            hint: String::new(),
            exit_code: 1,
            code: "invalid_argument".into(),
        };
        assert_eq!(failure.to_string(), "line 17: `conversation` is missing");
    }
}
