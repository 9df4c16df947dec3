//! What this device should have and lacks: which contents are to come back, and which were let go by hand and stay away.

use kinfolk_core::contents::Wanted;
use rusqlite::OptionalExtension;

use super::convert::{elsewhere_from_bytes, limit};
use super::reader::Span;
use super::{Reader, Store, StoreError};

/// The setting that says from before which instant contents were let go by hand, in microseconds since the Unix epoch.
const SETTING: &str = "let-go";

/// The setting that says from which instant on contents are wanted at once.
const RECENT: &str = "recent";

/// Contents that are to come back.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Lacking {
    /// What to ask for, newest first.
    pub wanted: Vec<Wanted>,
    /// The place of the last one: what is older comes next.
    pub last: Option<(i64, String)>,
}

impl Store {
    /// A person lets go of what is from before an instant: it does not come back by itself. Durable when it returns, outside a transaction.
    pub fn leave(&self, before_us: i64) -> Result<(), StoreError> {
        let before_us =
            self.setting(SETTING)?.and_then(|text| text.parse().ok()).map_or(before_us, |b: i64| b.max(before_us));
        self.put_setting(SETTING, &before_us.to_string())
    }

    /// Contents of messages from before an instant may come after the rest when this device catches up.
    pub fn set_recent(&self, since_us: i64) -> Result<(), StoreError> {
        self.put_setting(RECENT, &since_us.to_string())
    }

    /// That instant.
    pub(super) fn recent(&self) -> Result<Option<i64>, StoreError> {
        Ok(self.setting(RECENT)?.and_then(|text| text.parse().ok()))
    }

    /// What was let go by hand may come back.
    pub fn leave_nothing(&self) -> Result<(), StoreError> {
        self.connection.prepare_cached("DELETE FROM setting WHERE name = ?1")?.execute((SETTING,))?;
        Ok(())
    }
}

impl Reader {
    /// From before which instant contents were let go by hand, if any were.
    pub fn left(&self) -> Result<Option<i64>, StoreError> {
        self.during(Span::Short, |connection| {
            let sql = "SELECT value FROM setting WHERE name = ?1";
            let text: Option<String> =
                connection.prepare_cached(sql)?.query_row((SETTING,), |row| row.get(0)).optional()?;
            Ok(text.and_then(|text| text.parse().ok()))
        })
    }

    /// Contents that are lacking, of messages created at or after an instant, newest first, those before a place: at most `most`, and no more than a letter
    /// or two bring.
    pub fn lacking(&self, from_us: i64, before: Option<&(i64, String)>, most: usize) -> Result<Lacking, StoreError> {
        let (before_us, before_id) = before.map_or((i64::MAX, ""), |(at, id)| (*at, id.as_str()));
        self.during(Span::Short, |connection| {
            let sql = "SELECT created_us, id, stub FROM message
                       WHERE stub IS NOT NULL AND created_us >= ?1 AND (created_us, id) < (?2, ?3)
                       ORDER BY created_us DESC, id DESC LIMIT ?4";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query((from_us, before_us, before_id, limit(most)))?;
            let (mut lacking, mut bytes) = (Lacking::default(), 0);
            while let Some(row) = rows.next()? {
                let known = elsewhere_from_bytes(row.get_ref(2)?.as_blob().unwrap_or_default())?;
                bytes += known.size;
                if !lacking.wanted.is_empty() && bytes > GIVEN_BYTES {
                    break;
                }
                let id: String = row.get(1)?;
                lacking.wanted.push(Wanted { content: known.content, id: id.clone() });
                lacking.last = Some((row.get(0)?, id));
            }
            Ok(lacking)
        })
    }
}

/// Most bytes of one answer, unless the first alone has more: what a letter brings ([`kinfolk_core::contents::GIVEN_TARGET`]).
const GIVEN_BYTES: u64 = 512 * 1024;
