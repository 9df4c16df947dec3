//! Roster records as bytes. The golden files freeze them.

use bytes::Bytes;
use prost::Message;

use super::{
    Addition, Device, End, MAX_ENDS, MAX_NAME, MAX_RECORD_BYTES, PREKEY_BYTES, Prekey, Record, Removal, RosterChange,
};
use crate::clock::Stamp;
use crate::epoch::{Epoch, NewEpoch};
use crate::ids::{DeviceId, Hash, IdentityKey, Seq, SourceId};
use crate::vector::Head;

/// Why bytes are not a roster record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// Not the expected shape.
    #[error("roster record refused: {0}")]
    Malformed(&'static str),
}

impl Record {
    /// The bytes to be signed.
    pub fn encode(&self) -> Bytes {
        let mut wire = RecordWire {
            version: VERSION,
            roster: self.roster.map(|id| id.0.to_vec()).unwrap_or_default(),
            author: self.author.0.to_vec(),
            author_key: self.author_key.0.to_vec(),
            parents: self.parents.iter().map(|parent| parent.0.to_vec()).collect(),
            stamp: self.stamp.0,
            ..RecordWire::default()
        };
        match &self.change {
            RosterChange::Genesis(device) => wire.genesis = Some(device.encode().to_vec()),
            RosterChange::Add(addition) => {
                wire.add = Some(AddWire {
                    device: addition.device_bytes.to_vec(),
                    join_signature: addition.join_signature.to_vec(),
                    card_hash: addition.card_hash.0.to_vec(),
                });
            }
            RosterChange::Rename { device, name } => {
                wire.rename = Some(RenameWire { device: device.0.to_vec(), name: name.clone() });
            }
            RosterChange::Remove(removal) => {
                let end = |end: &End| EndWire {
                    source: end.source.0.to_vec(),
                    seq: end.head.seq.0,
                    hash: end.head.hash.0.to_vec(),
                    signature: end.signature.to_vec(),
                };
                wire.remove = Some(RemoveWire {
                    device: removal.device.0.to_vec(),
                    key: removal.key.0.to_vec(),
                    ends: removal.ends.iter().map(end).collect(),
                });
            }
            RosterChange::Epoch(minted) => {
                wire.epoch = Some(EpochWire {
                    number: minted.epoch.number,
                    id: minted.epoch.id.to_vec(),
                    commitment: minted.commitment.0.to_vec(),
                });
            }
            RosterChange::Unknown => {}
        }
        Bytes::from(wire.encode_to_vec())
    }

    /// Reads a record; bounded, never panics.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        use RecordError::Malformed;
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(Malformed("longer than 8 KiB"));
        }
        let wire = RecordWire::decode(bytes).map_err(|_| Malformed("not protobuf"))?;
        if wire.version != VERSION {
            return Err(Malformed("unknown version"));
        }
        let roster = match wire.roster.as_slice() {
            [] => None,
            id => Some(Hash::from_slice(id).ok_or(Malformed("roster id is not 32 bytes"))?),
        };
        let parents = wire.parents.iter().map(|parent| Hash::from_slice(parent)).collect::<Option<_>>();
        let device = [wire.genesis.is_some(), wire.add.is_some(), wire.rename.is_some(), wire.remove.is_some()];
        let named = device.into_iter().chain([wire.epoch.is_some()]);
        if named.filter(|named| *named).count() > 1 {
            return Err(Malformed("more than one change"));
        }
        let change = if let Some(device) = wire.genesis {
            RosterChange::Genesis(Device::decode(&device)?)
        } else if let Some(add) = wire.add {
            RosterChange::Add(Addition {
                device: Device::decode(&add.device)?,
                device_bytes: Bytes::from(add.device),
                join_signature: Bytes::from(add.join_signature),
                card_hash: Hash::from_slice(&add.card_hash).ok_or(Malformed("card hash is not 32 bytes"))?,
            })
        } else if let Some(rename) = wire.rename {
            RosterChange::Rename {
                device: DeviceId::from_slice(&rename.device).ok_or(Malformed("device id is not 16 bytes"))?,
                name: checked_name(rename.name)?,
            }
        } else if let Some(remove) = wire.remove {
            RosterChange::Remove(remove.read()?)
        } else if let Some(epoch) = wire.epoch {
            RosterChange::Epoch(epoch.read().ok_or(Malformed("bad epoch"))?)
        } else {
            RosterChange::Unknown
        };
        Ok(Self {
            roster,
            author: DeviceId::from_slice(&wire.author).ok_or(Malformed("author is not 16 bytes"))?,
            author_key: IdentityKey::from_slice(&wire.author_key).ok_or(Malformed("key is not 32 bytes"))?,
            parents: parents.ok_or(Malformed("a parent is not 32 bytes"))?,
            stamp: Stamp(wire.stamp),
            change,
        })
    }
}

