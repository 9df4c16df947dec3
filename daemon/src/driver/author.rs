//! Roster records that this device makes and signs.

use kinfolk_core::ids::Now;
use kinfolk_core::roster::{MAX_RECORD_BYTES, Record, Removal, RosterChange, SignedRecord, Verified, name_fits};

use super::handle::Authored;
use super::{Driver, DriverError};
use crate::seal;

impl Driver {
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
        let roster = self.engine.roster();
        let (id, parents) = (roster.id(), roster.heads());
        let stamp = self.engine.stamp(now.wall);
        let author_key = self.identity.public();
        let record = Record { roster: id, author: self.me, author_key, parents, stamp, change }.encode();
        if record.len() > MAX_RECORD_BYTES {
            return Err(DriverError::Roster("the record is larger than a roster record may be"));
        }
        let signature = self.identity.sign_record(&record).to_vec().into();
        seal::verify_signed_record(SignedRecord { bytes: record, signature })
            .map_err(|_| DriverError::Roster("the record that was just signed does not verify"))
    }
}

const NO_DEVICE: &str = "there is no such device on the roster";
