//! Migrations: numbered SQL, forward only.
//!
//! `user_version` says how many have run. Each runs in a transaction of its own together with the new number; they are plain
//! SQL and know no type of this program, so an old one never changes its meaning. To add one: write `schema/NN.sql` and
//! name it in [`MIGRATIONS`].
//!
//! A database from a newer version is refused untouched: it may hold what this version would misread.

use rusqlite::Connection;

use super::StoreError;

const MIGRATIONS: [&str; 18] = [
    include_str!("schema/01.sql"),
    include_str!("schema/02.sql"),
    include_str!("schema/03.sql"),
    include_str!("schema/04.sql"),
    include_str!("schema/05.sql"),
    include_str!("schema/06.sql"),
    include_str!("schema/07.sql"),
    include_str!("schema/08.sql"),
    include_str!("schema/09.sql"),
    include_str!("schema/10.sql"),
    include_str!("schema/11.sql"),
    include_str!("schema/12.sql"),
    include_str!("schema/13.sql"),
    include_str!("schema/14.sql"),
    include_str!("schema/15.sql"),
    include_str!("schema/16.sql"),
    include_str!("schema/17.sql"),
    include_str!("schema/18.sql"),
];

/// Brings the database up to the newest schema.
pub(super) fn migrate(connection: &Connection) -> Result<(), StoreError> {
    for (version, sql) in (1_i64..).zip(MIGRATIONS).skip(done(connection)?) {
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {sql}; PRAGMA user_version = {version}; COMMIT;"))?;
    }
    Ok(())
}

/// How many migrations have run.
///
/// # Errors
/// [`StoreError::Newer`] when that is more than this version knows.
pub(super) fn done(connection: &Connection) -> Result<usize, StoreError> {
    let found: i64 = connection.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    usize::try_from(found)
        .ok()
        .filter(|done| *done <= MIGRATIONS.len())
        .ok_or(StoreError::Newer { found, known: i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX) })
}
