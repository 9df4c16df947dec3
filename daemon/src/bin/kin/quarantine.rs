//! `kin quarantine`: what came in and could not be used.

use ipc_proto::v1::{
    DropQuarantineRequest, ListQuarantineRequest, QuarantineKind, Quarantined, RetriedItem, RetryQuarantineRequest,
};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::instant;
use crate::output::{Style, printable, table};

/// What came in and could not be used. It is in nobody's way
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Quarantine {
    /// List what there is
    #[command(after_help = "Examples:
  kin quarantine list
  kin quarantine list --json | jq '.items[] | select(.retryable).id'")]
    List {},
    /// Try to use it again: a key or another device's word may have come meanwhile
    #[command(after_help = "Examples:
  kin quarantine retry
  kin quarantine retry 3 4")]
    Retry {
        /// Numbers from the list; none = all that can be tried
        #[arg(value_name = "ID")]
        ids: Vec<u64>,
    },
    /// Take it out of sight; nothing else changes
    #[command(after_help = "Examples:
  kin quarantine drop 3
  kin quarantine drop --all")]
    Drop {
        /// Numbers from the list
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<u64>,
        /// Everything
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

impl Quarantine {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let mut admin = context.client().await?.admin();
        match self {
            Self::List {} => {
                let mut items = Vec::<Quarantined>::new();
                let ever = loop {
                    let after = items.last().map_or(0, |item| item.id);
                    let page = admin.list_quarantine(ListQuarantineRequest { after }).await?.into_inner();
                    if page.items.is_empty() {
                        break page.ever;
                    }
                    items.extend(page.items);
                };
                let object = json!({ "items": items.iter().map(item).collect::<Vec<_>>(), "ever": ever });
                context
                    .output
                    .show("quarantine.list", object, |style| words(&items, ever, instant::now_millis(), style))
            }
            Self::Retry { ids } => {
                let items = admin.retry_quarantine(RetryQuarantineRequest { ids }).await?.into_inner().items;
                let object = json!({ "items": items.iter().map(retried).collect::<Vec<_>>() });
                context.output.show("quarantine.retry", object, |style| outcome(&items, style))
            }
            Self::Drop { ids, .. } => {
                let dropped = admin.drop_quarantine(DropQuarantineRequest { ids }).await?.into_inner().dropped;
                context
                    .output
                    .show("quarantine.drop", json!({ "dropped": dropped }), |_| format!("{dropped} out of sight"))
            }
        }
    }
}

fn item(item: &Quarantined) -> Value {
    json!({
        "id": item.id,
        "since": instant::from_millis(item.since_ms),
        "kind": kind(item.kind()),
        "reason": item.reason,
        "relay": if item.relay.is_empty() { Value::Null } else { item.relay.clone().into() },
        "size": item.size,
        "retryable": item.retryable,
    })
}

fn retried(item: &RetriedItem) -> Value {
    json!({
        "id": item.id,
        "used": item.used,
        "reason": if item.used { Value::Null } else { item.reason.clone().into() },
    })
}

fn kind(kind: QuarantineKind) -> &'static str {
    match kind {
        QuarantineKind::Unspecified => "unknown",
        QuarantineKind::Envelope => "envelope",
        QuarantineKind::Parcel => "parcel",
        QuarantineKind::Source => "source",
        QuarantineKind::Bundle => "bundle",
    }
}

fn words(items: &[Quarantined], ever: u64, now: u64, style: Style) -> String {
    if items.is_empty() {
        return style.good("nothing is set aside");
    }
    let row = |item: &Quarantined| {
        let size = if item.size == 0 { String::new() } else { format!("{} bytes", item.size) };
        vec![
            style.strong(&item.id.to_string()),
            instant::ago(Some(item.since_ms), now),
            kind(item.kind()).to_owned(),
            size,
            item.relay.clone(),
            printable(&item.reason),
        ]
    };
    let rows: Vec<_> = items.iter().map(row).collect();
    format!("{}{}", table(&rows), style.dim(&format!("{} of {ever} that ever came\n", items.len())))
}

fn outcome(items: &[RetriedItem], style: Style) -> String {
    if items.is_empty() {
        return "nothing can be tried again".to_owned();
    }
    let row = |item: &RetriedItem| {
        let what = if item.used { style.good("used") } else { format!("still of no use: {}", printable(&item.reason)) };
        vec![style.strong(&item.id.to_string()), what]
    };
    table(&items.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Quarantined {
        Quarantined {
            id: 3,
            since_ms: 1_700_000_000_000,
            kind: QuarantineKind::Envelope.into(),
            reason: "not sealed for this device".into(),
            relay: "file:///media/stick".into(),
            size: 1_234,
            retryable: true,
        }
    }

    #[test]
    fn something_set_aside_has_every_name_that_scripts_rely_on() {
        insta::assert_snapshot!(format!("{:#}", item(&sample())), @r#"
        {
          "id": 3,
          "since": "2023-11-14T22:13:20Z",
          "kind": "envelope",
          "reason": "not sealed for this device",
          "relay": "file:///media/stick",
          "size": 1234,
          "retryable": true
        }
        "#);
        let failed = RetriedItem { id: 3, used: false, reason: "as before".into() };
        assert_eq!(retried(&failed), json!({ "id": 3, "used": false, "reason": "as before" }));
        assert_eq!(retried(&RetriedItem { used: true, ..failed })["reason"], Value::Null);
    }

    #[test]
    fn the_list_shows_when_what_where_and_why() {
        let stranger = Quarantined {
            id: 4,
            kind: QuarantineKind::Parcel.into(),
            reason: "a parcel from \u{1b}[31mnobody".into(),
            relay: String::new(),
            size: 0,
            ..sample()
        };
        insta::assert_snapshot!(words(&[sample(), stranger], 9, 1_700_000_060_000, Style::PLAIN), @r"
        3  60 s ago  envelope  1234 bytes  file:///media/stick  not sealed for this device
        4  60 s ago  parcel                                     a parcel from �[31mnobody
        2 of 9 that ever came
        ");
        assert_eq!(words(&[], 9, 0, Style::PLAIN), "nothing is set aside");
    }

    #[test]
    fn a_retry_says_what_was_used() {
        let items = [
            RetriedItem { id: 3, used: true, reason: String::new() },
            RetriedItem { id: 12, used: false, reason: "no prekey has its slot".into() },
        ];
        insta::assert_snapshot!(outcome(&items, Style::PLAIN), @r"
        3   used
        12  still of no use: no prekey has its slot
        ");
        assert_eq!(outcome(&[], Style::PLAIN), "nothing can be tried again");
    }
}
