//! The marker: the file in the folder's root that makes a folder a relay and gives it its id.
//!
//! ```text
//! kinfolk-relay 1
//! id 8f3c…                         32 hex digits
//! This folder carries sealed mail … (for the person who finds it)
//! ```
//! Devices that reach the same folder by different paths read the same id. A disk that is not mounted shows a folder
//! without a marker: nothing is written there and nothing new is made. So a marker is only ever *created* by
//! [`create`], on a person's word, and only where neither a marker nor mail is found. A marker that cannot be read is an
//! error, never "not there". Racing creators agree because the name is given exclusively and the loser reads.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use kinfolk_core::ids::RelayId;

use super::disk::{self, Disk, Published};
use super::entry;

/// File name of the marker. No dot in front: people should see what the folder is before they delete it.
pub(super) const FILE: &str = "kinfolk-relay";

/// Version of the folder's layout.
pub(super) const VERSION: u32 = 1;

/// Longest marker that is read, in bytes; ours has under 300.
const MAX_BYTES: u64 = 4096;

const KEYWORD: &str = "kinfolk-relay ";
const ID: &str = "id ";
const NOTE: &str = "This folder carries sealed mail between one person's devices (kinfolk).\n\
    Whoever deletes this file takes the relay away from all of them.\n";

/// What a marker says.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Marker {
    /// A relay of our version.
    Relay(RelayId),
    /// A relay of a later version.
    Newer(u32),
    /// Not a marker.
    Garbled,
}

/// Reads the marker; `None` only when the name surely does not exist.
pub(super) fn read(root: &Path) -> io::Result<Option<Marker>> {
    let file = match File::open(root.join(FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(parse(&bytes)))
}

/// Writes a marker with this id unless one is there; racing creators all read the one that won.
pub(super) fn create(disk: &dyn Disk, root: &Path, id: RelayId, mode: u32) -> io::Result<()> {
    let temp = root.join(entry::temp_name(rand::random()));
    let text = format!("{KEYWORD}{VERSION}\n{ID}{id}\n{NOTE}");
    let named = write_synced(disk, &temp, &text, mode).and_then(|()| {
        let name = root.join(FILE);
        match disk::publish(disk, &temp, &name)? {
            Published::Fresh | Published::Taken => Ok(()),
            // The last resort is exclusive but not whole at once: a racing reader may see it half-written and has to
            // try again.
            Published::CannotTell => match write_synced(disk, &name, &text, mode) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                written => written,
            },
        }
    });
    match fs::remove_file(&temp) {
        Err(error) if error.kind() != ErrorKind::NotFound => return named.and(Err(error)),
        Ok(()) | Err(_) => {}
    }
    named?;
    disk.sync_directory(root)
}

fn write_synced(disk: &dyn Disk, path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = disk::create_new(path, mode)?;
    disk.write(&mut file, text.as_bytes())?;
    disk.sync_file(&file)
}

fn parse(bytes: &[u8]) -> Marker {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Marker::Garbled;
    };
    // Only lines that were ended count: the rest of a half-written marker must not pass for another id.
    let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let version =
        lines.next().and_then(|line| line.strip_prefix(KEYWORD)).and_then(|version| version.parse::<u32>().ok());
    match version {
        None | Some(0) => Marker::Garbled,
        Some(newer) if newer > VERSION => Marker::Newer(newer),
        Some(_) => lines
            .next()
            .and_then(|line| line.strip_prefix(ID))
            .and_then(RelayId::from_hex)
            .map_or(Marker::Garbled, Marker::Relay),
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::LocalDisk;
    use super::*;

    #[test]
    fn the_first_of_racing_creators_names_the_relay_for_all() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path();
        let barrier = std::sync::Barrier::new(16);
        let seen: Vec<Option<Marker>> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..16)
                .map(|racer| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        create(&LocalDisk, root, RelayId([racer; 16]), 0o600).unwrap();
                        read(root).unwrap()
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert!(matches!(seen[0], Some(Marker::Relay(_))));
        assert!(seen.iter().all(|marker| *marker == seen[0]), "{seen:?}");
        assert_eq!(fs::read_dir(root).unwrap().count(), 1, "a creator left something behind");
    }

    #[test]
    fn a_disk_that_can_only_create_still_gets_one_marker() {
        #[derive(Debug)]
        struct Plain;
        impl Disk for Plain {
            fn rename_exclusive(&self, _: &Path, _: &Path) -> io::Result<()> {
                Err(ErrorKind::InvalidInput.into())
            }
            fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
                Err(ErrorKind::PermissionDenied.into())
            }
        }
        let home = tempfile::tempdir().unwrap();
        create(&Plain, home.path(), RelayId([1; 16]), 0o600).unwrap();
        create(&Plain, home.path(), RelayId([2; 16]), 0o600).unwrap();
        assert_eq!(read(home.path()).unwrap(), Some(Marker::Relay(RelayId([1; 16]))));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_marker_that_cannot_be_read_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(read(home.path()).unwrap(), None);
        fs::create_dir(home.path().join(FILE)).unwrap();
        assert!(read(home.path()).is_err());
        let file = home.path().join("a file");
        fs::write(&file, "").unwrap();
        assert!(read(&file).is_err(), "a root that is a file is not an empty root");
    }

    #[test]
    fn every_cut_of_a_marker_is_garbled_and_never_another_id() {
        let home = tempfile::tempdir().unwrap();
        let id = RelayId([0xab; 16]);
        create(&LocalDisk, home.path(), id, 0o600).unwrap();
        let whole = fs::read(home.path().join(FILE)).unwrap();
        for length in 0..whole.len() {
            let marker = parse(&whole[..length]);
            assert!(marker == Marker::Garbled || marker == Marker::Relay(id), "cut to {length}: {marker:?}");
        }
        assert_eq!(parse(b""), Marker::Garbled);
        assert_eq!(parse(b"kinfolk-relay 2\nwhatever"), Marker::Newer(2));
        assert_eq!(parse(b"kinfolk-relay 0\nid 00\n"), Marker::Garbled);
        assert_eq!(parse(&[0xff; 64]), Marker::Garbled);
    }
}
