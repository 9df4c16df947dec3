//! `kin store prune` and `kin store retention`: bodies of old messages, and who keeps them.

use std::time::Duration;

use ipc_proto::client::Shown;
use ipc_proto::v1::admin_client::AdminClient;
use ipc_proto::v1::{
    GetStatusRequest, PruneHindrance, Retention, SetRetentionRequest, StorePruneRequest, StorePruneResponse,
};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::instant;
use crate::output::{Style, printable};

/// Let go of the bodies of old messages that another device keeps
///
/// The messages stay, with their place, people, times and status; their text and attachments go from this device, and words in them are no longer
/// found here. Only what every device has confirmed goes, and only while another device has given its word to keep all bodies. Compacts first.
/// Whoever looks at such a message later gets its body from another device. The bodies come back by themselves when the retention is set anew.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kin store prune --older-than 90d --dry-run
  kin store prune")]
pub(crate) struct Prune {
    /// Of messages created longer ago than this: 12h, 90d [default: the retention]
    #[arg(long, value_parser = instant::span, value_name = "TIME")]
    older_than: Option<Duration>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
}

/// Show or set how long bodies of messages stay on this device
///
/// Once a day the daemon lets go of older ones that another device keeps. Off at first: every body stays. What is younger and lacking comes back in
/// the background.
#[derive(Debug, clap::Args)]
#[command(
    name = "retention",
    after_help = "Examples:
  kin store retention
  kin store retention 90d
  kin store retention off"
)]
pub(crate) struct Keep {
    /// Days, as 90d; `off`: for good. Without it: show how it is
    #[arg(value_parser = days, value_name = "DAYS|off")]
    stay: Option<Stay>,
}

/// How long bodies stay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stay {
    Days(u32),
    ForGood,
}

fn days(text: &str) -> Result<Stay, String> {
    let number = text.strip_suffix('d').and_then(|days| days.parse().ok());
    match (text, number) {
        ("off", _) => Ok(Stay::ForGood),
        (_, Some(days)) => Ok(Stay::Days(days)),
        (_, None) => Err(format!("`{text}` is neither a number of days such as 90d nor `off`")),
    }
}

impl Prune {
    pub(crate) async fn execute(self, context: &Context, admin: &mut AdminClient<Shown>) -> Result<(), Failure> {
        let older_than_ms = self.older_than.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let request = StorePruneRequest { older_than_ms, dry_run: self.dry_run };
        let went = admin.store_prune(request).await?.into_inner();
        let object = json!({
            "dry_run": self.dry_run, "bodies": went.bodies, "bytes": went.bytes, "waiting": went.waiting,
            "hindrance": hindrance(went.hindrance()), "devices": went.devices,
        });
        context.output.show("store.prune", object, |style| pruned(&went, self.dry_run, style))
    }
}

impl Keep {
    pub(crate) async fn execute(self, context: &Context, admin: &mut AdminClient<Shown>) -> Result<(), Failure> {
        let status = match self.stay {
            None => Some(admin.get_status(GetStatusRequest {}).await?.into_inner()),
            Some(stay) => {
                let days = match stay {
                    Stay::Days(days) => Some(days),
                    Stay::ForGood => None,
                };
                admin.set_retention(SetRetentionRequest { days }).await?.into_inner().status
            }
        };
        let retention = status.and_then(|status| status.retention).unwrap_or_default();
        context.output.show("store.retention", view(&retention), |_| words(&retention))
    }
}

/// How it is, as JSON: also a part of the status.
pub(crate) fn view(retention: &Retention) -> Value {
    json!({
        "days": retention.days, "elsewhere": retention.elsewhere,
        "kept_by": retention.kept_by, "keeps_for": retention.keeps_for,
    })
}

