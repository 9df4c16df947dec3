//! What the inviter gives the new device at the end: the roster, the group secret, the relays.

use std::fmt;

use bytes::Bytes;
use kinfolk_core::ids::{DeviceId, Hash};
use kinfolk_core::roster::{PREKEY_BYTES, Prekey, Roster, SignedRecord};
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
    /// The secret of the epoch that the inviter lives in, and those of earlier ones that it still holds.
    pub(super) groups: Vec<GroupSecret>,
    pub(super) relays: Vec<String>,
    /// The prekeys of its devices that are not those on the roster.
    pub(super) announced: Vec<(DeviceId, Prekey)>,
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
    #[prost(bytes = "vec", repeated, tag = "50")]
    earlier: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "51")]
    announced: Vec<AnnouncedWire>,
}

#[derive(Clone, PartialEq, Message)]
struct AnnouncedWire {
    #[prost(bytes = "vec", tag = "1")]
    device: Vec<u8>,
    #[prost(uint32, tag = "2")]
    slot: u32,
    #[prost(bytes = "bytes", tag = "3")]
    prekey: Bytes,
}

impl AnnouncedWire {
    fn read(self) -> Option<(DeviceId, Prekey)> {
        let prekey = Prekey { slot: self.slot, public: self.prekey };
        (prekey.public.len() == PREKEY_BYTES).then_some((DeviceId::from_slice(&self.device)?, prekey))
    }
}

impl fmt::Debug for WelcomeWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WelcomeWire(redacted, {} records)", self.records.len())
    }
}

impl Drop for WelcomeWire {
    fn drop(&mut self) {
        self.group.zeroize();
        self.earlier.zeroize();
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
pub(super) fn encode(
    roster: &Roster,
    group: &GroupSecret,
    earlier: &[&GroupSecret],
    relays: &[String],
    announced: &[(DeviceId, Prekey)],
) -> Zeroizing<Vec<u8>> {
    let records = roster.records().into_iter();
    let wire = WelcomeWire {
        version: VERSION,
        roster: roster.id().unwrap_or_default().0.to_vec(),
        records: records.map(|record| RecordWire { bytes: record.bytes, signature: record.signature }).collect(),
        group: encode_group(group).to_vec(),
        relays: relays.to_vec(),
        announced: announced
            .iter()
            .map(|(device, prekey)| AnnouncedWire {
                device: device.0.to_vec(),
                slot: prekey.slot,
                prekey: prekey.public.clone(),
            })
            .collect(),
        earlier: earlier.iter().map(|group| encode_group(group).to_vec()).collect(),
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
    let group = decode_group(&wire.group).ok_or(JoinError::Welcome("it lacks the group secret"))?;
    let earlier = wire.earlier.iter().map(|group| decode_group(group));
    let groups = [Some(group)].into_iter().chain(earlier).collect::<Option<_>>();
    let announced = std::mem::take(&mut wire.announced).into_iter().map(AnnouncedWire::read).collect::<Option<_>>();
    let mut relays = std::mem::take(&mut wire.relays);
    relays.truncate(MAX_RELAYS);
    Ok(Welcome {
        roster: Hash::from_slice(&wire.roster).ok_or(JoinError::Welcome("its roster has no name"))?,
        records: records.map(|record| SignedRecord { bytes: record.bytes, signature: record.signature }).collect(),
        groups: groups.ok_or(JoinError::Welcome("one of its group secrets is none"))?,
        relays,
        announced: announced.ok_or(JoinError::Welcome("one of its prekeys is none"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_welcome_survives_its_bytes() {
        let group = GroupSecret::generate(1, &mut rand::rng());
        let earlier = GroupSecret::generate(0, &mut rand::rng());
        let prekey = Prekey { slot: 3, public: Bytes::from(vec![1; PREKEY_BYTES]) };
        let announced = [(DeviceId([4; 16]), prekey)];
        let bytes =
            encode(&Roster::new(Hash([7; 32])), &group, &[&earlier], &["file:///shared".to_owned()], &announced);
        let welcome = decode(&bytes).unwrap();
        let ids: Vec<_> = welcome.groups.iter().map(GroupSecret::id).collect();
        assert_eq!((welcome.roster, ids), (Hash([7; 32]), vec![group.id(), earlier.id()]));
        assert_eq!(welcome.relays, ["file:///shared"]);
        assert_eq!(welcome.announced, announced);
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
