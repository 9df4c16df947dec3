//! The roster: the signed set of a person's devices.
//!
//! **Records** form a hash DAG: each names its parents, its author with the author's key, and one change. The first
//! (genesis) names the first device, and its hash is the [`Roster::id`] that everything else is bound to. A record is valid iff its
//! author was a member, under the key in the record, in the record's causal past; an added device has also signed its own
//! join. Signatures are checked outside (`seal`); here only [`Verified`] records count.
//!
//! **Any order, any repetition.** The roster is a pure function of the set of records: records whose parents are missing wait;
//! among concurrent changes to one thing the greatest (stamp, record hash) wins.
//!
//! Kinds from a newer version are kept and forwarded, and have no effect here. Room is kept for removal with its cut, epochs,
//! relays, recovery key and keepers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;

use crate::clock::Stamp;
use crate::ids::{DeviceId, Hash, IdentityKey};

/// Something whose signature `seal` has checked. Only `seal` may vouch; the tidy test holds that.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// States that the signature over `inner` was checked under the key that `inner` names.
    pub fn vouch(inner: T) -> Self {
        Self(inner)
    }

    /// What was vouched for.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// A roster record as it is stored and sent: the exact bytes that were signed.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SignedRecord {
    /// The encoded [`Record`].
    pub bytes: Bytes,
    /// Ed25519 over the bytes, by the key the record names; 64 bytes.
    pub signature: Bytes,
}

impl SignedRecord {
    /// The record's name.
    pub fn id(&self) -> Hash {
        Hash::of(&self.bytes)
    }
}

/// One statement about the person's devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Which roster; `None` only in its genesis.
    pub roster: Option<Hash>,
    /// Who says it.
    pub author: DeviceId,
    /// The key it is signed with.
    pub author_key: IdentityKey,
    /// The records its author had seen last.
    pub parents: BTreeSet<Hash>,
    /// When.
    pub stamp: Stamp,
    /// What.
    pub change: RosterChange,
}

/// What a record changes.
#[derive(Clone, Debug, PartialEq)]
pub enum RosterChange {
    /// The first device.
    Genesis(Device),
    /// A further device, added by the author.
    Add(Addition),
    /// A new name for a device.
    Rename {
        /// Which device.
        device: DeviceId,
        /// Its name from now on.
        name: String,
    },
    /// From a newer version: kept, forwarded, without effect.
    Unknown,
}

/// A device joining: its record, and its own signature that it wants to.
#[derive(Clone, Debug, PartialEq)]
pub struct Addition {
    /// The device.
    pub device: Device,
    /// The exact bytes that the new device signed: its encoded [`Device`].
    pub device_bytes: Bytes,
    /// Ed25519 of the new device over (roster id, card hash, device bytes).
    pub join_signature: Bytes,
    /// SHA-256 of the pairing card that was used.
    pub card_hash: Hash,
}

/// One device as the roster knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Its Ed25519 identity.
    pub key: IdentityKey,
    /// Its name, 1 to [`MAX_NAME`] bytes.
    pub name: String,
    /// Operating system, for display.
    pub platform: String,
    /// The encryption prekey it joined with. Newer ones travel in parcels.
    pub prekey: Prekey,
}

/// An encryption prekey's public half and the slot that names it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Prekey {
    /// Its number; senders use the greatest they know.
    pub slot: u32,
    /// The X-Wing public key, [`PREKEY_BYTES`] long.
    pub public: Bytes,
}

/// Longest device name, in bytes.
pub const MAX_NAME: usize = 64;
/// Length of an X-Wing public key.
pub const PREKEY_BYTES: usize = 1216;
/// Most records kept. 16 devices with a few hundred renames and relay changes each.
pub const MAX_RECORDS: usize = 4096;
/// Largest record, in bytes.
pub const MAX_RECORD_BYTES: usize = 8 * 1024;

/// Why bytes are not a roster record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// Not the expected shape.
    #[error("roster record refused: {0}")]
    Malformed(&'static str),
}

/// The person's devices, as all valid records together say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roster {
    id: Option<Hash>,
    records: BTreeMap<Hash, (SignedRecord, Record)>,
    devices: BTreeMap<DeviceId, Member>,
}

/// A member with what is known of how it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// The device.
    pub device: Device,
    /// Who added it; itself for the first.
    pub added_by: DeviceId,
    /// When it was added.
    pub added: Stamp,
}

impl Roster {
    /// The roster that starts with `genesis`, the record whose hash is `id`.
    pub fn new(id: Hash) -> Self {
        Self { id: Some(id), ..Self::default() }
    }

    /// The hash of the genesis record.
    pub fn id(&self) -> Option<Hash> {
        self.id
    }

    /// Takes records in; says which of them are new. Records of another roster, and any beyond [`MAX_RECORDS`], are left out.
    pub fn extend(&mut self, records: impl IntoIterator<Item = Verified<SignedRecord>>) -> Vec<SignedRecord> {
        let mut fresh = Vec::new();
        for Verified(signed) in records {
            let id = signed.id();
            let Ok(record) = Record::decode(&signed.bytes) else { continue };
            let ours = self.id == Some(record.roster.unwrap_or(id));
            if !ours || self.records.contains_key(&id) || self.records.len() >= MAX_RECORDS {
                continue;
            }
            self.records.insert(id, (signed.clone(), record));
            fresh.push(signed);
        }
        if !fresh.is_empty() {
            self.devices = evaluate(&self.records);
        }
        fresh
    }

