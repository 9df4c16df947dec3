//! Connections: how the file is made, opened and set up.
//!
//! **Made whole or not at all.** A new database is written under another name, closed, and renamed; a crash on the way leaves
//! a file that the next attempt removes.
//!
//! **The key is tried on a read-only connection first.** A writer that closes would move the write-ahead log into the
//! database; with a wrong key nothing may be touched, not even so.

use std::fs::{File, OpenOptions};
use std::path::Path;

use prost::Message;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags};

use kinfolk_core::op::MessageBody;

use super::{DbKey, StoreError, schema};

/// Name of the database in the state directory; SQLite keeps `-wal` and `-shm` beside it.
pub const DATABASE_FILE: &str = "kinfolk.db";

/// What a database is called until it is whole.
const NEW_FILE: &str = "kinfolk.db.new";

/// What a connection is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Page cache of the writer, in KiB. Four times as much would spare a bulk import of 100,000 events a fifth of its CPU time, and
/// cost as much resident memory as the whole rest of the daemon.
const WRITER_CACHE: u32 = 4 * 1024;
/// Page cache of each reader, in KiB.
const READER_CACHE: u32 = 768;
/// After how many pages the write-ahead log is moved into the database: 2,000 × 4 KiB = 8 MiB.
const CHECKPOINT_PAGES: u32 = 2_000;
/// To what size the write-ahead log file is cut back after a large transaction, in bytes.
const WAL_KEPT: u32 = 2 * CHECKPOINT_PAGES * 4_096;
/// How long a connection waits for another one's lock, in milliseconds. Only readers opening during a checkpoint can meet one.
const BUSY_MILLIS: u32 = 5_000;
/// How many prepared statements a connection keeps: about sixty are in use.
const STATEMENTS: usize = 96;

/// Opens the database in `dir`.
pub(super) fn open(dir: &Path, key: &DbKey, access: Access) -> Result<Connection, StoreError> {
    let path = dir.join(DATABASE_FILE);
    if !path.try_exists()? {
        return Err(StoreError::Missing(path));
    }
    let reader = connect(&path, key, Access::Read)?;
    if schema::done(&reader)? == 0 {
        return Err(StoreError::Damaged("it was never set up"));
    }
    if access == Access::Read {
        return Ok(reader);
    }
    let writer = connect(&path, key, Access::Write)?;
    drop(reader);
    schema::migrate(&writer)?;
    Ok(writer)
}

/// Makes a database in `dir`, filled by `fill`, and opens it for writing.
pub(super) fn create(
    dir: &Path,
    key: &DbKey,
    fill: impl FnOnce(&Connection) -> Result<(), StoreError>,
) -> Result<Connection, StoreError> {
    let path = dir.join(DATABASE_FILE);
    if path.try_exists()? {
        return Err(StoreError::Exists(path));
    }
    let new = dir.join(NEW_FILE);
    for leftover in ["", "-wal", "-shm"] {
        match std::fs::remove_file(dir.join(format!("{NEW_FILE}{leftover}"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    private_file(&new)?;
    let connection = connect(&new, key, Access::Write)?;
    schema::migrate(&connection)?;
    fill(&connection)?;
    connection.close().map_err(|(_, error)| error)?;
    File::open(&new)?.sync_all()?;
    std::fs::rename(&new, &path)?;
    sync_dir(dir)?;
    open(dir, key, Access::Write)
}

/// An empty database in memory, with the same schema.
pub(super) fn in_memory() -> Result<Connection, StoreError> {
    let connection = Connection::open_in_memory()?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    add_functions(&connection)?;
    schema::migrate(&connection)?;
    Ok(connection)
}

fn connect(path: &Path, key: &DbKey, access: Access) -> Result<Connection, StoreError> {
    let mode = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    if cfg!(feature = "encrypted-db") {
        connection.execute_batch("PRAGMA cipher_log_level = NONE")?;
        connection.execute_batch(&key.pragma())?;
    }
    connection.execute_batch(&format!("PRAGMA busy_timeout = {BUSY_MILLIS}"))?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(())).map_err(|error| {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => StoreError::WrongKey(path.to_owned()),
            Some(_) | None => error.into(),
        }
    })?;
    connection.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON;")?;
    match access {
        Access::Read => connection.execute_batch(&format!("PRAGMA cache_size = -{READER_CACHE};"))?,
        // `fullfsync` matters on macOS alone, where a plain fsync stops at the drive's cache.
        Access::Write => connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA fullfsync = ON;
             PRAGMA checkpoint_fullfsync = ON;
             PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
             PRAGMA journal_size_limit = {WAL_KEPT};
             PRAGMA cache_size = -{WRITER_CACHE};"
        ))?,
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    add_functions(&connection)?;
    Ok(connection)
}

/// The functions behind the view of the full-text index. A message without text has none to find.
fn add_functions(connection: &Connection) -> Result<(), StoreError> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    let part = |name: &str, part: fn(MessageBody) -> String| {
        connection.create_scalar_function(name, 1, flags, move |call| {
            let payload = call.get_raw(0).as_blob().unwrap_or_default();
            Ok(MessageBody::decode(payload).map(part).unwrap_or_default())
        })
    };
    part("kinfolk_text", |body| body.text)?;
    part("kinfolk_sender", |body| body.sender)?;
    Ok(())
}

/// Makes an empty file that only its user may read; SQLite gives its companions the same rights.
fn private_file(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?;
    Ok(())
}

/// Makes a rename in `dir` durable. Windows has no such call and needs none.
fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}
