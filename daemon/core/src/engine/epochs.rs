//! Epochs: which one to live in, whom to give it to, what to seal under, which mailboxes to look into.
//!
//! [`crate::epoch`] says which epoch is safe. Here is what follows for a device among its siblings:
//!
//! - **Showing.** Each letter shows the epoch that its sender lives in. To a sibling that shows an earlier one ours is given, with the roster, until
//!   its letters show it, however long it was away; whoever holds it gives it.
//! - **Sealing.** A letter is sealed under the last epoch that the sibling showed and we hold: it looks there. To one that never showed any, under the
//!   one it was given when it joined. If it does not answer, now and then under another: it may have been put back to an older state.
//! - **Looking.** The mailboxes of an earlier epoch are looked into until no live sibling may write there: each has shown a later one, and what it sent
//!   before that has outlived the relays' retention. Of a sibling that is stale this is not waited for: it hears from us in the epoch that
//!   it knows (`show_to_stale`), which is why that secret is kept until every member has shown a later one.
//! - **Minting.** Who removes a device mints in the same transaction. When two removals did not know of each other nobody holds a fit
//!   epoch; then the first of the live devices mints one after [`MINT_AFTER`], the second if it has not heard of it after twice as long, and so on.
//!   Should two mint all the same, the greater wins everywhere.

use super::Engine;
use crate::epoch::{Epoch, GivenEpoch, HeldEpoch, KeptEpoch};
use crate::ids::{DeviceId, Millis, Now};
use crate::step::Change;

impl Engine {
    /// Whether an epoch is to be minted now, and under which number. The driver asks before it settles; it mints, and hands over
    /// [`Input::Minted`](crate::step::Input::Minted) in the same transaction.
    pub fn wants_epoch(&mut self, now: Now) -> Option<u32> {
        if self.is_removed() || self.roster.is_fit(self.epoch()) {
            self.mint_at = None;
            return None;
        }
        let turn = Millis(MINT_AFTER.0.saturating_mul(self.turn(now)));
        let at = *self.mint_at.get_or_insert_with(|| now.mono.plus(turn));
        (at <= now.mono).then(|| self.roster.last_epoch().max(self.epoch().number).saturating_add(1))
    }

    /// The epochs whose mailboxes are to be looked into.
    pub fn polled(&self, now: Now) -> Vec<Epoch> {
        let current = self.epoch();
        let polled = self.epochs.iter().filter(|(epoch, quiet)| **epoch == current || !self.is_past(**quiet, now));
        polled.map(|(epoch, _)| *epoch).collect()
    }

    /// The epoch this device lives in.
    pub(super) fn epoch(&self) -> Epoch {
        self.epochs.keys().copied().max_by_key(|epoch| self.rank(*epoch)).unwrap_or_default()
    }

    /// Fit ones before others, then by name.
    fn rank(&self, epoch: Epoch) -> (bool, Epoch) {
        (self.roster.is_fit(epoch), epoch)
    }

    /// This device has just said something about who belongs to the group: it is the one to mint, if that is needed now.
    pub(super) fn mint_soon(&mut self, now: Now) {
        if !self.roster.is_fit(self.epoch()) {
            self.mint_at = Some(now.mono);
        }
    }

