//! What SQLite alone can write: plain, unencrypted, write-ahead log, `synchronous=FULL`.

use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;

use crate::budgets::BudgetError;

/// Rows in a second, of 300 bytes and one unique index.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// 1,000 rows a transaction.
    pub batched: f64,
    /// One row a transaction.
    pub single: f64,
}

/// Measures both in a database of its own.
///
/// # Errors
/// When the disk or SQLite refuses.
pub fn rows(directory: &Path) -> Result<Rows, BudgetError> {
    let place = directory.join("floor.db");
    let measured = (|| {
        let mut connection = Connection::open(&place)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             CREATE TABLE event (place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body BLOB NOT NULL) STRICT;",
        )?;
        let batched = write(&mut connection, 0, BATCHES, PER_BATCH)?;
        let single = write(&mut connection, BATCHES * PER_BATCH, SINGLES, 1)?;
        Ok(Rows { batched, single })
    })();
    measured.map_err(|error: rusqlite::Error| BudgetError::Unexpected(format!("the raw database: {error}")))
}

/// Writes `batches` transactions of `per_batch` rows; how many rows that is in a second.
fn write(connection: &mut Connection, first: u32, batches: u32, per_batch: u32) -> Result<f64, rusqlite::Error> {
    let begin = Instant::now();
    for batch in 0..batches {
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO event (id, body) VALUES (?1, ?2)")?;
            for row in 0..per_batch {
                let at = first + batch * per_batch + row;
                insert.execute((format!("event {:08x}", at.wrapping_mul(0x9E37_79B1)), [0xA5_u8; 300]))?;
            }
        }
        transaction.commit()?;
    }
    Ok(f64::from(batches * per_batch) / begin.elapsed().as_secs_f64())
}

const BATCHES: u32 = 20;
const PER_BATCH: u32 = 1_000;
const SINGLES: u32 = 300;
