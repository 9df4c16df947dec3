//! Set-up: how a device comes into being, and how its keys and store are found again.
//!
//! ```text
//! config/device.key        the key-encryption key, alone
//! config/state.token       what the state directory is recognised by
//! state/store/store.key    the database key, wrapped under it
//! state/store/kinfolk.db   everything else; secrets in it are wrapped a second time
//! state/store.new/         a set-up that is not finished
//! ```
//!
//! **Whole or not at all.** A new device is built under `store.new`, then `device.key` is written, then the directory is renamed.
//! A crash before the key leaves a remnant without a key, which is removed; a crash after it leaves both, and the next start finishes the
//! rename.
//!
//! **Locked is not new.** A store whose key cannot be read, or a key whose store is gone, is *locked*: nothing is ever made
//! anew over something that may come back (an unmounted disk, a restored home).

mod error;
mod secrets;
mod token;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kinfolk_core::clock::HybridClock;
use kinfolk_core::ids::{DeviceId, Hash, RelayId, SourceId};
use kinfolk_core::roster::{self, Device, Record, Roster, RosterChange, SignedRecord, name_fits};
use rand::CryptoRng;
use tracing::{info, warn};

use self::secrets::{IDENTITY, exactly, keep, reveal};
use crate::credentials::{self, Credentials};
use crate::driver::wall_clock;
use crate::relay::RelayUrl;
use crate::seal::keystore::{FileProvider, KeyError, KeyProvider, LockReason, StoreKey};
use crate::seal::{GroupSecret, Identity, Kek, Prekey};
use crate::store::{DbKey, NewDevice, Store};

pub use self::error::SetupError;
pub(crate) use self::secrets::{decode_group, encode_group, reveal_url, saved_relay};

/// Where a device's parts lie.
#[derive(Clone, Debug)]
pub struct Places {
    /// Holds `device.key`.
    pub config: PathBuf,
    /// Holds the store.
    pub state: PathBuf,
}

/// What is there at start.
#[derive(Debug)]
pub enum Found {
    /// No device yet.
    Nothing,
    /// A device.
    Device(Box<Opened>),
}

/// A device's keys and store, opened.
#[derive(Debug)]
pub struct Opened {
    /// The writer.
    pub store: Store,
    /// Where the database lies, and its key, for readers.
    pub directory: PathBuf,
    /// The database key.
    pub db_key: DbKey,
    /// What relay workers seal and open with.
    pub credentials: Arc<Credentials>,
    /// For wrapping what is stored later.
    pub kek: Kek,
}

/// The keys of a device that is being made. Nothing is on disk yet.
#[derive(Debug)]
pub struct Fresh {
    /// Its roster entry.
    pub device: Device,
    /// Its identity.
    pub identity: Identity,
    /// Its first prekey.
    pub prekey: Prekey,
    /// The relays it begins with: they are written down with the rest, so that no crash leaves a device that reaches nobody.
    pub relays: Vec<(RelayId, RelayUrl)>,
    /// Contents of messages from before this instant, in microseconds since the Unix epoch, may come after the rest.
    pub recent_us: Option<i64>,
}

impl Fresh {
    /// Draws the keys of a new device.
    ///
    /// # Errors
    /// [`SetupError::Name`], and when the system gives no randomness.
    pub fn generate(name: &str, rng: &mut impl CryptoRng) -> Result<Self, SetupError> {
        if !name_fits(name) {
            return Err(SetupError::Name);
        }
        let identity = Identity::generate(rng);
        let prekey = Prekey::generate(FIRST_SLOT, rng).map_err(|error| SetupError::Keys(error.to_string()))?;
        let device = Device {
            id: DeviceId::of(&identity.public()),
            key: identity.public(),
            name: name.to_owned(),
            platform: std::env::consts::OS.to_owned(),
            prekey: credentials::announced(&prekey),
        };
        Ok(Self { device, identity, prekey, relays: Vec::new(), recent_us: None })
    }

    /// The first record of a roster with only this device.
    fn genesis(&self) -> SignedRecord {
        let record = Record {
            roster: None,
            author: self.device.id,
            author_key: self.device.key,
            parents: Default::default(),
            stamp: HybridClock::default().tick(wall_clock()),
            change: RosterChange::Genesis(self.device.clone()),
        };
        let bytes = record.encode();
        let signature = self.identity.sign_record(&bytes).to_vec().into();
        SignedRecord { bytes, signature }
    }
}

/// What a device needs to know of the others to join them.
#[derive(Debug)]
pub struct Family {
    /// The roster's id.
    pub roster: Hash,
    /// Its records, verified.
    pub records: Vec<SignedRecord>,
    /// The secrets of the group's epochs, as far as they were given.
    pub groups: Vec<GroupSecret>,
    /// The prekeys of its devices that are not those on the roster.
    pub announced: Vec<(DeviceId, roster::Prekey)>,
}

impl Places {
    /// Finds out what is there, and finishes or removes an interrupted set-up.
    ///
    /// # Errors
    /// [`SetupError`]; see [`SetupError::is_locked`].
    pub fn open(&self) -> Result<Found, SetupError> {
        let provider = self.provider();
        if !exists(&self.store())? {
            let key_there = match provider.load() {
                Ok(_) => true,
                Err(KeyError::Locked { reason: LockReason::Missing, .. }) => false,
                Err(error) => return Err(error.into()),
            };
            match (exists(&self.unfinished())?, key_there) {
                (false, false) => return Ok(Found::Nothing),
                (true, false) => {
                    warn!("removing a set-up that was interrupted before it had a key");
                    io_at(&self.unfinished(), fs::remove_dir_all(self.unfinished()))?;
                    return Ok(Found::Nothing);
                }
                (true, true) => {
                    info!("finishing a set-up that was interrupted");
                    self.finish()?;
                }
                (false, true) => {
                    return Err(SetupError::StoreGone { key: provider.path().to_owned(), store: self.store() });
                }
            }
        }
        let kek = provider.load()?;
        self.open_store(kek).map(|opened| Found::Device(Box::new(opened)))
    }

