//! Keys in files of their own, readable only by their user: the provider `file`, and the file access of the store key.
//!
//! A key file is written under another name with mode 0600, flushed to disk, renamed to a name that must be free, and its directory is
//! flushed, before it counts: a crash leaves a whole key or none. It is read only when it is a regular file of ours that nobody
//! else may open; one of another length is refused.

use super::{KeyError, KeyProvider, LockReason};
use crate::seal::wrap::{KEK_LEN, Kek};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Name of the KEK's file in the config directory.
pub const KEY_FILE: &str = "device.key";

/// Keeps the KEK in a file with mode 0600. It lies in the config directory, not beside the database, so that a copy of the
/// one is not a copy of both.
#[derive(Clone, Debug)]
pub struct FileProvider {
    path: PathBuf,
}

impl FileProvider {
    /// The provider for a config directory, which must exist.
    pub fn new(config_dir: &Path) -> Self {
        Self { path: config_dir.join(KEY_FILE) }
    }

    /// Where the key lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl KeyProvider for FileProvider {
    fn name(&self) -> &'static str {
        "file"
    }

    fn protection(&self) -> &'static str {
        "protected only by file permissions"
    }

    fn load(&self) -> Result<Kek, KeyError> {
        let bytes = read_key_file::<KEK_LEN>(&self.path)?;
        Ok(Kek::from_bytes(&bytes))
    }

    fn create(&self, kek: &Kek) -> Result<(), KeyError> {
        create_key_file(&self.path, kek.to_bytes().as_slice())
    }
}

/// Reads a key file of exactly `LEN` bytes.
pub(super) fn read_key_file<const LEN: usize>(path: &Path) -> Result<Zeroizing<[u8; LEN]>, KeyError> {
    read_exactly(path).map_err(|reason| KeyError::Locked { path: path.to_owned(), reason })
}

fn read_exactly<const LEN: usize>(path: &Path) -> Result<Zeroizing<[u8; LEN]>, LockReason> {
    let mut file = open_without_following(path)?;
    let metadata = file.metadata().map_err(LockReason::Unreadable)?;
    if !metadata.is_file() {
        return Err(LockReason::NotAFile);
    }
    check_access(&metadata)?;
    if metadata.len() != LEN as u64 {
        return Err(LockReason::Length { expected: LEN, got: metadata.len() });
    }
    let mut key = Zeroizing::new([0; LEN]);
    file.read_exact(key.as_mut_slice()).map_err(LockReason::Unreadable)?;
    Ok(key)
}

/// Makes a key file; refuses to replace one.
pub(super) fn create_key_file(path: &Path, key: &[u8]) -> Result<(), KeyError> {
    let write_error = |source| KeyError::Write { path: path.to_owned(), source };
    let mut name = path.to_owned().into_os_string();
    name.push(NEW);
    let new = PathBuf::from(name);
    match fs::symlink_metadata(path) {
        Ok(_) => return Err(KeyError::Exists { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(write_error(error)),
    }
    // What a crash left: nothing rests on it.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(write_error(error)),
        Ok(()) | Err(_) => {}
    }
    let mut file = private_options().open(&new).map_err(write_error)?;
    let written = file.write_all(key).and_then(|()| file.sync_all());
    drop(file);
    if let Err(error) = written {
        return Err(write_error(undone(&new, error)));
    }
    match rename_exclusive(&new, path) {
        Ok(()) => sync_parent(path).map_err(|error| write_error(undone(path, error))),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(KeyError::Exists { path: path.to_owned() }),
        Err(error) => Err(write_error(undone(&new, error))),
    }
}

/// Removes a file that was made here, because of this error.
fn undone(path: &Path, error: io::Error) -> io::Error {
    match fs::remove_file(path) {
        Ok(()) => error,
        Err(second) => io::Error::new(error.kind(), format!("{error}; removing it: {second}")),
    }
}

/// What a key file is called until it is whole: this after its name.
const NEW: &str = ".new";

/// Gives a file its name and replaces none.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_exclusive(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot: nobody else makes this file, which was not there a moment ago.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::rename(from, to),
        renamed => Ok(renamed?),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_exclusive(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

#[cfg(unix)]
fn open_without_following(path: &Path) -> Result<File, LockReason> {
    use rustix::fs::OFlags;
    use rustix::io::Errno;
    use std::os::unix::fs::OpenOptionsExt;
    // NONBLOCK, so that a named pipe in the key's place is refused below instead of waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NOENT) => LockReason::Missing,
        Some(Errno::LOOP) => LockReason::NotAFile,
        Some(_) | None => LockReason::Unreadable(error),
    })
}

