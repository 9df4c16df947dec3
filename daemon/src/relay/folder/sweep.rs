//! Removing what nobody collects, by the folder's own clock: the age of a file is measured against a file written just
//! now in the same folder, because the clocks of devices that share a folder differ, and a server's differs from both.
//!
//! Everybody's mail is swept, since mail for a device that never returns has no other sweeper. Only what we know is
//! touched: whole names of envelopes, our own temporary files, directories that are empty. One item that cannot be
//! removed does not stop the rest.

use std::fs::{self, Metadata};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::disk;
use super::entry::{self, Name};
use super::root::{Root, failed};
use crate::relay::error::{Reason, RelayError};
use crate::relay::mail::Mailbox;
use crate::relay::{RETENTION, Swept};

/// Age at which a temporary file has surely lost its writer.
const LEAVING_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// See [`crate::relay::Relay::sweep`].
pub(super) fn sweep(root: &Root) -> Result<Swept, RelayError> {
    root.check()?;
    let now = touch(root)?;
    let mut swept = Swept::default();
    sweep_leavings(root.path(), now, &mut swept);
    let mail = root.mail();
    let shards = match fs::read_dir(&mail) {
        Ok(shards) => shards,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(swept),
        Err(error) => return Err(failed("listing", &mail, error)),
    };
    for shard in shards.flatten() {
        let Ok(mailboxes) = fs::read_dir(shard.path()) else {
            continue;
        };
        for mailbox in mailboxes.flatten() {
            if mailbox.file_name().to_str().and_then(Mailbox::from_hex).is_some() {
                sweep_mailbox(&mailbox.path(), now, &mut swept);
            }
        }
    }
    Ok(swept)
}

/// Writes a file, reads it back, and removes it: the folder works, and this is its time.
pub(super) fn touch(root: &Root) -> Result<SystemTime, RelayError> {
    let path = root.path().join(entry::temp_name(rand::random()));
    let content: [u8; 16] = rand::random();
    let written = disk::create_new(&path, root.file_mode).and_then(|mut file| {
        root.disk.write(&mut file, &content)?;
        root.disk.sync_file(&file)?;
        Ok((fs::read(&path)?, file.metadata()?.modified()?))
    });
    let removed = fs::remove_file(&path);
    let (read, now) = written.map_err(|error| failed("writing", root.path(), error))?;
    removed.map_err(|error| failed("deleting", &path, error))?;
    if read != content {
        return Err(RelayError::Transient {
            place: root.path().display().to_string(),
            reason: Reason::Io {
                doing: "reading back what was just written",
                source: std::io::ErrorKind::InvalidData.into(),
            },
            after: None,
        });
    }
    Ok(now)
}

fn sweep_mailbox(directory: &Path, now: SystemTime, swept: &mut Swept) {
    // Taken before anything is removed, since that makes the directory young.
    let abandoned = fs::metadata(directory).is_ok_and(|metadata| age(&metadata, now) >= RETENTION);
    sweep_leavings(directory, now, swept);
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let is_mail = entry.file_name().to_str().and_then(Name::parse).is_some();
        let expired = is_mail && entry.metadata().is_ok_and(|metadata| age(&metadata, now) >= RETENTION);
        if expired && fs::remove_file(entry.path()).is_ok() {
            swept.expired += 1;
        }
    }
    if abandoned {
        // Fails unless it is empty; a writer that loses its directory makes it again.
        let _ = fs::remove_dir(directory);
    }
}

fn sweep_leavings(directory: &Path, now: SystemTime, swept: &mut Swept) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(entry::is_temp);
        let stale = is_ours && entry.metadata().is_ok_and(|metadata| age(&metadata, now) >= LEAVING_AFTER);
        if stale && fs::remove_file(entry.path()).is_ok() {
            swept.leavings += 1;
        }
    }
}

/// Age of a file; none when it was written in the future.
fn age(metadata: &Metadata, now: SystemTime) -> Duration {
    metadata.modified().ok().and_then(|modified| now.duration_since(modified).ok()).unwrap_or_default()
}
