//! An outbox: edits that an app makes whether or not the daemon answers, and what becomes of them.
//!
//! ```text
//! keep ─▶ waiting ─▶ frozen as one bundle ──push──▶ committed: gone
//!            ▲                │    ▲ └─ no answer: sent again, as it is, also by the next run of the program
//!            └── clash ───────┘    └─── mine, merged: frozen anew under the same number, which was not used
//! ```
//!
//! An edit is based on the record that its person saw. [`Outbox::flush`] pushes all edits as one bundle, all or nothing. Before a bundle is sent for
//! the first time it is *frozen*: stored with its number, so that whatever happens, also to this program, the same bundle is sent until it is answered, and
//! counts once.
//!
//! When a record has changed since, the daemon refuses the bundle and describes the first such record. The app decides ([`Resolution`]). An edit that
//! clashes again after two resolutions, or that is not resolved, stays in the outbox, and with it those that were pushed along; the next flush tries again.
//!
//! An edit of a record that was edited since the last push is merged into that edit and keeps its base. One of a record that is in a frozen bundle waits, and is
//! based on what that commits. A stream of bundles that the daemon knows otherwise (the outbox or the daemon's store was put back to an older state) is given
//! up for a fresh one.
//!
//! **Invariant:** memory is a copy of the shelf: every change is stored first.

mod clash;
mod edit;
mod shelf;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use prost::Message;
use uuid::Uuid;

pub use clash::{Clash, Resolution};
pub use edit::{Edit, Write};
pub use shelf::{FileShelf, Shelf};

use crate::client::Client;
use crate::error::Error;
use crate::v1::error_detail::Payload;
use crate::v1::{ErrorCode, GetRequest, Op, PushRequest, PushResponse, Record, RowConflict};
use edit::in_one_bundle;