#[cfg(not(unix))]
fn open_without_following(path: &Path) -> Result<File, LockReason> {
    File::open(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound { LockReason::Missing } else { LockReason::Unreadable(error) }
    })
}

#[cfg(unix)]
fn check_access(metadata: &fs::Metadata) -> Result<(), LockReason> {
    use std::os::unix::fs::MetadataExt;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(LockReason::Owner);
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(LockReason::Permissions { mode });
    }
    Ok(())
}

/// On Windows the profile directory's access list already admits only the user and the system.
#[cfg(not(unix))]
fn check_access(_metadata: &fs::Metadata) -> Result<(), LockReason> {
    Ok(())
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

#[cfg(unix)]
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

/// Windows flushes directory entries with the file.
#[cfg(not(unix))]
fn sync_parent(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::seal::golden::SeededRng;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn kek() -> Kek {
        Kek::generate(&mut SeededRng::new("file"))
    }

    fn locked(provider: &FileProvider) -> LockReason {
        match provider.load() {
            Err(KeyError::Locked { path, reason }) => {
                assert_eq!(path, provider.path());
                reason
            }
            other => panic!("expected locked, got {other:?}"),
        }
    }

    #[test]
    fn a_key_is_kept_for_its_user_alone_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let provider = FileProvider::new(dir.path());
        provider.create(&kek()).unwrap();
        assert_eq!(provider.load().unwrap().to_bytes(), kek().to_bytes());
        let mode = fs::metadata(provider.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn a_missing_key_is_locked_and_stays_missing() {
        let dir = tempfile::tempdir().unwrap();
        let provider = FileProvider::new(dir.path());
        assert!(matches!(locked(&provider), LockReason::Missing));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_existing_key_is_never_replaced_not_even_a_damaged_one() {
        let dir = tempfile::tempdir().unwrap();
        let provider = FileProvider::new(dir.path());
        fs::write(provider.path(), b"short").unwrap();
        assert!(matches!(provider.create(&kek()), Err(KeyError::Exists { .. })));
        assert_eq!(fs::read(provider.path()).unwrap(), b"short");
    }

    #[test]
    fn what_a_crash_left_of_a_key_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let provider = FileProvider::new(dir.path());
        fs::write(dir.path().join("device.key.new"), b"half").unwrap();
        assert!(matches!(locked(&provider), LockReason::Missing));
        provider.create(&kek()).unwrap();
        assert_eq!(provider.load().unwrap().to_bytes(), kek().to_bytes());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_may_read_is_locked_with_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let provider = FileProvider::new(dir.path());
        provider.create(&kek()).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(provider.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(locked(&provider), LockReason::Permissions { mode: found } if found == mode));
        }
        fs::set_permissions(provider.path(), fs::Permissions::from_mode(0o400)).unwrap();
        assert!(provider.load().is_ok());
    }

    #[test]
    fn a_key_of_another_length_is_locked_with_both_lengths() {
        let dir = tempfile::tempdir().unwrap();
        let provider = FileProvider::new(dir.path());
        for len in [0, 31, 33] {
            fs::write(provider.path(), vec![1; len]).unwrap();
            fs::set_permissions(provider.path(), fs::Permissions::from_mode(0o600)).unwrap();
            let reason = locked(&provider);
            assert!(matches!(reason, LockReason::Length { expected: 32, got } if got == len as u64), "{reason}");
        }
    }

    #[test]
    fn a_link_or_a_directory_in_the_keys_place_is_locked() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        FileProvider::new(elsewhere.path()).create(&kek()).unwrap();
        let provider = FileProvider::new(dir.path());
        symlink(elsewhere.path().join(KEY_FILE), provider.path()).unwrap();
        assert!(matches!(locked(&provider), LockReason::NotAFile));
        assert!(matches!(provider.create(&kek()), Err(KeyError::Exists { .. })));
        fs::remove_file(provider.path()).unwrap();
        fs::create_dir(provider.path()).unwrap();
        assert!(matches!(locked(&provider), LockReason::NotAFile));
    }

    #[test]
    fn a_directory_that_is_not_there_is_a_write_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let provider = FileProvider::new(&dir.path().join("absent"));
        let error = provider.create(&kek()).unwrap_err();
        assert!(matches!(error, KeyError::Write { .. }));
        assert!(error.to_string().contains(KEY_FILE));
    }
}
