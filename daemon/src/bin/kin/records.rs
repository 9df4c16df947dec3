//! `kin put`, `get`, `list`, `rm`: records.

use ipc_proto::v1::{
    DeleteRecord, ErrorDetail, GetRequest, ListRequest, Op, PushRequest, PushResponse, PutRecord, Record, op,
};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Style, printable, table};
use crate::{condition, typed, view};

/// Write fields of a record
///
/// Other fields of the record stay as they are. FIELD=VALUE writes text; FIELD:TYPE=VALUE writes null, bool, int, float,
/// bytes (base64), timestamp (RFC 3339) or json.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kin put todo milk title='buy milk' done:bool=false
  kin put todo milk --clear due
  kin put todo milk done:bool=true --base 41     only if nobody has changed it since")]
pub(crate) struct Put {
    /// The collection
    collection: String,
    /// The key
    key: String,
    /// The fields to write
    #[arg(value_name = "FIELD[:TYPE]=VALUE")]
    fields: Vec<String>,
    /// A field to remove; may be given more than once
    #[arg(long, value_name = "FIELD")]
    clear: Vec<String>,
    #[command(flatten)]
    base: Base,
}

/// Show a record
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  kin get todo milk")]
pub(crate) struct Get {
    /// The collection
    collection: String,
    /// The key
    key: String,
}

/// List the records of a collection, by key
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kin list todo
  kin list todo --prefix 2026- --limit 20 --json
  kin list todo --where done:bool=false
  kin list todo --where 'due:timestamp>=2026-01-01T00:00:00Z' --where 'due:timestamp<2026-02-01T00:00:00Z'")]
pub(crate) struct List {
    /// The collection
    collection: String,
    /// Only keys that begin so
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// Only records that show this in a field, by its value: `=`, `>=`, `>`, `<=`, `<`, or `^=` for "begins with"; twice for both ends of
    /// a range
    #[arg(long = "where", value_name = "FIELD[:TYPE]=VALUE", conflicts_with = "prefix")]
    condition: Vec<String>,
    #[command(flatten)]
    page: Page,
}

/// Delete a record
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  kin rm todo milk")]
pub(crate) struct Rm {
    /// The collection
    collection: String,
    /// The key
    key: String,
    #[command(flatten)]
    base: Base,
}

/// What a write is based on.
#[derive(Debug, clap::Args)]
pub(crate) struct Base {
    /// Only if the record is at this `row_version` (`kin get --json` shows it); 0 = only if there never was one
    #[arg(long = "base", value_name = "N")]
    row_version: Option<u64>,
}

/// A part of a long list.
#[derive(Debug, clap::Args)]
pub(crate) struct Page {
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Go on where the page before ended: the `next` it gave
    #[arg(long, value_name = "NEXT", default_value = "", hide_default_value = true)]
    pub(crate) page: String,
}

impl Put {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let fields = self.fields.iter().map(|argument| typed::from_argument(argument)).collect::<Result<_, _>>();
        let fields = fields.map_err(|reason| Failure::usage(reason, "`kin put --help` shows examples"))?;
        let put = PutRecord {
            collection: self.collection,
            key: self.key,
            fields,
            clear_fields: self.clear,
            base_row_version: self.base.row_version,
        };
        let written = push(context, op::Op::PutRecord(put)).await?;
        context.output.show("put", pushed(&written), |_| said(&written, "written", "nothing changed"))
    }
}

impl Get {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let request = GetRequest { collection: self.collection, key: self.key };
        let record = context.client().await?.records().get(request).await?.into_inner().record.unwrap_or_default();
        context.output.show("get", json!({ "record": view::local_record(&record) }), |style| words(&record, style))
    }
}

