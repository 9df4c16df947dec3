use std::path::PathBuf;

use kinfolk_core::ids::{DeviceId, Millis};
use kinfolk_core::prekey::KeptPrekey;
use tempfile::TempDir;

use super::*;
use crate::store::{DbKey, NewDevice};

/// A device's two directories.
struct Home {
    root: TempDir,
    kek: Kek,
}

impl Home {
    fn new() -> Self {
        let home = Self { root: tempfile::tempdir().unwrap(), kek: Kek::generate(&mut rand::rng()) };
        fs::create_dir_all(home.config()).unwrap();
        fs::create_dir_all(home.state()).unwrap();
        let device = NewDevice {
            me: DeviceId([1; 16]),
            source: SourceId([2; 16]),
            generation: 1,
            roster: Hash::default(),
            records: Vec::new(),
            epochs: Vec::new(),
            prekey: KeptPrekey { prekey: Default::default(), made: Millis(0), kept: Default::default() },
            announced: Vec::new(),
        };
        drop(Store::create(&home.state(), &key(), &device).unwrap());
        home
    }

    fn config(&self) -> PathBuf {
        self.root.path().join("config")
    }

    fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    fn start_on(&self, machine: Option<Hash>) -> bool {
        let mut store = Store::open(&self.state(), &key()).unwrap();
        settle(&mut store, &self.kek, &self.config(), machine, &mut rand::rng()).unwrap()
    }

    /// One start; whether the source was retired.
    fn start(&self) -> bool {
        self.start_on(None)
    }

    fn copy(&self, of: &Path, name: &str) -> PathBuf {
        let to = self.root.path().join(name);
        fs::remove_dir_all(&to).ok();
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(of).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        to
    }

    fn put_back(&self, image: &Path, over: &Path) {
        fs::remove_dir_all(over).unwrap();
        fs::rename(image, over).unwrap();
    }

    fn source(&self) -> (SourceId, u64) {
        let saved = Store::open(&self.state(), &key()).unwrap().restore().unwrap();
        (saved.source, saved.generation)
    }
}

fn key() -> DbKey {
    DbKey::new([7; 32])
}

#[test]
fn a_device_that_starts_again_and_again_keeps_its_source() {
    let home = Home::new();
    assert!((0..4).all(|_| !home.start()));
    assert_eq!(home.source(), (SourceId([2; 16]), 1));
}

#[test]
fn a_state_directory_put_back_retires_the_source_once() {
    let home = Home::new();
    home.start();
    let image = home.copy(&home.state(), "image");
    home.start();
    home.put_back(&image, &home.state());
    assert!(home.start());
    let (source, generation) = home.source();
    assert_ne!(source, SourceId([2; 16]));
    assert!(generation > 1);
    assert!(!home.start());
    assert_eq!(home.source(), (source, generation));
}

#[test]
fn an_image_from_before_the_first_token_is_noticed() {
    let home = Home::new();
    let image = home.copy(&home.state(), "image");
    home.start();
    home.put_back(&image, &home.state());
    assert!(home.start());
}

#[test]
fn a_lost_or_damaged_token_file_retires_the_source() {
    let home = Home::new();
    home.start();
    fs::remove_file(home.config().join(TOKEN_FILE)).unwrap();
    assert!(home.start());
    assert!(!home.start());
    for damaged in [&[][..], &[7; 15], &[0; 16], &[7; 17]] {
        fs::write(home.config().join(TOKEN_FILE), damaged).unwrap();
        assert!(home.start(), "{damaged:?}");
        assert!(!home.start());
    }
}

#[test]
fn a_crash_before_the_database_is_written_changes_nothing() {
    let home = Home::new();
    home.start();
    let (state, config) = (home.copy(&home.state(), "s"), home.copy(&home.config(), "c"));
    home.start();
    // Both as they were before that start.
    home.put_back(&state, &home.state());
    home.put_back(&config, &home.config());
    assert!(!home.start());
}

#[test]
fn a_crash_between_database_and_file_is_no_mismatch() {
    let home = Home::new();
    home.start();
    for _ in 0..3 {
        let config = home.copy(&home.config(), "c");
        home.start();
        home.put_back(&config, &home.config());
        assert!(!home.start());
    }
    assert_eq!(home.source().1, 1);
}

#[test]
fn a_crash_between_database_and_file_of_a_retirement_leaves_one_fresh_source() {
    let home = Home::new();
    home.start();
    let image = home.copy(&home.state(), "image");
    home.start();
    let config = home.copy(&home.config(), "c");
    home.put_back(&image, &home.state());
    assert!(home.start());
    let fresh = home.source();
    home.put_back(&config, &home.config());
    assert!(!home.start());
    assert_eq!(home.source(), fresh);
}

#[test]
fn a_home_on_another_machine_retires_the_source_and_stays_there() {
    let home = Home::new();
    let (here, there) = (machine_from(&"a".repeat(32)), machine_from(&"b".repeat(32)));
    assert!(!home.start_on(here));
    assert!(!home.start_on(None), "a system that does not say is no other machine");
    assert!(!home.start_on(here));
    assert!(home.start_on(there));
    assert!(!home.start_on(there));
}

#[cfg(unix)]
#[test]
fn a_token_file_that_cannot_be_written_keeps_nobody_from_starting() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.start();
    // A directory in the way of the new file; permissions would not stop root.
    fs::create_dir(home.config().join("state.token.new")).unwrap();
    assert!((0..3).all(|_| !home.start()));
    let mode = fs::metadata(home.config().join(TOKEN_FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_machine_id_is_thirty_two_hex_digits_and_is_not_kept_itself() {
    let id = "0123456789abcdef0123456789abcdef";
    assert_eq!(machine_from(&format!("{id}\n")), machine_from(id));
    assert_ne!(machine_from(id).unwrap(), Hash::of(id.as_bytes()));
    for odd in ["", "uninitialized\n", "0123", "zz23456789abcdef0123456789abcdef"] {
        assert_eq!(machine_from(odd), None, "{odd:?}");
    }
}
