//! Relays, outwards.

use ipc_proto::v1;
use kinfolk_core::ids::Millis;

use crate::relay::Fault;
use crate::relay::trial::{Stage, Trial};
use crate::relay::worker::{Report, unreached};

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
        fault: report.fault.map_or(v1::RelayFault::Unspecified, fault).into(),
        sent: report.sent,
        received: report.received,
        round_trip_us: report.round_trip.map(micros),
        queued: u32::try_from(report.queued).unwrap_or(u32::MAX),
    }
}

/// How a trial went.
pub(in crate::ipc) fn show_trial(trial: Trial) -> v1::TestRelayResponse {
    let relay = show(unreached(&trial.url));
    let stages =
        trial.stages.iter().map(|(stage, took)| v1::TestStage { name: name(*stage).into(), took_us: micros(*took) });
    let mut response =
        v1::TestRelayResponse { took_us: micros(trial.took), stages: stages.collect(), ..Default::default() };
    response.relay = Some(match trial.outcome {
        Ok(found) => {
            response.clock_ahead_ms = Some(found.clock_ahead_ms);
            response.warnings.clone_from(&found.warnings);
            let reason = found.warnings.join("; ");
            v1::Relay { ok: true, reason, id: found.id.to_string(), push: found.push, ..relay }
        }
        Err(error) => v1::Relay { reason: error.to_string(), fault: fault(error.fault()).into(), ..relay },
    });
    response
}

fn fault(fault: Fault) -> v1::RelayFault {
    match fault {
        Fault::Away => v1::RelayFault::Unreachable,
        Fault::Denied => v1::RelayFault::Denied,
        Fault::Config => v1::RelayFault::Config,
    }
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Connect => "connect",
        Stage::Put => "put",
        Stage::Hint => "hint",
        Stage::Fetch => "fetch",
        Stage::Delete => "delete",
    }
}

fn micros(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
