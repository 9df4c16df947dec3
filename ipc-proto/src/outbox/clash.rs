//! Clashes: edits whose record has changed since, and the ways out.
//!
//! | the edit | the record is there | it was deleted, or never was |
//! |---|---|---|
//! | writes fields of a record | theirs, mine, merged | theirs |
//! | makes a new record (base 0) | theirs, mine, merged | theirs, mine, merged |
//! | deletes | theirs, mine | dropped, nobody is asked |
//!
//! Any other resolution is refused, and the edit stays as it is.

use std::collections::BTreeMap;

use crate::outbox::edit::{Edit, Write};
use crate::v1::{PutRecord, Record, Value};

/// An edit whose record has changed since: all that is needed to decide.
#[derive(Clone, Copy, Debug)]
pub struct Clash<'a> {
    /// The edit; `mine.seen` is the record that it was made from.
    pub mine: &'a Edit,
    /// The record as it is now; `None` when it was deleted.
    pub theirs: Option<&'a Record>,
}

/// What becomes of an edit whose record has changed since.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// The edit is made on the record as it is now: its fields win, all others stay as they are there.
    Mine,
    /// The edit is dropped.
    Theirs,
    /// A whole record is written instead: these fields, all others become absent.
    Merged(BTreeMap<String, Value>),
}

impl Clash<'_> {
    /// The write that a resolution makes of the edit on `version`, that of their record or of its grave; `None` when it is dropped. The error says why
    /// this clash cannot be resolved so.
    pub(super) fn resolved(&self, resolution: Resolution, version: u64) -> Result<Option<Write>, &'static str> {
        let write = &self.mine.write;
        match resolution {
            Resolution::Theirs => Ok(None),
            _ if self.theirs.is_none() && write.base() != Some(0) => {
                Err("it was deleted: an edit of it cannot be kept")
            }
            Resolution::Mine => Ok(Some(write.clone().on(Some(version)))),
            Resolution::Merged(_) if write.is_deletion() => Err("it is to be deleted: there is nothing to merge"),
            Resolution::Merged(fields) => {
                let theirs = self.theirs.into_iter().flat_map(|record| record.fields.keys());
                let clear_fields = theirs.filter(|name| !fields.contains_key(*name)).cloned().collect();
                let (collection, key) = write.name();
                let (collection, key) = (collection.to_owned(), key.to_owned());
                let base_row_version = Some(version);
                Ok(Some(PutRecord { collection, key, fields, clear_fields, base_row_version }.into()))
            }
        }
    }
}