impl Device {
    /// The bytes that a joining device signs.
    pub fn encode(&self) -> Bytes {
        let wire = DeviceWire {
            id: self.id.0.to_vec(),
            key: self.key.0.to_vec(),
            name: self.name.clone(),
            platform: self.platform.clone(),
            prekey_slot: self.prekey.slot,
            prekey: self.prekey.public.to_vec(),
        };
        Bytes::from(wire.encode_to_vec())
    }

    /// Reads a device; bounded, never panics.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        use RecordError::Malformed;
        let wire = DeviceWire::decode(bytes).map_err(|_| Malformed("device is not protobuf"))?;
        if wire.prekey.len() != PREKEY_BYTES || wire.platform.len() > MAX_NAME {
            return Err(Malformed("prekey is not 1216 bytes, or the platform name is too long"));
        }
        Ok(Self {
            id: DeviceId::from_slice(&wire.id).ok_or(Malformed("device id is not 16 bytes"))?,
            key: IdentityKey::from_slice(&wire.key).ok_or(Malformed("key is not 32 bytes"))?,
            name: checked_name(wire.name)?,
            platform: wire.platform,
            prekey: Prekey { slot: wire.prekey_slot, public: Bytes::from(wire.prekey) },
        })
    }
}

/// Whether a device can bear that name: 1 to [`MAX_NAME`] bytes without control characters.
pub fn name_fits(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

fn checked_name(name: String) -> Result<String, RecordError> {
    if name_fits(&name) {
        Ok(name)
    } else {
        Err(RecordError::Malformed("a device name has 1 to 64 bytes and no control characters"))
    }
}

const VERSION: u32 = 1;
/// Length of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

#[derive(Clone, PartialEq, Message)]
struct RecordWire {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    roster: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    author: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    author_key: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    parents: Vec<Vec<u8>>,
    #[prost(fixed64, tag = "6")]
    stamp: u64,
    #[prost(bytes = "vec", optional, tag = "10")]
    genesis: Option<Vec<u8>>,
    #[prost(message, optional, tag = "11")]
    add: Option<AddWire>,
    #[prost(message, optional, tag = "12")]
    rename: Option<RenameWire>,
    #[prost(message, optional, tag = "13")]
    remove: Option<RemoveWire>,
    #[prost(message, optional, tag = "50")]
    epoch: Option<EpochWire>,
}

#[derive(Clone, PartialEq, Message)]
struct EpochWire {
    #[prost(uint32, tag = "1")]
    number: u32,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    commitment: Vec<u8>,
}

impl EpochWire {
    fn read(self) -> Option<NewEpoch> {
        let epoch = Epoch { number: self.number, id: self.id.try_into().ok()? };
        Some(NewEpoch { epoch, commitment: Hash::from_slice(&self.commitment)? })
    }
}

#[derive(Clone, PartialEq, Message)]
struct AddWire {
    #[prost(bytes = "vec", tag = "1")]
    device: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    join_signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    card_hash: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RenameWire {
    #[prost(bytes = "vec", tag = "1")]
    device: Vec<u8>,
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct RemoveWire {
    #[prost(bytes = "vec", tag = "1")]
    device: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    ends: Vec<EndWire>,
}

#[derive(Clone, PartialEq, Message)]
struct EndWire {
    #[prost(bytes = "vec", tag = "1")]
    source: Vec<u8>,
    #[prost(uint64, tag = "2")]
    seq: u64,
    #[prost(bytes = "vec", tag = "3")]
    hash: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    signature: Vec<u8>,
}

impl RemoveWire {
    fn read(self) -> Result<Removal, RecordError> {
        use RecordError::Malformed;
        if self.ends.len() > MAX_ENDS {
            return Err(Malformed("a removal names more sources than it may"));
        }
        let end = |end: EndWire| {
            let head = Head { seq: Seq(end.seq), hash: Hash::from_slice(&end.hash)? };
            let sound = end.seq > 0 && end.signature.len() == SIGNATURE_BYTES;
            let source = SourceId::from_slice(&end.source).filter(|_| sound)?;
            Some(End { source, head, signature: Bytes::from(end.signature) })
        };
        Ok(Removal {
            device: DeviceId::from_slice(&self.device).ok_or(Malformed("device id is not 16 bytes"))?,
            key: IdentityKey::from_slice(&self.key).ok_or(Malformed("key is not 32 bytes"))?,
            ends: self.ends.into_iter().map(end).collect::<Option<_>>().ok_or(Malformed("bad end of a source"))?,
        })
    }
}

#[derive(Clone, PartialEq, Message)]
struct DeviceWire {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    platform: String,
    #[prost(uint32, tag = "5")]
    prekey_slot: u32,
    #[prost(bytes = "vec", tag = "6")]
    prekey: Vec<u8>,
}
