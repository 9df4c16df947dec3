//! Hearsay: receipts of siblings that cannot hear each other.
//!
//! Receipts say who has what: whether everything is synced, and what may be compacted. Siblings that share no relay do not hear each other's, so
//! those between them pass them on ([`crate::parcel::Statement`]).
//!
//! - Who knows of anybody that does not look exactly where it looks itself signs what its letters say: two that lost the last relay they shared while it was
//!   broken know nothing of it, but somebody between them looks on more relays than either.
//! - Who knows of a sibling that looks nowhere where it looks itself is *distant* from it, and names it with the extent of the last receipt that came of it.
//! - Who holds a statement that says more passes it on to who is distant: after [`RECEIPT_DELAY`] the first bridge between the two ([`super::bridge`]), after
//!   [`OTHERS`] anybody else; again, ever less often, until the letters of the one who was told show it.
//!
//! Whoever passes a statement on cannot change it, so a watermark rests on what each device said itself. A statement counts only when it says more than is
//! known. It makes a sibling live by the wall clock, but confirms no clock.

use std::collections::{BTreeMap, BTreeSet};

use super::bridge::meet;
use super::{Engine, RelayState, spread};
use crate::ids::{DeviceId, Millis, Now, RelayId};
use crate::lane::{RECEIPT_DELAY, backed_off};
use crate::parcel::{Distant, Extent, MAX_STATED_RELAYS, MAX_STATEMENTS, MAX_VECTOR, Receipt, Statement};

/// A sibling's own word, to be passed on.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    statement: Statement,
    extent: Extent,
}

/// A statement that a sibling should hear of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passing {
    extent: Extent,
    pub(super) at: Millis,
    attempts: u32,
}

impl Engine {
    /// Takes in what a device says of itself. Its own letter has said the same already.
    pub(super) fn hear_of(&mut self, said: &Statement, sender: DeviceId, now: Now) {
        let (device, own, last) = (said.device, self.source, self.last());
        let receipt = Receipt { vector: self.capped(said.receipt.vector.clone()), ..said.receipt };
        let extent = Extent::from(&receipt);
        let roster_known = said.roster_hash == self.roster.hash();
        let jitter = spread(self.tickets);
        let Some(sibling) = self.siblings.get_mut(&device).filter(|_| said.relays.len() <= MAX_STATED_RELAYS) else {
            return;
        };
        let known = Extent::from(&sibling.receipt);
        let mut told = None;
        if device != sender && extent > known {
            let taken = sibling.take_word(receipt, (own, last), now.mono, jitter);
            sibling.quiet.heard(true, now.mono, jitter);
            sibling.heard = Some(now.wall);
            sibling.relays.clone_from(&said.relays);
            (sibling.op_level, sibling.epoch, sibling.roster_known) = (said.op_level, said.epoch, roster_known);
            told = Some(taken.own);
            self.unsaved_since.get_or_insert(now.mono);
        }
        if extent >= known && sibling.stated.as_ref().is_none_or(|stated| stated.extent <= extent) {
            sibling.stated = Some(Stated { statement: said.clone(), extent });
        }
        if let Some(told) = told {
            if self.knows_more(told) {
                self.retire(now);
            }
            self.follow_epochs();
        }
    }

    /// Whom this device cannot hear, for its letters.
    pub(super) fn distant(&self, now: Now) -> Vec<Distant> {
        let distant = self.siblings.iter().filter(|(id, sibling)| {
            let here = self.looks();
            !here.is_empty() && !meet(&here, &sibling.relays) && self.is_live(**id, now)
        });
        let known = |sibling: &super::Sibling| Extent::from(&sibling.receipt);
        let distant = distant.map(|(id, sibling)| Distant { device: *id, known: known(sibling) });
        distant.take(MAX_STATEMENTS).collect()
    }

    /// Whether somebody may not hear what this device says.
    pub(super) fn may_be_distant(&self) -> bool {
        let here: BTreeSet<RelayId> = self.looks().into_iter().collect();
        let elsewhere = |relays: &[RelayId]| !relays.is_empty() && here != relays.iter().copied().collect();
        !here.is_empty() && self.siblings.values().any(|sibling| elsewhere(&sibling.relays))
    }

