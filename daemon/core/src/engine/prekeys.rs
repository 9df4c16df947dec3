//! Prekeys: when to make a new one, whom to tell of it, when an old seed may be destroyed.
//!
//! - A new prekey is made [every week](super::Config::rekey_after). Letters carry it to whoever is not known to have it, and say which slot of the
//!   recipient's their sender knows: that is how each is acknowledged. It is told with roster and epoch, and again until it is known.
//! - An old seed dies when every live sibling knows a later prekey, and since then the relays' retention and some slack have passed, and
//!   *after that* everything was fetched once from every relay. A stale sibling is not waited for: it is written to, and learns the
//!   newest one from that.
//! - A device that slept for long fetches before it does anything: also a new prekey is made only when everything was fetched since it was due.
//! - A device that finds at start that it was put back or cloned may have lost prekeys that siblings seal to. It makes a new one at once, in a
//!   slot that comes after all that it may have lost: slots reach the seconds in the generation of the own source then, which are no
//!   less than those since 1970. So the greatest slot is the newest prekey, whatever was put back.
//! - Should a sibling know a greater slot all the same (two copies run, nothing told of it at start, or the clock was behind then), the next one comes after that; and of
//!   the letters to a sibling that shows a lesser slot than it announced before, every second one is sealed to what it shows.
//!
//! Neither way need be open for a device that was put back by months: see [`knock`](super::knock).

use std::collections::BTreeMap;

use super::Engine;
use crate::ids::{DeviceId, Millis, Now, RelayId};
use crate::prekey::{COMMON_SLOT, HeldPrekey, KeptPrekey};
use crate::roster::Prekey;
use crate::step::Change;

/// The prekeys of this device.
#[derive(Debug, Default)]
pub(super) struct OwnPrekeys {
    /// What siblings should seal to.
    pub(super) newest: Prekey,
    /// Those whose seeds are held, by slot.
    held: BTreeMap<u32, HeldPrekey>,
    /// The greatest slot that a sibling took for ours.
    known: u32,
    /// Whether one was made because of that since the start. Once: two copies that run for good would outrun each other.
    outran: bool,
    /// All relays that are configured, reached or not.
    configured: Vec<RelayId>,
    /// When everything was last fetched from each relay: when that began, by the wall clock.
    fetched: BTreeMap<RelayId, Millis>,
}

impl OwnPrekeys {
    pub(super) fn resume(newest: Prekey, held: Vec<HeldPrekey>) -> Self {
        Self { newest, held: held.into_iter().map(|held| (held.slot, held)).collect(), ..Self::default() }
    }

    /// These relays may hold mail, in whatever state they are.
    pub(super) fn relays(&mut self, configured: Vec<RelayId>) {
        self.configured = configured;
    }

    /// Everything on `relay` was fetched, and that began at `began`.
    pub(super) fn fetched(&mut self, relay: RelayId, began: Millis) {
        self.fetched.insert(relay, began);
    }

    /// Nobody looks on this relay any more.
    pub(super) fn forget(&mut self, relay: RelayId) {
        self.fetched.remove(&relay);
    }

    /// The newest prekey may not be the newest that siblings know: the next one is made at once.
    fn spoil(&mut self) {
        if let Some(newest) = self.held.get_mut(&self.newest.slot) {
            newest.made = SPOILED;
        }
    }
}

impl Engine {
    /// Whether a prekey is to be made now, and for which slot. The driver asks before it settles, and hands over
    /// [`Input::Rekeyed`](crate::step::Input::Rekeyed) in the same transaction.
    pub fn wants_prekey(&self, now: Now) -> Option<u32> {
        let newest = self.prekeys.held.get(&self.prekeys.newest.slot)?;
        if self.is_removed() {
            return None;
        }
        if newest.made == SPOILED {
            let reached = u32::try_from(self.generation >> 16).unwrap_or(u32::MAX).min(LEAP_TO);
            return newest.slot.max(self.prekeys.known).max(reached).checked_add(1);
        }
        let due = newest.made.plus(self.config.rekey_after);
        (now.wall >= due && self.has_fetched_since(due)).then(|| newest.slot.checked_add(1)).flatten()
    }

    /// The slots whose mailboxes are to be looked into beside the [common one](crate::prekey::COMMON_SLOT): all whose seeds are held.
    pub fn slots(&self) -> impl Iterator<Item = u32> {
        self.prekeys.held.keys().copied()
    }

    /// Takes the prekey that was made because it was wanted.
    pub(super) fn take_prekey(&mut self, made: KeptPrekey) {
        if made.prekey.slot <= self.prekeys.newest.slot {
            return;
        }
        let leaps = self.prekeys.held.get(&self.prekeys.newest.slot).is_some_and(|newest| newest.made == SPOILED);
        self.prekeys.newest = made.prekey.clone();
        let held = HeldPrekey { slot: made.prekey.slot, made: made.made, quiet: None };
        self.prekeys.held.insert(held.slot, held);
        self.commit(Change::Prekey(made));
        for sibling in self.siblings.values_mut() {
            sibling.is_lost |= leaps;
            sibling.tell_again();
        }
        self.follow_prekeys();
    }

    /// The prekey to seal the next letter for a sibling to.
    pub(super) fn prekey_for(&self, to: DeviceId) -> Option<Prekey> {
        let sibling = self.siblings.get(&to)?;
        let older = sibling.shows_older.clone().filter(|_| sibling.letters % 2 == 1);
        older.or_else(|| self.prekey_of(to))
    }

    /// The newest prekey known of a sibling.
    pub(super) fn prekey_of(&self, id: DeviceId) -> Option<Prekey> {
        let announced = self.siblings.get(&id)?.prekey.clone();
        let joined_with = self.roster.member(id).map(|member| member.device.prekey.clone());
        let known = announced.into_iter().chain(joined_with).filter(|prekey| prekey.slot != COMMON_SLOT);
        known.max_by_key(|prekey| prekey.slot)
    }

