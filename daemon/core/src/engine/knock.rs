//! Knocking: the way to a sibling of which no prekey is known that it still holds.
//!
//! A device that is put back to an old image may know only prekeys of its siblings whose seeds they have destroyed since, and they seal to prekeys
//! that it lost. Neither would ever hear the other again. So of the letters that a sibling does not answer some are a *knock*, more of them from a
//! device that has just taken a fresh source: it is sealed to the common key of an epoch, which follows from the epoch's secret alone ([`COMMON_SLOT`]). Whoever lives in that epoch looks there and can open it,
//! and learns from it which prekey to use.
//!
//! Who gets to know the epoch's secret later can read it too. So it says nothing that is worth hiding from them: a receipt, the roster, a prekey; no
//! bundles, no gifts, no snapshots. It is signed like every letter. And it goes only under epochs that no removed device knows.
//!
//! **What it cannot open.** Secrets of epochs are destroyed too, once every member has shown a later one and mail under them has had its time. A device
//! that is put back to before a removal, by more than that, knows no epoch in which anybody looks for mail. It is removed and joins anew; `status` says
//! so. Its history is with its siblings, except for what it had told nobody when the image was made.

use bytes::Bytes;

use super::Engine;
use super::saying::{Cargo, Saying};
use super::telling::Telling;
use crate::epoch::Epoch;
use crate::ids::{DeviceId, Now, RelayId};
use crate::parcel::Letter;
use crate::prekey::COMMON_SLOT;
use crate::roster::Prekey;

impl Engine {
    /// Knocks at a live sibling that does not answer, if it is time to. Says whether it did.
    pub(super) fn knocks_at(&mut self, to: DeviceId, relay: RelayId, now: Now) -> bool {
        let Some(sibling) = self.siblings.get(&to) else { return false };
        let (every, at) = if sibling.is_lost { SOON } else { SELDOM };
        // What is only silent gets words, some of which are knocks.
        let repeats = sibling.lane.is_waiting_long() || !sibling.is_told();
        repeats && sibling.in_vain % every == at && self.knock(to, relay, now)
    }

    /// Knocks, unless no epoch is fit for that.
    pub(super) fn knock(&mut self, to: DeviceId, relay: RelayId, now: Now) -> bool {
        let Some(sibling) = self.siblings.get(&to) else { return false };
        let fit: Vec<Epoch> = self.epochs.keys().copied().filter(|epoch| self.roster.is_fit(*epoch)).collect();
        let turn = usize::try_from(sibling.knocks).unwrap_or_default() % fit.len().max(1);
        let Some(under) = fit.get(turn).copied() else { return false };
        let Telling { records, .. } = self.tell_roster(to);
        let prekey = self.prekeys.newest.clone();
        let letter = Letter { receipt_requested: true, records, prekey, ..self.letter(to, now) };
        let said = Saying { knock: Some(under), in_vain: true, word: true, ..Saying::default() };
        self.depart(to, relay, letter, Cargo::default(), said, now);
        true
    }
}

/// What a knock is sealed to: the recipient's common key, made of the epoch's secret where that is held.
pub(super) fn common() -> Prekey {
    Prekey { slot: COMMON_SLOT, public: Bytes::new() }
}

/// Of how many letters without an answer which one is a knock, from a device that took a fresh source and has not heard the sibling since.
const SOON: (u32, u32) = (4, 1);
/// The same from any other: the seventh letter comes after about ten minutes, and then one in seven hours.
const SELDOM: (u32, u32) = (8, 7);
