//! What is known of a conversation beside its messages.
//!
//! It is the record under the conversation's name in [`CONVERSATION_COLLECTION`], written and merged like any record. Each thing has a field of its
//! own, each member and each attribute too: devices that add different members at the same time add both. Nobody is asked about conflicts here;
//! of one field the last write counts.
//!
//! | field | value |
//! |---|---|
//! | `kind` | text `direct` or `group` |
//! | `title` | text |
//! | `member/NAME` | true |
//! | `attribute/NAME` | text |
//! | `read_markers` | text `local` or `synced` |
//!
//! A field or a value that is not known here says nothing: a newer version may have written it.

use std::collections::{BTreeMap, BTreeSet};

use crate::op::{CONVERSATION_COLLECTION, Op};
use crate::value::{Kind as ValueKind, Value};

/// What a conversation is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// With one other person.
    Direct,
    /// With any number.
    Group,
}

/// Whether read markers reach the other devices.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Markers {
    /// They stay on the device.
    #[default]
    Local,
    /// They reach the other devices.
    Synced,
}

/// What is known of a conversation.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Metadata {
    /// What it is, when somebody said so.
    pub kind: Option<Kind>,
    /// How it is called; may be empty.
    pub title: String,
    /// Who is in it.
    pub members: BTreeSet<String>,
    /// What else apps keep of it.
    pub attributes: BTreeMap<String, String>,
    /// Whether its read markers reach the other devices, when somebody said so.
    pub markers: Option<Markers>,
}

/// A change of it: what is `None` or not named stays.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Change {
    /// What it is; `Some(None)` takes back what was said.
    pub kind: Option<Option<Kind>>,
    /// How it is called; the empty title takes it away.
    pub title: Option<String>,
    /// Members that come (true) and go (false).
    pub members: BTreeMap<String, bool>,
    /// Attributes that get a value, or lose theirs.
    pub attributes: BTreeMap<String, Option<String>>,
    /// Whether its read markers reach the other devices; `Some(None)` leaves it to each device.
    pub markers: Option<Option<Markers>>,
}

/// Longest name of a member, in bytes: with `member/` it fits into a field's name.
pub const MAX_MEMBER: usize = 120;
/// Longest name of an attribute, in bytes.
pub const MAX_ATTRIBUTE: usize = 110;

const KIND: &str = "kind";
const TITLE: &str = "title";
const MEMBER: &str = "member/";
const ATTRIBUTE: &str = "attribute/";
const MARKERS: &str = "read_markers";

impl Metadata {
    /// Reads the fields of a record.
    pub fn of_fields<'f>(fields: impl IntoIterator<Item = (&'f str, &'f Value)>) -> Self {
        let mut read = Self::default();
        for (field, value) in fields {
            let text = match &value.kind {
                Some(ValueKind::Text(text)) => text.as_str(),
                Some(ValueKind::Bool(true)) => {
                    read.members.extend(field.strip_prefix(MEMBER).map(str::to_owned));
                    continue;
                }
                Some(
                    ValueKind::Bool(false)
                    | ValueKind::Null(_)
                    | ValueKind::Int(_)
                    | ValueKind::Float(_)
                    | ValueKind::Bytes(_)
                    | ValueKind::Timestamp(_)
                    | ValueKind::Json(_),
                )
                | None => continue,
            };
            match (field, text) {
                (KIND, text) => read.kind = Kind::from_name(text),
                (TITLE, text) => text.clone_into(&mut read.title),
                (MARKERS, text) => read.markers = Markers::from_name(text),
                (field, text) => {
                    let name = field.strip_prefix(ATTRIBUTE);
                    read.attributes.extend(name.map(|name| (name.to_owned(), text.to_owned())));
                }
            }
        }
        read
    }

    /// The change that makes all of this of a conversation of which nothing is known.
    pub fn as_change(&self) -> Change {
        Change {
            kind: self.kind.map(Some),
            title: Some(self.title.clone()).filter(|title| !title.is_empty()),
            members: self.members.iter().map(|member| (member.clone(), true)).collect(),
            attributes: self.attributes.iter().map(|(name, text)| (name.clone(), Some(text.clone()))).collect(),
            markers: self.markers.map(Some),
        }
    }
}

