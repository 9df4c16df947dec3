//! `kin conflicts`: records that devices wrote differently at the same time, and how a person settles them.

use std::collections::BTreeMap;

use clap::ValueEnum;
use ipc_proto::v1::resolve_conflict_request::Resolution;
use ipc_proto::v1::watch_conflicts_response::Event;
use ipc_proto::v1::{
    Conflict, ConflictField, ConflictPolicy, ConflictVersion, GetConflictRequest, GetPolicyRequest,
    ListConflictsRequest, MergedRecord, ResolveConflictRequest, SetPolicyRequest, Side, WatchConflictsRequest,
};
use serde_json::{Value, json};
use tokio_stream::StreamExt;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Style, printable, table};
use crate::records::{Page, brief, more, next};
use crate::{instant, typed, view};

/// Records that devices wrote differently at the same time
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Conflicts {
    /// List the records in conflict
    #[command(after_help = "Examples:
  kin conflicts list
  kin conflicts list --collection todo --json")]
    List {
        /// Only those of this collection
        #[arg(long, default_value = "", hide_default_value = true)]
        collection: String,
        #[command(flatten)]
        page: Page,
    },
    /// Show who wrote what, and what it was before
    #[command(after_help = "Example:\n  kin conflicts show todo milk")]
    Show {
        /// The collection
        collection: String,
        /// The key
        key: String,
    },
    /// Settle a conflict, on all devices
    ///
    /// With --set and --clear the record is merged: fields in conflict must be named, all others stay as they are.
    #[command(after_help = "Examples:
  kin conflicts resolve todo milk --take mine
  kin conflicts resolve todo milk --device 0d4c1a3e5f60718293a4b5c6d7e8f901
  kin conflicts resolve todo milk --set title='milk and bread' --clear due
  kin conflicts resolve todo milk --delete")]
    Resolve(Resolve),
    /// Show or set what becomes of conflicts in a collection, on all devices
    #[command(after_help = "Examples:
  kin conflicts policy todo
  kin conflicts policy settings lww")]
    Policy {
        /// The collection
        collection: String,
        /// What becomes of them
        policy: Option<Policy>,
    },
    /// Follow conflicts as they come and go
    #[command(after_help = "Examples:
  kin conflicts watch
  kin conflicts watch --once --json")]
    Watch {
        /// Only those of this collection
        #[arg(long, default_value = "", hide_default_value = true)]
        collection: String,
        /// End when all that there are now are shown
        #[arg(long)]
        once: bool,
    },
}

/// How a conflict ends.
#[derive(Debug, clap::Args)]
pub(crate) struct Resolve {
    /// The collection
    collection: String,
    /// The key
    key: String,
    #[command(flatten)]
    outcome: Outcome,
    /// Only if the record is at this `row_version` (`kin conflicts show --json` shows it) [default: as it is now]
    #[arg(long, value_name = "N")]
    base: Option<u64>,
}

/// What is to be there.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Outcome {
    /// What one side wrote
    #[arg(long, conflicts_with_all = ["device", "set", "clear", "delete"])]
    take: Option<Taken>,
    /// What the device with this id wrote
    #[arg(long, value_name = "ID", conflicts_with_all = ["set", "clear", "delete"])]
    device: Option<String>,
    /// A field of the merged record; may be given more than once
    #[arg(long, value_name = "FIELD[:TYPE]=VALUE", conflicts_with = "delete")]
    set: Vec<String>,
    /// A field that the merged record does not have; may be given more than once
    #[arg(long, value_name = "FIELD", conflicts_with = "delete")]
    clear: Vec<String>,
    /// The record is to be gone
    #[arg(long)]
    delete: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Taken {
    /// What this device wrote
    Mine,
    /// What the other device wrote
    Theirs,
    /// What is shown: the latest write
    Shown,
}

/// What becomes of conflicts.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Policy {
    /// They are listed until somebody resolves them
    Keep,
    /// The last write wins; they are only counted
    Lww,
}

