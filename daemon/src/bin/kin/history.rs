//! `kin history` and `kin undo`: what a record was, and how it becomes so again.

use ipc_proto::v1::{ChangeKind, HistoryRequest, PastChange, UndoRequest};
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Style, printable, table};
use crate::records::{Page, brief, more, next};
use crate::{instant, typed};

/// Show what was done to a record, newest first
///
/// Of changes that every device has confirmed the nightly compaction leaves only what still shows.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kin history todo milk
  kin history todo milk --limit 5 --json")]
pub(crate) struct History {
    /// The collection
    collection: String,
    /// The key
    key: String,
    #[command(flatten)]
    page: Page,
}

/// Make a record what it would be without one of its changes
///
/// Fields that were written over since stay as they are. The undoing is a change of its own: undone, it brings the other one back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kin undo todo milk
  kin undo todo milk --change 41")]
pub(crate) struct Undo {
    /// The collection
    collection: String,
    /// The key
    key: String,
    /// Which change: its number in `kin history` [default: the newest]
    #[arg(long, value_name = "N")]
    change: Option<u64>,
}

impl History {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let Self { collection, key, page } = self;
        let request = HistoryRequest { collection, key, page_size: page.limit, page_token: page.page };
        let page = context.client().await?.records().history(request).await?.into_inner();
        let object = json!({
            "changes": page.changes.iter().map(change).collect::<Vec<_>>(),
            "next": next(&page.next_page_token),
            "compacted_up_to": page.compacted_up_to,
        });
        context.output.show("history", object, |style| {
            more(words(&page.changes, instant::now_millis(), style), &page.next_page_token, style)
        })
    }
}

impl Undo {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let Self { collection, key, change } = self;
        let request = UndoRequest { collection, key, bundle_seq: change.unwrap_or_default() };
        let undone = context.client().await?.records().undo(request).await?.into_inner();
        let object = json!({
            "undone": undone.undone_bundle_seq, "no_op": undone.no_op,
            "source": undone.source_id, "seq": undone.seq, "bundle_seq": undone.bundle_seq,
        });
        context.output.show("undo", object, |_| match undone.no_op {
            true => format!("nothing of change {} shows any more", undone.undone_bundle_seq),
            false => format!("change {} is undone", undone.undone_bundle_seq),
        })
    }
}

fn change(change: &PastChange) -> Value {
    let fields: Map<String, Value> =
        change.fields.iter().map(|(name, value)| (name.clone(), typed::to_json(value))).collect();
    json!({
        "bundle_seq": change.bundle_seq,
        "device": change.device_id,
        "source": change.source_id,
        "seq": change.seq,
        "written_at": instant::from_millis(change.written_at_ms),
        "op": if change.kind() == ChangeKind::RecordDelete { "record_delete" } else { "record" },
        "fields": fields,
        "cleared": change.cleared_fields,
    })
}

fn words(changes: &[PastChange], now: u64, style: Style) -> String {
    if changes.is_empty() {
        return style.dim("what was done to it was compacted away\n");
    }
    let row = |change: &PastChange| {
        let mut what: Vec<String> =
            change.fields.iter().map(|(name, value)| format!("{name}={}", brief(&typed::words(value)))).collect();
        what.extend(change.cleared_fields.iter().map(|name| format!("{name} cleared")));
        if change.kind() == ChangeKind::RecordDelete {
            what.push("deleted".to_owned());
        }
        vec![
            style.strong(&change.bundle_seq.to_string()),
            instant::ago(Some(change.written_at_ms), now),
            change.device_id.get(..8).unwrap_or(&change.device_id).to_owned(),
            printable(&what.join("  ")),
        ]
    };
    table(&changes.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> PastChange {
        PastChange {
            bundle_seq: 41,
            device_id: "0d".repeat(16),
            source_id: "5e".repeat(16),
            seq: 3,
            written_at_ms: 1_700_000_000_000,
            kind: ChangeKind::RecordPut.into(),
            fields: [typed::from_argument("done:bool=true").unwrap()].into(),
            cleared_fields: vec!["due".into()],
        }
    }

    #[test]
    fn a_past_change_has_every_name_that_scripts_rely_on() {
        insta::assert_snapshot!(format!("{:#}", change(&sample())), @r#"
        {
          "bundle_seq": 41,
          "device": "0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d",
          "source": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
          "seq": 3,
          "written_at": "2023-11-14T22:13:20Z",
          "op": "record",
          "fields": {
            "done": true
          },
          "cleared": [
            "due"
          ]
        }
        "#);
    }

    #[test]
    fn the_history_shows_when_who_and_what() {
        let deleted = PastChange {
            bundle_seq: 57,
            kind: ChangeKind::RecordDelete.into(),
            fields: Default::default(),
            cleared_fields: vec![],
            ..sample()
        };
        insta::assert_snapshot!(words(&[deleted, sample()], 1_700_000_060_000, Style::PLAIN), @r"
        57  60 s ago  0d0d0d0d  deleted
        41  60 s ago  0d0d0d0d  done=true  due cleared
        ");
    }
}
