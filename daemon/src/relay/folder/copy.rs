//! Reading one stored copy. Anyone who reaches the folder may have put it there, so it is bounded and checked first.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;

use super::entry::{self, HEADER, Name, Torn};
use crate::relay::mail::{Envelope, Mailbox};

/// A copy as the file system describes it, without its bytes. A copy that is still being written changes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Outside {
    length: u64,
    pub(super) modified: SystemTime,
}

/// What lies under an envelope's name.
#[derive(Debug)]
pub(super) enum Copy {
    /// Nothing (any more).
    Gone,
    /// A whole copy.
    Whole(Envelope, Outside),
    /// Something else. `None` when it cannot even be looked at.
    Torn(Torn, Option<Outside>),
}

/// Looks at a copy from outside. Only plain files are copies: a pipe would block its reader, a link leads anywhere.
pub(super) fn look(path: &Path) -> io::Result<Outside> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() {
        return Err(ErrorKind::InvalidData.into());
    }
    Ok(Outside { length: metadata.len(), modified: metadata.modified()? })
}

/// Reads a copy, at most as many bytes as its name promises.
pub(super) fn read(path: &Path, mailbox: Mailbox, name: &Name) -> Copy {
    let outside = match look(path) {
        Ok(outside) => outside,
        Err(error) => return unread(&error, None),
    };
    let expected = HEADER as u64 + u64::from(name.length);
    if outside.length != expected {
        let got = outside.length;
        return Copy::Torn(Torn::Length { expected, got }, Some(outside));
    }
    // A name promises at most MAX_SEALED bytes.
    let mut bytes = Vec::with_capacity(HEADER + name.length as usize);
    let read = File::open(path).and_then(|file| file.take(expected).read_to_end(&mut bytes));
    if let Err(error) = read {
        return unread(&error, Some(outside));
    }
    match entry::decode(mailbox, name, Bytes::from(bytes)) {
        Ok(envelope) => Copy::Whole(envelope, outside),
        Err(torn) => Copy::Torn(torn, Some(outside)),
    }
}

fn unread(error: &io::Error, outside: Option<Outside>) -> Copy {
    if error.kind() == ErrorKind::NotFound {
        return Copy::Gone;
    }
    Copy::Torn(Torn::Unreadable(error.kind()), outside)
}
