//! One line of an import: JSON to ops, and back for an export.
//!
//! ```text
//! {"op":"message","conversation":…,"id":…,"sender":…,"body":…,"at":RFC 3339?}   and recipients, group, outbound,
//!     content_type, reply_to, attachments, sent_at, delivered_at, read_at where known
//! {"op":"status","id":…,"status":"sent|delivered|read","at":RFC 3339?}
//! {"op":"delete","id":…,"at":RFC 3339?}
//! {"op":"record","collection":…,"key":…,"fields":{…}}                          typed values: see `typed`
//! {"op":"record_delete","collection":…,"key":…}
//! {"op":"conversation","conversation":…}                                       and kind, title, members, attributes, read_markers
//! {"op":"policy","collection":…,"policy":"keep|lww"}
//! ```
//!
//! A line is strict: a member that it does not know is an error, since a misspelt one would lose data unseen. An import
//! wants an `id` for each message, or a second run would post it twice.

use std::collections::BTreeMap;

use ipc_proto::v1::{
    self, Attachment, DeleteMessage, DeleteRecord, ExportItem, Message, MessageStatus, Op, PutRecord, SetConversation,
    SetMessageStatus, SetPolicyRequest, export_item::Item, message::Body, op,
};
use serde_json::{Map, Value};

use crate::{instant, typed, view};

/// What a line touches. Two lines that touch the same thing must keep their order.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Entity {
    /// A message by id.
    Message(String),
    /// A record by collection and key.
    Record(String, String),
}

/// A line, understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// What to push; a message with status times is several ops.
    pub(crate) ops: Vec<Op>,
    /// What it touches.
    pub(crate) entity: Entity,
    /// Whether a bundle takes one such line about one thing: a post, or anything about a record.
    pub(crate) once: bool,
}

/// Reads a line.
pub(crate) fn read(text: &str) -> Result<Line, String> {
    let json: Value = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    let Value::Object(members) = json else { return Err("a line is one JSON object".into()) };
    let mut members = Members(members);
    let operation = members.need("op")?;
    let line = match operation.as_str() {
        "message" => message(&mut members)?,
        "status" => {
            let id = members.need("id")?;
            let status = status(&members.need("status")?)?;
            message_line(id.clone(), vec![set_status(id, status, members.instant("at")?)], false)
        }
        "delete" => {
            let id = members.need("id")?;
            let at_us = members.instant("at")?;
            message_line(id.clone(), vec![op::Op::DeleteMessage(DeleteMessage { id, at_us })], false)
        }
        "record" => {
            let (collection, key) = (members.need("collection")?, members.need("key")?);
            let fields = members.fields()?;
            let put = PutRecord { collection: collection.clone(), key: key.clone(), fields, ..PutRecord::default() };
            record_line(collection, key, op::Op::PutRecord(put))
        }
        "record_delete" => {
            let (collection, key) = (members.need("collection")?, members.need("key")?);
            let delete = DeleteRecord { collection: collection.clone(), key: key.clone(), ..DeleteRecord::default() };
            record_line(collection, key, op::Op::DeleteRecord(delete))
        }
        "conversation" => {
            let name = members.need("conversation")?;
            let set = conversation(name.clone(), &mut members)?;
            record_line(CONVERSATIONS.to_owned(), name, op::Op::SetConversation(set))
        }
        "policy" => {
            let (collection, name) = (members.need("collection")?, members.need("policy")?);
            let policy = view::policy_of(&name).ok_or_else(|| format!("there is no policy `{name}`; keep or lww"))?;
            let set = SetPolicyRequest { collection: collection.clone(), policy: policy.into() };
            record_line(POLICIES.to_owned(), collection, op::Op::SetPolicy(set))
        }
        other => {
            return Err(format!(
                "there is no op `{other}`; ops are message, status, delete, record, record_delete, conversation, policy"
            ));
        }
    };
    members.end()?;
    Ok(line)
}

