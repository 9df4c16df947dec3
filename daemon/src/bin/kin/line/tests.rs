use super::*;
use ipc_proto::v1::Record;

#[test]
fn a_message_line_is_a_post_with_its_statuses() {
    let line = read(
        r#"{"op":"message","conversation":"c","id":"m","sender":"s","body":"b","at":"2020-12-11T23:37:25-08:00",
            "read_at":"2020-12-12T07:37:26Z"}"#,
    )
    .unwrap();
    assert_eq!(line.entity, Entity::Message("m".into()));
    let [post, read] = line.ops.as_slice() else { panic!("two ops: {line:?}") };
    let Some(op::Op::PostMessage(post)) = &post.op else { panic!("a post: {post:?}") };
    assert_eq!(post.created_at, "2020-12-11T23:37:25-08:00", "the text is kept");
    assert_eq!(post.body, Some(Body::Text("b".into())));
    let Some(op::Op::SetMessageStatus(read)) = &read.op else { panic!("a status: {read:?}") };
    assert_eq!((read.status(), read.at_us), (MessageStatus::Read, Some(1_607_758_646_000_000)));
}

#[test]
fn every_other_op_is_read() {
    let one = |text| read(text).unwrap().ops.remove(0).op.unwrap();
    assert_eq!(
        one(r#"{"op":"status","id":"m","status":"delivered"}"#),
        set_status("m".into(), MessageStatus::Delivered, None)
    );
    assert_eq!(
        one(r#"{"op":"delete","id":"m"}"#),
        op::Op::DeleteMessage(DeleteMessage { id: "m".into(), at_us: None })
    );
    let Some(op::Op::PutRecord(put)) =
        read(r#"{"op":"record","collection":"c","key":"k","fields":{"n":3}}"#).unwrap().ops.remove(0).op
    else {
        panic!("a put")
    };
    assert_eq!(put.fields.get("n").unwrap().kind, Some(v1::value::Kind::Int(3)));
    assert_eq!(
        read(r#"{"op":"record_delete","collection":"c","key":"k"}"#).unwrap().entity,
        Entity::Record("c".into(), "k".into())
    );
}

#[test]
fn a_bad_line_says_what_is_wrong_with_it() {
    let cases = [
        ("", "this is not JSON: EOF while parsing a value at column 0"),
        ("[]", "a line is one JSON object"),
        (
            r#"{"op":"dance"}"#,
            "there is no op `dance`; ops are message, status, delete, record, record_delete, conversation, policy",
        ),
        (r#"{"op":"message","conversation":"c"}"#, "`id` is missing"),
        (r#"{"op":"message","conversation":"","id":"m"}"#, "`conversation` is empty"),
        (r#"{"op":"message","conversation":"c","id":"m","boddy":"x"}"#, "`boddy` is not known here"),
        (r#"{"op":"message","conversation":"c","id":"m","body":3}"#, "`body` is text or {\"$bytes\": …}"),
        (
            r#"{"op":"message","conversation":"c","id":"m","at":"today"}"#,
            "`today` is not a time such as 2026-01-31T12:00:00Z (RFC 3339)",
        ),
        (
            r#"{"op":"status","id":"m","status":"seen"}"#,
            "there is no status `seen`; statuses are sent, delivered, read",
        ),
        (r#"{"op":"record","collection":"c","key":"k"}"#, "`fields` is missing"),
        (
            r#"{"op":"record","collection":"c","key":"k","fields":{"a":{"$bytes":"*"}}}"#,
            "field `a`: `bytes` holds base64",
        ),
        (
            r#"{"op":"message","conversation":"c","id":"m","attachments":[{"name":"a","sha256":"ab"}]}"#,
            "`sha256` is not 64 hex digits",
        ),
    ];
    for (line, reason) in cases {
        assert_eq!(read(line).unwrap_err(), reason, "{line}");
    }
}

#[test]
fn an_exported_item_is_read_back_as_the_same() {
    let message = Message {
        conversation: "c".into(),
        id: "m".into(),
        sender: "s".into(),
        recipients: vec!["a".into(), "b".into()],
        group: "g".into(),
        outbound: true,
        body: Some(Body::Data(vec![0, 1, 254])),
        content_type: "image/png".into(),
        created_at: "2020-12-11T23:37:25.5-08:00".into(),
        reply_to: "r".into(),
        attachments: vec![Attachment {
            name: "n".into(),
            content_type: "t".into(),
            size: 9,
            sha256: (0..32).collect(),
            location: "l".into(),
        }],
        ..Message::default()
    };
    let stored =
        Message { sent_at_us: Some(-1), delivered_at_us: Some(1), read_at_us: Some(1_500_000), ..message.clone() };
    let line = write(&ExportItem { item: Some(Item::Message(stored)) }).unwrap();
    let ops: Vec<op::Op> = read(&line).unwrap().ops.into_iter().filter_map(|op| op.op).collect();
    let id = || "m".to_owned();
    assert_eq!(
        ops,
        [
            op::Op::PostMessage(message),
            set_status(id(), MessageStatus::Sent, Some(-1)),
            set_status(id(), MessageStatus::Delivered, Some(1)),
            set_status(id(), MessageStatus::Read, Some(1_500_000)),
        ],
        "{line}"
    );

    let fields = BTreeMap::from([("t".to_owned(), v1::Value { kind: Some(v1::value::Kind::String("x".into())) })]);
    let record =
        Record { collection: "c".into(), key: "k".into(), fields: fields.clone(), row_version: 3, ..Record::default() };
    let line = write(&ExportItem { item: Some(Item::Record(record)) }).unwrap();
    assert_eq!(line, r#"{"op":"record","collection":"c","key":"k","fields":{"t":"x"}}"#);
    let put = PutRecord { collection: "c".into(), key: "k".into(), fields, ..PutRecord::default() };
    assert_eq!(read(&line).unwrap().ops, [Op { op: Some(op::Op::PutRecord(put)) }]);
}

#[test]
fn conversations_and_policies_are_read_back_as_they_were_exported() {
    let set = SetConversation {
        name: "family".into(),
        kind: Some(v1::ConversationKind::Group.into()),
        title: Some("The family".into()),
        add_members: vec!["ann".into()],
        attributes: [("colour".to_owned(), "red".to_owned())].into(),
        read_markers: Some(v1::ReadMarkers::Synced.into()),
        ..SetConversation::default()
    };
    let line = write(&ExportItem { item: Some(Item::Conversation(set.clone())) }).unwrap();
    assert_eq!(read(&line).unwrap().ops, [Op { op: Some(op::Op::SetConversation(set)) }], "{line}");
    let bare = r#"{"op":"conversation","conversation":"family"}"#;
    let nothing = SetConversation { name: "family".into(), ..SetConversation::default() };
    assert_eq!(read(bare).unwrap().ops, [Op { op: Some(op::Op::SetConversation(nothing)) }]);

    let set = SetPolicyRequest { collection: "todo".into(), policy: v1::ConflictPolicy::Lww.into() };
    let line = write(&ExportItem { item: Some(Item::Policy(set.clone())) }).unwrap();
    assert_eq!(line, r#"{"op":"policy","collection":"todo","policy":"lww"}"#);
    assert_eq!(read(&line).unwrap().ops, [Op { op: Some(op::Op::SetPolicy(set)) }]);
    for wrong in [
        r#"{"op":"policy","collection":"todo","policy":"mine"}"#,
        r#"{"op":"conversation","conversation":"c","kind":"channel"}"#,
        r#"{"op":"conversation","conversation":"c","attributes":{"a":1}}"#,
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
