//! The state token: how a device notices that its state was put back to an older image, or copied.
//!
//! A random token lies in the database and in `state.token` in the config directory, and a new one is drawn at each start. A
//! state directory that was restored, copied from elsewhere or put together from two backups does not match the file beside it.
//! With the token the database keeps a hash of the machine's id: a home that was cloned together with its config directory runs on
//! another machine. On a mismatch the source in use is retired in the same transaction, before anything is written.
//!
//! ```text
//! database: current N, previous T   ──▶   file: N
//! ```
//!
//! **The database first**, with the token that the file still holds beside the new one: after a crash between the two, the file
//! holds the previous one and that is no mismatch. The other way round the database would have to know a token that it has never seen.
//!
//! **What it cannot see**: state and config directory put back together on the same machine, or a copy of both that runs beside
//! the first. Siblings see it: they know more of the source, or receive two different bundles for one place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use kinfolk_core::engine::next_generation;
use kinfolk_core::ids::{Hash, SourceId};
use kinfolk_core::step::Change;
use rand::CryptoRng;
use tracing::warn;

use super::SetupError;
use super::secrets::{TOKEN, find, keep};
use crate::driver::wall_clock;
use crate::seal::Kek;
use crate::store::Store;

/// Name of the file in the config directory.
pub(super) const TOKEN_FILE: &str = "state.token";

/// 128 random bits; all zero is none.
type Token = [u8; 16];

/// What the database holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Held {
    current: Token,
    /// What the file held when `current` was drawn.
    previous: Token,
    /// All zero where the system tells no machine id.
    machine: [u8; Hash::LEN],
}

impl Held {
    fn to_bytes(self) -> Vec<u8> {
        [self.current.as_slice(), &self.previous, &self.machine].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (current, rest) = bytes.split_first_chunk()?;
        let (previous, machine) = rest.split_first_chunk()?;
        Some(Self { current: *current, previous: *previous, machine: machine.try_into().ok()? })
    }

    /// Whether this database belongs beside that file, on that machine.
    fn belongs(&self, file: Option<Token>, machine: Option<Hash>) -> bool {
        let known = file.is_some_and(|token| token != NONE && (token == self.current || token == self.previous));
        let moved = machine.is_some_and(|machine| self.machine != [0; Hash::LEN] && machine.0 != self.machine);
        known && !moved
    }
}

/// Compares the tokens, retires the source when they do not belong together, and draws a new one. Says whether it retired.
///
/// # Errors
/// When the file or the database cannot be read, or the database cannot be written. A file that cannot be *written* is only warned of:
/// the next start knows the old one.
pub(super) fn settle(
    store: &mut Store,
    kek: &Kek,
    config: &Path,
    machine: Option<Hash>,
    rng: &mut impl CryptoRng,
) -> Result<bool, SetupError> {
    let path = config.join(TOKEN_FILE);
    let file = read(&path).map_err(|source| SetupError::Io { path: path.clone(), source })?;
    let held = find(store, kek, TOKEN)?;
    let held = held.map(|bytes| Held::from_bytes(&bytes).ok_or(SetupError::NoSecret(TOKEN))).transpose()?;
    let belongs = match &held {
        Some(held) => held.belongs(file, machine),
        // A device that never had one; with a file beside it, it is an image from before its first.
        None => file.is_none(),
    };
    let mut next = Held { previous: file.unwrap_or(NONE), ..Held::default() };
    rng.fill_bytes(&mut next.current);
    next.machine = machine.map(|machine| machine.0).or(held.map(|held| held.machine)).unwrap_or_default();

    let saved = store.restore()?;
    store.begin()?;
    if !belongs {
        let mut drawn = [0; 2];
        rng.fill_bytes(&mut drawn);
        let drawn = u16::from_be_bytes(drawn);
        let generation = next_generation(saved.me, saved.generation, &saved.sources, wall_clock(), drawn);
        store.apply(&Change::Fresh { source: SourceId(*uuid::Uuid::new_v4().as_bytes()), generation })?;
        if let Some(newest) = saved.prekeys.last() {
            store.apply(&Change::PrekeyHeld(newest.spoilt()))?;
        }
    }
    keep(store, kek, TOKEN, &next.to_bytes(), rng)?;
    store.commit()?;
    if let Err(error) = write(&path, next.current) {
        warn!(path = %path.display(), %error, "the state token cannot be renewed; a restored state would not be noticed");
    }
    Ok(!belongs)
}

/// This machine, if the system says which: a hash, so that the id itself is kept nowhere (machine-id(5) asks for that).
pub(super) fn machine() -> Option<Hash> {
    let text = if cfg!(target_os = "linux") { fs::read_to_string("/etc/machine-id").ok()? } else { return None };
    machine_from(&text)
}

fn machine_from(text: &str) -> Option<Hash> {
    let id = text.trim();
    let whole = id.len() == MACHINE_ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then(|| Hash::of_parts(&[b"kinfolk/1/machine", id.as_bytes()]))
}

/// The token in the file. One that is not whole is none that matches.
fn read(path: &Path) -> io::Result<Option<Token>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(2 * NONE.len() as u64).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(bytes.try_into().unwrap_or(NONE)))
}

/// Replaces the file, whole or not at all.
fn write(path: &Path, token: Token) -> io::Result<()> {
    let new = path.with_extension("token.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(&token)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), super::sync_dir)
}

const NONE: Token = [0; 16];
/// Of a machine id (machine-id(5)).
const MACHINE_ID_DIGITS: usize = 32;

#[cfg(test)]
mod tests;
