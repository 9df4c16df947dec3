//! What apps see, in one value that can be compared.

use std::collections::BTreeMap;

use kinfolk_core::op::MessageBody;

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
