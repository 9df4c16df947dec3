//! `kin relay`: the storage between the devices.

use ipc_proto::v1::{
    AddRelayRequest, ListRelaysRequest, Relay, RelayFault, RemoveRelayRequest, TestRelayRequest, TestRelayResponse,
};
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Style, table};
use crate::place::{absolute, named};
use crate::view;

/// The storage between your devices
#[derive(Debug, clap::Subcommand)]
pub(crate) enum RelayCommand {
    /// Use another relay
    ///
    /// It must answer now. A folder is made if its parent is there. A Redis server needs nothing but a user; `?ca=FILE` after a
    /// rediss:// URL names an authority of your own for its certificate; it must lie there on each device.
    ///
    /// With - the URL is read from stdin: other programs on this machine cannot see a password in it, and no shell remembers it.
    #[command(after_help = "Examples:
  kin relay add file:///media/nas/kinfolk
  kin relay add ~/Sync/kinfolk
  kin relay add rediss://example.org:6379/0
  kin relay add - < url-with-password")]
    Add {
        /// Its URL, a path for a folder, or - for a URL on stdin
        url: String,
    },
    /// List the relays and how they do
    #[command(after_help = "Example:\n  kin relay list")]
    List {},
    /// Try a relay: put, fetch and delete something, each timed
    ///
    /// It need not be in use. One in use that did not let this device in, and now does, is used again. Ends with exit code
    /// 5 when the relay refuses, 6 when it is out of reach, 78 when it cannot be used as it is: nobody made it a relay, or it is another one.
    #[command(after_help = "Examples:
  kin relay test file:///media/nas/kinfolk
  kin relay test --all")]
    Test {
        /// Its URL, its URL or id as listed, a path for a folder, or - for a URL on stdin
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        url: Option<String>,
        /// All relays in use
        #[arg(long)]
        all: bool,
    },
    /// Stop using a relay
    #[command(after_help = "Example:\n  kin relay rm file:///media/nas/kinfolk")]
    Rm {
        /// Its URL or id as listed
        url: String,
    },
}

impl RelayCommand {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let mut admin = context.client().await?.admin();
        match self {
            Self::Add { url } => {
                let answer = admin.add_relay(AddRelayRequest { url: named(&url)? }).await?.into_inner();
                let relay = answer.relay.unwrap_or_default();
                let object = json!({
                    "relay": view::relay(&relay),
                    "already_there": answer.already_there,
                    "url_changed": answer.url_changed,
                });
                context.output.show("relay.add", object, |style| {
                    let what = match (answer.already_there, answer.url_changed) {
                        (false, _) => "is added",
                        (true, false) => "was in use already",
                        (true, true) => "was in use already; from now on with this address and password",
                    };
                    format!("{} {}", style.strong(&relay.url), style.good(what))
                })
            }
            Self::List {} => {
                let relays = admin.list_relays(ListRelaysRequest {}).await?.into_inner().relays;
                let object = json!({ "relays": relays.iter().map(view::relay).collect::<Vec<_>>() });
                context.output.show("relay.list", object, |style| match relays.as_slice() {
                    [] => "no relays yet; `kin relay add URL` adds one".into(),
                    some => table(&some.iter().map(|relay| row(relay, style)).collect::<Vec<_>>()),
                })
            }
            Self::Test { url, .. } => {
                let names = match url {
                    Some(url) => vec![if is_id(&url) { url } else { named(&url)? }],
                    None => {
                        let listed = admin.list_relays(ListRelaysRequest {}).await?.into_inner().relays;
                        listed.into_iter().map(|relay| relay.id).collect()
                    }
                };
                let mut failed = None;
                for url in names {
                    let answer = admin.test_relay(TestRelayRequest { url }).await?.into_inner();
                    context.output.show("relay.test", tested(&answer), |style| test_words(&answer, style))?;
                    let relay = answer.relay.unwrap_or_default();
                    if !relay.ok {
                        failed.get_or_insert(relay.fault());
                    }
                }
                failed.map_or(Ok(()), |fault| Err(Failure::RelayFailed(fault)))
            }
            Self::Rm { url } => {
                let url = if is_id(&url) { url } else { absolute(&url)? };
                let relay = admin.remove_relay(RemoveRelayRequest { url }).await?.into_inner().relay;
                let object = json!({ "relay": relay.as_ref().map(view::relay) });
                context.output.show("relay.rm", object, |_| {
                    format!("{} is no longer used; what lies there expires", relay.unwrap_or_default().url)
                })
            }
        }
    }
}