impl List {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let condition = condition::from_arguments(&self.condition);
        let condition = condition.map_err(|reason| Failure::usage(reason, "`kin list --help` shows examples"))?;
        let request = ListRequest {
            condition,
            collection: self.collection,
            prefix: self.prefix,
            page_size: self.page.limit,
            page_token: self.page.page,
        };
        let page = context.client().await?.records().list(request).await?.into_inner();
        let object = json!({
            "records": page.records.iter().map(view::local_record).collect::<Vec<_>>(),
            "next": next(&page.next_page_token),
        });
        context.output.show("list", object, |style| {
            let row = |record: &Record| {
                let fields = record.fields.iter();
                let fields = fields.map(|(name, value)| format!("{name}={}", brief(&typed::words(value))));
                vec![style.strong(&printable(&record.key)), printable(&fields.collect::<Vec<_>>().join("  "))]
            };
            more(table(&page.records.iter().map(row).collect::<Vec<_>>()), &page.next_page_token, style)
        })
    }
}

impl Rm {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let Self { collection, key, base } = self;
        let delete = DeleteRecord { collection, key, base_row_version: base.row_version };
        let written = push(context, op::Op::DeleteRecord(delete)).await?;
        context.output.show("rm", pushed(&written), |_| said(&written, "deleted", "there was no such record"))
    }
}

/// The token of the next page in JSON: null at the end.
pub(crate) fn next(token: &str) -> Value {
    if token.is_empty() { Value::Null } else { token.into() }
}

/// A list, and how to see more of it.
pub(crate) fn more(mut list: String, token: &str, style: Style) -> String {
    if !token.is_empty() {
        list.push_str(&style.dim(&format!("more: --page {token}\n")));
    }
    list
}

/// The first line of a text, cut to what fits a line of a list.
pub(crate) fn brief(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(BRIEF).collect();
    if cut.len() < text.len() { format!("{}…", cut.trim_end()) } else { cut }
}

/// Pushes one op as a bundle. Nobody who wrote one record wants to read of "op 0".
async fn push(context: &Context, op: op::Op) -> Result<PushResponse, Failure> {
    let request = PushRequest { ops: vec![Op { op: Some(op) }], ..PushRequest::default() };
    match context.client().await?.records().push(request).await {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => Err(match ErrorDetail::from_status(&status) {
            Some(mut detail) => {
                detail.message = detail.message.trim_start_matches("op 0: ").to_owned();
                detail.into()
            }
            None => status.into(),
        }),
    }
}

fn pushed(answer: &PushResponse) -> Value {
    json!({
        "no_op": answer.results.iter().all(|result| result.no_op),
        "source": answer.source_id, "seq": answer.seq, "bundle_seq": answer.bundle_seq,
    })
}

fn said(answer: &PushResponse, changed: &str, unchanged: &str) -> String {
    let no_op = answer.results.iter().all(|result| result.no_op);
    if no_op { unchanged.into() } else { changed.into() }
}

fn words(record: &Record, style: Style) -> String {
    let row = |(name, value): (&String, &ipc_proto::v1::Value)| {
        let mut cell = printable(&typed::words(value)).replace('\n', "\n  ");
        if record.conflicts.contains(name) {
            cell.push_str(&style.bad("  (in conflict: devices wrote different values at the same time)"));
        }
        vec![style.strong(&printable(name)), cell]
    };
    table(&record.fields.iter().map(row).collect::<Vec<_>>())
}

const BRIEF: usize = 72;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_shows_its_fields_and_its_conflicts() {
        let fields = ["done:bool=false", "title=buy\nmilk"];
        let fields = fields.iter().map(|field| typed::from_argument(field).unwrap()).collect();
        let record = Record { fields, conflicts: vec!["done".into()], ..Record::default() };
        insta::assert_snapshot!(words(&record, Style::PLAIN), @r"
        done   false  (in conflict: devices wrote different values at the same time)
        title  buy
          milk
        ");
    }

    #[test]
    fn a_long_text_is_cut_for_a_list() {
        assert_eq!(brief("short"), "short");
        assert_eq!(brief("two\nlines"), "two…");
        assert_eq!(brief(&"é".repeat(100)), format!("{}…", "é".repeat(72)));
    }
}
