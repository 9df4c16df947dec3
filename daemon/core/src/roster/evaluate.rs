//! From the set of records to the devices: who is a member, who was one, who is called what.
//!
//! **Who counts.** A record counts iff its author was added, under the key in the record, by a record in its causal past that
//! counts, and no removal of its author that counts lies outside of its future: what a removed device said before the
//! removal stands, whatever else it says is void, and so are the devices it added so.
//!
//! **Which removals count.** A removal *voids* another when that one would not count if the first did. Removals that nobody
//! voids count. Where they void each other in a circle (two devices remove each other), the one whose author was added first
//! counts, and those in a circle with it do not. Then the rest is looked at again.
//!
//! **Two devices under one id.** An id that follows from its key ([`DeviceId::of`]) belongs to that key. Of other ids the first
//! addition in causal order has it; beside each other, the smaller (stamp, hash) is first.
//!
//! **Epochs.** An epoch is fit when all removals that count lie in the past of the record that mints it ([`crate::epoch`]). Of two records for one
//! name the first in causal order has it.
//!
//! Costs one pass over the records for each removal; what a hostile member can make of it is bounded by
//! [`MAX_RECORDS`](super::MAX_RECORDS).

use std::collections::{BTreeMap, BTreeSet};

use super::{Device, Member, Minted, Record, Removal, Removed, RosterChange, SignedRecord};
use crate::clock::Stamp;
use crate::epoch::{Epoch, NewEpoch};
use crate::ids::{DeviceId, Hash, SourceId};
use crate::parcel::SignedHead;

type Records = BTreeMap<Hash, (SignedRecord, Record)>;

/// What the set of records makes.
#[derive(Default)]
pub(super) struct Evaluated {
    pub(super) members: BTreeMap<DeviceId, Member>,
    pub(super) removed: BTreeMap<DeviceId, Removed>,
    pub(super) epochs: BTreeMap<Epoch, Minted>,
}

/// The members, the devices that were removed, and the epochs.
pub(super) fn evaluate(records: &Records) -> Evaluated {
    let history = History::new(records);
    let everybody = history.pass(&Removals::new());
    let removals = history.decide(&everybody);
    let standing = history.pass(&removals);
    let mut names: BTreeMap<DeviceId, (Stamp, Hash, &str)> = BTreeMap::new();
    for place in &standing.counts {
        if let (id, Record { change: RosterChange::Rename { device, name }, stamp, .. }) = history.at(*place) {
            let entry = (*stamp, id, name.as_str());
            let current = names.entry(*device).or_insert(entry);
            *current = entry.max(*current);
        }
    }
    let epochs = history.epochs(&standing);
    let mut made = Evaluated::default();
    // Also a device whose addition is void was a member for those who had not heard of the removal of the one that added it.
    for (id, admission) in &everybody.admitted {
        let stays = standing.admitted.get(id).filter(|_| !removals.contains_key(id));
        let admission = stays.unwrap_or(admission);
        let (_, record) = history.at(admission.first);
        let mut device = admission.device.clone();
        if let Some((_, _, name)) = names.get(id) {
            device.name = (*name).to_owned();
        }
        let known = epochs.iter().filter(|(place, _)| history.is_before(**place, admission.first));
        let epoch = known.map(|(_, minted)| minted.epoch).max();
        let member = Member { device, added_by: record.author, added: record.stamp, epoch };
        if stays.is_some() {
            made.members.insert(*id, member);
        } else {
            let ends = removals.get(id).map(|places| history.ends(places)).unwrap_or_default();
            made.removed.insert(*id, Removed { member, ends });
        }
    }
    for (place, NewEpoch { epoch, commitment }) in epochs {
        let fit = removals.values().flatten().all(|removal| history.is_before(*removal, place));
        made.epochs.entry(*epoch).or_insert(Minted { commitment: *commitment, fit });
    }
    made
}

/// The records in causal order, with what lies in the past of each.
struct History<'a> {
    records: Vec<(Hash, &'a Record)>,
    pasts: Vec<Past>,
    /// Ids that a key among the records gives.
    derived: BTreeSet<DeviceId>,
}