    /// The own prekey as letters carry it: with the key only to who is not known to have it.
    pub(super) fn announced_prekey(&self, to: DeviceId) -> Prekey {
        let newest = &self.prekeys.newest;
        if self.siblings.get(&to).is_some_and(|sibling| sibling.prekey_known) {
            Prekey { slot: newest.slot, ..Prekey::default() }
        } else {
            newest.clone()
        }
    }

    /// Notes which prekey a sibling shows: a newer one, or an older one than it announced before.
    pub(super) fn take_shown_prekey(&mut self, from: DeviceId, shown: Prekey, now: Now) {
        let (known, own) = (self.prekey_of(from), self.source);
        let joined_with = self.roster.member(from).map(|member| member.device.prekey.clone());
        let Some(sibling) = self.siblings.get_mut(&from) else { return };
        let known_slot = known.map(|known| known.slot).unwrap_or_default();
        if !shown.public.is_empty() {
            // It tells its prekey until we say that we know it.
            sibling.due(now.mono.plus(SHOW_AGAIN));
        }
        if shown.slot > known_slot && !shown.public.is_empty() {
            sibling.prekey = Some(shown);
            sibling.shows_older = None;
            // What we say that we know is on disk.
            let saved = sibling.saved(from, own);
            self.commit(Change::Sibling(saved));
        } else if shown.slot < known_slot {
            let whole = Some(shown.clone()).filter(|shown| !shown.public.is_empty());
            let whole = whole.or(joined_with.filter(|joined| joined.slot == shown.slot));
            // Until it announces one that comes after all of them: two copies show theirs in turn.
            sibling.shows_older = whole.or_else(|| sibling.shows_older.take());
        }
    }

    /// Notes which slot of ours a sibling knows. One that was never ours in this life was announced by another copy, or before the disk was
    /// put back.
    pub(super) fn take_known_slot(&mut self, from: DeviceId, slot: u32) {
        let Some(sibling) = self.siblings.get_mut(&from) else { return };
        sibling.knows_slot = Some(slot);
        let prekeys = &mut self.prekeys;
        if (prekeys.newest.slot.saturating_add(1)..=MAX_KNOWN).contains(&slot) {
            prekeys.known = prekeys.known.max(slot);
            if !std::mem::replace(&mut prekeys.outran, true) {
                prekeys.spoil();
            }
        }
    }

    /// Sees anew who lacks the newest prekey. The one that a device joined with is on the roster, which everybody has.
    pub(super) fn follow_prekeys(&mut self) {
        let newest = Some(self.prekeys.newest.slot);
        let on_roster = self.roster.member(self.me).map(|member| member.device.prekey.slot);
        for sibling in self.siblings.values_mut() {
            sibling.prekey_known = on_roster == newest || sibling.knows_slot == newest;
        }
    }

    /// Notes which old prekeys are quiet, and destroys seeds that nothing can need.
    pub(super) fn age_prekeys(&mut self, now: Now) {
        let live = self.siblings.iter().filter(|(id, _)| self.is_live(**id, now));
        let known: Vec<Option<u32>> = live.map(|(_, sibling)| sibling.knows_slot).collect();
        let (mut gone, mut moved) = (Vec::new(), Vec::new());
        for held in self.prekeys.held.values() {
            // A clock that was ahead counts as right from now on: or nothing would change for as long as it was.
            let here =
                HeldPrekey { made: held.made.min(now.wall), quiet: held.quiet.map(|at| at.min(now.wall)), ..*held };
            let all_said = known.iter().all(Option::is_some);
            let one_does_not = known.iter().any(|known| known.is_some_and(|slot| slot <= held.slot));
            let ends = here.quiet.map(|since| since.plus(self.config.retention).plus(self.config.slack));
            let aged = if held.slot == self.prekeys.newest.slot {
                here
            } else if one_does_not {
                HeldPrekey { quiet: None, ..here }
            } else if self.is_past(here.quiet, now) && ends.is_some_and(|end| self.has_fetched_since(end)) {
                gone.push(held.slot);
                continue;
            } else {
                HeldPrekey { quiet: here.quiet.or(all_said.then_some(now.wall)), ..here }
            };
            if aged != *held {
                moved.push(aged);
            }
        }
        for slot in gone {
            self.prekeys.held.remove(&slot);
            self.commit(Change::PrekeyGone(slot));
        }
        for held in moved {
            self.prekeys.held.insert(held.slot, held);
            self.commit(Change::PrekeyHeld(held));
        }
    }

    /// Whether everything on every relay that is configured was fetched after `moment`.
    fn has_fetched_since(&self, moment: Millis) -> bool {
        let attached = self.relays.iter().map(|relay| relay.id);
        let mut all = self.prekeys.configured.iter().copied().chain(attached).peekable();
        all.peek().is_some() && all.all(|relay| self.prekeys.fetched.get(&relay).is_some_and(|began| *began >= moment))
    }
}

/// How soon a new prekey is acknowledged: 500 ms, with whatever else there is to say.
const SHOW_AGAIN: Millis = Millis(500);
/// When a prekey that is to be replaced at once was made.
const SPOILED: Millis = Millis(0);
/// How far slots follow the generation: 0xE000_0000, which the seconds since 1970 reach in 2089. A clock that is years ahead uses up no more of them;
/// two lives of a device after that differ by what they know of each other only.
const LEAP_TO: u32 = 0xE000_0000;
/// The greatest slot of ours that a sibling is believed to know. Above it 2^28 are left, one a week.
const MAX_KNOWN: u32 = 0xF000_0000;
