//! Records by what they show in a field.
//!
//! The index of a field is made when it is first asked for and kept up by every write from then on; collections that are never asked so
//! pay nothing. An entry is what a living record shows, in an encoding whose byte order is that of the values ([`place`]), cut to
//! [`MAX_PLACE`] bytes: whoever reads it compares the rest with the record itself.
//!
//! It is local, like the order of apply, and follows from the registers alone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::merge;
use kinfolk_core::value::{Kind, Value};

use super::convert::limit;
use super::registers::read_register;
use super::sources::Sources;
use super::{Store, StoreError};

/// Longest encoding that stands in the index, in bytes. Longer values share a place with others that begin alike.
pub(super) const MAX_PLACE: usize = 128;
/// Most fields of one collection by which its records are found: each costs a write as much as a field does.
pub const MAX_INDEXED: usize = 16;
/// Rows gone over at a time when an index is made.
const PAGE: usize = 1_000;

/// Where a value stands among those of its type, and its type among the others; `None` for those that have no order.
pub fn place(value: &Value) -> Option<Vec<u8>> {
    let of = |tag: u8, bytes: &[u8]| Some([&[tag], bytes].concat());
    match value.kind.as_ref()? {
        Kind::Null(_) => of(1, &[]),
        Kind::Bool(value) => of(2, &[u8::from(*value)]),
        Kind::Int(value) => of(3, &(value.cast_unsigned() ^ (1 << 63)).to_be_bytes()),
        Kind::Float(value) => {
            // Both zeroes are one number. The bits of negative numbers run backwards.
            let bits = if *value == 0.0 { 0 } else { value.to_bits() };
            let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
            of(4, &ordered.to_be_bytes())
        }
        Kind::Text(text) => of(5, text.as_bytes()),
        Kind::Bytes(bytes) => of(6, bytes),
        Kind::Timestamp(text) => {
            let instant: Timestamp = text.parse().ok()?;
            of(7, &(instant.as_nanosecond().cast_unsigned() ^ (1 << 127)).to_be_bytes())
        }
        Kind::Json(_) => None,
    }
}

/// A place as it stands in the index.
pub(super) fn cut(place: &[u8]) -> &[u8] {
    place.get(..MAX_PLACE).unwrap_or(place)
}

/// What the index holds of a record, by field.
pub(super) type Places = BTreeMap<String, Vec<u8>>;

/// What the index is to hold of a record as it stands; nothing of one that does not exist.
pub(super) fn places(
    connection: &Connection,
    sources: &Sources,
    collection: i64,
    key: &str,
    fields: &[String],
) -> Result<Places, StoreError> {
    let sql = "SELECT idx FROM row WHERE collection = ?1 AND key = ?2 AND live";
    let row: Option<i64> = connection.prepare_cached(sql)?.query_row((collection, key), |row| row.get(0)).optional()?;
    let Some(row) = row else { return Ok(Places::new()) };
    let mut places = Places::new();
    for field in fields {
        let register = read_register(connection, sources, row, field)?;
        let shown = merge::shown(&register).and_then(|shown| Value::from_bytes(shown.value.as_deref()?));
        if let Some(place) = shown.as_ref().and_then(place) {
            places.insert(field.clone(), cut(&place).to_vec());
        }
    }
    Ok(places)
}

/// Lets the index follow a change of a record.
pub(super) fn follow(
    connection: &Connection,
    collection: i64,
    key: &str,
    before: &Places,
    after: &Places,
) -> Result<(), StoreError> {
    let gone = "DELETE FROM field_value WHERE collection = ?1 AND field = ?2 AND value = ?3 AND key = ?4";
    let come = "INSERT OR IGNORE INTO field_value (collection, field, value, key) VALUES (?1, ?2, ?3, ?4)";
    for (field, place) in before.iter().filter(|(field, place)| after.get(*field) != Some(*place)) {
        connection.prepare_cached(gone)?.execute((collection, field, place, key))?;
    }
    for (field, place) in after.iter().filter(|(field, place)| before.get(*field) != Some(*place)) {
        connection.prepare_cached(come)?.execute((collection, field, place, key))?;
    }
    Ok(())
}

