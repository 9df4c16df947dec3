//! `kin explain`: one event's way.

use ipc_proto::v1::{
    ChangeKind, ExplainRequest, ExplainResponse, ExplainedBundle, ExplainedDevice, ExplainedKind, Step,
};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Style, printable};
use crate::{instant, view};

/// Show one event's way: committed, posted, received, applied, confirmed
///
/// Of other devices it says what they have confirmed. Steps between devices are remembered for a while, and not across restarts of the
/// daemon.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kin explain 8b1f5a0c-6a1e-4a5f-9a40-6f6c0a6f3a51
  kin explain notes/shopping
  kin explain 0f3c7a52-93d1-4f0e-8a57-0c2f8b0e6d11:42 --json")]
pub(crate) struct Explain {
    /// A message id, a record as COLLECTION/KEY, or a bundle as SOURCE:POSITION
    #[arg(value_name = "ID")]
    id: String,
}

impl Explain {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let mut admin = context.client().await?.admin();
        let story = admin.explain(ExplainRequest { id: self.id }).await?.into_inner();
        context.output.show("explain", object(&story), |style| words(&story, style))
    }
}

fn object(story: &ExplainResponse) -> Value {
    let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    json!({
        "kind": kind(story.kind()),
        "collection": text(&story.collection),
        "key": text(&story.key),
        "bundles": story.bundles.iter().map(bundle).collect::<Vec<_>>(),
        "known_since": instant::from_millis(story.known_since_ms),
    })
}

fn bundle(bundle: &ExplainedBundle) -> Value {
    let receipts = bundle.receipts.iter().map(|receipt| {
        json!({
            "device": device(receipt.device.as_ref()),
            "holds": receipt.holds,
            "at": receipt.at_ms.map(instant::from_millis),
        })
    });
    json!({
        "source": bundle.source_id,
        "seq": bundle.seq,
        "author": device(bundle.author.as_ref()),
        "written_at": instant::from_millis(bundle.written_at_ms),
        "bundle_seq": if bundle.bundle_seq == 0 { Value::Null } else { bundle.bundle_seq.into() },
        "committed_at": bundle.committed_at_ms.map(instant::from_millis),
        "changes": bundle.changes().map(view::change_name).collect::<Vec<_>>(),
        "posted": bundle.posted.iter().map(step).collect::<Vec<_>>(),
        "received": bundle.received.iter().map(step).collect::<Vec<_>>(),
        "receipts": receipts.collect::<Vec<_>>(),
    })
}

fn step(step: &Step) -> Value {
    json!({ "device": device(step.device.as_ref()), "relay": step.relay, "at": instant::from_millis(step.at_ms) })
}

fn device(device: Option<&ExplainedDevice>) -> Value {
    let device = device.cloned().unwrap_or_default();
    json!({ "id": device.id, "name": device.name, "this_device": device.this_device })
}

fn kind(kind: ExplainedKind) -> &'static str {
    match kind {
        ExplainedKind::Unspecified => "unknown",
        ExplainedKind::Message => "message",
        ExplainedKind::Record => "record",
        ExplainedKind::Bundle => "bundle",
    }
}

fn words(story: &ExplainResponse, style: Style) -> String {
    let mut out = match story.kind() {
        ExplainedKind::Message => format!("message {}\n", style.strong(&printable(&story.key))),
        ExplainedKind::Record => {
            format!("record {}\n", style.strong(&printable(&format!("{}/{}", story.collection, story.key))))
        }
        ExplainedKind::Bundle | ExplainedKind::Unspecified => String::new(),
    };
    for bundle in &story.bundles {
        let changes: Vec<_> = bundle.changes().map(|kind: ChangeKind| view::change_name(kind)).collect();
        let name = style.strong(&format!("{}:{}", bundle.source_id, bundle.seq));
        out.push_str(&format!("bundle {name}  {}\n", changes.join(", ")));
        let mut line = |at: String, what: String| out.push_str(&format!("  {at}  {what}\n"));
        let author = bundle.author.clone().unwrap_or_default();
        line(instant::from_millis(bundle.written_at_ms), format!("written on {}", called(Some(&author))));
        for step in &bundle.received {
            line(
                instant::from_millis(step.at_ms),
                format!("received from {} over {}", called(step.device.as_ref()), step.relay),
            );
        }
        match bundle.committed_at_ms {
            Some(at) => line(instant::from_millis(at), format!("committed here as number {}", bundle.bundle_seq)),
            None => line(UNKNOWN.into(), "waits here for an earlier bundle".into()),
        }
        for step in &bundle.posted {
            line(
                instant::from_millis(step.at_ms),
                format!("posted for {} on {}", called(step.device.as_ref()), step.relay),
            );
        }
        for receipt in &bundle.receipts {
            let name = called(receipt.device.as_ref());
            match (receipt.holds, receipt.at_ms) {
                (true, Some(at)) => line(instant::from_millis(at), style.good(&format!("confirmed by {name}"))),
                (true, None) => line(UNKNOWN.into(), style.good(&format!("confirmed by {name}"))),
                (false, _) => line(UNKNOWN.into(), format!("not confirmed by {name} yet")),
            }
        }
    }
    let since = instant::from_millis(story.known_since_ms);
    out.push_str(&style.dim(&format!("steps between devices are remembered since {since}\n")));
    out
}

