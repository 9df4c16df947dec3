//! The owner's credential: a token in the state directory, for its owner only, which `kin` reads and shows with each call.
//!
//! Whoever can read it could as well read the database's key beside it. Whoever has the user and the socket but not the files, such as a
//! program in a sandbox, is nobody to the daemon until the owner gives it a token of its own.
//!
//! It is made once and stays, so that programs that were connected before a restart are let in after it. One that others could read, or
//! that is no token, is replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use rand::CryptoRng;
use tracing::warn;
use zeroize::Zeroizing;

use crate::seal::{Bearer, Role};

/// The credential in `path`, made anew when there is none that is fit.
///
/// # Errors
/// When none is there and none can be written.
pub(super) fn settle(path: &Path, rng: &mut impl CryptoRng) -> io::Result<Bearer> {
    match read(path) {
        Ok(Some(token)) => return Ok(token),
        Ok(None) => {}
        Err(error) => warn!(path = %path.display(), %error, "the owner's credential cannot be used and is made anew"),
    }
    let token = Bearer::generate(Role::Admin, rng);
    write(path, &token)?;
    Ok(token)
}

fn read(path: &Path) -> io::Result<Option<Bearer>> {
    let file = match fs::symlink_metadata(path) {
        Ok(seen) if seen.is_file() => File::open(path)?,
        Ok(_) => return Err(io::Error::other("it is no file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let seen = file.metadata()?;
        if seen.mode() & 0o077 != 0 || seen.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("others may have read it"));
        }
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    let token = Bearer::parse(text.trim_end()).filter(|token| token.role() == Role::Admin);
    token.map(Some).ok_or_else(|| io::Error::other("it holds no token"))
}

/// Puts it in place whole: who reads it sees the old one or the new one.
fn write(path: &Path, token: &Bearer) -> io::Result<()> {
    let scratch = path.with_extension("token.new");
    match fs::remove_file(&scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&scratch)?;
    writeln!(file, "{}", token.reveal())?;
    file.sync_all()?;
    fs::rename(scratch, path)
}

/// A token has 53 characters and a line end.
const MAX_BYTES: u64 = 128;

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn it_is_for_its_owner_only_and_stays_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        let made = settle(&path, &mut rand::rng()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}\n", made.reveal()));
        assert!(settle(&path, &mut rand::rng()).unwrap().hash().is(&made.hash()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no scratch file stays");
    }

    #[test]
    fn one_that_is_not_fit_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        let first = settle(&path, &mut rand::rng()).unwrap();

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let second = settle(&path, &mut rand::rng()).unwrap();
        assert!(!second.hash().is(&first.hash()), "others may have read it");

        let app = Bearer::generate(Role::App, &mut rand::rng());
        for text in ["", "kin_admin_", app.reveal(), &"x".repeat(10_000)] {
            fs::write(&path, text).unwrap();
            let anew = settle(&path, &mut rand::rng()).unwrap();
            assert_eq!(anew.role(), Role::Admin);
            assert_eq!(fs::read_to_string(&path).unwrap().trim_end(), anew.reveal());
        }
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (dir.path().join("admin.token"), dir.path().join("elsewhere"));
        let other = settle(&elsewhere, &mut rand::rng()).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert!(!settle(&path, &mut rand::rng()).unwrap().hash().is(&other.hash()));
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }
}
