//! This device's order for those who follow it: bundles, and changes that no bundle brought, after a cursor.

use std::collections::BTreeMap;

use rusqlite::Connection;

use kinfolk_core::ids::{BundleSeq, SourceId};

use super::bundles::{self, LoggedBundle};
use super::{MAX_PAGE, Reader};
use crate::store::StoreError;
use crate::store::convert::{int, uint};

/// How far the order reaches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reach {
    /// The last place at which something was compacted away. Who has got to a place before it, but beyond 0, may have missed something.
    pub compacted_upto: BundleSeq,
    /// The last place that was given out.
    pub last: BundleSeq,
    /// Which order it is: the source that this device writes. One that was put back to an earlier state takes a fresh source, and gives out places
    /// again that it gave out before; a place is good in its own order only.
    pub order: SourceId,
}

impl Reach {
    /// Whether whoever has dealt with everything up to `cursor` can go on from there.
    pub fn continues(&self, cursor: BundleSeq) -> bool {
        cursor.0 == 0 || (cursor >= self.compacted_upto && cursor <= self.last)
    }
}

/// A part of the order.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// How far the order reached when it was read.
    pub reach: Reach,
    /// What is in it, in order.
    pub entries: Vec<Entry>,
    /// Everything up to here is in it.
    pub upto: BundleSeq,
    /// Whether nothing follows.
    pub last: bool,
}

/// One place of the order.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A bundle.
    Bundle(LoggedBundle),
    /// What changed without one: collections and keys.
    Revision(BundleSeq, Vec<(String, String)>),
}

impl Entry {
    /// Its place.
    pub fn place(&self) -> BundleSeq {
        match self {
            Self::Bundle(bundle) => bundle.bundle_seq,
            Self::Revision(place, _) => *place,
        }
    }
}

impl Reader {
    /// How far the order reaches.
    pub fn reach(&self) -> Result<Reach, StoreError> {
        self.with(reach)
    }

    /// The order after `after` and up to `upto`: at most `most` bundles (and at most [`MAX_PAGE`]), and no more than make `max_bytes` of
    /// bodies, but at least one if there is one.
    pub fn order_after(
        &self,
        after: BundleSeq,
        upto: Option<BundleSeq>,
        most: usize,
        max_bytes: usize,
    ) -> Result<Part, StoreError> {
        self.with(|connection| {
            let reach = reach(connection)?;
            let end = upto.map_or(reach.last, |upto| upto.min(reach.last));
            let bundles = bundles::after(connection, after, end, most.min(MAX_PAGE), max_bytes)?;
            let whole = match bundles.last() {
                Some(last) => bundles::none_after(connection, last.bundle_seq, end)?,
                None => true,
            };
            let upto = if whole { end.max(after) } else { bundles.last().map_or(end, |last| last.bundle_seq) };
            let mut entries: Vec<Entry> = bundles.into_iter().map(Entry::Bundle).collect();
            let revised = revisions(connection, after, upto)?;
            if !revised.is_empty() {
                entries.extend(revised.into_iter().map(|(place, names)| Entry::Revision(place, names)));
                entries.sort_by_key(Entry::place);
            }
            Ok(Part { reach, entries, upto, last: whole })
        })
    }
}

/// [`Reader::reach`] within a transaction.
pub(super) fn reach(connection: &Connection) -> Result<Reach, StoreError> {
    let sql = "SELECT upto, max(last, (SELECT coalesce(max(bundle_seq), 0) FROM log),
                 (SELECT coalesce(max(bundle_seq), 0) FROM cut_bundle)), (SELECT source FROM device) FROM compaction";
    let place = |row: &rusqlite::Row<'_>, column| row.get(column).map(|place| BundleSeq(uint(place)));
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Reach { compacted_upto: place(row, 0)?, last: place(row, 1)?, order: SourceId(row.get(2)?) })
    };
    Ok(connection.prepare_cached(sql)?.query_row((), read)?)
}

fn revisions(
    connection: &Connection,
    after: BundleSeq,
    upto: BundleSeq,
) -> Result<BTreeMap<BundleSeq, Vec<(String, String)>>, StoreError> {
    let sql = "SELECT bundle_seq, collection, key FROM revision WHERE bundle_seq > ?1 AND bundle_seq <= ?2
               ORDER BY bundle_seq, collection, key";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((int(after.0), int(upto.0)))?;
    let mut revisions: BTreeMap<BundleSeq, Vec<(String, String)>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        revisions.entry(BundleSeq(uint(row.get(0)?))).or_default().push((row.get(1)?, row.get(2)?));
    }
    Ok(revisions)
}
