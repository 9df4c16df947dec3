//! Snapshots of the JSON that scripts read.

use ipc_proto::v1::{Attachment, MessageName, Retention, Sibling};

use super::*;

#[test]
fn status_has_every_name_that_scripts_rely_on() {
    insta::assert_snapshot!(format!("{:#}", status(&sample_status())));
}

#[test]
fn a_full_message_and_an_empty_one() {
    let full = Message {
        conversation: "family".into(),
        id: "m1".into(),
        sender: "ann".into(),
        recipients: vec!["bob".into()],
        group: "g".into(),
        outbound: true,
        body: Some(Body::Text("hello\nthere".into())),
        content_type: "text/markdown".into(),
        created_at: "2026-01-02T03:04:05+01:00".into(),
        reply_to: "m0".into(),
        attachments: vec![Attachment {
            name: "cat.jpg".into(),
            content_type: "image/jpeg".into(),
            size: 3,
            sha256: vec![0xAB; 32],
            location: "/photos/cat.jpg".into(),
        }],
        sent_at_us: Some(1),
        delivered_at_us: Some(2_000_000),
        read_at_us: Some(3_500_000),
        elsewhere: None,
        unread: true,
    };
    insta::assert_snapshot!(format!("{:#}", Value::from(message(&full))));
    let empty = Message { conversation: "family".into(), id: "m2".into(), ..Message::default() };
    insta::assert_snapshot!(Value::from(message(&empty)), @r#"{"conversation":"family","id":"m2","body":""}"#);
}

#[test]
fn a_message_whose_body_is_elsewhere_has_none_and_says_who_keeps_it() {
    let elsewhere = BodyElsewhere { size: 4_000, kept_by: vec!["server".into()], reach: BodyReach::NoAnswer.into() };
    let lean = Message { id: "m1".into(), elsewhere: Some(elsewhere), ..Message::default() };
    let json = r#"{"id":"m1","elsewhere":{"size":4000,"kept_by":["server"],"reach":"no_answer"}}"#;
    assert_eq!(Value::from(message(&lean)).to_string(), json);
}

#[test]
fn a_bundle_shows_what_its_ops_did_and_how_things_stand() {
    let stored = Record { collection: "notes".into(), key: "a".into(), row_version: 7, ..Record::default() };
    let gone = MessageName { conversation: "family".into(), id: "m1".into() };
    let sample = Bundle {
        bundle_seq: 7,
        device_id: "0d".repeat(16),
        source_id: "5e".repeat(16),
        seq: 3,
        written_at_ms: 1_700_000_000_000,
        changes: vec![
            Change { kind: ChangeKind::RecordPut.into(), now: Some(Now::Record(stored)) },
            Change { kind: ChangeKind::MessageDelete.into(), now: Some(Now::MessageGone(gone)) },
            Change { kind: ChangeKind::Unspecified.into(), now: None },
        ],
    };
    insta::assert_snapshot!(format!("{:#}", bundle(&sample)));
}

/// A status with something in every field.
pub(crate) fn sample_status() -> Status {
    Status {
        device: Some(Device { id: "0a".repeat(16), name: "laptop".into(), this_device: true, ..Device::default() }),
        mode: SyncMode::Hybrid.into(),
        siblings: vec![Sibling {
            id: "0b".repeat(16),
            name: "phone".into(),
            last_seen_ms: Some(1_700_000_000_000),
            lag: 2,
            epoch_seen: 1,
            live: true,
        }],
        relays: vec![Relay {
            url: "file:///media/stick".into(),
            kind: "file".into(),
            ok: false,
            reason: "the folder is not there".into(),
            push: true,
            id: "0c".repeat(16),
            last_ok_ms: None,
            fault: RelayFault::Unreachable.into(),
            sent: 12,
            received: 7,
            round_trip_us: Some(1_500),
            queued: 1,
        }],
        pending_up: 2,
        pending_down: 0,
        last_up_ms: Some(1_700_000_000_500),
        last_down_ms: None,
        conflicts: 1,
        conflicts_settled: 2,
        quarantine: 0,
        digest: "d1".repeat(32),
        keys: Some(KeyProtection { provider: "file".into(), description: "protected only by file permissions".into() }),
        recovery: RecoveryState::None.into(),
        synced: false,
        catch_up: None,
        bundle_seq: 41,
        retention: Some(Retention {
            days: Some(90),
            elsewhere: 7,
            kept_by: vec!["phone".into()],
            keeps_for: Vec::new(),
        }),
        next_pass_ms: Some(1_700_000_200_000),
        every_ms: Some(300_000),
        attention: vec!["the relay file:///media/stick is unreachable: the folder is not there".into()],
    }
}