    /// All members in order of id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.devices.values()
    }

    /// The member with that id.
    pub fn member(&self, id: DeviceId) -> Option<&Member> {
        self.devices.get(&id)
    }

    /// Whether the record with that name is held.
    pub fn contains(&self, record: Hash) -> bool {
        self.records.contains_key(&record)
    }

    /// All records, parents before children where both are known.
    pub fn records(&self) -> Vec<SignedRecord> {
        causal_order(&self.records).into_iter().map(|id| self.records[&id].0.clone()).collect()
    }

    /// The records no other record names as parent: what the next record names as its parents.
    pub fn heads(&self) -> BTreeSet<Hash> {
        let named: BTreeSet<Hash> = self.records.values().flat_map(|(_, record)| record.parents.clone()).collect();
        self.records.keys().filter(|id| !named.contains(*id)).copied().collect()
    }

    /// One hash over all records: equal on two devices that hold the same ones.
    pub fn hash(&self) -> Hash {
        let ids: Vec<u8> = self.records.keys().flat_map(|id| id.0).collect();
        Hash::of_parts(&[b"kinfolk/1/roster-heads", &ids])
    }

    /// The greatest stamp in any record.
    pub fn latest(&self) -> Stamp {
        self.records.values().map(|(_, record)| record.stamp).filter(|stamp| stamp.is_valid()).max().unwrap_or_default()
    }
}

/// The members that the set of records makes.
fn evaluate(records: &BTreeMap<Hash, (SignedRecord, Record)>) -> BTreeMap<DeviceId, Member> {
    let mut members: BTreeMap<DeviceId, Member> = BTreeMap::new();
    let mut names: BTreeMap<DeviceId, (Stamp, Hash, String)> = BTreeMap::new();
    // Members in each record's causal past, so that "was a member then" does not depend on what else is known.
    let mut pasts: BTreeMap<Hash, BTreeMap<DeviceId, IdentityKey>> = BTreeMap::new();
    for id in causal_order(records) {
        let (_, record) = &records[&id];
        let mut past: BTreeMap<DeviceId, IdentityKey> =
            record.parents.iter().filter_map(|parent| pasts.get(parent)).flatten().map(|(d, k)| (*d, *k)).collect();
        let by_member = past.get(&record.author) == Some(&record.author_key);
        match &record.change {
            RosterChange::Genesis(device) if record.roster.is_none() => {
                let own = device.id == record.author && device.key == record.author_key;
                if own && record.parents.is_empty() {
                    past.insert(device.id, device.key);
                    admit(&mut members, device, record);
                }
            }
            RosterChange::Add(addition) if by_member && !past.contains_key(&addition.device.id) => {
                past.insert(addition.device.id, addition.device.key);
                admit(&mut members, &addition.device, record);
            }
            RosterChange::Rename { device, name } if by_member => {
                let entry = (record.stamp, id, name.clone());
                let current = names.entry(*device).or_insert_with(|| entry.clone());
                if (current.0, current.1) < (entry.0, entry.1) {
                    *current = entry;
                }
            }
            RosterChange::Genesis(_) | RosterChange::Add(_) | RosterChange::Rename { .. } | RosterChange::Unknown => {}
        }
        pasts.insert(id, past);
    }
    for (device, (_, _, name)) in names {
        if let Some(member) = members.get_mut(&device) {
            member.device.name = name;
        }
    }
    members
}

/// A device that two records add concurrently is the one of the earlier record, on every device alike.
fn admit(members: &mut BTreeMap<DeviceId, Member>, device: &Device, record: &Record) {
    let member = Member { device: device.clone(), added_by: record.author, added: record.stamp };
    let rank = |member: &Member| (member.added, member.added_by, member.device.key);
    match members.get(&device.id) {
        Some(current) if rank(current) <= rank(&member) => {}
        Some(_) | None => {
            members.insert(device.id, member);
        }
    }
}

/// Records whose whole past is known, parents first; among equals the smaller (stamp, hash) first.
fn causal_order(records: &BTreeMap<Hash, (SignedRecord, Record)>) -> Vec<Hash> {
    let mut children: BTreeMap<Hash, Vec<Hash>> = BTreeMap::new();
    let mut missing: BTreeMap<Hash, usize> = BTreeMap::new();
    let mut ready: BTreeSet<(Stamp, Hash)> = BTreeSet::new();
    for (id, (_, record)) in records {
        missing.insert(*id, record.parents.len());
        record.parents.iter().for_each(|parent| children.entry(*parent).or_default().push(*id));
        if record.parents.is_empty() {
            ready.insert((record.stamp, *id));
        }
    }
    let mut order = Vec::with_capacity(records.len());
    while let Some((_, id)) = ready.pop_first() {
        order.push(id);
        for child in children.remove(&id).unwrap_or_default() {
            let Some(left) = missing.get_mut(&child) else { continue };
            *left -= 1;
            if *left == 0 {
                ready.insert((records[&child].1.stamp, child));
            }
        }
    }
    order
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
        let change = match (wire.genesis, wire.add, wire.rename) {
            (Some(device), None, None) => RosterChange::Genesis(Device::decode(&device)?),
            (None, Some(add), None) => RosterChange::Add(Addition {
                device: Device::decode(&add.device)?,
                device_bytes: Bytes::from(add.device),
                join_signature: Bytes::from(add.join_signature),
                card_hash: Hash::from_slice(&add.card_hash).ok_or(Malformed("card hash is not 32 bytes"))?,
            }),
            (None, None, Some(rename)) => RosterChange::Rename {
                device: DeviceId::from_slice(&rename.device).ok_or(Malformed("device id is not 16 bytes"))?,
                name: checked_name(rename.name)?,
            },
            (None, None, None) => RosterChange::Unknown,
            (Some(_) | None, Some(_) | None, Some(_) | None) => return Err(Malformed("more than one change")),
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

#[cfg(test)]
mod tests;
