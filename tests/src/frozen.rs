//! Golden files: bytes that must never change, in a form people can read and diff.
//!
//! A file is lines of lowercase hex, 32 bytes each, below comment lines that begin with `#`. [`check`] compares what the code writes today
//! with the file and gives back the *file's* bytes, so that the test goes on to decode what an older version wrote. `KINFOLK_BLESS=1` writes
//! the files anew: right for a new file, a broken promise for an old one.

use std::path::PathBuf;
use std::{env, fs, io};

use crate::tree::root;

/// Says that frozen bytes are written anew instead of compared.
pub const BLESS: &str = "KINFOLK_BLESS";

/// Why the frozen bytes do not hold.
#[derive(Debug, thiserror::Error)]
pub enum FrozenError {
    /// There is no such file.
    #[error("{path} cannot be read ({source}); a new golden file is written with {BLESS}=1")]
    Missing {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be written.
    #[error("{path} cannot be written: {source}")]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not lines of hex.
    #[error("{path}:{line} is not hex")]
    NotHex {
        /// Which.
        path: PathBuf,
        /// Line from 1.
        line: usize,
    },
    /// Today's bytes are others.
    #[error("{path}: the code writes other bytes than were frozen\n  frozen: {frozen}\n  today:  {today}")]
    Differs {
        /// Which.
        path: PathBuf,
        /// What the file says.
        frozen: String,
        /// What the code writes.
        today: String,
    },
}

/// Compares `today` with the golden file `area/name.hex`, described by `what`; gives back the file's bytes.
pub fn check(area: &str, name: &str, what: &str, today: &[u8]) -> Result<Vec<u8>, FrozenError> {
    let path = root().join("tests/golden").join(area).join(format!("{name}.hex"));
    if env::var_os(BLESS).is_some_and(|value| value == "1") {
        let unwritable = |source| FrozenError::Unwritable { path: path.clone(), source };
        fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(unwritable)?;
        fs::write(&path, render(what, today)).map_err(unwritable)?;
    }
    let text = fs::read_to_string(&path);
    compare(path, text, today)
}

fn compare(path: PathBuf, text: io::Result<String>, today: &[u8]) -> Result<Vec<u8>, FrozenError> {
    let text = text.map_err(|source| FrozenError::Missing { path: path.clone(), source })?;
    let frozen = parse(&text).map_err(|line| FrozenError::NotHex { path: path.clone(), line })?;
    if frozen == today {
        return Ok(frozen);
    }
    Err(FrozenError::Differs { path, frozen: hex(&frozen), today: hex(today) })
}

const BYTES_PER_LINE: usize = 32;

fn render(what: &str, bytes: &[u8]) -> String {
    let comment = what.lines().map(|line| format!("# {line}\n"));
    let lines = bytes.chunks(BYTES_PER_LINE).map(|chunk| hex(chunk) + "\n");
    comment.chain(lines).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes, or the line that is not hex.
fn parse(text: &str) -> Result<Vec<u8>, usize> {
    let mut bytes = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let bad = |_| index + 1;
        let digits = line.trim();
        if !digits.is_ascii() || digits.len() % 2 != 0 {
            return Err(index + 1);
        }
        for at in (0..digits.len()).step_by(2) {
            bytes.push(u8::from_str_radix(&digits[at..at + 2], 16).map_err(bad)?);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_is_parsed_again() {
        let bytes: Vec<u8> = (0..100).collect();
        assert_eq!(parse(&render("a\nb", &bytes)), Ok(bytes));
        assert_eq!(parse("# x\n00\n0g\n"), Err(3));
        assert_eq!(parse("000"), Err(1));
    }

    #[test]
    fn a_missing_file_and_other_bytes_are_errors() {
        let path = root().join("tests/golden/none.hex");
        assert!(matches!(compare(path.clone(), fs::read_to_string(&path), b""), Err(FrozenError::Missing { .. })));
        assert!(matches!(compare(path.clone(), Ok("00".into()), b"\x01"), Err(FrozenError::Differs { .. })));
        assert!(matches!(compare(path.clone(), Ok("0".into()), b""), Err(FrozenError::NotHex { .. })));
        assert_eq!(compare(path, Ok("# c\n01".into()), b"\x01").unwrap(), [1]);
    }
}
