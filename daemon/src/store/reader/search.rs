//! Full-text search over messages.
//!
//! **Order.** Hits come newest first by arrival here. Ranking by relevance would have to visit every hit before it could show the
//! first one, and a common word has a hundred thousand; the index gives its newest entries at once, whatever the number.

use super::conversations::{COLUMNS, MessageView, read};
use super::query;
use super::{MAX_PAGE, Reader};
use crate::store::StoreError;
use crate::store::conversations::number;
use crate::store::convert::limit;

/// What is searched for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sought {
    /// Words, `"quoted phrases"`, `begin*`: text or sender holds all of them.
    pub typed: String,
    /// Only in this conversation.
    pub conversation: Option<String>,
    /// Only of this sender, exactly.
    pub sender: Option<String>,
    /// Only created at this instant or later, in microseconds since the Unix epoch.
    pub from_us: Option<i64>,
    /// Only created before this instant.
    pub before_us: Option<i64>,
}

/// A message that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Names the hit for the next page. Only good on this device.
    pub place: i64,
    /// The message.
    pub message: MessageView,
    /// The part of its text around the match; its beginning when only the sender matched.
    pub snippet: Vec<Piece>,
}

/// A piece of a snippet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Whether it is what was searched for.
    pub matched: bool,
}

/// How many words a snippet has.
const SNIPPET_WORDS: u32 = 24;
/// What encloses a match in the snippet that SQLite makes: controls that no text has a use for.
const OPEN: char = '\u{2}';
const CLOSE: char = '\u{3}';

impl Reader {
    /// Messages that hold what is sought: those before the hit `before`, at most `most`, and at most [`MAX_PAGE`].
    pub fn search(&self, sought: &Sought, before: Option<i64>, most: usize) -> Result<Vec<Hit>, StoreError> {
        self.with(|connection| {
            let place = match &sought.conversation {
                Some(name) => match number(connection, name)? {
                    Some(number) => Some(number),
                    None => return Ok(Vec::new()),
                },
                None => None,
            };
            let Some(query) = query::fts(&sought.typed, place, sought.sender.as_deref()) else {
                return Ok(Vec::new());
            };
            let sql = format!(
                "SELECT {COLUMNS}, snippet(message_text, 0, char({}), char({}), '…', {SNIPPET_WORDS})
                 FROM message_text JOIN message m ON m.idx = message_text.rowid
                 WHERE message_text MATCH ?1 AND message_text.rowid < ?2 AND m.created_us >= ?4
                     AND (?5 IS NULL OR m.created_us < ?5) AND (?6 IS NULL OR kinfolk_sender(m.payload) = ?6)
                 ORDER BY message_text.rowid DESC LIMIT ?3",
                u32::from(OPEN),
                u32::from(CLOSE)
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let (before, most) = (before.unwrap_or(i64::MAX), limit(most.min(MAX_PAGE)));
            let from_us = sought.from_us.unwrap_or(i64::MIN);
            let mut rows =
                statement.query((query, before, most, from_us, sought.before_us, sought.sender.as_deref()))?;
            let mut hits = Vec::new();
            while let Some(row) = rows.next()? {
                let snippet: String = row.get(7)?;
                hits.push(Hit { place: row.get(0)?, message: read(connection, row)?, snippet: pieces(&snippet) });
            }
            Ok(hits)
        })
    }
}

fn pieces(snippet: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = snippet;
    let mut matched = false;
    while let Some(at) = rest.find([OPEN, CLOSE]) {
        let (text, after) = rest.split_at(at);
        pieces.push(Piece { text: text.to_owned(), matched });
        matched = after.starts_with(OPEN);
        rest = after.get(1..).unwrap_or_default();
    }
    pieces.push(Piece { text: rest.to_owned(), matched });
    pieces.retain(|piece| !piece.text.is_empty());
    pieces
}
