//! The few disk operations whose failure or order matters, behind a seam, so that tests can fill the disk, cut a write
//! or count syncs. [`LocalDisk`] is the real thing; every method has its real body here.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Operations on one file system.
pub(in crate::relay) trait Disk: Send + Sync + fmt::Debug {
    /// Appends all of `bytes`.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// Returns when the file's bytes survive a power cut.
    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    /// Returns when the names in `directory` survive a power cut. Where directories cannot be opened the file system
    /// journals names itself.
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
    }

    /// Gives `from` the name `to` in one step, and fails with `AlreadyExists` when that name is taken. Local file
    /// systems can; NFS and old kernels cannot.
    fn rename_exclusive(&self, from: &Path, to: &Path) -> io::Result<()> {
        rename_exclusive(from, to)
    }

    /// Gives the file a second name, and fails with `AlreadyExists` when that name is taken. NFS and NTFS can; FAT and
    /// some network shares cannot.
    fn link(&self, existing: &Path, name: &Path) -> io::Result<()> {
        fs::hard_link(existing, name)
    }
}

/// The disk itself.
#[derive(Debug)]
pub(in crate::relay) struct LocalDisk;

impl Disk for LocalDisk {}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_exclusive(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_exclusive(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Which way a file got its final name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Published {
    /// Under the name that was free.
    Fresh,
    /// The name is taken; the temporary file is still there.
    Taken,
    /// This file system can neither rename exclusively nor link; the temporary file is still there.
    CannotTell,
}

/// Gives a complete, synced temporary file its final name without ever replacing another file.
pub(super) fn publish(disk: &dyn Disk, temp: &Path, name: &Path) -> io::Result<Published> {
    match disk.rename_exclusive(temp, name) {
        Ok(()) => return Ok(Published::Fresh),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Published::Taken),
        Err(error) if is_final(&error) => return Err(error),
        Err(_unsupported) => {}
    }
    match disk.link(temp, name) {
        Ok(()) => {
            // The mail is there whatever happens to its first name: a sweep takes that one.
            let _ = fs::remove_file(temp);
            Ok(Published::Fresh)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Published::Taken),
        Err(error) if is_final(&error) => Err(error),
        Err(_unsupported) => Ok(Published::CannotTell),
    }
}

/// Creates a new file with at most these permission bits; `AlreadyExists` when the name is taken.
pub(super) fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)
}

/// Creates a directory with at most these permission bits; one that exists is fine. True when it was created.
pub(super) fn create_directory(path: &Path, mode: u32) -> io::Result<bool> {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix sets a mode"))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
    #[cfg(not(unix))]
    let _ = mode;
    match builder.create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Errors that another way of naming the file would meet as well. "Permission denied" is not one of them: FAT answers
/// so to a link.
fn is_final(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::StaleNetworkFileHandle
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that can do only some ways of naming.
    #[derive(Debug)]
    struct Limited {
        rename: bool,
        link: bool,
    }

    impl Disk for Limited {
        fn rename_exclusive(&self, from: &Path, to: &Path) -> io::Result<()> {
            if self.rename { LocalDisk.rename_exclusive(from, to) } else { Err(ErrorKind::InvalidInput.into()) }
        }

        fn link(&self, existing: &Path, name: &Path) -> io::Result<()> {
            if self.link { LocalDisk.link(existing, name) } else { Err(ErrorKind::PermissionDenied.into()) }
        }
    }

    #[test]
    fn no_way_of_naming_ever_replaces_a_file() {
        for (rename, link) in [(true, true), (false, true), (false, false)] {
            let disk = Limited { rename, link };
            let home = tempfile::tempdir().unwrap();
            let (temp, name) = (home.path().join("temp"), home.path().join("name"));
            fs::write(&temp, "first").unwrap();
            let published = publish(&disk, &temp, &name).unwrap();
            if rename || link {
                assert_eq!(published, Published::Fresh);
                assert!(!temp.exists());
            } else {
                assert_eq!(published, Published::CannotTell);
                fs::rename(&temp, &name).unwrap();
            }
            fs::write(&temp, "second").unwrap();
            let again = publish(&disk, &temp, &name).unwrap();
            assert_ne!(again, Published::Fresh);
            assert_eq!(fs::read_to_string(&name).unwrap(), "first");
            assert!(temp.exists());
        }
    }

    #[test]
    fn a_vanished_temporary_file_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let error = publish(&LocalDisk, &home.path().join("temp"), &home.path().join("name")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn files_and_directories_are_made_private() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let (file, directory) = (home.path().join("file"), home.path().join("directory"));
        create_new(&file, 0o600).unwrap();
        assert!(create_directory(&directory, 0o700).unwrap());
        assert!(!create_directory(&directory, 0o700).unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&directory)), (0o600, 0o700));
    }
}
