//! Collecting mail from the folder.
//!
//! One listing per mailbox and call. Mailboxes take turns, oldest envelope first, until the byte bound is reached, so
//! one flooded mailbox cannot starve the others.
//!
//! # Cursors
//! Names do not arrive in order — senders' clocks differ — so a position cannot say what was returned. A cursor names a
//! [`Scan`] that this handle remembers: the set of copies already returned under it, without those that are gone. A
//! later fetch returns exactly the others, early or late. The last page only counts as returned when its own cursor
//! comes back, so a call that is dropped half-way loses nothing. An unknown cursor is no cursor: everything is returned.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::sync::{Mutex, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::copy::{self, Copy, Outside};
use super::entry::{Name, Torn};
use super::root::{Root, failed};
use crate::relay::error::RelayError;
use crate::relay::mail::{Cursor, Delivery, Fetched, Handle, Mailbox, Want};

/// Envelopes in one answer, whatever their size.
const MAX_PER_FETCH: usize = 4096;

/// Mailboxes whose scan is remembered; beyond that the first one starts from nothing.
const MAX_SCANS: usize = 1024;

/// Torn copies remembered in one scan, so that they are not read again before they change.
const MAX_TORN: usize = 4096;

/// The scans that this handle remembers, one per mailbox.
#[derive(Debug, Default)]
pub(super) struct Scans {
    open: Mutex<BTreeMap<Mailbox, Scan>>,
}

/// What was returned from one mailbox since a fetch from nothing.
#[derive(Debug, Default)]
struct Scan {
    /// Tells this scan from every other, of this handle or another.
    serial: u64,
    /// Counts the answers given.
    step: u64,
    /// Returned, and known to have reached the caller.
    settled: BTreeSet<Name>,
    /// Returned in the last answer.
    last: Vec<Name>,
    /// Not whole when last read.
    torn: BTreeMap<Name, Outside>,
}

/// One mailbox in the course of a fetch.
struct Turn {
    scan: Scan,
    left: VecDeque<Name>,
    answer: Fetched,
}

/// See [`crate::relay::Relay::fetch`].
pub(super) fn fetch(root: &Root, scans: &Scans, wants: &[Want], max_bytes: usize) -> Result<Vec<Fetched>, RelayError> {
    root.check()?;
    let mut turns = Vec::with_capacity(wants.len());
    for want in wants {
        let mut names = root.list(want.mailbox)?;
        names.sort_unstable();
        let mut scan = scans.resume(want);
        scan.settled.retain(|name| names.binary_search(name).is_ok());
        scan.torn.retain(|name, _| names.binary_search(name).is_ok());
        turns.push(Turn {
            left: names.into_iter().filter(|name| !scan.settled.contains(name)).collect(),
            scan,
            answer: Fetched { mailbox: want.mailbox, mail: Vec::new(), cursor: None, more: false, torn: 0 },
        });
    }

    let refused = take_turns(root, &mut turns, max_bytes);
    let empty = turns.iter().all(|turn| turn.answer.mail.is_empty());
    match refused {
        // Nothing can be read at all: that is for the person. A stray file among readable mail is not.
        Some(error) if empty => Err(error),
        Some(_) | None => Ok(turns.into_iter().map(|turn| scans.close(turn)).collect()),
    }
}

