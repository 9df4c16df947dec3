//! Putting mail into the folder.
//!
//! ```text
//! write .tmp ─▶ sync it ─▶ name it exclusively ─▶ … the rest of the batch … ─▶ sync each directory once ─▶ answer
//! ```
//! A crash leaves at most a temporary file. A name that is taken is read: a whole copy is the earlier put of the same
//! envelope (its directory is synced again, since that put may have died just before), a torn one is replaced in one
//! step. So is a whole one that is more than a day old, because whoever puts it again still needs it: the sweep counts
//! from the copy's age.
//!
//! # The budget
//! Listing a mailbox with 10,000 envelopes costs milliseconds, so a sum is kept and only taken anew every
//! [`RELIST_AFTER`] puts, and before anything is refused. Other writers may overshoot by as much; the budget is a
//! courtesy between a person's devices, the disk's own limit is the wall.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::copy::{self, Copy};
use super::disk::{self, Published};
use super::entry::{self, Encoded, MAX_SEALED};
use super::root::{Root, failed};
use crate::relay::error::RelayError;
use crate::relay::mail::{Envelope, Mailbox, PutOutcome};

/// Puts into one mailbox between two listings of it.
const RELIST_AFTER: u32 = 256;

/// Mailboxes whose sum is kept; beyond that the first ones are listed anew.
const MAX_SUMS: usize = 1024;

/// A copy older than this is written afresh when it is put again: 1 day of the 30 that it is kept.
const REFRESH_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a directory that a sweep removes under our hands is made again.
const ATTEMPTS: u32 = 3;

/// What is known of the mailboxes' sums.
#[derive(Debug, Default)]
pub(super) struct Sums(Mutex<BTreeMap<Mailbox, Sum>>);

#[derive(Clone, Copy, Debug)]
struct Sum {
    bytes: u64,
    puts_since_listed: u32,
}

/// See [`crate::relay::Relay::put`].
pub(super) fn put(root: &Root, sums: &Sums, items: &[(Mailbox, Envelope)]) -> Result<Vec<PutOutcome>, RelayError> {
    root.check()?;
    let mut outcomes = Vec::with_capacity(items.len());
    let mut touched = BTreeSet::new();
    for (mailbox, envelope) in items {
        let outcome = put_one(root, sums, *mailbox, envelope)
            .map_err(|error| if touched.is_empty() { error } else { ambiguous(error) })?;
        match outcome {
            PutOutcome::Stored | PutOutcome::AlreadyThere => touched.insert(*mailbox),
            PutOutcome::MailboxFull { .. } | PutOutcome::TooLarge { .. } => false,
        };
        outcomes.push(outcome);
    }
    for mailbox in touched {
        let path = root.mailbox(mailbox);
        root.disk.sync_directory(&path).map_err(|error| ambiguous(failed("syncing", &path, error)))?;
    }
    Ok(outcomes)
}

fn put_one(root: &Root, sums: &Sums, mailbox: Mailbox, envelope: &Envelope) -> Result<PutOutcome, RelayError> {
    let Some(encoded) = entry::encode(mailbox, envelope) else {
        return Ok(PutOutcome::TooLarge { max: MAX_SEALED });
    };
    let directory = root.mailbox(mailbox);
    let path = directory.join(encoded.name.to_string());
    let standing = copy::read(&path, mailbox, &encoded.name);
    match &standing {
        Copy::Whole(_, outside) if is_fresh(outside.modified) => return Ok(PutOutcome::AlreadyThere),
        Copy::Whole(..) | Copy::Torn(..) => {}
        Copy::Gone => {
            let (used, max) = (sums.used(root, mailbox, envelope)?, root.limits.mailbox_bytes);
            if used.saturating_add(u64::from(encoded.name.length)) > max {
                return Ok(PutOutcome::MailboxFull { used, max });
            }
        }
    }

    let temp = write_temp(root, mailbox, &directory, &encoded, envelope)?;
    let named = give_name(root, mailbox, &encoded, &temp, &path, &standing);
    if !matches!(named, Ok(PutOutcome::Stored)) {
        // Whatever went wrong is told below; a file that stays behind is swept after a day.
        let _ = fs::remove_file(&temp);
    }
    let outcome = named.map_err(|error| failed("naming", &path, error))?;
    if outcome == PutOutcome::Stored && matches!(standing, Copy::Gone) {
        sums.add(mailbox, u64::from(encoded.name.length));
    }
    match standing {
        Copy::Whole(..) => Ok(PutOutcome::AlreadyThere),
        Copy::Gone | Copy::Torn(..) => Ok(outcome),
    }
}

