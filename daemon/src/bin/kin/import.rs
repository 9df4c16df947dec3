//! `kin import`: NDJSON in, bundles out.
//!
//! A thread reads lines and packs them into batches; each batch is one push, so one atomic bundle; a bounded number of
//! pushes is under way at once. Two batches that touch the same message or record are never under way together, so that
//! lines about one thing take effect in their order.
//!
//! A bad line ends the import: of its batch nothing is sent, batches before it are in. Running the corrected file again
//! is safe, since a message that is here already is a no-op.

mod batch;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::time::Duration;

use ipc_proto::Client;
use ipc_proto::v1::{ErrorCode, ErrorDetail, PushRequest, PushResponse};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::batch::{Batch, Batches};
use crate::context::Context;
use crate::failure::Failure;
use crate::line::Entity;
use crate::progress;

/// Read messages and records from NDJSON
///
/// One JSON object a line, as `kin export` writes them:
///   {"op":"message","conversation":…,"id":…,"sender":…,"body":…,"at":…}
///   {"op":"status","id":…,"status":"read"}   {"op":"delete","id":…}
///   {"op":"record","collection":…,"key":…,"fields":{…}}   {"op":"record_delete",…}
/// A message whose id is here already changes nothing.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  kin import archive.ndjson
  zcat archive.ndjson.gz | kin import -"
)]
pub(crate) struct Import {
    /// The file, or - for stdin
    #[arg(value_name = "FILE|-", default_value = "-")]
    source: PathBuf,
    /// One line a bundle: slower, and each line stands alone
    #[arg(long)]
    single: bool,
    /// How many bundles may be under way at once [default: 4, with --single 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    in_flight: Option<u16>,
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Summary {
    lines: u64,
    new: u64,
    bundles: u64,
}

impl Import {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client().await?;
        let in_flight = usize::from(self.in_flight.unwrap_or(if self.single { 64 } else { 4 }));
        let (source, size): (Box<dyn Read + Send>, _) = if self.source.as_os_str() == "-" {
            (Box::new(std::io::stdin()), None)
        } else {
            let file = File::open(&self.source).map_err(Failure::io(format!("open {}", self.source.display())))?;
            let size = file.metadata().ok().filter(|about| about.is_file()).map(|about| about.len());
            (Box::new(file), size)
        };
        let bar = progress::bytes(size, context.output.json);
        let batches = Batches::new(BufReader::with_capacity(READ_BUFFER, source), self.single);
        let imported = send(&client, batches, in_flight, |bytes, summary| {
            bar.set_position(bytes);
            bar.set_message(format!("{} lines", summary.lines));
        });
        let imported = imported.await;
        bar.finish_and_clear();
        let summary = imported?;
        let repeated = summary.lines - summary.new;
        let object = json!({
            "lines": summary.lines, "new": summary.new, "repeated": repeated, "bundles": summary.bundles,
        });
        context.output.show("import", object, |_| {
            format!("{} lines: {} new, {repeated} here already", summary.lines, summary.new)
        })
    }
}

/// Pushes all batches. `progress` hears of bytes read and of what is in.
async fn send(
    client: &Client,
    batches: Batches<BufReader<Box<dyn Read + Send>>>,
    in_flight: usize,
    mut progress: impl FnMut(u64, &Summary),
) -> Result<Summary, Failure> {
    let (sender, mut packed) = mpsc::channel(READ_AHEAD);
    // Ends with the source, or when nobody listens any more.
    std::thread::spawn(move || {
        for batch in batches {
            if sender.blocking_send(batch).is_err() {
                return;
            }
        }
    });
    let mut pushes = Pushes::default();
    let mut summary = Summary::default();
    let mut sent = Ok(());
    while let Some(batch) = packed.recv().await {
        let batch = match batch {
            Ok(batch) => batch,
            Err(failure) => {
                sent = Err(failure);
                break;
            }
        };
        while sent.is_ok() && (pushes.tasks.len() >= in_flight || pushes.touch(&batch.entities)) {
            sent = pushes.finish_one(&mut summary).await;
        }
        if sent.is_err() {
            break;
        }
        progress(batch.position, &summary);
        pushes.begin(client, batch);
    }
    // What is under way is waited for also after a failure: it may be in, and it must be before we say so.
    while !pushes.tasks.is_empty() {
        sent = sent.and(pushes.finish_one(&mut summary).await);
    }
    sent.map(|()| summary)
}

/// The pushes under way.
#[derive(Debug, Default)]
struct Pushes {
    tasks: JoinSet<(Batch, Result<PushResponse, tonic::Status>)>,
    entities: BTreeSet<Entity>,
}

impl Pushes {
    fn touch(&self, entities: &BTreeSet<Entity>) -> bool {
        entities.iter().any(|entity| self.entities.contains(entity))
    }