/// The line of an exported item: reading it back gives the same.
pub(crate) fn write(item: &ExportItem) -> Option<String> {
    let (operation, members) = match item.item.as_ref()? {
        Item::Message(message) => ("message", view::message(message)),
        Item::Record(record) => ("record", view::record(record)),
        Item::Conversation(set) => ("conversation", view::set_conversation(set)),
        Item::Policy(set) => ("policy", view::set_policy(set)),
    };
    let mut line = Map::new();
    line.insert("op".into(), operation.into());
    line.extend(members);
    Some(Value::Object(line).to_string())
}

/// The status with that name.
pub(crate) fn status(name: &str) -> Result<MessageStatus, String> {
    match name {
        "sent" => Ok(MessageStatus::Sent),
        "delivered" => Ok(MessageStatus::Delivered),
        "read" => Ok(MessageStatus::Read),
        other => Err(format!("there is no status `{other}`; statuses are sent, delivered, read")),
    }
}

fn message(members: &mut Members) -> Result<Line, String> {
    let conversation = members.need("conversation")?;
    let id = members.need("id")?;
    if members.0.contains_key("elsewhere") {
        return Err("the body of this message was on another device when it was exported: export it there".into());
    }
    let created_at = members.text("at")?;
    if !created_at.is_empty() {
        instant::micros(&created_at)?;
    }
    let body = match members.0.shift_remove("body") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(Body::Text(text)),
        Some(other) => match typed::from_json(&other)?.kind {
            Some(v1::value::Kind::Bytes(bytes)) => Some(Body::Data(bytes)),
            _other_type => return Err("`body` is text or {\"$bytes\": …}".into()),
        },
    };
    let times = [
        (MessageStatus::Sent, members.instant("sent_at")?),
        (MessageStatus::Delivered, members.instant("delivered_at")?),
        (MessageStatus::Read, members.instant("read_at")?),
    ];
    let post = Message {
        conversation,
        id: id.clone(),
        sender: members.text("sender")?,
        recipients: members.texts("recipients")?,
        group: members.text("group")?,
        outbound: members.flag("outbound")?,
        body,
        content_type: members.text("content_type")?,
        created_at,
        reply_to: members.text("reply_to")?,
        attachments: members.attachments()?,
        ..Message::default()
    };
    let mut ops = vec![op::Op::PostMessage(post)];
    for (status, time) in times {
        ops.extend(time.map(|at_us| set_status(id.clone(), status, Some(at_us))));
    }
    Ok(message_line(id, ops, true))
}

fn conversation(name: String, members: &mut Members) -> Result<SetConversation, String> {
    let mut named = |member: &str| members.text(member).map(|text| Some(text).filter(|text| !text.is_empty()));
    let kind = named("kind")?.map(|kind| {
        view::conversation_kind_of(&kind).ok_or_else(|| format!("there is no kind `{kind}`; direct or group"))
    });
    let markers = named("read_markers")?.map(|markers| {
        view::read_markers_of(&markers).ok_or_else(|| format!("read markers are local or synced, not `{markers}`"))
    });
    Ok(SetConversation {
        name,
        kind: kind.transpose()?.map(Into::into),
        title: named("title")?,
        add_members: members.texts("members")?,
        attributes: members.attributes_of_conversation()?,
        read_markers: markers.transpose()?.map(Into::into),
        ..SetConversation::default()
    })
}

fn set_status(id: String, status: MessageStatus, at_us: Option<i64>) -> op::Op {
    op::Op::SetMessageStatus(SetMessageStatus { id, status: status.into(), at_us })
}

fn message_line(id: String, ops: Vec<op::Op>, once: bool) -> Line {
    Line { ops: ops.into_iter().map(|op| Op { op: Some(op) }).collect(), entity: Entity::Message(id), once }
}

