//! What is counted of conversations: how many messages, how many unread, which is the last.
//!
//! While a transaction runs, only differences are noted; each conversation that was touched is brought up to date once, before
//! the commit. The last message comes out of the index, so nothing has to be known about the one before it. A conversation
//! without messages has no row: it looks the same whether its messages were deleted here or never came.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};

use super::StoreError;

/// The conversations that the open transaction has touched.
#[derive(Default)]
pub(super) struct Conversations {
    by_name: BTreeMap<String, i64>,
    touched: BTreeMap<i64, Difference>,
}

#[derive(Default)]
struct Difference {
    messages: i64,
    unread: i64,
}

impl Conversations {
    /// The number of the conversation of that name, made when it is new.
    pub(super) fn enter(&mut self, connection: &Connection, name: &str) -> Result<i64, StoreError> {
        if let Some(idx) = self.by_name.get(name) {
            return Ok(*idx);
        }
        let known: Option<i64> = connection
            .prepare_cached("SELECT idx FROM conversation WHERE name = ?1")?
            .query_row((name,), |row| row.get(0))
            .optional()?;
        let idx = match known {
            Some(idx) => idx,
            None => {
                let sql = "INSERT INTO conversation (name, messages, unread) VALUES (?1, 0, 0)";
                connection.prepare_cached(sql)?.execute((name,))?;
                connection.last_insert_rowid()
            }
        };
        self.by_name.insert(name.to_owned(), idx);
        self.touched.entry(idx).or_default();
        Ok(idx)
    }

    /// Notes that the conversation has so many more messages, and so many more unread.
    pub(super) fn count(&mut self, idx: i64, messages: i64, unread: i64) {
        let difference = self.touched.entry(idx).or_default();
        difference.messages += messages;
        difference.unread += unread;
    }

    /// Brings all touched ones up to date.
    pub(super) fn flush(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let update = "UPDATE conversation
             SET messages = messages + ?2, unread = unread + ?3, (last_us, last) = (
                 SELECT created_us, idx FROM message WHERE conversation = ?1 ORDER BY created_us DESC, id DESC LIMIT 1)
             WHERE idx = ?1";
        let remove = "DELETE FROM conversation WHERE idx = ?1 AND messages = 0";
        for (idx, Difference { messages, unread }) in std::mem::take(&mut self.touched) {
            connection.prepare_cached(update)?.execute((idx, messages, unread))?;
            connection.prepare_cached(remove)?.execute((idx,))?;
        }
        self.by_name.clear();
        Ok(())
    }
}