/// Removals that count, by whom they remove: their places in the history.
type Removals = BTreeMap<DeviceId, BTreeSet<usize>>;

/// What counts, given removals.
#[derive(Default)]
struct Standing<'a> {
    counts: BTreeSet<usize>,
    admitted: BTreeMap<DeviceId, Admission<'a>>,
}

struct Admission<'a> {
    device: &'a Device,
    /// The first addition.
    first: usize,
    /// All that count.
    additions: BTreeSet<usize>,
}

impl<'a> History<'a> {
    fn new(records: &'a Records) -> Self {
        let order = causal_order(records);
        let places: BTreeMap<Hash, usize> = order.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        let mut history = Self { records: Vec::new(), pasts: Vec::new(), derived: BTreeSet::new() };
        for id in order {
            let Some((_, record)) = records.get(&id) else { continue };
            let mut past = Past::default();
            for parent in record.parents.iter().filter_map(|parent| places.get(parent)) {
                past.insert(*parent);
                if let Some(before) = history.pasts.get(*parent) {
                    past.join(before);
                }
            }
            if let Some(device) = added(record).filter(|device| device.id == DeviceId::of(&device.key)) {
                history.derived.insert(device.id);
            }
            history.records.push((id, record));
            history.pasts.push(past);
        }
        history
    }

    fn at(&self, place: usize) -> (Hash, &'a Record) {
        self.records[place]
    }

    fn is_before(&self, earlier: usize, later: usize) -> bool {
        self.pasts[later].contains(earlier)
    }

