//! Relays, outwards.

use ipc_proto::v1;
use kinfolk_core::ids::Millis;

use crate::relay::worker::Report;

/// A relay as it is doing.
pub(in crate::ipc) fn show(report: Report) -> v1::Relay {
    v1::Relay {
        url: report.url,
        kind: report.kind,
        ok: report.ok,
        reason: report.reason,
        push: report.push,
        id: report.id.map(|id| id.to_string()).unwrap_or_default(),
        last_ok_ms: report.last_ok.map(|Millis(at)| at),
    }
}