/// How it is, in a line.
pub(crate) fn words(retention: &Retention) -> String {
    let mut parts = vec![match retention.days {
        None => "all stay".to_owned(),
        Some(1) => "stay 1 day".to_owned(),
        Some(days) => format!("stay {days} days"),
    }];
    if retention.elsewhere > 0 {
        let place = match retention.kept_by.as_slice() {
            [] => "elsewhere".to_owned(),
            devices => format!("on {}", names(devices)),
        };
        parts.push(format!("{} only {place}", retention.elsewhere));
    }
    if !retention.keeps_for.is_empty() {
        parts.push(format!("kept here for {}", names(&retention.keeps_for)));
    }
    parts.join(", ")
}

fn pruned(went: &StorePruneResponse, dry_run: bool, style: Style) -> String {
    let why = match went.hindrance() {
        PruneHindrance::Unspecified => None,
        PruneHindrance::NoKeeper => Some("no other device has said that it keeps all bodies".to_owned()),
        PruneHindrance::Needed => Some(format!("{} relies on this device to keep them", names(&went.devices))),
        PruneHindrance::OldVersion => Some(format!("{} runs an older version: upgrade it", names(&went.devices))),
    };
    let mut out = match why {
        Some(why) => style.bad(&format!("nothing {}: {why}", if dry_run { "would go" } else { "may go" })),
        None => {
            let verb = if dry_run { "would go" } else { "are gone" };
            let StorePruneResponse { bodies, bytes, .. } = went;
            format!("{bodies} bodies {verb}, {bytes} bytes; kept by {}", names(&went.devices))
        }
    };
    if went.waiting > 0 {
        let wait = format!("\n{} more wait until every device has confirmed them", went.waiting);
        out.push_str(&style.dim(&wait));
    }
    out
}

fn names(devices: &[String]) -> String {
    devices.iter().map(|name| printable(name)).collect::<Vec<_>>().join(", ")
}

fn hindrance(hindrance: PruneHindrance) -> Value {
    match hindrance {
        PruneHindrance::Unspecified => Value::Null,
        PruneHindrance::NoKeeper => "no_keeper".into(),
        PruneHindrance::Needed => "needed".into(),
        PruneHindrance::OldVersion => "old_version".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_a_number_of_days_or_off() {
        assert_eq!(days("90d"), Ok(Stay::Days(90)));
        assert_eq!(days("off"), Ok(Stay::ForGood));
        for nonsense in ["", "90", "-1d", "d", "90h", "OFF"] {
            assert!(days(nonsense).is_err(), "{nonsense:?}");
        }
    }

    #[test]
    fn what_went_is_told_with_who_keeps_it_or_why_it_stays() {
        let say = |went: StorePruneResponse, dry_run| pruned(&went, dry_run, Style::PLAIN);
        let devices = vec!["server".to_owned()];
        let went =
            StorePruneResponse { bodies: 3, bytes: 4_000, waiting: 2, devices: devices.clone(), ..Default::default() };
        assert_eq!(
            say(went, false),
            "3 bodies are gone, 4000 bytes; kept by server\n2 more wait until every device has confirmed them"
        );
        let alone = StorePruneResponse { hindrance: PruneHindrance::NoKeeper.into(), ..Default::default() };
        assert_eq!(say(alone, true), "nothing would go: no other device has said that it keeps all bodies");
        let needed = StorePruneResponse { hindrance: PruneHindrance::Needed.into(), devices, ..Default::default() };
        assert_eq!(say(needed, false), "nothing may go: server relies on this device to keep them");
    }

    #[test]
    fn a_line_says_how_long_bodies_stay_and_who_has_them() {
        assert_eq!(words(&Retention::default()), "all stay");
        let kept_by = vec!["server".to_owned(), "desktop".to_owned()];
        let lean = Retention { days: Some(90), elsewhere: 1_200, kept_by, ..Retention::default() };
        assert_eq!(words(&lean), "stay 90 days, 1200 only on server, desktop");
        let keeper = Retention { keeps_for: vec!["phone".to_owned()], ..Retention::default() };
        assert_eq!(words(&keeper), "all stay, kept here for phone");
    }
}