    /// Whether a sibling looks for mail, as far as it said, where this device does not.
    pub(super) fn is_out_of_reach(&self, id: DeviceId) -> bool {
        let there = self.siblings.get(&id).map(|sibling| sibling.relays.as_slice()).unwrap_or_default();
        !there.is_empty() && !meet(there, &self.looks())
    }

    /// The relays that this device stays with.
    pub(super) fn looks(&self) -> Vec<RelayId> {
        let stays = |relay: &&RelayState| !relay.leaving;
        self.relays.iter().filter(stays).map(|relay| relay.id).collect()
    }

    /// Sees of whom a sibling should hear.
    pub(super) fn pass_on(&mut self, to: DeviceId, now: Now) {
        if self.siblings.values().all(|sibling| sibling.stated.is_none()) {
            return;
        }
        let Some(hearer) = self.siblings.get(&to) else { return };
        let mut news: BTreeMap<DeviceId, (Extent, Millis)> = BTreeMap::new();
        for (id, other) in self.siblings.iter().filter(|(id, _)| **id != to) {
            let Some(stated) = &other.stated else { continue };
            let known = !other.relays.is_empty() && !hearer.relays.is_empty();
            let named = hearer.distant.iter().find(|distant| distant.device == *id);
            let distant = if known { !meet(&other.relays, &hearer.relays) } else { named.is_some() };
            // A source of a removed device may have shrunk since.
            let extent = stated.extent.min(Extent::from(&other.receipt));
            if distant && extent > named.map(|named| named.known).unwrap_or_default() {
                let first = self.is_first_bridge(*id, to, now);
                news.insert(*id, (extent, if first { RECEIPT_DELAY } else { OTHERS }));
            }
        }
        let Some(hearer) = self.siblings.get_mut(&to) else { return };
        hearer.passing.retain(|id, _| news.contains_key(id));
        for (id, (extent, patience)) in news {
            let at = now.mono.plus(patience);
            let passing = hearer.passing.entry(id).or_insert(Passing { extent, at, attempts: 0 });
            if extent > passing.extent {
                // What waits already leaves when it was to leave.
                let at = if passing.attempts == 0 { passing.at } else { at };
                *passing = Passing { extent, at, attempts: 0 };
            }
        }
    }

    /// Whether something is to be passed on to a sibling now.
    pub(super) fn has_hearsay(&self, to: DeviceId, now: Now) -> bool {
        self.siblings.get(&to).is_some_and(|sibling| sibling.passing.values().any(|passing| passing.at <= now.mono))
    }

    /// What is passed on with a letter that leaves now: also what would have waited for company.
    pub(super) fn hearsay(&mut self, to: DeviceId, now: Now) -> Vec<Statement> {
        let jitter = spread(self.tickets);
        let (mut statements, mut heads, mut bytes) = (Vec::new(), 0, 0);
        let waiting = |passing: &Passing| passing.at <= now.mono || passing.attempts == 0;
        let Some(hearer) = self.siblings.get(&to) else { return statements };
        let due = hearer.passing.iter().filter(|(_, passing)| waiting(passing)).map(|(id, _)| *id);
        for id in due.collect::<Vec<DeviceId>>() {
            let stated = self.siblings.get(&id).and_then(|sibling| sibling.stated.as_ref());
            let Some(statement) = stated.map(|stated| stated.statement.clone()) else { continue };
            (heads, bytes) = (heads + statement.receipt.vector.len(), bytes + statement.size());
            if statements.len() >= MAX_STATEMENTS || heads > MAX_VECTOR || bytes > ROOM {
                break;
            }
            statements.push(statement);
            let Some(passing) = self.siblings.get_mut(&to).and_then(|hearer| hearer.passing.get_mut(&id)) else {
                continue;
            };
            passing.at = now.mono.plus(backed_off(PASS_AGAIN, passing.attempts, jitter));
            passing.attempts = passing.attempts.saturating_add(1);
        }
        statements
    }
}

/// How long who is no first bridge lets the others go first: 60 s.
const OTHERS: Millis = Millis(60_000);
/// The pause after a statement was passed on in vain, doubled each time: 15 s, more than the answer may wait for company.
const PASS_AGAIN: Millis = Millis(15_000);
/// Most bytes of statements in a letter: they take the room of a roster (96 KiB), and one of 1,024 heads always fits.
const ROOM: usize = 96 * 1024;
