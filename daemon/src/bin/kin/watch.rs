//! `kin watch`: what is applied here, as it is applied.
//!
//! The cursor is the greatest `bundle_seq` seen. When the daemon goes away, the watch waits for the next one and resumes
//! there: nothing is missed and nothing comes twice.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use ipc_proto::v1::{Bundle, WatchRequest, change::Now, watch_response::Event};
use serde_json::json;
use tokio_stream::StreamExt;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Style, printable};
use crate::records::brief;
use crate::{msg, typed, view};

/// Follow changes as they are applied
///
/// Shows bundles from this and all other devices, in this device's order of apply. Go on later with `--after` and the
/// last `bundle_seq` you have dealt with.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kin watch
  kin watch --after 0 --once --json
  kin watch --collection todo --exec 'notify-send todo changed'")]
pub(crate) struct Watch {
    /// Only records of this collection; may be given more than once
    #[arg(long)]
    collection: Vec<String>,
    /// Begin after this `bundle_seq`; 0 is the very beginning [default: only what comes from now on]
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// Run this command for each bundle, with its JSON on stdin; the watch ends when it fails
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    /// End when everything up to now is shown
    #[arg(long)]
    once: bool,
}

impl Watch {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let mut cursor = self.after;
        let mut client = context.client().await?;
        loop {
            let request = WatchRequest {
                after_bundle_seq: cursor,
                collections: self.collection.clone(),
                ..WatchRequest::default()
            };
            let failure = match client.records().watch(request).await {
                Err(status) => Failure::from(status),
                Ok(events) => match self.follow(context, events.into_inner(), &mut cursor).await {
                    Ok(()) => return Ok(()),
                    Err(failure) => failure,
                },
            };
            if !resumable(&failure) {
                return Err(failure);
            }
            context.output.note(&format!("kin: {failure}; waiting for the daemon"));
            client = context.client_within(PATIENCE).await?;
        }
    }

    /// Shows events until the stream breaks, or with `--once` until it has caught up.
    async fn follow(
        &self,
        context: &Context,
        mut events: tonic::Streaming<ipc_proto::v1::WatchResponse>,
        cursor: &mut Option<u64>,
    ) -> Result<(), Failure> {
        while let Some(event) = events.next().await {
            match event?.event {
                Some(Event::Bundle(bundle)) => {
                    let object = view::bundle(&bundle);
                    match &self.exec {
                        Some(command) => run(command, &object)?,
                        None => context.output.show("watch", object, |style| words(&bundle, style))?,
                    }
                    *cursor = Some(bundle.bundle_seq);
                }
                Some(Event::Position(position)) => {
                    *cursor = Some(position.bundle_seq);
                    if self.once {
                        return match context.output.json {
                            true => context.output.object("watch", json!({ "position": position.bundle_seq })),
                            false => Ok(()),
                        };
                    }
                }
                None => {}
            }
        }
        Err(Failure::StreamEnded { before: "the watch was ended" })
    }
}

/// Whether the daemon went away, so that another one may go on.
fn resumable(failure: &Failure) -> bool {
    let lost = |error: &ipc_proto::Error| matches!(error.code(), "connection_lost" | "shutting_down" | "too_slow");
    matches!(failure, Failure::StreamEnded { .. }) || matches!(failure, Failure::Api(error) if lost(error))
}

/// Runs a command of the person's in the shell, with a bundle on its stdin.
fn run(command: &str, bundle: &serde_json::Value) -> Result<(), Failure> {
    let shell = if cfg!(windows) { ["cmd", "/C"] } else { ["sh", "-c"] };
    let mut child = Command::new(shell[0])
        .args([shell[1], command])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(Failure::io(format!("run `{command}`")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read what it is given is free to.
        let _unread = writeln!(stdin, "{bundle}");
    }
    let status = child.wait().map_err(Failure::io(format!("run `{command}`")))?;
    if status.success() { Ok(()) } else { Err(Failure::Command(status.to_string())) }
}

fn words(bundle: &Bundle, style: Style) -> String {
    let device = bundle.device_id.get(..8).unwrap_or(&bundle.device_id);
    let mut out = String::new();
    for change in &bundle.changes {
        let what = match &change.now {
            Some(Now::Record(record)) => {
                let fields = record.fields.iter();
                let fields = fields.map(|(name, value)| format!("{name}={}", brief(&typed::words(value))));
                printable(&format!("{}/{}  {}", record.collection, record.key, fields.collect::<Vec<_>>().join("  ")))
            }
            Some(Now::RecordGone(name)) => printable(&format!("{}/{} is gone", name.collection, name.key)),
            Some(Now::Message(message)) => {
                format!("{}  {}", printable(&message.conversation), msg::words(message, style).trim_end())
            }
            Some(Now::Conversation(now)) => {
                printable(&format!("{} ({} messages, {} unread)", now.name, now.messages, now.unread))
            }
            Some(Now::MessageGone(name)) => printable(&format!("{} {} is gone", name.conversation, name.id)),
            None => "a change that this version does not understand".into(),
        };
        let head = style.dim(&format!("{} {device}", bundle.bundle_seq));
        out.push_str(&format!("{head} {} {what}\n", style.strong(view::change_name(change.kind()))));
    }
    out
}

/// How long a watch waits for a daemon that went away.
const PATIENCE: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use ipc_proto::v1::{Change, ChangeKind, MessageName, Record};

    #[test]
    fn a_bundle_is_a_line_a_change() {
        let record = Record {
            collection: "todo".into(),
            key: "milk".into(),
            fields: [typed::from_argument("done:bool=true").unwrap()].into(),
            ..Record::default()
        };
        let gone = MessageName { conversation: "family".into(), id: "7f3a".into() };
        let bundle = Bundle {
            bundle_seq: 41,
            device_id: "0d".repeat(16),
            changes: vec![
                Change { kind: ChangeKind::RecordPut.into(), now: Some(Now::Record(record)) },
                Change { kind: ChangeKind::MessageDelete.into(), now: Some(Now::MessageGone(gone)) },
            ],
            ..Bundle::default()
        };
        insta::assert_snapshot!(words(&bundle, Style::PLAIN), @r"
        41 0d0d0d0d record todo/milk  done=true
        41 0d0d0d0d delete family 7f3a is gone
        ");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_gets_the_bundle_and_its_failure_ends_the_watch() {
        run("grep -q bundle_seq", &json!({ "bundle_seq": 1 })).unwrap();
        assert!(matches!(run("exit 3", &json!({})), Err(Failure::Command(status)) if status.contains('3')));
    }

    #[test]
    fn only_a_daemon_that_went_away_is_waited_for() {
        assert!(resumable(&tonic::Status::unavailable("gone").into()));
        assert!(!resumable(&tonic::Status::unimplemented("old").into()));
        assert!(!resumable(&Failure::BrokenPipe));
    }
}