/// How often one edit is made once more after it was resolved.
pub const RETRIES: u32 = 2;
/// The most bytes that an outbox holds. It is stored as a whole with each edit: made for what a person does, not for bulk.
pub const MAX_BYTES: usize = 8 << 20;
/// How long a push is sent again while the daemon restarts. Short: what is not pushed now is pushed by the next flush.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why an outbox did not do what it was asked for. The edits are still there.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The shelf could not be read or written.
    #[error("the outbox cannot be kept: {0}")]
    Shelf(#[from] io::Error),
    /// What lies on the shelf is no outbox of this version.
    #[error("the outbox is damaged or of another version")]
    Invalid,
    /// It holds as much as it can.
    #[error("the outbox is full: it holds {MAX_BYTES} bytes; push what it has first")]
    Full,
    /// A clash was resolved in a way that it does not allow.
    #[error("{collection}/{key}: {reason}; resolve it with theirs, or edit it anew")]
    Resolution {
        /// The record's collection.
        collection: String,
        /// The record's key.
        key: String,
        /// Why not.
        reason: &'static str,
    },
    /// The push failed: the daemon is not there, refused an edit, or nobody resolved a clash.
    #[error(transparent)]
    Call(#[from] Error),
}

/// Edits on a shelf.
///
/// ```no_run
/// # async fn example(client: ipc_proto::Client, note: ipc_proto::v1::Record) -> Result<(), Box<dyn std::error::Error>> {
/// use ipc_proto::outbox::{FileShelf, Outbox, Resolution};
/// use ipc_proto::v1::DeleteRecord;
///
/// let mut outbox = Outbox::open(FileShelf::open("notes.outbox".as_ref())?)?;
/// let delete = DeleteRecord { collection: note.collection.clone(), key: note.key.clone(), base_row_version: None };
/// outbox.keep(delete, Some(&note))?;                                        // on disk when it returns
/// outbox.flush(&client, |_clash| Some(Resolution::Mine)).await?;            // now, or whenever there is a daemon
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Outbox<S> {
    shelf: S,
    state: State,
}

/// What is kept, in memory.
#[derive(Clone, Debug, PartialEq)]
struct State {
    source_id: String,
    /// How many edits there ever were.
    made: u64,
    /// The number of the next bundle.
    next: u64,
    /// That bundle, once it is frozen.
    frozen: Option<PushRequest>,
    /// In order.
    edits: Vec<Edit>,
}

impl<S: Shelf> Outbox<S> {
    /// The outbox on this shelf; an empty one when the shelf is.
    pub fn open(mut shelf: S) -> Result<Self, OutboxError> {
        let state = match shelf.load(MAX_BYTES)? {
            Some(bytes) => State::decode(&bytes).ok_or(OutboxError::Invalid)?,
            None => State { source_id: fresh_source(), made: 0, next: 1, frozen: None, edits: Vec::new() },
        };
        Ok(Self { shelf, state })
    }

    /// What waits, in order.
    pub fn edits(&self) -> &[Edit] {
        &self.state.edits
    }

    /// Keeps a write. `seen` is the record that its person saw and it was made from; its version becomes the base of the write. Without it, the base
    /// is what the write says.
    ///
    /// Errors: [`OutboxError::Full`], [`OutboxError::Shelf`].
    pub fn keep(&mut self, write: impl Into<Write>, seen: Option<&Record>) -> Result<(), OutboxError> {
        let write: Write = write.into();
        let write = match seen {
            Some(record) => write.on(Some(record.row_version)),
            None => write,
        };
        self.change(|state| {
            let same = |edit: &Edit| !edit.frozen && edit.write.name() == write.name();
            match state.edits.iter().rposition(same) {
                Some(at) if !state.edits[at].write.is_deletion() => {
                    let before = state.edits.remove(at);
                    let mut earlier = state.edits[..at].iter().rev().filter(|edit| edit.write.name() == write.name());
                    let made_here = before.write.base() == Some(0) && earlier.next().is_none_or(Edit::is_deletion);
                    // What was made here and never sent nobody needs to hear of.
                    if !(made_here && write.is_deletion()) {
                        state.edits.insert(at, before.and(write));
                    }
                }
                Some(_) | None => {
                    state.made += 1;
                    state.edits.push(Edit { number: state.made, write, seen: seen.cloned(), frozen: false });
                }
            }
        })
    }

    /// Gives up an edit, as after a push that was refused because of it; says whether it did. One that was sent and not answered may be at the daemon
    /// already and is kept.
    pub fn abandon(&mut self, number: u64) -> Result<bool, OutboxError> {
        let before = self.state.edits.len();
        self.change(|state| state.edits.retain(|edit| edit.number != number || edit.frozen))?;
        Ok(self.state.edits.len() < before)
    }

    /// The records of a collection as they will be when what waits is made on them, by key.
    pub fn over(&self, collection: &str, records: impl IntoIterator<Item = Record>) -> Vec<Record> {
        let mut shown: BTreeMap<String, Record> =
            records.into_iter().map(|record| (record.key.clone(), record)).collect();
        for edit in &self.state.edits {
            let (of, key) = edit.write.name();
            if of == collection {
                let before = shown.remove(key);
                shown.extend(edit.over(before).map(|record| (key.to_owned(), record)));
            }
        }
        shown.into_values().collect()
    }

    /// Pushes all that waits; gives how many edits were committed. `resolve` is asked about each edit whose record has changed; when it gives `None`,
    /// the flush ends with the refusal. May be dropped at any point and called again.
    ///
    /// Errors: [`OutboxError::Call`] with the daemon's refusal of an edit (`op_index` counts among those that were pushed along), or because it is not
    /// there; [`OutboxError::Resolution`]; [`OutboxError::Shelf`].
    pub async fn flush(
        &mut self,
        client: &Client,
        mut resolve: impl FnMut(Clash<'_>) -> Option<Resolution>,
    ) -> Result<usize, OutboxError> {
        let mut committed = 0;
        let mut renumbered = false;
        let mut resolved: BTreeMap<u64, u32> = BTreeMap::new();
        while let Some(request) = self.freeze()? {
            let error = match client.push(request, PATIENCE).await {
                Ok(answer) => {
                    committed += self.commit(&answer)?;
                    continue;
                }
                Err(error) => error,
            };
            let code = error.error_code();
            if let Some((conflict, edit)) = self.clashing(&error) {
                let (version, theirs) = theirs(client, &conflict).await?;
                let times = resolved.entry(edit.number).or_default();
                *times += 1;
                let clash = Clash { mine: &edit, theirs: theirs.as_ref() };
                let resolution = match &theirs {
                    None if edit.write.is_deletion() => Some(Resolution::Theirs),
                    Some(_) | None if *times <= RETRIES => resolve(clash),
                    Some(_) | None => None,
                };
                let Some(resolution) = resolution else {
                    self.change(State::thaw)?;
                    return Err(error.into());
                };
                match clash.resolved(resolution, version) {
                    Ok(write) => self.change(|state| state.settle(edit.number, write, theirs))?,
                    Err(reason) => {
                        self.change(State::thaw)?;
                        let (collection, key) = edit.write.name();
                        return Err(OutboxError::Resolution { collection: collection.into(), key: key.into(), reason });
                    }
                }
            } else if [ErrorCode::OutOfOrder, ErrorCode::BundleDiffers].contains(&code) && !renumbered {
                renumbered = true;
                self.change(|state| {
                    state.thaw();
                    (state.source_id, state.next) = (fresh_source(), 1);
                })?;
            } else {
                // What is refused for good is not committed; of what just did not work out nobody knows.
                if matches!(error, Error::Refused(_)) && !error.retryable() {
                    self.change(State::thaw)?;
                }
                return Err(error.into());
            }
        }
        Ok(committed)
    }

    /// The bundle that is to be sent: the one that was frozen, or one of what waits.
    fn freeze(&mut self) -> Result<Option<PushRequest>, OutboxError> {
        if self.state.frozen.is_none() && !self.state.edits.is_empty() {
            self.change(|state| {
                let count = in_one_bundle(&state.edits);
                let edits = &mut state.edits[..count];
                edits.iter_mut().for_each(|edit| edit.frozen = true);
                let ops = edits.iter().map(|edit| edit.write.to_op()).collect();
                let (source_id, source_bundle_id) = (state.source_id.clone(), state.next);
                state.frozen = Some(PushRequest { ops, source_id, source_bundle_id, ..PushRequest::default() });
            })?;
        }
        Ok(self.state.frozen.clone())
    }

    /// Takes out what was committed; gives how many edits that were.
    fn commit(&mut self, answer: &PushResponse) -> Result<usize, OutboxError> {
        let before = self.state.edits.len();
        self.change(|state| {
            let frozen = state.edits.iter().filter(|edit| edit.frozen);
            let wrote = frozen.zip(&answer.results).filter(|(_, result)| !result.no_op);
            let wrote: BTreeSet<(String, String)> = wrote.map(|(edit, _)| owned(edit.write.name())).collect();
            state.edits.retain(|edit| !edit.frozen);
            for edit in &mut state.edits {
                if edit.write.base().is_some() && wrote.contains(&owned(edit.write.name())) {
                    edit.write = edit.write.clone().on(Some(answer.bundle_seq));
                }
            }
            (state.frozen, state.next) = (None, state.next + 1);
        })?;
        Ok(before - self.state.edits.len())
    }

    /// The conflict in an error, and the edit that it is about.
    fn clashing(&self, error: &Error) -> Option<(RowConflict, Edit)> {
        let Error::Refused(detail) = error else { return None };
        let Some(Payload::Conflict(conflict)) = &detail.payload else { return None };
        let at = usize::try_from(detail.op_index?).ok()?;
        let edit = self.state.edits.iter().filter(|edit| edit.frozen).nth(at)?;
        Some((conflict.clone(), edit.clone()))
    }

    /// Changes the state, on the shelf first.
    fn change(&mut self, change: impl FnOnce(&mut State)) -> Result<(), OutboxError> {
        let mut state = self.state.clone();
        change(&mut state);
        let bytes = state.encode();
        if bytes.len() > MAX_BYTES {
            return Err(OutboxError::Full);
        }
        self.shelf.store(&bytes)?;
        self.state = state;
        Ok(())
    }
}

impl State {
    /// Gives up the frozen bundle, which the daemon has not committed: its edits wait again.
    fn thaw(&mut self) {
        self.frozen = None;
        self.edits.iter_mut().for_each(|edit| edit.frozen = false);
    }

    /// Thaws with one edit resolved.
    fn settle(&mut self, number: u64, write: Option<Write>, theirs: Option<Record>) {
        self.thaw();
        let Some(at) = self.edits.iter().position(|edit| edit.number == number) else { return };
        match write {
            Some(write) => (self.edits[at].write, self.edits[at].seen) = (write, theirs),
            None => drop(self.edits.remove(at)),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let edit = |edit: &Edit| KeptEdit {
            number: edit.number,
            op: Some(edit.write.to_op()),
            seen: edit.seen.clone(),
            frozen: edit.frozen,
        };
        let kept = Kept {
            format: FORMAT,
            source_id: self.source_id.clone(),
            made: self.made,
            next: self.next,
            frozen: self.frozen.clone(),
            edits: self.edits.iter().map(edit).collect(),
        };
        kept.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let kept = Kept::decode(bytes).ok().filter(|kept| kept.format == FORMAT)?;
        let edit = |edit: KeptEdit| {
            let KeptEdit { number, op, seen, frozen } = edit;
            Some(Edit { number, write: Write::of_op(op?)?, seen, frozen })
        };
        let edits = kept.edits.into_iter().map(edit).collect::<Option<_>>()?;
        Some(Self { source_id: kept.source_id, made: kept.made, next: kept.next, frozen: kept.frozen, edits })
    }
}

/// The record that a push clashed with, and its version.
async fn theirs(client: &Client, conflict: &RowConflict) -> Result<(u64, Option<Record>), Error> {
    if conflict.current.is_some() || conflict.deleted || conflict.row_version == 0 {
        return Ok((conflict.row_version, conflict.current.clone()));
    }
    // Too large to come along.
    let request = GetRequest { collection: conflict.collection.clone(), key: conflict.key.clone() };
    match client.records().get(request).await.map_err(Error::from) {
        Ok(answer) => {
            let record = answer.into_inner().record.unwrap_or_default();
            Ok((record.row_version, Some(record)))
        }
        // Gone meanwhile: the next push says at which version.
        Err(error) if error.error_code() == ErrorCode::NotFound => Ok((conflict.row_version, None)),
        Err(error) => Err(error),
    }
}

fn fresh_source() -> String {
    Uuid::new_v4().to_string()
}

fn owned((collection, key): (&str, &str)) -> (String, String) {
    (collection.to_owned(), key.to_owned())
}

/// The version of what lies on a shelf.
const FORMAT: u32 = 1;

/// A [`State`] as it lies on a shelf.
#[derive(Clone, PartialEq, Message)]
struct Kept {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(string, tag = "2")]
    source_id: String,
    #[prost(uint64, tag = "3")]
    made: u64,
    #[prost(uint64, tag = "4")]
    next: u64,
    #[prost(message, optional, tag = "5")]
    frozen: Option<PushRequest>,
    #[prost(message, repeated, tag = "6")]
    edits: Vec<KeptEdit>,
}

/// An [`Edit`] as it lies on a shelf.
#[derive(Clone, PartialEq, Message)]
struct KeptEdit {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(message, optional, tag = "2")]
    op: Option<Op>,
    #[prost(message, optional, tag = "3")]
    seen: Option<Record>,
    #[prost(bool, tag = "4")]
    frozen: bool,
}

#[cfg(test)]
mod tests;