    /// Makes the first device of a person.
    ///
    /// # Errors
    /// [`SetupError`]; nothing is left behind then that stands in the way of another attempt.
    pub fn found(&self, fresh: Fresh, rng: &mut impl CryptoRng) -> Result<Opened, SetupError> {
        let genesis = fresh.genesis();
        let group = GroupSecret::generate(FIRST_EPOCH, rng);
        let family =
            Family { roster: genesis.id(), records: vec![genesis], groups: vec![group], announced: Vec::new() };
        self.join(fresh, family, rng)
    }

    /// Makes this device one of a family.
    ///
    /// # Errors
    /// As [`Places::found`].
    pub fn join(&self, fresh: Fresh, family: Family, rng: &mut impl CryptoRng) -> Result<Opened, SetupError> {
        match self.open()? {
            Found::Nothing => {}
            Found::Device(_) => return Err(SetupError::AlreadySetUp),
        }
        let kek = Kek::generate(rng);
        self.build(&fresh, &family, &kek, rng)?;
        io_at(&self.config, private_dir(&self.config))?;
        self.provider().create(&kek)?;
        self.finish()?;
        self.open_store(kek)
    }

    /// What protects the keys, in a name and in words.
    pub fn protection(&self) -> (&'static str, &'static str) {
        let provider = self.provider();
        (provider.name(), provider.protection())
    }

    fn build(&self, fresh: &Fresh, family: &Family, kek: &Kek, rng: &mut impl CryptoRng) -> Result<(), SetupError> {
        let directory = self.unfinished();
        io_at(&directory, private_dir(&directory))?;
        let store_key = StoreKey::create(&directory, kek, rng)?;
        let device = NewDevice {
            me: fresh.device.id,
            source: SourceId(*uuid::Uuid::new_v4().as_bytes()),
            generation: 1,
            roster: family.roster,
            records: family.records.clone(),
            epochs: family
                .groups
                .iter()
                .map(|group| credentials::keep(kek, group, family.roster))
                .collect::<Result<_, _>>()?,
            prekey: credentials::keep_prekey(kek, &fresh.prekey, wall_clock())?,
            announced: family.announced.clone(),
        };
        let store = Store::create(&directory, &DbKey::new(*store_key.as_bytes()), &device)?;
        keep(&store, kek, IDENTITY, fresh.identity.to_bytes().as_slice(), rng)?;
        if let Some(since_us) = fresh.recent_us {
            store.set_recent(since_us)?;
        }
        for (id, url) in &fresh.relays {
            store.add_relay(&saved_relay(kek, *id, url, rng)?)?;
        }
        // The key comes next: it must not outlast the directory in a power cut.
        io_at(&self.state, sync_dir(&self.state))
    }

    /// The rename that makes a set-up whole.
    fn finish(&self) -> Result<(), SetupError> {
        io_at(&self.store(), fs::rename(self.unfinished(), self.store()))?;
        io_at(&self.state, sync_dir(&self.state))
    }

    fn open_store(&self, kek: Kek) -> Result<Opened, SetupError> {
        let directory = self.store();
        let store_key = StoreKey::load(&directory, &kek)?;
        let db_key = DbKey::new(*store_key.as_bytes());
        let mut store = Store::open(&directory, &db_key)?;
        if token::settle(&mut store, &kek, &self.config, token::machine(), &mut rand::rng())? {
            warn!(
                "the state was put back to an older image, or copied from elsewhere: from here on a fresh source is written"
            );
        }
        secrets::adopt_group(&mut store, &kek)?;
        secrets::adopt_prekey(&mut store, &kek)?;
        let saved = store.restore()?;
        let identity = Identity::from_bytes(&*exactly(&reveal(&store, &kek, IDENTITY)?, "identity")?);
        let credentials = Arc::new(Credentials::open(identity, kek.clone(), saved.me, &store)?);
        Ok(Opened { store, directory, db_key, credentials, kek })
    }

    fn provider(&self) -> FileProvider {
        FileProvider::new(&self.config)
    }

    fn store(&self) -> PathBuf {
        self.state.join("store")
    }

    fn unfinished(&self) -> PathBuf {
        self.state.join("store.new")
    }
}

/// The roster that records make.
pub fn roster_of(id: Hash, records: impl IntoIterator<Item = roster::Verified<SignedRecord>>) -> Roster {
    let mut roster = Roster::new(id);
    roster.extend(records);
    roster
}

fn exists(path: &Path) -> Result<bool, SetupError> {
    io_at(path, path.try_exists())
}

fn io_at<T>(path: &Path, result: io::Result<T>) -> Result<T, SetupError> {
    result.map_err(|source| SetupError::Io { path: path.to_owned(), source })
}

/// Makes a directory, and those above it, that only its user may enter.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes a rename in a directory durable. Windows has no such call and needs none.
fn sync_dir(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::File::open(path)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

const FIRST_SLOT: u32 = 1;
const FIRST_EPOCH: u32 = 1;

#[cfg(test)]
mod tests;