    fn begin(&mut self, client: &Client, batch: Batch) {
        self.entities.extend(batch.entities.iter().cloned());
        let mut records = client.records();
        self.tasks.spawn(async move {
            let request = PushRequest { ops: batch.ops.clone(), ..PushRequest::default() };
            let mut pause = FIRST_PAUSE;
            loop {
                match records.push(request.clone()).await {
                    Err(status) if is_busy(&status) && pause < LAST_PAUSE => {
                        sleep(pause).await;
                        pause *= 2;
                    }
                    other => return (batch, other.map(tonic::Response::into_inner)),
                }
            }
        });
    }

    /// Waits for one push and counts what it did.
    async fn finish_one(&mut self, summary: &mut Summary) -> Result<(), Failure> {
        let Some(finished) = self.tasks.join_next().await else { return Ok(()) };
        let (batch, answer) = finished.map_err(|error| Failure::io("push a batch")(std::io::Error::other(error)))?;
        for entity in &batch.entities {
            self.entities.remove(entity);
        }
        let answer = answer.map_err(|status| refused(&batch, status))?;
        let (lines, new) = count(&batch, &answer);
        summary.lines += lines;
        summary.new += new;
        summary.bundles += u64::from(answer.seq > 0);
        Ok(())
    }
}

/// How many lines a batch had, and how many of them changed something.
fn count(batch: &Batch, answer: &PushResponse) -> (u64, u64) {
    let changed = batch.op_lines.iter().zip(&answer.results).filter(|(_, result)| !result.no_op);
    let new: BTreeSet<u64> = changed.map(|(line, _)| *line).collect();
    let lines: BTreeSet<&u64> = batch.op_lines.iter().collect();
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    (number(lines.len()), number(new.len()))
}

/// What the daemon refused, by the number of its line.
fn refused(batch: &Batch, status: tonic::Status) -> Failure {
    let Some(detail) = ErrorDetail::from_status(&status) else { return Failure::ImportCut(status.into()) };
    let index = detail.op_index.and_then(|index| usize::try_from(index).ok()).unwrap_or(0);
    match batch.op_lines.get(index) {
        Some(line) => Failure::Line {
            line: *line,
            exit_code: ErrorCode::from_name(&detail.code).exit_code(),
            reason: without_op(&detail.message, index).to_owned(),
            hint: detail.hint,
            code: detail.code,
        },
        None => detail.into(),
    }
}

/// The message of a refused op without the op's number: a line has one of its own.
fn without_op(message: &str, index: usize) -> &str {
    message.strip_prefix(&format!("op {index}: ")).unwrap_or(message)
}

fn is_busy(status: &tonic::Status) -> bool {
    ErrorDetail::from_status(status).is_some_and(|detail| ErrorCode::from_name(&detail.code) == ErrorCode::Busy)
}

const READ_BUFFER: usize = 256 * 1024;
/// Batches that wait, packed, for a push to end.
const READ_AHEAD: usize = 4;
/// A busy daemon is asked again after this, then after twice that …
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// … until the pause would reach this: about 20 s in all.
const LAST_PAUSE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;
    use ipc_proto::v1::OpResult;

    const TEXT: &str = concat!(
        r#"{"op":"message","conversation":"c","id":"a","read_at":"2026-01-01T00:00:00Z"}"#,
        "\n\n",
        r#"{"op":"message","conversation":"c","id":"b"}"#,
    );

    #[test]
    fn a_line_is_new_when_any_of_its_ops_changed_something() {
        let batch = Batches::new(TEXT.as_bytes(), false).next().unwrap().unwrap();
        let result = |no_op| OpResult { no_op, ..OpResult::default() };
        let answer =
            |results: [bool; 3]| PushResponse { results: results.map(result).into(), ..PushResponse::default() };
        assert_eq!(count(&batch, &answer([false, false, false])), (2, 2));
        assert_eq!(count(&batch, &answer([true, false, true])), (2, 1));
        assert_eq!(count(&batch, &answer([true, true, true])), (2, 0));
    }

    #[test]
    fn a_refused_op_is_named_by_its_line() {
        let batch = Batches::new(TEXT.as_bytes(), false).next().unwrap().unwrap();
        let detail = ErrorDetail::new(ErrorCode::MessageDiffers, "op 2: message b is here with another body").at_op(2);
        let failure = refused(&batch, detail.into_status());
        assert_eq!(failure.to_string(), "line 3: message b is here with another body");
        assert_eq!(failure.exit_code(), 11);
        assert!(matches!(refused(&batch, tonic::Status::unavailable("gone")), Failure::ImportCut(_)));
    }

    #[test]
    fn batches_about_the_same_thing_are_told_apart_from_others() {
        let batch = |text: &'static str| Batches::new(text.as_bytes(), false).next().unwrap().unwrap();
        let under_way = Pushes { entities: batch(TEXT).entities, ..Pushes::default() };
        assert!(under_way.touch(&batch(r#"{"op":"delete","id":"b"}"#).entities));
        assert!(!under_way.touch(&batch(r#"{"op":"delete","id":"z"}"#).entities));
    }
}
