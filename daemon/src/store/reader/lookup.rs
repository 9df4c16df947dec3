//! Records by what they show in a field: a stretch of the index, and the records that stand there.

use std::ops::Bound;

use rusqlite::Connection;

use kinfolk_core::value::Value;

use super::records::{self, RecordView};
use super::{MAX_PAGE, Reader};
use crate::store::StoreError;
use crate::store::convert::limit;
use crate::store::field_index::{self, place};

/// Which values of a field are looked for: both ends are places of the same type of value ([`place`]).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lookup {
    /// The field.
    pub field: String,
    /// The least.
    pub from: Bound<Vec<u8>>,
    /// The greatest.
    pub to: Bound<Vec<u8>>,
}

/// A record, and the place of what was looked for, as it stands in the index.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The place.
    pub place: Vec<u8>,
    /// The record.
    pub record: RecordView,
}

impl Lookup {
    fn holds(&self, value: &Value) -> bool {
        let Some(place) = place(value) else { return false };
        let above = match &self.from {
            Bound::Included(from) => place >= *from,
            Bound::Excluded(from) => place > *from,
            Bound::Unbounded => true,
        };
        let below = match &self.to {
            Bound::Included(to) => place <= *to,
            Bound::Excluded(to) => place < *to,
            Bound::Unbounded => true,
        };
        above && below
    }
}

impl Reader {
    /// The records of a collection that show such a value, ordered by its place and then by key, after a place and key: at most `most`, and
    /// at most [`MAX_PAGE`]. `None` when the field has no index ([`crate::store::Store::index_field`]).
    pub fn lookup(
        &self,
        collection: &str,
        lookup: &Lookup,
        after: Option<(&[u8], &str)>,
        most: usize,
    ) -> Result<Option<Vec<Found>>, StoreError> {
        self.with(|connection| {
            let sql = "SELECT c.idx, i.field IS NOT NULL FROM collection c
                       LEFT JOIN indexed i ON i.collection = c.idx AND i.field = ?2 WHERE c.name = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query((collection, &lookup.field))?;
            // Nothing is found in a collection that is not there.
            let Some(row) = rows.next()? else { return Ok(Some(Vec::new())) };
            let (idx, indexed): (i64, bool) = (row.get(0)?, row.get(1)?);
            if indexed {
                find(connection, (collection, idx), lookup, after, most.min(MAX_PAGE)).map(Some)
            } else {
                Ok(None)
            }
        })
    }
}

fn find(
    connection: &Connection,
    (collection, idx): (&str, i64),
    lookup: &Lookup,
    after: Option<(&[u8], &str)>,
    most: usize,
) -> Result<Vec<Found>, StoreError> {
    // Keys are not empty: behind a place and no key come all that stand there.
    let (mut place, mut key) = match (after, &lookup.from) {
        (Some((place, key)), _) => (place.to_vec(), key.to_owned()),
        (None, Bound::Included(from) | Bound::Excluded(from)) => (field_index::cut(from).to_vec(), String::new()),
        (None, Bound::Unbounded) => (Vec::new(), String::new()),
    };
    let end = match &lookup.to {
        Bound::Included(to) | Bound::Excluded(to) => field_index::cut(to).to_vec(),
        Bound::Unbounded => vec![0xFF],
    };
    let sql = "SELECT v.value, v.key, r.idx, r.version FROM field_value v
               JOIN row r ON r.collection = v.collection AND r.key = v.key
               WHERE v.collection = ?1 AND v.field = ?2 AND (v.value, v.key) > (?3, ?4) AND v.value <= ?5
               ORDER BY v.value, v.key LIMIT ?6";
    let mut found = Vec::new();
    while found.len() < most {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query((idx, &lookup.field, &place, &key, &end, limit(most)))?;
        let mut read = 0;
        while let Some(row) = rows.next()? {
            read += 1;
            (place, key) = (row.get(0)?, row.get(1)?);
            let record = records::read(connection, collection, key.clone(), row.get(2)?, row.get(3)?)?;
            // At the ends, and where long values are cut, the value itself decides.
            let value = record.fields.iter().find(|(name, _)| *name == lookup.field).map(|(_, value)| value);
            if value.is_some_and(|value| lookup.holds(value)) {
                found.push(Found { place: place.clone(), record });
                if found.len() == most {
                    break;
                }
            }
        }
        if read < most {
            break;
        }
    }
    Ok(found)
}