/// Writes and syncs a temporary file in the mailbox's directory, which is made if it is missing.
fn write_temp(
    root: &Root,
    mailbox: Mailbox,
    directory: &Path,
    encoded: &Encoded,
    envelope: &Envelope,
) -> Result<PathBuf, RelayError> {
    let temp = directory.join(entry::temp_name(rand::random()));
    let mut attempts = 0;
    let mut file: File = loop {
        match disk::create_new(&temp, root.file_mode) {
            Ok(file) => break file,
            Err(error) if error.kind() == ErrorKind::NotFound && attempts < ATTEMPTS => {
                attempts += 1;
                root.make_mailbox(mailbox)?;
            }
            Err(error) => return Err(failed("writing", directory, error)),
        }
    };
    let written = root
        .disk
        .write(&mut file, &encoded.header)
        .and_then(|()| root.disk.write(&mut file, &envelope.sealed))
        .and_then(|()| root.disk.sync_file(&file));
    match written {
        Ok(()) => Ok(temp),
        Err(error) => {
            drop(file);
            // A full disk gets its bytes back at once where it can.
            let _ = fs::remove_file(&temp);
            Err(failed("writing", directory, error))
        }
    }
}

/// Gives the temporary file its name. `Stored` means that the temporary name is gone.
fn give_name(
    root: &Root,
    mailbox: Mailbox,
    encoded: &Encoded,
    temp: &Path,
    path: &Path,
    standing: &Copy,
) -> io::Result<PutOutcome> {
    let published = match standing {
        Copy::Gone => disk::publish(&*root.disk, temp, path)?,
        Copy::Whole(..) | Copy::Torn(..) => Published::CannotTell,
    };
    match published {
        Published::Fresh => Ok(PutOutcome::Stored),
        Published::Taken if matches!(copy::read(path, mailbox, &encoded.name), Copy::Whole(..)) => {
            Ok(PutOutcome::AlreadyThere)
        }
        // The name tells the bytes, so a whole copy is only ever replaced by the same bytes.
        Published::Taken | Published::CannotTell => fs::rename(temp, path).map(|()| PutOutcome::Stored),
    }
}

/// True when a copy of this age is certain to outlive the next time its sender puts it again. Our clock and the
/// folder's may differ by as much: then a copy is written afresh once too often, or a day late.
fn is_fresh(modified: SystemTime) -> bool {
    match SystemTime::now().duration_since(modified) {
        Ok(age) => age < REFRESH_AFTER,
        Err(ahead) => ahead.duration() < REFRESH_AFTER,
    }
}

/// What an error means once bytes may have arrived.
fn ambiguous(error: RelayError) -> RelayError {
    match error {
        RelayError::Transient { place, reason, .. } => RelayError::Ambiguous { place, reason },
        stands @ (RelayError::Ambiguous { .. } | RelayError::Denied { .. } | RelayError::Config(_)) => stands,
    }
}

impl Sums {
    /// Bytes in a mailbox, listed anew when the kept sum is old or would refuse this envelope.
    fn used(&self, root: &Root, mailbox: Mailbox, envelope: &Envelope) -> Result<u64, RelayError> {
        let kept = self.lock().get(&mailbox).copied();
        if let Some(sum) = kept
            && sum.puts_since_listed < RELIST_AFTER
            && sum.bytes.saturating_add(envelope.sealed.len() as u64) <= root.limits.mailbox_bytes
        {
            return Ok(sum.bytes);
        }
        let bytes = root.list(mailbox)?.iter().map(|name| u64::from(name.length)).sum();
        let mut sums = self.lock();
        if sums.len() >= MAX_SUMS && !sums.contains_key(&mailbox) {
            sums.pop_first();
        }
        let puts_since_listed = 0;
        sums.insert(mailbox, Sum { bytes, puts_since_listed });
        Ok(bytes)
    }

    fn add(&self, mailbox: Mailbox, bytes: u64) {
        if let Some(sum) = self.lock().get_mut(&mailbox) {
            sum.bytes = sum.bytes.saturating_add(bytes);
            sum.puts_since_listed += 1;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Mailbox, Sum>> {
        // A sum is replaced as a whole, so a panic elsewhere leaves nothing half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_fresh_within_a_day_of_our_clock_to_either_side() {
        let (now, hour) = (SystemTime::now(), Duration::from_secs(60 * 60));
        assert!(is_fresh(now - 23 * hour) && is_fresh(now + 23 * hour), "clocks differ");
        assert!(!is_fresh(now - 25 * hour), "the sweep comes nearer");
        assert!(!is_fresh(now + 25 * hour), "a date that the sweep would wait for");
    }
}