impl Conflicts {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let mut records = context.client().await?.records();
        match self {
            Self::List { collection, page } => {
                let request = ListConflictsRequest { collection, page_size: page.limit, page_token: page.page };
                let page = records.list_conflicts(request).await?.into_inner();
                let object = json!({
                    "conflicts": page.conflicts.iter().map(shown).collect::<Vec<_>>(),
                    "next": next(&page.next_page_token),
                });
                context.output.show("conflicts.list", object, |style| {
                    more(list(&page.conflicts, style), &page.next_page_token, style)
                })
            }
            Self::Show { collection, key } => {
                let found = records.get_conflict(GetConflictRequest { collection, key }).await?.into_inner();
                let conflict = found.conflict.unwrap_or_default();
                let object = json!({ "conflict": shown(&conflict) });
                context.output.show("conflicts.show", object, |style| words(&conflict, instant::now_millis(), style))
            }
            Self::Resolve(resolve) => resolve.execute(context).await,
            Self::Policy { collection, policy: None } => {
                let policy =
                    records.get_policy(GetPolicyRequest { collection: collection.clone() }).await?.into_inner();
                told(context, &collection, policy.policy())
            }
            Self::Policy { collection, policy: Some(policy) } => {
                let policy = match policy {
                    Policy::Keep => ConflictPolicy::Keep,
                    Policy::Lww => ConflictPolicy::Lww,
                };
                let request = SetPolicyRequest { collection: collection.clone(), policy: policy.into() };
                records.set_policy(request).await?;
                told(context, &collection, policy)
            }
            Self::Watch { collection, once } => {
                let mut events = records.watch_conflicts(WatchConflictsRequest { collection }).await?.into_inner();
                while let Some(event) = events.next().await {
                    match event?.event {
                        Some(Event::Conflict(conflict)) => {
                            let object = json!({ "conflict": shown(&conflict) });
                            context.output.show("conflicts.watch", object, |style| {
                                list(std::slice::from_ref(&conflict), style)
                            })?;
                        }
                        Some(Event::Closed(name)) => {
                            let object = json!({ "closed": { "collection": name.collection, "key": name.key } });
                            context.output.show("conflicts.watch", object, |_| {
                                printable(&format!("{}/{} is settled", name.collection, name.key))
                            })?;
                        }
                        Some(Event::Position(_)) if once => return Ok(()),
                        Some(Event::Position(_)) | None => {}
                    }
                }
                Err(Failure::StreamEnded { before: "the watch was ended" })
            }
        }
    }
}

impl Resolve {
    async fn execute(self, context: &Context) -> Result<(), Failure> {
        let Self { collection, key, outcome, base } = self;
        let mut records = context.client().await?.records();
        let named = GetConflictRequest { collection: collection.clone(), key: key.clone() };
        let conflict = records.get_conflict(named).await?.into_inner().conflict.unwrap_or_default();
        let resolution = match outcome {
            Outcome { take: Some(side), .. } => Resolution::Take(
                match side {
                    Taken::Mine => Side::Mine,
                    Taken::Theirs => Side::Theirs,
                    Taken::Shown => Side::Shown,
                }
                .into(),
            ),
            Outcome { device: Some(device), .. } => Resolution::DeviceId(device),
            Outcome { delete: true, .. } => Resolution::Delete(true),
            Outcome { set, clear, .. } => {
                let fields = set.iter().map(|argument| typed::from_argument(argument)).collect::<Result<_, _>>();
                let fields =
                    fields.map_err(|reason| Failure::usage(reason, "`kin conflicts resolve --help` shows examples"))?;
                Resolution::Merged(merged(&conflict, fields, clear))
            }
        };
        let row_version = base.unwrap_or(conflict.row_version);
        let request = ResolveConflictRequest { collection, key, row_version, resolution: Some(resolution) };
        let resolved = records.resolve_conflict(request).await?.into_inner();
        let object = json!({ "source": resolved.source_id, "seq": resolved.seq, "bundle_seq": resolved.bundle_seq });
        context.output.show("conflicts.resolve", object, |style| style.good("settled, on all devices that hear of it"))
    }
}

