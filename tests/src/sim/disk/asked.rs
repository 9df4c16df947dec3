//! What the log is asked: model and database must give one answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use kinfolk_core::evidence::Evidence;
use kinfolk_core::ids::{DeviceId, Dot, Hash, SourceId};
use kinfolk_core::look::{Look, Looked};
use kinfolk_core::parcel::RunBodies;
use kinfolk_core::roster::End;
use kinfolk_core::snapshot::{Ask, Chunk};
use kinfolk_core::step::RunRequest;

use super::{Disk, failed, same};
use crate::sim::broken::Broken;

impl Disk {
    /// A stretch to send.
    ///
    /// # Errors
    /// When the database and the model differ.
    pub fn run(&self, request: &RunRequest, max_bytes: usize) -> Result<Option<RunBodies>, Broken> {
        let run = self.model.run(request, max_bytes);
        if let Some(database) = &self.database {
            let signed = request.device != database.me;
            let read = database.reader.run(request, max_bytes, signed).map_err(|error| failed(&error))?;
            same("a run", &read.map(|stretch| stretch.run), &run)?;
        }
        Ok(run)
    }

    /// Where the sources of a device end if it is removed now.
    ///
    /// # Errors
    /// When the database and the model differ.
    pub fn ends_of(&self, device: DeviceId) -> Result<Vec<End>, Broken> {
        let ends = self.model.ends_of(device);
        if let Some(database) = &self.database {
            let read = database.store.ends_of(device).map_err(|error| failed(&error))?;
            same("the ends of a device's sources", &read.as_ref(), &Some(&ends))?;
        }
        Ok(ends)
    }

    /// The chain hashes at those places.
    ///
    /// # Errors
    /// When the database and the model differ.
    pub fn chain(&self, places: &[Dot]) -> Result<BTreeMap<Dot, Hash>, Broken> {
        if let Some(database) = &self.database {
            // The model forgets nothing, so it may know more.
            return database.store.chain(places).map_err(|error| failed(&error));
        }
        Ok(self.model.chain(places))
    }

    /// The chunk of a snapshot that was asked for.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn chunk(&self, ask: Ask) -> Result<Chunk, Broken> {
        match &self.database {
            Some(database) => database.reader.chunk(ask).map_err(|error| failed(&error)),
            None => Ok(self.model.chunk(ask)),
        }
    }

    /// Answers a question of the engine.
    ///
    /// # Errors
    /// When the database and the model differ.
    pub fn look(&self, look: Look) -> Result<Looked, Broken> {
        let looked = self.model.look(look.clone());
        if let Some(database) = &self.database {
            let sign = |_, _| Bytes::from_static(&[9; 64]);
            let read = database.store.look(look, database.me, sign).map_err(|error| failed(&error))?;
            same("an answer from the log", &read, &looked)?;
        }
        Ok(looked)
    }

    /// The evidence against sources of that name.
    ///
    /// # Errors
    /// When the database and the model differ.
    pub fn evidence(&self, source: SourceId) -> Result<Vec<Evidence>, Broken> {
        let evidence = self.model.evidence(source);
        if let Some(database) = &self.database {
            let read = database.reader.evidence(source).map_err(|error| failed(&error))?;
            same("evidence", &read, &evidence)?;
        }
        Ok(evidence)
    }
}
