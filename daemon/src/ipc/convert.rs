//! Between the contract and the domain: the only place that knows both.
//!
//! Inwards ([`push`], [`value`], [`message`], [`conversation`]) it checks what the engine cannot see — that a `oneof` is set, that a timestamp is one, that
//! JSON parses — and leaves every rule of the protocol to [`kinfolk_core::op::Op::meaning`]. Outwards it only renames.

pub(super) mod app;
pub(super) mod bundle;
pub(super) mod conversation;
pub(super) mod device;
pub(super) mod message;
pub(super) mod push;
pub(super) mod record;
pub(super) mod relay;
pub(super) mod value;

use ipc_proto::v1::{ErrorCode, ErrorDetail};

/// A request that breaks a rule.
pub(super) fn invalid(rule: impl Into<String>) -> ErrorDetail {
    ErrorDetail::new(ErrorCode::InvalidArgument, rule)
}