fn called(device: Option<&ExplainedDevice>) -> String {
    match device {
        Some(device) if device.this_device => "this device".into(),
        Some(device) if !device.name.is_empty() => printable(&device.name),
        Some(device) => device.id.clone(),
        None => "a device".into(),
    }
}

/// In the place of a time.
const UNKNOWN: &str = "-                   ";

#[cfg(test)]
mod tests {
    use ipc_proto::v1::Receipted;

    use super::*;

    fn sample() -> ExplainResponse {
        let phone = ExplainedDevice { id: "0b".repeat(16), name: "phone".into(), this_device: false };
        let tablet = ExplainedDevice { id: "0c".repeat(16), name: "tablet".into(), this_device: false };
        let receipt = |device: &ExplainedDevice, holds, at_ms| Receipted { device: Some(device.clone()), holds, at_ms };
        let relay = "file:///media/stick".to_owned();
        let own = ExplainedBundle {
            source_id: "abababab-abab-abab-abab-abababababab".into(),
            seq: 7,
            author: Some(ExplainedDevice { id: "0a".repeat(16), name: "laptop".into(), this_device: true }),
            written_at_ms: 1_700_000_000_000,
            bundle_seq: 41,
            committed_at_ms: Some(1_700_000_001_000),
            changes: vec![ChangeKind::MessagePost.into()],
            posted: vec![Step { device: Some(phone.clone()), relay: relay.clone(), at_ms: 1_700_000_002_000 }],
            received: vec![],
            receipts: vec![receipt(&phone, true, Some(1_700_000_003_000)), receipt(&tablet, false, None)],
        };
        let waiting = ExplainedBundle {
            source_id: "cdcdcdcd-cdcd-cdcd-cdcd-cdcdcdcdcdcd".into(),
            seq: 2,
            author: Some(phone.clone()),
            bundle_seq: 0,
            committed_at_ms: None,
            changes: vec![ChangeKind::MessageStatus.into()],
            posted: vec![],
            received: vec![Step { device: Some(tablet.clone()), relay, at_ms: 1_700_000_004_000 }],
            receipts: vec![receipt(&phone, true, None)],
            ..own.clone()
        };
        ExplainResponse {
            kind: ExplainedKind::Message.into(),
            collection: "@message".into(),
            key: "m1".into(),
            bundles: vec![own, waiting],
            known_since_ms: 1_699_000_000_000,
        }
    }

    #[test]
    fn the_story_says_what_is_known_and_what_is_not() {
        insta::assert_snapshot!(words(&sample(), Style::PLAIN), @r"
        message m1
        bundle abababab-abab-abab-abab-abababababab:7  message
          2023-11-14T22:13:20Z  written on this device
          2023-11-14T22:13:21Z  committed here as number 41
          2023-11-14T22:13:22Z  posted for phone on file:///media/stick
          2023-11-14T22:13:23Z  confirmed by phone
          -                     not confirmed by tablet yet
        bundle cdcdcdcd-cdcd-cdcd-cdcd-cdcdcdcdcdcd:2  status
          2023-11-14T22:13:20Z  written on phone
          2023-11-14T22:13:24Z  received from tablet over file:///media/stick
          -                     waits here for an earlier bundle
          -                     confirmed by phone
        steps between devices are remembered since 2023-11-03T08:26:40Z
        ");
    }

    #[test]
    fn a_story_has_every_name_that_scripts_rely_on() {
        let mut story = sample();
        story.bundles.truncate(1);
        insta::assert_snapshot!(format!("{:#}", object(&story)));
    }
}