fn record_line(collection: String, key: String, op: op::Op) -> Line {
    Line { ops: vec![Op { op: Some(op) }], entity: Entity::Record(collection, key), once: true }
}

/// The members of an object, taken one by one; what is left at the end is unknown.
struct Members(Map<String, Value>);

impl Members {
    fn need(&mut self, name: &str) -> Result<String, String> {
        match self.0.shift_remove(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            Some(Value::String(_)) => Err(format!("`{name}` is empty")),
            Some(_) => Err(format!("`{name}` is not text")),
            None => Err(format!("`{name}` is missing")),
        }
    }

    fn text(&mut self, name: &str) -> Result<String, String> {
        match self.0.shift_remove(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(format!("`{name}` is not text")),
        }
    }

    fn texts(&mut self, name: &str) -> Result<Vec<String>, String> {
        let wrong = || format!("`{name}` is not a list of texts");
        match self.0.shift_remove(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                items.into_iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
            }
            Some(_) => Err(wrong()),
        }
    }

    fn flag(&mut self, name: &str) -> Result<bool, String> {
        match self.0.shift_remove(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(format!("`{name}` is not true or false")),
        }
    }

    fn instant(&mut self, name: &str) -> Result<Option<i64>, String> {
        match self.text(name)? {
            empty if empty.is_empty() => Ok(None),
            text => instant::micros(&text).map(Some),
        }
    }

    fn fields(&mut self) -> Result<BTreeMap<String, v1::Value>, String> {
        match self.0.shift_remove("fields") {
            Some(Value::Object(fields)) => fields
                .iter()
                .map(|(name, json)| match typed::from_json(json) {
                    Ok(value) => Ok((name.clone(), value)),
                    Err(reason) => Err(format!("field `{name}`: {reason}")),
                })
                .collect(),
            Some(_) => Err("`fields` is not an object".into()),
            None => Err("`fields` is missing".into()),
        }
    }

    fn attributes_of_conversation(&mut self) -> Result<BTreeMap<String, String>, String> {
        let wrong = || "`attributes` is not an object of texts".to_owned();
        match self.0.shift_remove("attributes") {
            None | Some(Value::Null) => Ok(BTreeMap::new()),
            Some(Value::Object(attributes)) => {
                let text = |(name, value): (String, Value)| Ok((name, value.as_str().ok_or_else(wrong)?.to_owned()));
                attributes.into_iter().map(text).collect()
            }
            Some(_) => Err(wrong()),
        }
    }

    fn attachments(&mut self) -> Result<Vec<Attachment>, String> {
        let items = match self.0.shift_remove("attachments") {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err("`attachments` is not a list".into()),
        };
        let read = |item| {
            let Value::Object(members) = item else { return Err("an attachment is an object".to_owned()) };
            let mut members = Self(members);
            let size = match members.0.shift_remove("size") {
                None => 0,
                Some(size) => size.as_u64().ok_or("`size` is not a number of bytes")?,
            };
            let attachment = Attachment {
                name: members.text("name")?,
                content_type: members.text("content_type")?,
                size,
                sha256: unhex(&members.text("sha256")?)?,
                location: members.text("location")?,
            };
            members.end().map(|()| attachment)
        };
        items.into_iter().map(read).collect()
    }

    fn end(self) -> Result<(), String> {
        match self.0.keys().next() {
            Some(name) => Err(format!("`{name}` is not known here")),
            None => Ok(()),
        }
    }
}

/// Where conversations and policies are records of, for lines about the same thing.
const CONVERSATIONS: &str = "@conversation";
const POLICIES: &str = "@collection";

/// Why a text is no JSON. The parser's own "at line 1" would be taken for the line of the file.
fn not_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text);
    format!("this is not JSON: {reason} at column {}", error.column())
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || "`sha256` is not 64 hex digits".to_owned();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    if digits.len() != 64 {
        return Err(wrong());
    }
    Ok(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
mod tests;
