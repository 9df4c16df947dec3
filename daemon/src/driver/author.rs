//! What this device signs in a round: roster records that it makes, and heads of its own sources when they are held against another history.

use kinfolk_core::ids::Now;
use kinfolk_core::look::Look;
use kinfolk_core::roster::{MAX_RECORD_BYTES, Record, Removal, RosterChange, SignedRecord, Verified, name_fits};
use kinfolk_core::step::Input;
use kinfolk_core::vector::Head;
use tracing::{info, warn};

use super::handle::Authored;
use super::{Driver, DriverError};
use crate::seal;
use crate::store::StoreError;

impl Driver {
    /// Answers a question of the engine, from the open transaction.
    pub(super) fn look_up(&mut self, look: Look, now: Now) -> Result<(), StoreError> {
        let (me, identity) = (self.me, &self.credentials.identity);
        let sign = |source, head: Head| identity.sign_head(me, source, head.seq, head.hash).to_vec().into();
        let looked = self.store.look(look, me, sign)?;
        self.engine.handle(Input::Looked(looked), now);
        Ok(())
    }

    /// What a record says, if it can be said.
    fn change(&self, authored: Authored) -> Result<RosterChange, DriverError> {
        let roster = self.engine.roster();
        match authored {
            Authored::Add(addition) => Ok(RosterChange::Add(addition)),
            Authored::Rename { name, .. } if !name_fits(&name) => {
                Err(DriverError::Roster("a device name has 1 to 64 bytes and no control characters"))
            }
            Authored::Rename { device, .. } if roster.member(device).is_none() => Err(DriverError::Roster(NO_DEVICE)),
            Authored::Rename { device, name } => Ok(RosterChange::Rename { device, name }),
            Authored::Remove(device) if device == self.me => {
                Err(DriverError::Roster("a device is removed from another one, not from itself"))
            }
            Authored::Remove(device) => {
                let member = roster.member(device).ok_or(DriverError::Roster(NO_DEVICE))?;
                let ends = self.store.ends_of(device).map_err(|error| DriverError::from(&error))?;
                let ends = ends.ok_or(DriverError::Roster("the device has more sources than one record can name"))?;
                Ok(RosterChange::Remove(Removal { device, key: member.device.key, ends }))
            }
        }
    }

    /// Makes and signs a roster record after all that are known.
    pub(super) fn sign(&mut self, change: Authored, now: Now) -> Result<Verified<SignedRecord>, DriverError> {
        let change = self.change(change)?;
        self.sign_change(change, now)
    }

    /// Mints an epoch when the engine wants one: in the same transaction as what made it want one.
    pub(super) fn mint(&mut self, now: Now) {
        let Some(number) = self.engine.wants_epoch(now) else { return };
        let minted = self.credentials.mint(number).map_err(|error| error.to_string());
        let signed = minted.and_then(|(minted, epoch)| {
            let record = self.sign_change(RosterChange::Epoch(minted), now).map_err(|error| error.to_string())?;
            Ok(Input::Minted { record, epoch })
        });
        match signed {
            Ok(minted) => {
                info!(number, "a new epoch of the group begins");
                self.engine.handle(minted, now);
            }
            Err(error) => warn!(error, "a new epoch of the group cannot be made; it is tried again"),
        }
    }

    /// Makes a prekey when the engine wants one.
    pub(super) fn rekey(&mut self, now: Now) {
        let Some(slot) = self.engine.wants_prekey(now) else { return };
        match self.credentials.rekey(slot, now.wall) {
            Ok(prekey) => self.engine.handle(Input::Rekeyed(prekey), now),
            Err(error) => warn!(%error, "a new prekey cannot be made; it is tried again"),
        }
    }

    fn sign_change(&mut self, change: RosterChange, now: Now) -> Result<Verified<SignedRecord>, DriverError> {
        let roster = self.engine.roster();
        let (id, parents) = (roster.id(), roster.heads());
        let stamp = self.engine.stamp(now.wall);
        let author_key = self.credentials.identity.public();
        let record = Record { roster: id, author: self.me, author_key, parents, stamp, change }.encode();
        if record.len() > MAX_RECORD_BYTES {
            return Err(DriverError::Roster("the record is larger than a roster record may be"));
        }
        let signature = self.credentials.identity.sign_record(&record).to_vec().into();
        seal::verify_signed_record(SignedRecord { bytes: record, signature })
            .map_err(|_| DriverError::Roster("the record that was just signed does not verify"))
    }
}

const NO_DEVICE: &str = "there is no such device on the roster";
