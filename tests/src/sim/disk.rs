//! What a simulated device remembers: the model, and for some seeds the real database beside it, compared at every commit.

mod asked;

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use kinfolk::store::{DbKey, Exported, NewDevice, Reader, Store, StoreError};
use kinfolk_core::contents::{Contents, Wanted};
use kinfolk_core::ids::{DeviceId, Hash};
use kinfolk_core::op::Op;
use kinfolk_core::step::{AppBundle, AppFact, Change, Fact, Saved};
use tempfile::TempDir;

use super::broken::{Broken, Held};
use super::model::{Model, Shown, ShownConversation, ShownMessage, ShownRecord, unversioned};
use super::sabotage::Sabotage;

/// The disk of one device.
#[derive(Debug)]
pub struct Disk {
    model: Model,
    database: Option<Database>,
    sabotage: Option<Sabotage>,
    open: bool,
    /// How often both were compared.
    pub compared: u64,
}

/// The real store in a directory of its own.
#[derive(Debug)]
struct Database {
    dir: TempDir,
    store: Store,
    reader: Reader,
    me: DeviceId,
}

/// A copy of a disk, to be put back later.
#[derive(Debug)]
pub struct Image {
    model: Model,
    database: Option<TempDir>,
}

impl Disk {
    /// The disk of a new device; `real` adds the database.
    ///
    /// # Errors
    /// When the database cannot be made.
    pub fn new(birth: NewDevice, real: bool, sabotage: Option<Sabotage>) -> Result<Self, Broken> {
        let database = if real { Some(Database::new(&birth)?) } else { None };
        Ok(Self { model: Model::new(birth, sabotage), database, sabotage, open: false, compared: 0 })
    }

    /// Lets a change take effect; it counts once [`Self::commit`] says so.
    ///
    /// # Errors
    /// When a rule is broken.
    pub fn apply(&mut self, change: &Change) -> Held {
        if self.sabotage == Some(Sabotage::ForgetCut) && matches!(change, Change::Cut { .. }) {
            return Ok(());
        }
        self.model.apply(change)?;
        let Some(database) = &mut self.database else { return Ok(()) };
        if !self.open {
            database.store.begin().map_err(|error| failed(&error))?;
            self.open = true;
        }
        database.store.apply(change).map_err(|error| failed(&error))
    }

    /// Makes what was applied durable.
    ///
    /// # Errors
    /// When the database and the model differ.
    pub fn commit(&mut self) -> Held {
        self.model.commit();
        if std::mem::take(&mut self.open)
            && let Some(database) = &mut self.database
        {
            database.store.commit().map_err(|error| failed(&error))?;
            self.compare()?;
        }
        Ok(())
    }

    /// The disk refuses the commit: what was applied is undone, the program goes on.
    ///
    /// # Errors
    /// When the database and the model differ.
    pub fn refuse(&mut self) -> Held {
        self.model.rollback()?;
        if std::mem::take(&mut self.open)
            && let Some(database) = &mut self.database
        {
            database.store.rollback().map_err(|error| failed(&error))?;
        }
        self.compare()
    }

    /// The program stops here and starts again.
    ///
    /// # Errors
    /// When the database and the model differ.
    pub fn crash(&mut self) -> Held {
        self.open = false;
        if self.sabotage == Some(Sabotage::SkipCommit) {
            self.model.lose_last()?;
        } else {
            self.model.rollback()?;
        }
        if let Some(database) = self.database.take() {
            self.database = Some(database.reopened()?);
        }
        self.compare()
    }

    /// A copy of what is on disk now.
    ///
    /// # Errors
    /// When the files cannot be copied.
    pub fn image(&self) -> Result<Image, Broken> {
        let copy = |database: &Database| {
            let to = memory_backed()?;
            replace(database.dir.path(), to.path())?;
            Ok(to)
        };
        let database = self.database.as_ref().map(copy).transpose();
        let database = database.map_err(|error: io::Error| Broken { rule: NEEDED, found: error.to_string() })?;
        Ok(Image { model: self.model.clone(), database })
    }

