//! Messages and their status.

use ipc_proto::v1::{self, MessageStatus, message::Body};
use jiff::Timestamp;
use kinfolk_core::op::{Attachment, Level, MessageBody};

use crate::store::MessageView;

/// The content of a message to be posted. The conversation, the id and the sizes are checked by the engine.
pub(in crate::ipc) fn read(message: v1::Message) -> Result<MessageBody, &'static str> {
    if message.elsewhere.is_some() {
        return Err("a message is posted with its body");
    }
    if message.sent_at_us.is_some() || message.delivered_at_us.is_some() || message.read_at_us.is_some() {
        return Err("a post has no status times: add status ops to the same push");
    }
    let created_us = match message.created_at.as_str() {
        "" => None,
        text => Some(instant(text).ok_or("created_at is an instant in RFC 3339 with offset")?),
    };
    let (text, bytes) = match message.body {
        None => Default::default(),
        Some(Body::Text(text)) => (text, Vec::new()),
        Some(Body::Data(bytes)) => (String::new(), bytes),
    };
    let attachments = message.attachments.into_iter().map(read_attachment).collect::<Result<_, _>>()?;
    Ok(MessageBody {
        conversation: message.conversation,
        sender: message.sender,
        recipients: message.recipients,
        group: message.group,
        outbound: message.outbound,
        text,
        bytes,
        content_type: message.content_type,
        created_at: message.created_at,
        created_us,
        reply_to: message.reply_to,
        attachments,
    })
}

/// A message as apps see it. One whose author gave no time shows that of its write.
pub(in crate::ipc) fn show(message: MessageView) -> v1::Message {
    let MessageView { id, body, elsewhere, created_us, levels, unread, row_version: _ } = message;
    let [sent_at_us, delivered_at_us, read_at_us] = levels;
    let created_at = if body.created_at.is_empty() { written(created_us) } else { body.created_at };
    let content = if elsewhere.is_some() {
        None
    } else if body.bytes.is_empty() {
        Some(Body::Text(body.text))
    } else {
        Some(Body::Data(body.bytes))
    };
    v1::Message {
        conversation: body.conversation,
        id,
        sender: body.sender,
        recipients: body.recipients,
        group: body.group,
        outbound: body.outbound,
        body: content,
        content_type: body.content_type,
        created_at,
        reply_to: body.reply_to,
        attachments: body.attachments.into_iter().map(show_attachment).collect(),
        sent_at_us,
        delivered_at_us,
        read_at_us,
        elsewhere: elsewhere
            .map(|elsewhere| v1::BodyElsewhere { size: elsewhere.size, ..v1::BodyElsewhere::default() }),
        unread,
    }
}

/// The level that a status names.
pub(in crate::ipc) fn level(status: MessageStatus) -> Result<Level, &'static str> {
    match status {
        MessageStatus::Unspecified => Err("a status is sent, delivered or read"),
        MessageStatus::Sent => Ok(Level::Sent),
        MessageStatus::Delivered => Ok(Level::Delivered),
        MessageStatus::Read => Ok(Level::Read),
    }
}

/// The names of the fields in which two contents are not the same.
pub(in crate::ipc) fn differing(one: &MessageBody, other: &MessageBody) -> Vec<String> {
    let fields = [
        ("conversation", one.conversation != other.conversation),
        ("sender", one.sender != other.sender),
        ("recipients", one.recipients != other.recipients),
        ("group", one.group != other.group),
        ("outbound", one.outbound != other.outbound),
        ("text", one.text != other.text),
        ("data", one.bytes != other.bytes),
        ("content_type", one.content_type != other.content_type),
        ("created_at", one.created_at != other.created_at),
        ("reply_to", one.reply_to != other.reply_to),
        ("attachments", one.attachments != other.attachments),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}

/// Microseconds since the Unix epoch of an RFC 3339 text.
pub(in crate::ipc) fn instant(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_microsecond)
}

/// An instant as RFC 3339 in UTC. One beyond the calendar's end is shown as the end.
pub(in crate::ipc) fn written(microseconds: i64) -> String {
    let end = if microseconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(microseconds).unwrap_or(end).to_string()
}

