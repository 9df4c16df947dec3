//! Where an outbox lies: one piece of bytes, replaced as a whole.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Keeps one piece of bytes. After a crash at any moment it holds what was stored last or what was being stored, whole.
pub trait Shelf {
    /// What was stored last; `None` when nothing ever was. Reads at most `limit` bytes; more is an error.
    fn load(&mut self, limit: usize) -> io::Result<Option<Vec<u8>>>;

    /// Replaces what is there. When it answers, the bytes are on disk.
    fn store(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// A file, for its user only. While it is open, no other program can open it as a shelf.
#[derive(Debug)]
pub struct FileShelf {
    path: PathBuf,
    /// Locked until it is closed.
    _lock: File,
}

impl FileShelf {
    /// Opens the shelf at `path`; what is stored for the first time makes the file. Beside it lie `path.lock` and, while something is being
    /// stored, `path.new`.
    ///
    /// Errors: [`io::ErrorKind::WouldBlock`] when another program has it open.
    pub fn open(path: &Path) -> io::Result<Self> {
        let lock = private().open(beside(path, "lock"))?;
        lock.try_lock()?;
        Ok(Self { path: std::path::absolute(path)?, _lock: lock })
    }
}

impl Shelf for FileShelf {
    fn load(&mut self, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some(bytes))
    }

    fn store(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fresh = beside(&self.path, "new");
        let mut file = private().truncate(true).open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        sync_directory(&self.path)
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(ending);
    name.into()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the rename outlast a power cut.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// A directory cannot be opened for that here, and a rename is journalled.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_last_is_there_for_its_user_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("outbox");
        let mut shelf = FileShelf::open(&path).unwrap();
        assert_eq!(shelf.load(100).unwrap(), None);
        for bytes in [b"first".as_slice(), b"2nd"] {
            shelf.store(bytes).unwrap();
            assert_eq!(shelf.load(100).unwrap().unwrap(), bytes);
        }
        #[cfg(unix)]
        for name in fs::read_dir(directory.path()).unwrap() {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(name.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn half_of_what_was_being_stored_is_not_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("outbox");
        let mut shelf = FileShelf::open(&path).unwrap();
        shelf.store(b"whole").unwrap();
        // Where a power cut would leave it.
        fs::write(beside(&path, "new"), b"half of somethi").unwrap();
        drop(shelf);
        let mut shelf = FileShelf::open(&path).unwrap();
        assert_eq!(shelf.load(100).unwrap().unwrap(), b"whole");
        shelf.store(b"next").unwrap();
        assert_eq!(shelf.load(100).unwrap().unwrap(), b"next");
    }

    #[test]
    fn a_second_program_is_kept_out_and_what_is_too_large_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("outbox");
        let mut shelf = FileShelf::open(&path).unwrap();
        assert_eq!(FileShelf::open(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        shelf.store(b"12345").unwrap();
        assert_eq!(shelf.load(4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(shelf.load(5).unwrap().is_some());
        drop(shelf);
        assert!(FileShelf::open(&path).is_ok());
    }
}
