//! Two databases, table by table.
//!
//! Rows are told by names, not by local numbers: those of messages depend on how bundles were grouped into transactions and on what was
//! compacted, and a source that was cut to nothing and ran on later keeps its number from before. Each query names its row in the first
//! column and comes in an order that is the same on both sides, so no local number orders it.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::Problem;
use crate::store::StoreError;

const TABLES: [(&str, &str); 14] = [
    (
        "sources",
        "SELECT lower(hex(id)), device, generation, seq, hash, stamp, context FROM source WHERE seq > 0 ORDER BY id",
    ),
    ("collections", "SELECT name, live, sum FROM collection WHERE live > 0 OR sum <> zeroblob(40) ORDER BY name"),
    (
        "records",
        "SELECT c.name || '/' || r.key, r.live, r.conflicts, r.version FROM row r JOIN collection c ON c.idx = r.collection
         ORDER BY c.name, r.key",
    ),
    (
        "fields",
        "SELECT c.name || '/' || r.key || '/' || w.field, s.id, w.seq, w.stamp, w.value
         FROM row r JOIN collection c ON c.idx = r.collection JOIN write w ON w.row = r.idx
         LEFT JOIN source s ON s.idx = w.source ORDER BY c.name, r.key, w.field, s.id",
    ),
    ("field writes", "SELECT 'their number', count(*) FROM write"),
    // A row that was written once has no entry: its version is the place. Of what was compacted the log says no more what it changed.
    (
        "history",
        "SELECT c.name || '/' || r.key, h.bundle_seq FROM row r JOIN collection c ON c.idx = r.collection
         JOIN (SELECT row, bundle_seq FROM history UNION SELECT idx, version FROM row) h ON h.row = r.idx
         WHERE h.bundle_seq > (SELECT upto FROM compaction) ORDER BY c.name, r.key, h.bundle_seq",
    ),
    (
        "indexes over fields",
        "SELECT c.name || '/' || f.key || '/' || f.field, f.value FROM field_value f JOIN collection c ON c.idx = f.collection
         ORDER BY c.name, f.field, f.value, f.key",
    ),
    (
        "messages",
        "SELECT m.id, c.name, m.created_us, m.unread, m.version, s.id, m.seq, m.stamp, m.payload, m.stub FROM message m
         LEFT JOIN conversation c ON c.idx = m.conversation LEFT JOIN source s ON s.idx = m.source ORDER BY m.id",
    ),
    (
        "statuses",
        "SELECT m.id, t.level, t.at_us, s.id, t.seq, t.stamp FROM message m JOIN status t ON t.message = m.idx
         LEFT JOIN source s ON s.idx = t.source ORDER BY m.id, t.level",
    ),
    (
        "lost posts",
        "SELECT m.id, v.content FROM message m JOIN message_variant v ON v.message = m.idx ORDER BY m.id, v.content",
    ),
    (
        "tombstones",
        "SELECT lower(hex(t.entity)), t.at_us, s.id, t.seq, t.stamp FROM tombstone t
         LEFT JOIN source s ON s.idx = t.source ORDER BY t.entity",
    ),
    (
        "conversations",
        "SELECT c.name, c.messages, c.unread, c.last_us, m.id,
             (SELECT count(*) FROM message_text WHERE message_text MATCH 'place : \"' || c.idx || '\"')
         FROM conversation c LEFT JOIN message m ON m.idx = c.last ORDER BY c.name",
    ),
    ("ops without effect", "SELECT 'their number', unknown, invalid FROM level"),
    ("words", "SELECT term, col, doc, cnt FROM temp.words WHERE col <> 'place'"),
];

/// The first difference of each table.
pub(super) fn tables(stored: &Connection, rebuilt: &Connection) -> Result<Vec<Problem>, StoreError> {
    for connection in [stored, rebuilt] {
        let words = "CREATE VIRTUAL TABLE temp.words USING fts5vocab (main, message_text, col)";
        connection.execute_batch(words)?;
    }
    let mut problems = Vec::new();
    for (table, sql) in TABLES {
        problems.extend(first_difference(stored, rebuilt, sql)?.map(|name| Problem::State { table, name }));
    }
    stored.execute_batch("DROP TABLE temp.words")?;
    Ok(problems)
}

fn first_difference(stored: &Connection, rebuilt: &Connection, sql: &str) -> Result<Option<String>, StoreError> {
    let (mut stored, mut rebuilt) = (stored.prepare(sql)?, rebuilt.prepare(sql)?);
    let columns = stored.column_count();
    let (mut stored, mut rebuilt) = (stored.query(())?, rebuilt.query(())?);
    loop {
        let read = |row: Option<&rusqlite::Row<'_>>| -> Result<Option<Vec<Value>>, StoreError> {
            let Some(row) = row else { return Ok(None) };
            Ok(Some((0..columns).map(|column| row.get(column)).collect::<Result<_, _>>()?))
        };
        let (ours, theirs) = (read(stored.next()?)?, read(rebuilt.next()?)?);
        if ours == theirs {
            if ours.is_none() {
                return Ok(None);
            }
            continue;
        }
        let name = ours.or(theirs).and_then(|row| row.into_iter().next());
        return Ok(Some(match name {
            Some(Value::Text(name)) => name,
            Some(Value::Null | Value::Integer(_) | Value::Real(_) | Value::Blob(_)) | None => "a row".to_owned(),
        }));
    }
}