    /// Puts a copy back. The program must be down.
    ///
    /// # Errors
    /// When the database and the model differ then.
    pub fn put_back(&mut self, image: &Image) -> Held {
        self.model = image.model.clone();
        if let (Some(database), Some(files)) = (self.database.take(), &image.database) {
            self.database = Some(database.put_back(files.path())?);
        }
        self.compare()
    }

    /// What an engine needs to go on.
    ///
    /// # Errors
    /// When the database and the model differ.
    pub fn restore(&self) -> Result<Saved, Broken> {
        let saved = self.model.restore();
        if let Some(database) = &self.database {
            let read = database.store.restore().map_err(|error| failed(&error))?;
            same("what is restored", &read.ordered(), &saved.ordered())?;
            return Ok(read);
        }
        Ok(saved)
    }

    /// The state digest.
    pub fn digest(&mut self) -> Hash {
        self.model.digest()
    }

    /// What is held about the ops' entities, with what the open transaction applied.
    ///
    /// # Errors
    /// When the database and the model differ.
    pub fn facts(&self, ops: &[Op], app: Option<&AppBundle>) -> Result<(Vec<Fact>, Option<AppFact>), Broken> {
        let facts = (self.model.facts(ops), app.and_then(|app| self.model.app_fact(app)));
        if let Some(database) = &self.database {
            let mut read = database.store.facts(ops).map_err(|error| failed(&error))?;
            read.iter_mut().for_each(unversioned);
            same("facts", &read, &facts.0)?;
            let read = app.map(|app| database.store.app_fact(app)).transpose().map_err(|error| failed(&error))?;
            same("facts of an app", &read.flatten(), &facts.1)?;
        }
        Ok(facts)
    }

    /// What a sibling that asks for contents gets.
    ///
    /// # Errors
    /// When the database and the model differ.
    pub fn give(&self, wanted: &[Wanted]) -> Result<Contents, Broken> {
        let contents = self.model.give(wanted);
        if let Some(database) = &self.database {
            let read = database.reader.contents(wanted).map_err(|error| failed(&error))?;
            same("contents that are given", &read, &contents)?;
        }
        Ok(contents)
    }

    /// The person decides whether contents go.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_prunes(&mut self, prunes: bool) -> Held {
        self.model.set_prunes(prunes);
        let Some(database) = &self.database else { return Ok(()) };
        database.store.set_retention(prunes.then_some(1)).map_err(|error| failed(&error))
    }

    /// The model, to look things up.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Whether everything that was applied is committed.
    pub fn is_durable(&self) -> bool {
        self.model.is_durable()
    }

    /// What apps see.
    pub fn shown(&self) -> Shown {
        self.model.shown()
    }

    /// Proves the database against its own log.
    ///
    /// # Errors
    /// When the proof fails.
    pub fn verify(&self) -> Held {
        let Some(database) = &self.database else { return Ok(()) };
        let report = database.reader.verify().map_err(|error| failed(&error))?;
        Broken::unless(report.problems.is_empty(), "the state is what the log says", || {
            format!("{:?}", report.problems)
        })
    }

    fn compare(&mut self) -> Held {
        let Some(database) = &self.database else { return Ok(()) };
        same("the digest", &database.store.digest(), &self.model.digest())?;
        same("what apps see", &database.shown()?, &self.model.shown())?;
        let read = database.store.restore().map_err(|error| failed(&error))?;
        same("what is restored", &read.ordered(), &self.model.restore().ordered())?;
        self.compared += 1;
        Ok(())
    }
}

impl Database {
    fn new(birth: &NewDevice) -> Result<Self, Broken> {
        let dir = memory_backed().map_err(|error| Broken { rule: NEEDED, found: error.to_string() })?;
        let store = Store::create(dir.path(), &key(), birth).map_err(|error| failed(&error))?;
        let reader = Reader::open(dir.path(), &key()).map_err(|error| failed(&error))?;
        Ok(Self { dir, store, reader, me: birth.me })
    }

