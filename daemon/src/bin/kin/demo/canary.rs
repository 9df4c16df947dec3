//! A word that is nowhere else, and the search for it among what a relay stores.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// What a relay's folder holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Regular files.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Where the word is, if anywhere.
    pub(super) found: Option<String>,
}

/// A new word that sorts and compresses like text.
pub(super) fn word() -> String {
    name("canary")
}

/// `prefix` with a random end. Uniqueness is all that is asked of it.
pub(super) fn name(prefix: &str) -> String {
    format!("{prefix}-{:08x}", RandomState::new().hash_one(prefix) >> 32)
}

/// Looks for `word`, and its hex form, in the content and the name of everything under `folder`.
pub(super) fn search(folder: PathBuf, word: &str) -> Result<Found, Failure> {
    let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
    let forms = [word.as_bytes(), hex.as_bytes()];
    let holds = |bytes: &[u8]| forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == *form));
    let mut found = Found::default();
    let mut todo = vec![folder];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).map_err(failed(&directory))? {
            let path = entry.map_err(failed(&directory))?.path();
            if path.file_name().is_some_and(|name| holds(name.as_encoded_bytes())) {
                found.found = Some(format!("the name {}", path.display()));
            }
            // A file may be collected by its reader between the listing and this line.
            match fs::symlink_metadata(&path) {
                Ok(about) if about.is_dir() => todo.push(path),
                Ok(_file) => {
                    let Some(content) = read(&path)? else { continue };
                    found.files += 1;
                    found.bytes += u64::try_from(content.len()).unwrap_or(u64::MAX);
                    if holds(&content) {
                        found.found = Some(format!("the file {}", path.display()));
                    }
                }
                Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&path)(error)),
            }
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path)(error)),
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    Failure::io(format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_found_in_contents_names_and_hex() {
        let word = word();
        let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
        let places: [(&str, String); 3] =
            [("a/plain", format!("…{word}…")), ("b/hex", hex), (&format!("c/{word}.txt"), "nothing".into())];
        for (path, content) in places {
            let dir = tempfile::tempdir().unwrap();
            assert!(search(dir.path().into(), &word).unwrap().found.is_none());
            let file = dir.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &content).unwrap();
            let found = search(dir.path().into(), &word).unwrap();
            assert!(found.found.is_some(), "{path}");
            assert_eq!((found.files, found.bytes), (1, content.len() as u64));
            fs::write(&file, "harmless").unwrap();
        }
    }
}
