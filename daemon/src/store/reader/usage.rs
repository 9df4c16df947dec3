//! How much is stored under an app's prefixes.

use rusqlite::Connection;

use super::Reader;
use crate::apps::{Grant, Scope, Usage};
use crate::store::StoreError;
use crate::store::convert::{int, uint};

impl Reader {
    /// At least as much as [`Self::usage`] without reading it: the size of the database, and the items by the tables that keep them counted.
    pub fn usage_bound(&self, collections: &Grant, conversations: &Grant) -> Result<Usage, StoreError> {
        self.with(|connection| {
            let mut items = 0_u64;
            for (names, grant) in [(COLLECTIONS, collections), (CONVERSATIONS, conversations)] {
                items = written(connection, names, grant)?
                    .into_iter()
                    .map(|(_, count)| count)
                    .fold(items, u64::saturating_add);
            }
            let pages: i64 = connection.query_row("PRAGMA page_count", (), |row| row.get(0))?;
            Ok(Usage { bytes: uint(pages).saturating_mul(page_size(connection)?), items })
        })
    }

    /// What lies under the prefixes that may be written, in bytes of keys, names of fields and values, and of messages as they were posted.
    pub fn usage(&self, collections: &Grant, conversations: &Grant) -> Result<Usage, StoreError> {
        self.with(|connection| {
            let mut usage = Usage::default();
            for (names, sizes, grant) in [(COLLECTIONS, RECORDS, collections), (CONVERSATIONS, MESSAGES, conversations)]
            {
                for (name, count) in written(connection, names, grant)? {
                    usage.items = usage.items.saturating_add(count);
                    for sql in sizes {
                        let mut statement = connection.prepare_cached(sql)?;
                        let bytes: i64 = statement.query_row((name,), |row| row.get(0))?;
                        usage.bytes = usage.bytes.saturating_add(uint(bytes));
                    }
                }
            }
            Ok(usage)
        })
    }

    /// Whether the push of that number was committed.
    pub fn has_app_bundle(&self, source: &str, id: u64) -> Result<bool, StoreError> {
        self.with(|connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM app_bundle WHERE app = ?1 AND id = ?2)";
            Ok(connection.prepare_cached(sql)?.query_row((source, int(id)), |row| row.get(0))?)
        })
    }
}

/// SQLCipher answers in text, SQLite with a number.
fn page_size(connection: &Connection) -> Result<u64, StoreError> {
    let size = connection.query_row("PRAGMA page_size", (), |row| {
        let size = row.get_ref(0)?;
        Ok(size.as_i64().ok().or_else(|| size.as_str().ok()?.parse().ok()))
    })?;
    size.map(uint).ok_or(StoreError::Damaged("it does not say how large its pages are"))
}

/// The numbers of the names that may be written, and how many items there are.
fn written(connection: &Connection, names: &str, grant: &Grant) -> Result<Vec<(i64, u64)>, StoreError> {
    let mut statement = connection.prepare_cached(names)?;
    let mut rows = statement.query(())?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if grant.allows(row.get_ref(0)?.as_str().unwrap_or_default(), Scope::Write) {
            found.push((row.get(1)?, uint(row.get(2)?)));
        }
    }
    Ok(found)
}

const COLLECTIONS: &str = "SELECT name, idx, live FROM collection";
const CONVERSATIONS: &str = "SELECT name, idx, messages FROM conversation";
/// Keys; fields and values of what shows.
const RECORDS: &[&str] = &[
    "SELECT coalesce(sum(length(CAST(key AS BLOB))), 0) FROM row WHERE collection = ?1 AND live <> 0",
    "SELECT coalesce(sum(length(CAST(w.field AS BLOB)) + coalesce(length(w.value), 0)), 0)
     FROM row r JOIN write w ON w.row = r.idx WHERE r.collection = ?1 AND r.live <> 0",
];
/// Ids; what was posted.
const MESSAGES: &[&str] = &[
    "SELECT coalesce(sum(length(CAST(id AS BLOB)) + coalesce(length(payload), 0)), 0) FROM message WHERE conversation = ?1",
];
