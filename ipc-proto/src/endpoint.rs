//! `endpoint.json`: where a running daemon says how to reach it.
//!
//! Written with a rename after the socket listens, removed at a clean end. After a crash it stays, so it is a hint, never
//! a proof: only an answered call says that a daemon is there.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One run of a daemon.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Endpoint {
    /// The socket path or pipe name.
    pub address: PathBuf,
    /// Its process.
    pub pid: u32,
    /// Random for each run.
    pub instance_id: String,
    /// The oldest version of the local API that it speaks.
    pub protocol_min: u32,
    /// The newest version of the local API that it speaks.
    pub protocol_max: u32,
    /// Its version.
    pub version: String,
    /// When the run began, Unix milliseconds.
    pub started_at_ms: u64,
}

impl Endpoint {
    /// Reads the file. `None` when it is not there, unreadable, too long or not understood: a hint that cannot be read
    /// is no hint.
    pub fn read(file: &Path) -> Option<Self> {
        let mut text = String::new();
        std::fs::File::open(file).ok()?.take(MAX_BYTES).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Writes the file for its owner only, so that a reader sees the old one or the new one.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let scratch = file.with_extension(format!("json.{}", self.pid));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        options.open(&scratch)?.write_all(text.as_bytes())?;
        std::fs::rename(scratch, file)
    }

    /// Whether the process still exists. It may be another one by now.
    pub fn process_exists(&self) -> bool {
        process_exists(self.pid)
    }
}

/// Whether a process with that id exists.
#[cfg(unix)]
pub fn process_exists(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return false };
    // EPERM means that it exists and is not ours.
    !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

/// Whether a process with that id exists. Not asked on this system: a client finds out by calling.
#[cfg(not(unix))]
pub fn process_exists(_: u32) -> bool {
    true
}

/// An endpoint file has some 300 bytes and one path.
const MAX_BYTES: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_read_as_it_was_written_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("endpoint.json");
        let endpoint = here();
        endpoint.write(&file).unwrap();
        assert_eq!(Endpoint::read(&file), Some(endpoint.clone()));
        assert!(endpoint.process_exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no scratch file stays");
    }

    #[test]
    fn a_missing_or_broken_file_is_no_hint() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("endpoint.json");
        assert_eq!(Endpoint::read(&file), None);
        std::fs::write(&file, "{\"address\": 3").unwrap();
        assert_eq!(Endpoint::read(&file), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_process_id_out_of_range_does_not_exist() {
        assert!(!process_exists(0));
        assert!(!process_exists(u32::MAX));
    }

    fn here() -> Endpoint {
        Endpoint {
            address: "/k/run/kinfolk.sock".into(),
            pid: std::process::id(),
            instance_id: "0a1b".into(),
            protocol_min: 1,
            protocol_max: 1,
            version: "0.1.0".into(),
            started_at_ms: 1_700_000_000_000,
        }
    }
}