    /// What counts if exactly these removals do.
    fn pass(&self, removals: &Removals) -> Standing<'a> {
        let mut standing = Standing::default();
        for (place, (_, record)) in self.records.iter().enumerate() {
            let was_added = standing.admitted.get(&record.author).is_some_and(|author| {
                author.device.key == record.author_key
                    && author.additions.iter().any(|addition| self.is_before(*addition, place))
            });
            let removed = removals.get(&record.author).into_iter().flatten();
            let is_void = removed.into_iter().any(|removal| *removal != place && !self.is_before(place, *removal));
            let counts = match &record.change {
                RosterChange::Genesis(device) => {
                    let own = device.id == record.author && device.key == record.author_key;
                    record.roster.is_none() && record.parents.is_empty() && own
                }
                RosterChange::Add(_) | RosterChange::Rename { .. } | RosterChange::Epoch(_) | RosterChange::Unknown => {
                    was_added && !is_void
                }
                RosterChange::Remove(removal) => was_added && !is_void && self.knows(&standing, removal, place),
            };
            if !counts {
                continue;
            }
            standing.counts.insert(place);
            let Some(device) = added(record) else { continue };
            if self.derived.contains(&device.id) && device.id != DeviceId::of(&device.key) {
                continue;
            }
            let fresh = || Admission { device, first: place, additions: BTreeSet::new() };
            let admission = standing.admitted.entry(device.id).or_insert_with(fresh);
            if admission.device.key == device.key {
                admission.additions.insert(place);
            }
        }
        standing
    }

    /// The records that count and mint an epoch, by their places.
    fn epochs(&self, standing: &Standing<'a>) -> BTreeMap<usize, &'a NewEpoch> {
        let minted = |place: &usize| match &self.at(*place).1.change {
            RosterChange::Epoch(minted) => Some((*place, minted)),
            RosterChange::Genesis(_)
            | RosterChange::Add(_)
            | RosterChange::Rename { .. }
            | RosterChange::Remove(_)
            | RosterChange::Unknown => None,
        };
        standing.counts.iter().filter_map(minted).collect()
    }

    /// Whether the removal names a device, under its key, that its author knew.
    fn knows(&self, standing: &Standing<'_>, removal: &Removal, place: usize) -> bool {
        let known = |removed: &Admission<'_>| removed.additions.iter().any(|addition| self.is_before(*addition, place));
        standing
            .admitted
            .get(&removal.device)
            .is_some_and(|removed| removed.device.key == removal.key && known(removed))
    }

    /// Where a device's sources end by these removals of it. Each is final: of two ends the smaller one stands, and a source that
    /// one of them does not name ends at nothing.
    fn ends(&self, removals: &BTreeSet<usize>) -> BTreeMap<SourceId, SignedHead> {
        let mut ends: Option<BTreeMap<SourceId, SignedHead>> = None;
        for place in removals {
            let RosterChange::Remove(removal) = &self.at(*place).1.change else { continue };
            let named = removal.ends.iter().map(|end| {
                let (source, head, signature) = (end.source, end.head, end.signature.clone());
                (source, SignedHead { device: removal.device, source, head, signature })
            });
            let named: BTreeMap<_, _> = named.collect();
            ends = Some(match ends {
                None => named,
                Some(earlier) => {
                    let both = |(source, end): (SourceId, SignedHead)| {
                        let other = earlier.get(&source)?;
                        Some((source, if other.head < end.head { other.clone() } else { end }))
                    };
                    named.into_iter().filter_map(both).collect()
                }
            });
        }
        ends.unwrap_or_default()
    }

    /// Which removals count, of those that would if nobody were removed.
    fn decide(&self, everybody: &Standing<'_>) -> Removals {
        let removes = |place: &usize| match &self.at(*place).1.change {
            RosterChange::Remove(removal) => Some((*place, removal.device)),
            RosterChange::Genesis(_)
            | RosterChange::Add(_)
            | RosterChange::Rename { .. }
            | RosterChange::Epoch(_)
            | RosterChange::Unknown => None,
        };
        let all: BTreeMap<usize, DeviceId> = everybody.counts.iter().filter_map(removes).collect();
        let mut voids: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (place, device) in &all {
            let standing = self.pass(&BTreeMap::from([(*device, BTreeSet::from([*place]))]));
            let voided = all.keys().filter(|other| !standing.counts.contains(other)).copied();
            voids.insert(*place, voided.collect());
        }
        let first_added = |place: &usize| everybody.admitted.get(&self.at(*place).1.author).map(|author| author.first);
        let mut open: BTreeSet<usize> = all.keys().copied().collect();
        let mut decided = Removals::new();
        while !open.is_empty() {
            let voided: BTreeSet<usize> = open.iter().filter_map(|place| voids.get(place)).flatten().copied().collect();
            let mut counts: BTreeSet<usize> = open.difference(&voided).copied().collect();
            if counts.is_empty() {
                counts.extend(open.iter().copied().min_by_key(|place| (first_added(place), *place)));
            }
            for place in &counts {
                if let Some(device) = all.get(place) {
                    decided.entry(*device).or_default().insert(*place);
                }
            }
            let against = |place: &usize| counts.iter().any(|winner| voids[place].contains(winner));
            let beaten = |place: &usize| counts.iter().any(|winner| voids[winner].contains(place));
            open.retain(|place| !counts.contains(place) && !against(place) && !beaten(place));
        }
        decided
    }
}

/// The device that a record would add.
fn added(record: &Record) -> Option<&Device> {
    match &record.change {
        RosterChange::Genesis(device) => Some(device),
        RosterChange::Add(addition) => Some(&addition.device),
        RosterChange::Rename { .. } | RosterChange::Remove(_) | RosterChange::Epoch(_) | RosterChange::Unknown => None,
    }
}

/// A set of places, one bit each.
#[derive(Clone, Debug, Default)]
struct Past(Vec<u64>);

impl Past {
    fn insert(&mut self, place: usize) {
        let word = place / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (place % 64);
    }

    /// Takes in what lies before a place that was inserted, all of which are smaller.
    fn join(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    fn contains(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|word| word & (1 << (place % 64)) != 0)
    }
}

/// Records whose whole past is known, parents first; among equals the smaller (stamp, hash) first.
pub(super) fn causal_order(records: &Records) -> Vec<Hash> {
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
