//! The folder itself: where things lie, whether it is still the relay it was, and what its errors mean.
//!
//! ```text
//! root/kinfolk-relay                     the marker, see `marker`
//! root/mail/a7/a7…(64 hex)/              one directory per mailbox, in 256 shards, made when first needed
//! root/mail/a7/a7…/1a…-4032-9f….mail     one envelope
//! root/mail/a7/a7…/.kinfolk-….tmp        one being written
//! ```
//!
//! # Rights
//! What we make is private (0700, 0600) unless the root is writable for its group: then someone has shared it on
//! purpose, and what we make asks for the same group rights as the root. The umask still has its say, and ACLs and
//! set-group-id bits are inherited as the system does it; we never change the rights of what exists. Others get nothing:
//! the mail is sealed, but who has mail, when and how much, is nobody's business.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kinfolk_core::ids::RelayId;

use super::disk::{self, Disk};
use super::entry::Name;
use super::marker::{self, Marker};
use crate::relay::error::{ConfigError, Reason, RelayError};
use crate::relay::mail::Mailbox;

/// Directory of all mailboxes.
const MAIL: &str = "mail";

/// The most envelopes that a listing of one mailbox names: 28 bytes each, 7 MiB. More are seen when these are gone; a
/// full budget of the smallest real envelopes (64 MiB of 1.5 KiB) is 44,000.
const MAX_LISTED: usize = 256 * 1024;

/// Bounds on one folder. Constant but for tests.
#[derive(Clone, Copy, Debug)]
pub(in crate::relay) struct Limits {
    /// Budget of one mailbox in sealed bytes.
    pub(in crate::relay) mailbox_bytes: u64,
    /// Of every call but a sweep.
    pub(in crate::relay) deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { mailbox_bytes: 64 * 1024 * 1024, deadline: super::DEADLINE }
    }
}

/// An opened folder. All methods block.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    pub(super) id: RelayId,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) limits: Limits,
    directory_mode: u32,
    pub(super) file_mode: u32,
}

impl Root {
    /// Opens a folder that has a marker. Creates nothing.
    pub(super) fn open(path: &Path, disk: Arc<dyn Disk>, limits: Limits) -> Result<Self, RelayError> {
        let metadata = fs::metadata(path).map_err(|error| failed("opening the folder", path, error))?;
        if !metadata.is_dir() {
            let path = path.to_owned();
            return Err(ConfigError::NotADirectory { path }.into());
        }
        // Notifications name real paths.
        let path = path.canonicalize().map_err(|error| failed("opening the folder", path, error))?;
        let id = identify(&path)?;
        let (directory_mode, file_mode) = modes(&metadata);
        Ok(Self { path, id, disk, limits, directory_mode, file_mode })
    }