impl Change {
    /// The op that makes this change in `conversation`.
    ///
    /// # Errors
    /// When a name does not fit.
    pub fn op(self, conversation: &str) -> Result<Op, &'static str> {
        let Self { kind, title, members, attributes, markers } = self;
        if members.keys().any(|member| !(1..=MAX_MEMBER).contains(&member.len())) {
            return Err("the name of a member has 1 to 120 bytes");
        }
        if attributes.keys().any(|name| !(1..=MAX_ATTRIBUTE).contains(&name.len())) {
            return Err("the name of an attribute has 1 to 110 bytes");
        }
        let mut fields: Vec<(String, Option<Value>)> = Vec::new();
        fields.extend(kind.map(|kind| (KIND.to_owned(), kind.map(|kind| Value::text(kind.name())))));
        let title = title.map(|title| Some(title).filter(|title| !title.is_empty()));
        fields.extend(title.map(|title| (TITLE.to_owned(), title.map(Value::text))));
        let is_in = |comes: bool| comes.then_some(Value { kind: Some(ValueKind::Bool(true)) });
        fields.extend(members.into_iter().map(|(member, comes)| (format!("{MEMBER}{member}"), is_in(comes))));
        let attributes = attributes.into_iter();
        fields.extend(attributes.map(|(name, text)| (format!("{ATTRIBUTE}{name}"), text.map(Value::text))));
        let markers = markers.map(|markers| markers.map(|markers| Value::text(markers.name())));
        fields.extend(markers.map(|markers| (MARKERS.to_owned(), markers)));
        Ok(Op::record_put(CONVERSATION_COLLECTION, conversation, fields))
    }
}

impl Kind {
    /// The name that stands in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Direct, Self::Group].into_iter().find(|kind| kind.name() == name)
    }
}

impl Markers {
    /// The name that stands in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Synced => "synced",
        }
    }

    /// The choice of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Local, Self::Synced].into_iter().find(|markers| markers.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{MAX_FIELD_NAME, Meaning};

    fn full() -> Metadata {
        Metadata {
            kind: Some(Kind::Group),
            title: "Family".into(),
            members: ["ann".to_owned(), "bob".to_owned()].into(),
            attributes: [("colour".to_owned(), "red".to_owned())].into(),
            markers: Some(Markers::Synced),
        }
    }

    fn read(op: &Op) -> Metadata {
        let fields = op.fields.iter().filter_map(|field| Some((field.name.as_str(), field.value.as_ref()?)));
        Metadata::of_fields(fields)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let op = full().as_change().op("family").unwrap();
        assert_eq!((op.collection.as_str(), op.key.as_str()), ("@conversation", "family"));
        assert_eq!(op.meaning(), Meaning::RecordPut);
        assert_eq!(read(&op), full());
        assert_eq!(Metadata::default().as_change(), Change::default());
    }

    #[test]
    fn a_change_names_only_what_changes_and_takes_things_away() {
        let change = Change {
            kind: Some(None),
            title: Some(String::new()),
            members: [("ann".to_owned(), false)].into(),
            attributes: [("colour".to_owned(), None)].into(),
            markers: Some(None),
        };
        let op = change.op("family").unwrap();
        let names: Vec<&str> = op.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["kind", "title", "member/ann", "attribute/colour", "read_markers"]);
        assert!(op.fields.iter().all(|field| field.value.is_none()));
        assert!(Change::default().op("family").unwrap().fields.is_empty());
    }

    #[test]
    fn what_is_not_known_says_nothing() {
        let fields = [
            ("kind", Value::text("channel")),
            ("title", Value::int(3)),
            ("member/x", Value::text("yes")),
            ("members", Value { kind: Some(ValueKind::Bool(true)) }),
            ("read_markers", Value::text("both")),
            ("later", Value::text("x")),
        ];
        let read = Metadata::of_fields(fields.iter().map(|(name, value)| (*name, value)));
        assert_eq!(read, Metadata::default());
    }

    #[test]
    fn the_longest_names_fit_into_a_field_and_longer_ones_are_refused() {
        let member = |length| Change { members: [("x".repeat(length), true)].into(), ..Change::default() };
        let attribute = |length| Change { attributes: [("x".repeat(length), None)].into(), ..Change::default() };
        for longest in [member(MAX_MEMBER), attribute(MAX_ATTRIBUTE)] {
            let op = longest.op("c").unwrap();
            assert_eq!(op.meaning(), Meaning::RecordPut);
            assert!(op.fields[0].name.len() <= MAX_FIELD_NAME);
        }
        for wrong in [member(0), member(MAX_MEMBER + 1), attribute(0), attribute(MAX_ATTRIBUTE + 1)] {
            assert!(wrong.op("c").is_err());
        }
    }
}
