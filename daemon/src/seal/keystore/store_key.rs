//! The key of the database: random, wrapped under the KEK, in a file of the state directory.
//!
//! Changing the key provider re-wraps this file and never touches the database.

use super::file::{create_key_file, read_key_file};
use super::{KeyError, LockReason};
use crate::seal::wrap::{Kek, OVERHEAD, Place};
use rand::CryptoRng;
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// Name of the file in the state directory.
pub const STORE_KEY_FILE: &str = "store.key";

/// Length of the key: AES-256.
const LEN: usize = 32;
/// Length of the file.
const WRAPPED_LEN: usize = LEN + OVERHEAD;

/// What the file is bound to.
const PLACE: Place<'static> = Place { table: STORE_KEY_FILE, row: &[], version: 1 };

/// The key of the database. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct StoreKey(Zeroizing<[u8; LEN]>);

impl StoreKey {
    /// Draws a key and keeps it in `state_dir`, durably.
    ///
    /// # Errors
    /// [`KeyError::Exists`] when there is one already, whatever its state; nothing is changed then.
    pub fn create(state_dir: &Path, kek: &Kek, rng: &mut impl CryptoRng) -> Result<Self, KeyError> {
        let path = state_dir.join(STORE_KEY_FILE);
        let mut key = Zeroizing::new([0; LEN]);
        rng.fill_bytes(key.as_mut_slice());
        let wrapped =
            kek.wrap(PLACE, key.as_slice(), rng).map_err(|source| KeyError::Wrap { path: path.clone(), source })?;
        create_key_file(&path, &wrapped)?;
        Ok(Self(key))
    }

    /// Reads the key of `state_dir`.
    ///
    /// # Errors
    /// [`KeyError::Locked`] for every reason that keeps it from being read, absence and a foreign KEK included.
    pub fn load(state_dir: &Path, kek: &Kek) -> Result<Self, KeyError> {
        let path = state_dir.join(STORE_KEY_FILE);
        let wrapped = read_key_file::<WRAPPED_LEN>(&path)?;
        let locked = |reason| KeyError::Locked { path: path.clone(), reason };
        let key = kek.reveal(PLACE, wrapped.as_slice()).map_err(|error| locked(LockReason::Wrapped(error)))?;
        let key: [u8; LEN] = key
            .as_slice()
            .try_into()
            .map_err(|_| locked(LockReason::Length { expected: LEN, got: key.len() as u64 }))?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// The key bytes, for the store alone.
    pub fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::golden::{SeededRng, to_hex};
    use std::fs;

    #[test]
    fn the_store_key_comes_back_under_its_kek_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut rng = SeededRng::new("store key");
        let kek = Kek::generate(&mut rng);
        let key = StoreKey::create(dir.path(), &kek, &mut rng).unwrap();
        assert_eq!(StoreKey::load(dir.path(), &kek).unwrap().as_bytes(), key.as_bytes());
        let other = Kek::generate(&mut rng);
        let error = StoreKey::load(dir.path(), &other).unwrap_err();
        assert!(matches!(error, KeyError::Locked { reason: LockReason::Wrapped(_), .. }), "{error}");
    }

    #[test]
    fn a_missing_store_key_is_locked_and_stays_missing() {
        let dir = tempfile::tempdir().unwrap();
        let kek = Kek::generate(&mut SeededRng::new("store key"));
        let error = StoreKey::load(dir.path(), &kek).unwrap_err();
        assert!(matches!(error, KeyError::Locked { reason: LockReason::Missing, .. }), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_existing_store_key_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let mut rng = SeededRng::new("store key");
        let kek = Kek::generate(&mut rng);
        StoreKey::create(dir.path(), &kek, &mut rng).unwrap();
        let before = fs::read(dir.path().join(STORE_KEY_FILE)).unwrap();
        assert!(matches!(StoreKey::create(dir.path(), &kek, &mut rng), Err(KeyError::Exists { .. })));
        assert_eq!(fs::read(dir.path().join(STORE_KEY_FILE)).unwrap(), before);
    }

    #[test]
    fn the_store_key_is_neither_on_disk_in_clear_nor_shown() {
        let dir = tempfile::tempdir().unwrap();
        let mut rng = SeededRng::new("store key");
        let kek = Kek::generate(&mut rng);
        let key = StoreKey::create(dir.path(), &kek, &mut rng).unwrap();
        let file = fs::read(dir.path().join(STORE_KEY_FILE)).unwrap();
        assert!(!file.windows(8).any(|window| key.as_bytes().windows(8).any(|part| part == window)));
        assert_eq!(format!("{key:?}"), "StoreKey(redacted)");
        assert!(!format!("{key:?}").contains(&to_hex(key.as_bytes())));
    }
}