    /// Makes the folder (not its parents: they tell a mounted disk from a missing one) and its marker where they are
    /// missing, then opens it.
    pub(super) fn prepare(path: &Path, disk: Arc<dyn Disk>, limits: Limits) -> Result<Self, RelayError> {
        match disk::create_directory(path, 0o700) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let path = path.parent().unwrap_or(path).to_owned();
                return Err(ConfigError::ParentMissing { path }.into());
            }
            Err(error) => return Err(failed("making the folder", path, error)),
        }
        let metadata = fs::metadata(path).map_err(|error| failed("opening the folder", path, error))?;
        if !metadata.is_dir() {
            let path = path.to_owned();
            return Err(ConfigError::NotADirectory { path }.into());
        }
        // Mail first: a creator makes the marker before the first mailbox, so mail seen here had its marker already.
        let mail = path.join(MAIL);
        let has_mail = match fs::symlink_metadata(&mail) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(failed("looking for mail", &mail, error)),
        };
        let marker = path.join(marker::FILE);
        let marked = marker::read(path).map_err(|error| failed("reading the marker", &marker, error))?;
        if marked.is_none() {
            if has_mail {
                let path = path.to_owned();
                return Err(ConfigError::MarkerLost { path }.into());
            }
            let (_, file_mode) = modes(&metadata);
            marker::create(&*disk, path, RelayId(rand::random()), file_mode)
                .map_err(|error| failed("making the marker", &marker, error))?;
        }
        Self::open(path, disk, limits)
    }

    /// Fails unless the folder still is the relay that was opened. Called before everything that writes or concludes
    /// anything from an absence: a disk can be unmounted, or another one mounted, at any time.
    pub(super) fn check(&self) -> Result<(), RelayError> {
        let found = identify(&self.path)?;
        if found == self.id {
            return Ok(());
        }
        Err(RelayError::Config(ConfigError::AnotherRelay {
            place: self.path.display().to_string(),
            expected: self.id,
            found,
        }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn mail(&self) -> PathBuf {
        self.path.join(MAIL)
    }

    pub(super) fn mailbox(&self, mailbox: Mailbox) -> PathBuf {
        let name = mailbox.to_string();
        self.mail().join(&name[..2]).join(name)
    }

    /// Makes a mailbox's directory and what leads to it, durably.
    pub(super) fn make_mailbox(&self, mailbox: Mailbox) -> Result<(), RelayError> {
        let path = self.mailbox(mailbox);
        let mail = self.mail();
        let shard = path.parent().unwrap_or(&mail);
        for (parent, child) in [(self.path.as_path(), mail.as_path()), (&mail, shard), (shard, &path)] {
            let made = disk::create_directory(child, self.directory_mode)
                .map_err(|error| failed("making a mailbox", child, error))?;
            if made {
                self.disk.sync_directory(parent).map_err(|error| failed("syncing", parent, error))?;
            }
        }
        Ok(())
    }

    /// The envelopes in a mailbox, by name, unsorted, at most [`MAX_LISTED`]. A mailbox that does not exist is empty.
    pub(super) fn list(&self, mailbox: Mailbox) -> Result<Vec<Name>, RelayError> {
        let path = self.mailbox(mailbox);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("listing", &path, error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed("listing", &path, error))?;
            names.extend(entry.file_name().to_str().and_then(Name::parse));
            if names.len() == MAX_LISTED {
                break;
            }
        }
        Ok(names)
    }
}

/// Sorts an error of the operating system into what the caller must do about it. Nothing was changed, or it does not
/// matter; where bytes may have arrived the caller turns a transient error into an ambiguous one.
pub(super) fn failed(doing: &'static str, path: &Path, source: io::Error) -> RelayError {
    let place = path.display().to_string();
    let kind = source.kind();
    if matches!(kind, ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) {
        return RelayError::Denied { place, reason: Reason::Io { doing, source } };
    }
    if kind == ErrorKind::NotADirectory {
        let file = path.ancestors().find(|above| above.is_file()).unwrap_or(path);
        return RelayError::Config(ConfigError::NotADirectory { path: file.to_owned() });
    }
    let reason = if kind == ErrorKind::NotFound {
        Reason::Missing
    } else if matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
        Reason::Full
    } else {
        Reason::Io { doing, source }
    };
    RelayError::Transient { place, reason, after: None }
}

/// Reads which relay the folder is.
fn identify(root: &Path) -> Result<RelayId, RelayError> {
    let path = root.join(marker::FILE);
    let place = || root.display().to_string();
    match marker::read(root) {
        Ok(Some(Marker::Relay(id))) => Ok(id),
        Ok(Some(Marker::Newer(found))) => Err(RelayError::Config(ConfigError::NewerRelay {
            place: path.display().to_string(),
            found,
            known: marker::VERSION,
        })),
        Ok(Some(Marker::Garbled)) => Err(RelayError::Config(ConfigError::BadMarker { path })),
        Ok(None) => {
            let reason = if root.is_dir() { Reason::Unmarked } else { Reason::Missing };
            Err(RelayError::Transient { place: place(), reason, after: None })
        }
        Err(error) => Err(failed("reading the marker", &path, error)),
    }
}

/// Rights for the directories and files we make in a root with these rights.
#[cfg(unix)]
fn modes(root: &fs::Metadata) -> (u32, u32) {
    use std::os::unix::fs::PermissionsExt;
    const GROUP: u32 = 0o070;
    const GROUP_WRITE: u32 = 0o020;
    let group = match root.permissions().mode() & GROUP {
        rights if rights & GROUP_WRITE != 0 => rights,
        _private => 0,
    };
    (0o700 | group, 0o600 | (group & 0o060))
}