/// Reads copies until the bounds are reached; the first copy that we may not read, if any.
fn take_turns(root: &Root, turns: &mut [Turn], max_bytes: usize) -> Option<RelayError> {
    let mut refused = None;
    let (mut bytes, mut count) = (0_usize, 0_usize);
    loop {
        let mut idle = true;
        for turn in &mut *turns {
            let Some(name) = turn.left.front().copied() else {
                continue;
            };
            let after = bytes.saturating_add(name.length as usize);
            if count == MAX_PER_FETCH || (count > 0 && after > max_bytes) {
                return refused;
            }
            idle = false;
            turn.left.pop_front();
            let path = root.mailbox(turn.answer.mailbox).join(name.to_string());
            if let Some(before) = turn.scan.torn.get(&name)
                && copy::look(&path).is_ok_and(|now| now == *before)
            {
                turn.answer.torn += 1;
                continue;
            }
            match copy::read(&path, turn.answer.mailbox, &name) {
                Copy::Gone => {}
                Copy::Whole(envelope, _) => {
                    turn.scan.torn.remove(&name);
                    turn.scan.last.push(name);
                    let handle = Handle(Bytes::from(name.to_string()));
                    turn.answer.mail.push(Delivery { handle, envelope });
                    bytes = after;
                    count += 1;
                }
                Copy::Torn(torn, outside) => {
                    tracing::debug!(file = %path.display(), %torn, "a copy on the relay is not whole");
                    turn.answer.torn += 1;
                    if let Torn::Unreadable(kind @ ErrorKind::PermissionDenied) = torn {
                        refused.get_or_insert_with(|| failed("reading", &path, kind.into()));
                    } else if let Some(outside) = outside
                        && turn.scan.torn.len() < MAX_TORN
                    {
                        turn.scan.torn.insert(name, outside);
                    }
                }
            }
        }
        if idle {
            return refused;
        }
    }
}

impl Scans {
    /// Goes on with the scan a want's cursor names, or begins one. It is taken out: of two fetches at once the second
    /// begins anew.
    fn resume(&self, want: &Want) -> Scan {
        let known = self.lock().remove(&want.mailbox);
        let Some((serial, step)) = want.after.as_ref().and_then(decode) else {
            return Scan::begin();
        };
        match known {
            Some(mut scan) if scan.serial == serial && scan.step == step => {
                let last = std::mem::take(&mut scan.last);
                scan.settled.extend(last);
                scan
            }
            // The last answer never arrived: give it again.
            Some(mut scan) if scan.serial == serial && scan.step.checked_sub(1) == Some(step) => {
                scan.last.clear();
                scan
            }
            Some(_) | None => Scan::begin(),
        }
    }

    /// Remembers the scan and finishes its answer.
    fn close(&self, turn: Turn) -> Fetched {
        let Turn { mut scan, left, mut answer } = turn;
        scan.step += 1;
        answer.more = !left.is_empty();
        answer.cursor = Some(encode(scan.serial, scan.step));
        let mut open = self.lock();
        if open.len() >= MAX_SCANS && !open.contains_key(&answer.mailbox) {
            open.pop_first();
        }
        open.insert(answer.mailbox, scan);
        answer
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Mailbox, Scan>> {
        // Scans are taken out and put back whole, so a panic elsewhere leaves nothing half-done.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scan {
    fn begin() -> Self {
        Self { serial: rand::random(), ..Self::default() }
    }
}

fn encode(serial: u64, step: u64) -> Cursor {
    let mut bytes = BytesMut::with_capacity(16);
    bytes.put_u64_le(serial);
    bytes.put_u64_le(step);
    Cursor(bytes.freeze())
}

fn decode(cursor: &Cursor) -> Option<(u64, u64)> {
    let mut bytes = cursor.0.as_ref();
    let serial = bytes.try_get_u64_le().ok()?;
    let step = bytes.try_get_u64_le().ok()?;
    bytes.is_empty().then_some((serial, step))
}

/// See [`crate::relay::Relay::acknowledge`]. A handle is a name that tells its bytes, so other bytes stay.
pub(super) fn acknowledge(root: &Root, mailbox: Mailbox, handles: &[Handle]) -> Result<(), RelayError> {
    root.check()?;
    let directory = root.mailbox(mailbox);
    for handle in handles {
        let Some(name) = std::str::from_utf8(&handle.0).ok().and_then(Name::parse) else {
            continue;
        };
        let path = directory.join(name.to_string());
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed("deleting", &path, error)),
        }
    }
    Ok(())
}