    /// Dropped as a process that dies drops it: an open transaction is left to the log file.
    fn reopened(self) -> Result<Self, Broken> {
        let Self { dir, store, reader, me } = self;
        drop((store, reader));
        Self::over(dir, me)
    }

    /// Everything is as `files` say.
    fn put_back(self, files: &Path) -> Result<Self, Broken> {
        let Self { dir, store, reader, me } = self;
        drop((store, reader));
        replace(files, dir.path()).map_err(|error| Broken { rule: NEEDED, found: error.to_string() })?;
        Self::over(dir, me)
    }

    fn over(dir: TempDir, me: DeviceId) -> Result<Self, Broken> {
        let store = Store::open(dir.path(), &key()).map_err(|error| failed(&error))?;
        let reader = Reader::open(dir.path(), &key()).map_err(|error| failed(&error))?;
        Ok(Self { dir, store, reader, me })
    }

    fn shown(&self) -> Result<Shown, Broken> {
        let mut shown = Shown::default();
        self.reader
            .export(|item| {
                match item {
                    Exported::Message(message) => {
                        let (body, created_us, levels) = (message.body, message.created_us, message.levels);
                        let elsewhere = message.elsewhere.map(|elsewhere| elsewhere.content);
                        shown.messages.insert(message.id, ShownMessage { body, elsewhere, created_us, levels });
                    }
                    Exported::Record(record) => {
                        let fields = record.fields.iter().map(|(name, value)| (name.clone(), value.to_bytes()));
                        let mut conflicts = record.conflicts;
                        conflicts.sort_unstable();
                        let record_shown = ShownRecord { fields: fields.collect(), conflicts };
                        shown.records.insert((record.collection, record.key), record_shown);
                    }
                }
                ControlFlow::Continue(())
            })
            .map_err(|error| failed(&error))?;
        for view in self.reader.conversations(None, kinfolk::store::MAX_PAGE).map_err(|error| failed(&error))? {
            // One without messages would show metadata, which nobody writes here.
            let Some(last) = view.last else { continue };
            let last = (last.created_us, last.id);
            let conversation = ShownConversation { messages: view.messages, unread: view.unread, last };
            shown.conversations.insert(view.name, conversation);
        }
        let counts = self.reader.counts().map_err(|error| failed(&error))?;
        (shown.conflicts, shown.differing) = (counts.conflicts, counts.differing_messages);
        Ok(shown)
    }
}

/// In an order that does not depend on who saved it.
trait Ordered {
    fn ordered(&self) -> Self;
}

impl Ordered for Saved {
    fn ordered(&self) -> Self {
        let mut saved = self.clone();
        saved.sources.sort_by_key(|source| source.source);
        saved.early.sort_by_key(|(_, bundle)| bundle.dot);
        saved.siblings.sort_by_key(|sibling| sibling.device);
        saved
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, database: &T, model: &T) -> Held {
    Broken::unless(database == model, "the database and the model agree", || {
        format!("{what}\n  database: {database:?}\n  model:    {model:?}")
    })
}

fn failed(error: &StoreError) -> Broken {
    Broken { rule: "the store does what it is asked", found: error.to_string() }
}

/// The databases of one run are many and short-lived; where the system has a file system in memory they lie there.
fn memory_backed() -> io::Result<TempDir> {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("kinfolk-sim-");
        builder
    };
    builder().tempdir_in("/dev/shm").or_else(|_| builder().tempdir())
}

/// Makes the files of one directory those of another.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    for old in fs::read_dir(to)? {
        fs::remove_file(old?.path())?;
    }
    for file in fs::read_dir(from)? {
        let file = file?;
        // Shared memory between processes; SQLite makes it anew.
        if !file.file_name().to_string_lossy().ends_with("-shm") {
            fs::copy(file.path(), to.join(file.file_name()))?;
        }
    }
    Ok(())
}

fn key() -> DbKey {
    DbKey::new([7; 32])
}

const NEEDED: &str = "the simulation needs a directory for its databases";