fn read_attachment(attachment: v1::Attachment) -> Result<Attachment, &'static str> {
    if !matches!(attachment.sha256.len(), 0 | 32) {
        return Err("the sha256 of an attachment has 32 bytes or none");
    }
    let v1::Attachment { name, content_type, size, sha256, location } = attachment;
    Ok(Attachment { name, content_type, size, sha256, location })
}

fn show_attachment(attachment: Attachment) -> v1::Attachment {
    let Attachment { name, content_type, size, sha256, location } = attachment;
    v1::Attachment { name, content_type, size, sha256, location }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        for body in [Body::Text("hello\nthere".into()), Body::Text(String::new()), Body::Data(vec![0, 1, 0xFF])] {
            let message = v1::Message { body: Some(body), ..full() };
            let inside = read(message.clone()).unwrap();
            assert_eq!(inside.created_us, Some(1));
            assert_eq!(show(view(inside, 1, [None; 3])), message);
        }
    }

    #[test]
    fn a_message_without_a_time_shows_the_time_of_its_write() {
        let inside = read(v1::Message { created_at: String::new(), ..full() }).unwrap();
        assert_eq!(inside.created_us, None);
        let shown = show(view(inside, 1_700_000_000_000_001, [Some(1), None, Some(3)]));
        assert_eq!(shown.created_at, "2023-11-14T22:13:20.000001Z");
        assert_eq!((shown.sent_at_us, shown.delivered_at_us, shown.read_at_us), (Some(1), None, Some(3)));
        assert!(written(i64::MAX).starts_with("9999-"));
        assert!(written(i64::MIN).starts_with("-009999-"));
    }

    #[test]
    fn a_post_that_cannot_be_understood_is_refused() {
        let hostile = [
            v1::Message { created_at: "2024-02-30T00:00:00Z".into(), ..full() },
            v1::Message { created_at: "2024-02-01".into(), ..full() },
            v1::Message { read_at_us: Some(5), ..full() },
            v1::Message { elsewhere: Some(v1::BodyElsewhere::default()), ..full() },
            v1::Message { attachments: vec![v1::Attachment { sha256: vec![1; 31], ..Default::default() }], ..full() },
        ];
        for message in hostile {
            assert!(read(message.clone()).is_err(), "{message:?}");
        }
    }

    #[test]
    fn the_fields_that_differ_are_named_and_no_others() {
        let one = read(full()).unwrap();
        assert!(differing(&one, &one).is_empty());
        let other = MessageBody { text: "bye".into(), outbound: false, ..one.clone() };
        assert_eq!(differing(&one, &other), ["outbound", "text"]);
    }

    #[test]
    fn every_status_but_none_is_a_level() {
        let levels = [MessageStatus::Sent, MessageStatus::Delivered, MessageStatus::Read].map(level);
        assert_eq!(levels, Level::ALL.map(Ok));
        assert!(level(MessageStatus::Unspecified).is_err());
    }

    fn view(body: MessageBody, created_us: i64, levels: [Option<i64>; 3]) -> MessageView {
        let row_version = Default::default();
        MessageView { id: "m1".into(), body, elsewhere: None, created_us, levels, unread: false, row_version }
    }

    fn full() -> v1::Message {
        v1::Message {
            conversation: "family".into(),
            id: "m1".into(),
            sender: "ada".into(),
            recipients: vec!["bob".into(), "eve".into()],
            group: "g".into(),
            outbound: true,
            body: Some(Body::Text("hello".into())),
            content_type: "text/markdown".into(),
            created_at: "1970-01-01T02:00:00.000001+02:00".into(),
            reply_to: "m0".into(),
            attachments: vec![v1::Attachment {
                name: "a.png".into(),
                content_type: "image/png".into(),
                size: u64::MAX,
                sha256: vec![7; 32],
                location: "/a.png".into(),
            }],
            sent_at_us: None,
            delivered_at_us: None,
            read_at_us: None,
            elsewhere: None,
            unread: false,
        }
    }
}
