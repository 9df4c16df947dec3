//! What the inviter gives the new device at the end: the roster, the group secret, the relays.

use std::fmt;

use bytes::Bytes;
use kinfolk_core::ids::Hash;
use kinfolk_core::roster::{Roster, SignedRecord};
use prost::Message;
use zeroize::{Zeroize, Zeroizing};

use super::JoinError;
use crate::seal::GroupSecret;
use crate::seal::pairing::MAX_RELAYS;
use crate::setup::{decode_group, encode_group};

/// The content of a welcome.
pub(super) struct Welcome {
    pub(super) roster: Hash,
    pub(super) records: Vec<SignedRecord>,
    pub(super) group: GroupSecret,
    pub(super) relays: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct WelcomeWire {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    roster: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<RecordWire>,
    #[prost(bytes = "vec", tag = "4")]
    group: Vec<u8>,
    #[prost(string, repeated, tag = "5")]
    relays: Vec<String>,
}

impl fmt::Debug for WelcomeWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WelcomeWire(redacted, {} records)", self.records.len())
    }
}

impl Drop for WelcomeWire {
    fn drop(&mut self) {
        self.group.zeroize();
    }
}

#[derive(Clone, PartialEq, Message)]
struct RecordWire {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    signature: Bytes,
}

const VERSION: u32 = 1;

/// The welcome into a roster.
pub(super) fn encode(roster: &Roster, group: &GroupSecret, relays: &[String]) -> Zeroizing<Vec<u8>> {
    let records = roster.records().into_iter();
    let wire = WelcomeWire {
        version: VERSION,
        roster: roster.id().unwrap_or_default().0.to_vec(),
        records: records.map(|record| RecordWire { bytes: record.bytes, signature: record.signature }).collect(),
        group: encode_group(group).to_vec(),
        relays: relays.to_vec(),
    };
    Zeroizing::new(wire.encode_to_vec())
}

/// Reads a welcome; its length was bounded before.
pub(super) fn decode(bytes: &[u8]) -> Result<Welcome, JoinError> {
    let mut wire = WelcomeWire::decode(bytes).map_err(|_| JoinError::Welcome("it is not protobuf"))?;
    if wire.version != VERSION {
        return Err(JoinError::Welcome("its version is unknown: upgrade kinfolk on this device"));
    }
    let records = std::mem::take(&mut wire.records).into_iter();
    let mut relays = std::mem::take(&mut wire.relays);
    relays.truncate(MAX_RELAYS);
    Ok(Welcome {
        roster: Hash::from_slice(&wire.roster).ok_or(JoinError::Welcome("its roster has no name"))?,
        records: records.map(|record| SignedRecord { bytes: record.bytes, signature: record.signature }).collect(),
        group: decode_group(&wire.group).ok_or(JoinError::Welcome("it lacks the group secret"))?,
        relays,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_welcome_survives_its_bytes() {
        let group = GroupSecret::generate(1, &mut rand::rng());
        let bytes = encode(&Roster::new(Hash([7; 32])), &group, &["file:///shared".to_owned()]);
        let welcome = decode(&bytes).unwrap();
        assert_eq!((welcome.roster, welcome.group.id()), (Hash([7; 32]), group.id()));
        assert_eq!(welcome.relays, ["file:///shared"]);
        let wire = WelcomeWire::decode(bytes.as_slice()).unwrap();
        assert_eq!(format!("{wire:?}"), "WelcomeWire(redacted, 0 records)");
    }

    #[test]
    fn strange_bytes_are_no_welcome() {
        for bytes in [&[0xFF; 30][..], &[]] {
            assert!(decode(bytes).is_err());
        }
    }
}