/// Makes the indexes of another database in `store`, which shows the same records.
pub(super) fn copy(other: &Connection, store: &mut Store) -> Result<(), StoreError> {
    let sql = "SELECT c.name, i.field FROM indexed i JOIN collection c ON c.idx = i.collection";
    let mut statement = other.prepare(sql)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        store.index_field(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?)?;
    }
    Ok(())
}

impl Store {
    /// Makes the index of a field, unless it is there. Says whether it is there now: not, when the collection has [`MAX_INDEXED`] others.
    pub fn index_field(&mut self, collection: &str, field: &str) -> Result<bool, StoreError> {
        let Some(indexed) = self.cache.collections.indexed(collection) else { return Ok(true) };
        if indexed.iter().any(|indexed| indexed == field) {
            return Ok(true);
        }
        if indexed.len() >= MAX_INDEXED {
            return Ok(false);
        }
        self.begin()?;
        let made = self.make_index(collection, field);
        if let Err(fault) = made {
            self.rollback()?;
            return Err(fault);
        }
        self.commit()?;
        self.cache.collections.index(collection, field);
        Ok(true)
    }

    fn make_index(&self, name: &str, field: &str) -> Result<(), StoreError> {
        let collection = self.cache.collections.idx(name).ok_or(StoreError::Damaged("a collection is gone"))?;
        let sql = "INSERT INTO indexed (collection, field) VALUES (?1, ?2)";
        self.connection.prepare_cached(sql)?.execute((collection, field))?;
        let fields = [field.to_owned()];
        let mut after = String::new();
        loop {
            let sql = "SELECT key FROM row WHERE collection = ?1 AND key > ?2 ORDER BY key LIMIT ?3";
            let mut statement = self.connection.prepare_cached(sql)?;
            let keys = statement.query_map((collection, &after, limit(PAGE)), |row| row.get(0))?;
            let keys: Vec<String> = keys.collect::<Result<_, _>>()?;
            let Some(last) = keys.last() else { return Ok(()) };
            after = last.clone();
            for key in &keys {
                let places = places(&self.connection, &self.cache.sources, collection, key, &fields)?;
                follow(&self.connection, collection, key, &Places::new(), &places)?;
            }
        }
    }
}

/// The fields by which each collection is looked up.
pub(super) fn load(connection: &Connection) -> Result<BTreeMap<i64, Vec<String>>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT collection, field FROM indexed")?;
    let mut rows = statement.query(())?;
    let mut indexed: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        indexed.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    Ok(indexed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(kind: Kind) -> Vec<u8> {
        place(&Value { kind: Some(kind) }).unwrap()
    }

    #[test]
    fn the_order_of_places_is_that_of_values() {
        let ints = [i64::MIN, -1, 0, 1, i64::MAX].map(|int| at(Kind::Int(int)));
        let floats =
            [f64::NEG_INFINITY, -1e9, -5e-324, 0.0, 5e-324, 1.5, f64::INFINITY].map(|float| at(Kind::Float(float)));
        let texts = ["", "a", "a\0", "aa", "b", "ä"].map(|text| at(Kind::Text(text.into())));
        let bools = [false, true].map(|bool| at(Kind::Bool(bool)));
        let instants = ["1969-01-01T00:00:00Z", "2024-02-29T23:59:59+05:30", "2024-02-29T20:00:00Z"];
        let instants = instants.map(|text| at(Kind::Timestamp(text.into())));
        for ordered in [&ints[..], &floats[..], &texts[..], &bools[..], &instants[..]] {
            assert!(ordered.windows(2).all(|pair| pair[0] < pair[1]), "{ordered:?}");
        }
    }

    #[test]
    fn what_is_the_same_moment_or_number_is_at_the_same_place() {
        let instant = |text: &str| at(Kind::Timestamp(text.into()));
        assert_eq!(instant("2024-01-01T12:00:00Z"), instant("2024-01-01T13:00:00.000+01:00"));
        assert_eq!(at(Kind::Float(0.0)), at(Kind::Float(-0.0)));
    }

    #[test]
    fn documents_and_what_is_no_moment_have_no_place() {
        for kind in [Kind::Json("1".into()), Kind::Timestamp("soon".into())] {
            assert_eq!(place(&Value { kind: Some(kind) }), None);
        }
    }
}