/// The whole record: what is not said and not in conflict stays.
fn merged(
    conflict: &Conflict,
    mut fields: BTreeMap<String, ipc_proto::v1::Value>,
    clear_fields: Vec<String>,
) -> MergedRecord {
    let open = |name: &String| conflict.fields.iter().any(|field| field.field == *name);
    for (name, value) in conflict.current.iter().flat_map(|record| &record.fields) {
        if !open(name) && !clear_fields.contains(name) {
            fields.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    MergedRecord { fields, clear_fields }
}

fn told(context: &Context, collection: &str, policy: ConflictPolicy) -> Result<(), Failure> {
    let name = match policy {
        ConflictPolicy::Unspecified => return Err(Failure::Newer("the policy")),
        ConflictPolicy::Keep => "keep",
        ConflictPolicy::Lww => "lww",
    };
    let object = json!({ "collection": collection, "policy": name });
    context.output.show("conflicts.policy", object, |_| match policy {
        ConflictPolicy::Lww => "lww: the last write wins; conflicts are only counted".to_owned(),
        ConflictPolicy::Keep | ConflictPolicy::Unspecified => {
            "keep: conflicts are listed until somebody resolves them".to_owned()
        }
    })
}

fn shown(conflict: &Conflict) -> Value {
    json!({
        "collection": conflict.collection,
        "key": conflict.key,
        "row_version": conflict.row_version,
        "current": conflict.current.as_ref().map(view::local_record),
        "fields": conflict.fields.iter().map(field).collect::<Vec<_>>(),
    })
}

fn field(field: &ConflictField) -> Value {
    json!({
        "field": if field.existence { Value::Null } else { field.field.clone().into() },
        "existence": field.existence,
        "versions": field.versions.iter().map(version).collect::<Vec<_>>(),
        "base": field.base.as_ref().map(version),
    })
}

fn version(version: &ConflictVersion) -> Value {
    json!({
        "value": version.value.as_ref().map(typed::to_json),
        "exists": version.exists,
        "device": version.device_id,
        "source": version.source_id,
        "seq": version.seq,
        "written_at": instant::from_millis(version.written_at_ms),
        "mine": version.mine,
        "shown": version.shown,
    })
}

fn list(conflicts: &[Conflict], style: Style) -> String {
    if conflicts.is_empty() {
        return style.good("nothing is in conflict\n");
    }
    let row = |conflict: &Conflict| {
        let fields = conflict.fields.iter();
        let fields = fields.map(|field| if field.existence { "edited and deleted" } else { field.field.as_str() });
        vec![
            style.strong(&printable(&format!("{} {}", conflict.collection, conflict.key))),
            printable(&fields.collect::<Vec<_>>().join(", ")),
        ]
    };
    table(&conflicts.iter().map(row).collect::<Vec<_>>())
}

fn words(conflict: &Conflict, now: u64, style: Style) -> String {
    let mut rows = Vec::new();
    for field in &conflict.fields {
        let name = if field.existence { "(the record)" } else { field.field.as_str() };
        for version in field.versions.iter().chain(&field.base) {
            let is_base = Some(version) == field.base.as_ref();
            let who = match (is_base, version.mine) {
                (true, _) => "before".to_owned(),
                (false, true) => "this device".to_owned(),
                (false, false) => version.device_id.get(..8).unwrap_or(&version.device_id).to_owned(),
            };
            let what = match (&version.value, field.existence, version.exists) {
                (Some(value), _, _) => brief(&typed::words(value)),
                (None, true, true) => "edited".to_owned(),
                (None, true, false) => "deleted".to_owned(),
                (None, false, _) => "nothing".to_owned(),
            };
            let shown = if version.shown && !is_base { style.dim("shown") } else { String::new() };
            let written = instant::ago(Some(version.written_at_ms), now);
            rows.push(vec![style.strong(&printable(name)), who, printable(&what), written, shown]);
        }
    }
    table(&rows)
}

#[cfg(test)]
mod tests;