/// Rights are inherited from the root.
#[cfg(not(unix))]
fn modes(_root: &fs::Metadata) -> (u32, u32) {
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::super::disk::LocalDisk;
    use super::*;

    fn prepare(path: &Path) -> Result<Root, RelayError> {
        Root::prepare(path, Arc::new(LocalDisk), Limits::default())
    }

    fn open(path: &Path) -> Result<Root, RelayError> {
        Root::open(path, Arc::new(LocalDisk), Limits::default())
    }

    #[test]
    fn opening_creates_nothing() {
        let home = tempfile::tempdir().unwrap();
        let missing = home.path().join("folder");
        let error = open(&missing).unwrap_err();
        assert!(matches!(&error, RelayError::Transient { reason: Reason::Missing, .. }), "{error:?}");
        assert!(!missing.exists());
        let error = open(home.path()).unwrap_err();
        assert!(matches!(&error, RelayError::Transient { reason: Reason::Unmarked, .. }), "{error:?}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn preparing_twice_keeps_the_id() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("folder");
        let first = prepare(&path).unwrap().id;
        assert_eq!(prepare(&path).unwrap().id, first);
        assert_eq!(open(&path).unwrap().id, first);
        assert_ne!(prepare(&home.path().join("other")).unwrap().id, first);
    }

    #[test]
    fn a_missing_parent_is_not_made() {
        let home = tempfile::tempdir().unwrap();
        let error = prepare(&home.path().join("usb/kin")).unwrap_err();
        assert!(matches!(&error, RelayError::Config(ConfigError::ParentMissing { .. })), "{error:?}");
        assert!(error.to_string().contains("usb does not exist"), "{error}");
        assert!(!home.path().join("usb").exists());
    }

    #[test]
    fn a_file_in_place_of_the_folder_is_named() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        for (path, refused) in [
            (file.clone(), open(&file)),
            (file.clone(), prepare(&file)),
            (file.join("below"), open(&file.join("below"))),
            (file.join("below"), prepare(&file.join("below"))),
        ] {
            let error = refused.unwrap_err();
            assert!(matches!(&error, RelayError::Config(ConfigError::NotADirectory { .. })), "{path:?}: {error:?}");
            assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_marker_that_cannot_be_used_never_leads_to_a_new_id() {
        let home = tempfile::tempdir().unwrap();
        let marker = home.path().join(marker::FILE);
        for (text, words) in
            [("", "not a marker"), ("kinfolk-relay 1\nid 12\n", "not a marker"), ("kinfolk-relay 9\n", "newer")]
        {
            fs::write(&marker, text).unwrap();
            for refused in [open(home.path()), prepare(home.path())] {
                let error = refused.unwrap_err();
                assert!(matches!(&error, RelayError::Config(_)), "{error:?}");
                assert!(error.to_string().contains(words), "{error}");
            }
            assert_eq!(fs::read_to_string(&marker).unwrap(), text);
        }
        fs::remove_file(&marker).unwrap();
        fs::create_dir(&marker).unwrap();
        assert!(prepare(home.path()).is_err(), "a marker that cannot be read");
        assert!(marker.is_dir());
    }

    #[test]
    fn mail_without_a_marker_is_not_given_a_new_one() {
        let home = tempfile::tempdir().unwrap();
        let root = prepare(home.path()).unwrap();
        root.make_mailbox(Mailbox([1; 32])).unwrap();
        fs::remove_file(home.path().join(marker::FILE)).unwrap();
        let error = prepare(home.path()).unwrap_err();
        assert!(matches!(&error, RelayError::Config(ConfigError::MarkerLost { .. })), "{error:?}");
        let error = root.check().unwrap_err();
        assert!(matches!(&error, RelayError::Transient { reason: Reason::Unmarked, .. }), "{error:?}");
    }

    #[test]
    fn another_relay_in_the_same_place_is_noticed() {
        let home = tempfile::tempdir().unwrap();
        let root = prepare(home.path()).unwrap();
        root.check().unwrap();
        fs::remove_file(home.path().join(marker::FILE)).unwrap();
        let found = prepare(home.path()).unwrap().id;
        let error = root.check().unwrap_err();
        assert!(
            matches!(&error, RelayError::Config(ConfigError::AnotherRelay { found: id, .. }) if *id == found),
            "{error:?}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn what_we_make_is_private_unless_the_root_is_shared_with_a_group() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        for (root, expected) in [
            (0o700, (0o700, 0o600)),
            (0o755, (0o700, 0o600)),
            (0o750, (0o700, 0o600)),
            (0o770, (0o770, 0o660)),
            (0o2775, (0o770, 0o660)),
        ] {
            fs::set_permissions(home.path(), fs::Permissions::from_mode(root)).unwrap();
            assert_eq!(modes(&fs::metadata(home.path()).unwrap()), expected, "{root:o}");
        }
        let made = prepare(&home.path().join("made")).unwrap();
        made.make_mailbox(Mailbox([1; 32])).unwrap();
        for path in [made.path().to_owned(), made.mail(), made.mailbox(Mailbox([1; 32]))] {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o700, "{}", path.display());
        }
    }
}
