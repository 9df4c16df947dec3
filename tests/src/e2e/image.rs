//! Images: directories as they are now, put back later as often as one likes.

use std::fs;
use std::path::{Path, PathBuf};

use super::Failed;

/// Some directories as they were.
#[derive(Debug)]
pub(super) struct Image {
    /// Where each lies, and where its copy does.
    dirs: Vec<(PathBuf, PathBuf)>,
}

impl Image {
    /// Copies these directories into `shelf`. Nobody may be writing to them.
    pub(super) fn take(dirs: &[PathBuf], shelf: &Path) -> Result<Self, Failed> {
        let dirs: Vec<_> = dirs.iter().enumerate().map(|(at, dir)| (dir.clone(), shelf.join(at.to_string()))).collect();
        dirs.iter().try_for_each(|(dir, saved)| copy(dir, saved))?;
        Ok(Self { dirs })
    }

    /// Puts them back.
    pub(super) fn put_back(&self) -> Result<(), Failed> {
        for (dir, saved) in &self.dirs {
            if dir.exists() {
                fs::remove_dir_all(dir).map_err(Failed::io("removing a directory"))?;
            }
            copy(saved, dir)?;
        }
        Ok(())
    }
}

/// Copies a directory with all that is in it and who may use it, sockets left out.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), Failed> {
    let failed = || Failed::io(format!("copying {}", from.display()));
    fs::create_dir_all(to).map_err(failed())?;
    let rights = fs::metadata(from).map_err(failed())?.permissions();
    fs::set_permissions(to, rights).map_err(failed())?;
    for entry in fs::read_dir(from).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to)?;
        } else if path.is_file() {
            fs::copy(&path, &to).map_err(failed())?;
        }
    }
    Ok(())
}
