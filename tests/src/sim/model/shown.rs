//! What apps see, in one value that can be compared.

use std::collections::BTreeMap;

use kinfolk_core::ids::Hash;
use kinfolk_core::op::MessageBody;
use prost::Message;

/// Everything that a device shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// By collection and key.
    pub records: BTreeMap<(String, String), ShownRecord>,
    /// By id.
    pub messages: BTreeMap<String, ShownMessage>,
    /// By name.
    pub conversations: BTreeMap<String, ShownConversation>,
    /// Registers in conflict, those of records aside that are gone for everybody.
    pub conflicts: u64,
    /// Messages of which different contents were posted.
    pub differing: u64,
}

impl Shown {
    /// The same, as if no device had the content of any message.
    pub fn outline(mut self) -> Self {
        for message in self.messages.values_mut() {
            let whole = std::mem::take(&mut message.body);
            let content = message.elsewhere.unwrap_or_else(|| Hash::of(&whole.encode_to_vec()));
            let body = MessageBody { text: String::new(), bytes: Vec::new(), attachments: Vec::new(), ..whole };
            (message.body, message.elsewhere) = (body, Some(content));
        }
        self
    }
}

/// A record.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ShownRecord {
    /// Its fields with their values' bytes.
    pub fields: BTreeMap<String, Vec<u8>>,
    /// Its registers in conflict.
    pub conflicts: Vec<String>,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownMessage {
    /// Its content.
    pub body: MessageBody,
    /// The hash of the content when it is not here: `body` has none then.
    pub elsewhere: Option<Hash>,
    /// Its time, in microseconds.
    pub created_us: i64,
    /// When it was sent, delivered, read.
    pub levels: [Option<i64>; 3],
}

/// A conversation.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ShownConversation {
    /// How many messages.
    pub messages: u64,
    /// How many unread.
    pub unread: u64,
    /// The last one, by time and id.
    pub last: (i64, String),
}