/// The line of one relay.
pub(crate) fn row(relay: &Relay, style: Style) -> Vec<String> {
    // The URL stands beside it.
    let reason = relay.reason.strip_prefix(&format!("relay {} ", relay.url)).unwrap_or(&relay.reason);
    let health = match (relay.ok, relay.fault()) {
        (true, _) if relay.push => style.good("ok, pushes"),
        (true, _) => style.good("ok, looked at"),
        (false, RelayFault::Unspecified) => style.dim("not reached yet"),
        (false, RelayFault::Unreachable) => style.bad(reason),
        (false, RelayFault::Denied | RelayFault::Config) => style.bad(&format!("rests: {reason}")),
    };
    vec![relay.kind.clone(), relay.url.clone(), health]
}

/// A test, for scripts.
fn tested(answer: &TestRelayResponse) -> Value {
    let stages: Map<String, Value> =
        answer.stages.iter().map(|stage| (stage.name.clone(), stage.took_us.into())).collect();
    json!({
        "relay": answer.relay.as_ref().map(view::relay),
        "took_us": answer.took_us,
        "stages_us": stages,
        "clock_ahead_ms": answer.clock_ahead_ms,
        "warnings": answer.warnings,
    })
}

/// A test, for people.
fn test_words(answer: &TestRelayResponse, style: Style) -> String {
    let relay = answer.relay.clone().unwrap_or_default();
    let reason = relay.reason.strip_prefix(&format!("relay {} ", relay.url)).unwrap_or(&relay.reason);
    let state = if relay.ok { style.good("works") } else { style.bad(reason) };
    let mut out = format!("{}  {state}\n", style.strong(&relay.url));
    let rows = answer.stages.iter().map(|stage| vec![format!("  {}", stage.name), millis(stage.took_us)]);
    let whole = vec!["  in all".into(), millis(answer.took_us)];
    out.push_str(&table(&rows.chain([whole]).collect::<Vec<_>>()));
    if let Some(ahead) = answer.clock_ahead_ms.filter(|ahead| ahead.unsigned_abs() >= CLOCK_OFF_MS) {
        let side = if ahead > 0 { "ahead of" } else { "behind" };
        let seconds = ahead.unsigned_abs() / 1000;
        out.push_str(&format!("{} its clock is {seconds} s {side} this device's\n", style.bad("!")));
    }
    for warning in &answer.warnings {
        out.push_str(&format!("{} {warning}\n", style.bad("!")));
    }
    out
}

/// Microseconds as milliseconds: for people.
pub(crate) fn millis(micros: u64) -> String {
    format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10)
}

/// From how much on the clock of a relay is worth a word: 5 s.
const CLOCK_OFF_MS: u64 = 5_000;

/// Whether the text is the id of a relay and not a path.
fn is_id(text: &str) -> bool {
    text.len() == 32 && text.chars().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_shows_every_stage_and_what_is_not_as_good_as_it_could_be() {
        let stage = |name: &str, took_us| ipc_proto::v1::TestStage { name: name.into(), took_us };
        let relay = Relay { url: "redis://h".into(), kind: "redis".into(), ok: true, push: true, ..Relay::default() };
        let answer = TestRelayResponse {
            relay: Some(relay),
            took_us: 12_345,
            stages: vec![stage("connect", 9_000), stage("put", 301), stage("hint", 1_250)],
            clock_ahead_ms: Some(-61_000),
            warnings: vec!["it may drop mail".into()],
        };
        insta::assert_snapshot!(test_words(&answer, Style::PLAIN));
        insta::assert_snapshot!(tested(&answer));
    }

    #[test]
    fn an_id_is_not_taken_for_a_path() {
        assert!(is_id(&"0a".repeat(16)));
        assert!(!is_id("/media/stick"));
    }
}
