//! What can go wrong with the store.

use std::path::PathBuf;

use kinfolk_core::ids::Dot;

/// Why the store could not do what it was asked. After any of them nothing is half-written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room on the disk, or the database has reached its greatest size.
    #[error("the disk is full: free some space and try again; nothing was lost and nothing is half-written")]
    Full,
    /// The key is not the one the database was made with, or the beginning of the file is not what was written: they look the same.
    #[error(
        "the store key does not open {0}: the file belongs to another key, or its beginning is damaged; nothing was changed"
    )]
    WrongKey(PathBuf),
    /// A newer version has written this database.
    #[error("the database has schema {found}, this kinfolk knows up to {known}: upgrade kinfolk; nothing was changed")]
    Newer {
        /// The schema found.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// Its state holds the effect of ops that this version does not understand.
    #[error(
        "the state has ops of level {found}, this kinfolk knows up to {known}: upgrade kinfolk; nothing was changed"
    )]
    NewerOps {
        /// The level of the state.
        found: u32,
        /// The level known here.
        known: u32,
    },
    /// There is none.
    #[error("there is no database at {0}; none is made in its place")]
    Missing(PathBuf),
    /// There is one already.
    #[error("there is a database at {0} already: it was left as it is")]
    Exists(PathBuf),
    /// The file holds what this version would never write.
    #[error("the database is damaged: {0}")]
    Damaged(&'static str),
    /// The bundle does not follow what its source has here, or its place was given out before. A defect, caught in time.
    #[error("bundle {} of source {} does not follow what is stored", .0.seq, .0.source)]
    NotNext(Dot),
    /// `begin`, `apply`, `commit` or `rollback` out of their order, or `commit` after a failed `apply`.
    #[error("the transaction was not in a state for this: {0}")]
    Transaction(&'static str),
    /// Nobody waits for this read any more.
    #[error("the read was given up: nobody waits for it")]
    Abandoned,
    /// A file operation failed.
    #[error("the state directory could not be used: {0}")]
    Io(#[from] std::io::Error),
    /// Anything else SQLite reports.
    #[error("the database failed: {0}")]
    Sqlite(#[source] rusqlite::Error),
}

impl StoreError {
    /// Whether the files are not what was written, so that waiting does not help.
    pub fn is_spoilt(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::WrongKey(_) | Self::Missing(_))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged("a page is unreadable"),
            Some(_) | None => Self::Sqlite(error),
        }
    }
}