    /// How many times [`MINT_AFTER`] this device lets others go first.
    fn turn(&self, now: Now) -> u64 {
        let before = self.siblings.range(..self.me).filter(|(id, _)| self.is_live(**id, now)).count();
        u64::try_from(before).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Takes in the secret of an epoch that comes before the own one, if it is what the roster says.
    pub(super) fn take_epoch(&mut self, given: KeptEpoch) {
        let minted = self.roster.epoch(given.epoch).filter(|minted| minted.commitment == given.commitment);
        let is_better = self.rank(given.epoch) > self.rank(self.epoch());
        if minted.is_none() || !is_better {
            return;
        }
        self.epochs.insert(given.epoch, None);
        self.commit(Change::Epoch(given));
        self.siblings.values_mut().for_each(super::Sibling::tell_again);
        self.follow_epochs();
    }

    /// Sees anew who lacks the epoch that this device lives in.
    pub(super) fn follow_epochs(&mut self) {
        let current = self.epoch();
        let (ours, can_be_given) = (self.rank(current), self.roster.epoch(current).is_some());
        let roster = &self.roster;
        for sibling in self.siblings.values_mut() {
            let shown = (roster.is_fit(sibling.epoch), sibling.epoch);
            sibling.epoch_known = !can_be_given || shown >= ours;
        }
        self.follow_prekeys();
    }

    /// What to give to a sibling that lacks the epoch this device lives in; `insist`: also to one that seems to have it.
    pub(super) fn gifts(&self, to: DeviceId, insist: bool) -> Vec<GivenEpoch> {
        let lacks = insist || self.siblings.get(&to).is_some_and(|sibling| !sibling.epoch_known);
        let lacks = lacks && self.roster.epoch(self.epoch()).is_some();
        let gift = |epoch| GivenEpoch { epoch, gift: bytes::Bytes::new() };
        lacks.then(|| gift(self.epoch())).into_iter().collect()
    }

    /// The epoch to seal under for a sibling.
    pub(super) fn epoch_for(&self, to: DeviceId) -> Option<Epoch> {
        let sibling = self.siblings.get(&to)?;
        let joined_with = self.roster.member(to).and_then(|member| member.epoch);
        let founding = self.epochs.keys().copied().find(|epoch| self.roster.epoch(*epoch).is_none());
        let known = [Some(sibling.under), joined_with, founding].into_iter().flatten();
        let first = known.into_iter().find(|epoch| self.epochs.contains_key(epoch));
        let others: Vec<Epoch> = self.epochs.keys().copied().filter(|epoch| Some(*epoch) != first).collect();
        let (round, place) = (sibling.in_vain / OTHERS_EVERY, sibling.in_vain % OTHERS_EVERY);
        let turn = usize::try_from(round).unwrap_or_default() % others.len().max(1);
        let other = others.get(turn).copied().filter(|_| first.is_none() || place == OTHERS_EVERY - 1);
        other.or(first)
    }

    /// Notes which earlier epochs are quiet, and lets go of those that nobody needs.
    pub(super) fn age_epochs(&mut self, now: Now) {
        if self.epochs.len() <= 1 {
            return;
        }
        let current = self.epoch();
        let ours = self.rank(current);
        let behind = |id: &DeviceId| self.siblings.get(id).is_some_and(|sibling| self.rank(sibling.epoch) < ours);
        let members: Vec<DeviceId> = self.siblings.keys().copied().filter(behind).collect();
        let waits = members.iter().any(|id| self.is_live(*id, now));
        let (mut gone, mut moved) = (Vec::new(), Vec::new());
        for (epoch, quiet) in &self.epochs {
            let is_quiet = *epoch != current && !waits;
            if *epoch != current && members.is_empty() && self.is_past(*quiet, now) {
                gone.push(*epoch);
            } else if is_quiet != quiet.is_some() {
                moved.push(HeldEpoch { epoch: *epoch, quiet: is_quiet.then_some(now.wall) });
            }
        }
        for epoch in gone {
            self.epochs.remove(&epoch);
            self.commit(Change::EpochGone(epoch));
        }
        for held in moved {
            self.epochs.insert(held.epoch, held.quiet);
            self.commit(Change::EpochQuiet(held));
        }
    }

    /// When the next epoch ceases to be looked into.
    pub(super) fn epochs_wake_at(&self, now: Now) -> Option<Millis> {
        let quiet = self.epochs.values().copied().flatten();
        let end = quiet.map(|since| since.plus(self.config.retention).plus(self.config.slack).plus(Millis(1)));
        end.filter(|end| *end > now.wall).map(|end| now.mono.plus(end.since(now.wall))).min()
    }

    /// Whether what was sent before `quiet` has outlived the relays' retention.
    pub(super) fn is_past(&self, quiet: Option<Millis>, now: Now) -> bool {
        quiet.is_some_and(|since| now.wall.since(since) > self.config.retention.plus(self.config.slack))
    }
}

/// How long a device that was given no fit epoch waits before it mints one, for each live device whose turn is before its own: 30 s.
const MINT_AFTER: Millis = Millis(30_000);
/// Of so many letters to a sibling that does not answer, one is sealed under another epoch.
const OTHERS_EVERY: u32 = 4;
