//! Lanes: what one sibling still needs of this device's own source.
//!
//! A lane is a position in the log, not a queue: `acked` is what the sibling has receipted, `sent` is what a relay has taken
//! for it. Retry, restart, a slow sibling, a new sibling and a lost relay are all the same: *send what is after `sent`; when
//! no receipt comes, go back to `acked`*.
//!
//! **One relay at a time.** A lane stays on its relay while that is healthy. When a receipt is late, or the relay refuses a parcel, it
//! goes back and takes the next healthy relay, so several relays are raced only in the case of need. It has *strayed* then, and chooses
//! anew, the best first, when a relay comes back, or [`STRAY`] later as soon as nothing waits for a receipt: moving then repeats nothing.
//!
//! **One rewind at a time.** A rewind is due [`Lane::patience`] after something was sent and not receipted; each one
//! without progress doubles the patience up to [`RESEND_MAX`]. Reordering across relays can therefore not start a storm.
//!
//! **A sibling that does not answer is asked, not flooded.** The first [`WHOLE_REWINDS`] rewinds send everything again; a sibling that stays
//! silent is away, and from then on, or while its mailbox is full, a rewind sends one bundle with the question for a receipt. What is
//! written meanwhile still goes out, up to the budget of the [`Mailbox`]; when the sibling speaks, it gets all that it lacks.
//!
//! **Patience includes the sibling's promise.** A sibling answers a single live bundle only after [`RECEIPT_DELAY`], so
//! that receipts cost nothing in a conversation; the wait for it starts after that.

use std::collections::BTreeMap;

use crate::ids::{Millis, RelayId, Seq};

mod mailbox;
mod suspicion;

pub use self::mailbox::{KEEPS, MAX_BYTES, MAX_PARCELS, Mailbox};
use self::suspicion::Suspicion;

/// How long a receipt may wait for something to travel with: 5 s.
pub const RECEIPT_DELAY: Millis = Millis(5_000);
/// Least time to wait for a receipt beyond [`RECEIPT_DELAY`]: 2 s.
pub const RESEND_MIN: Millis = Millis(2_000);
/// Most time to wait for a receipt: 1 h.
pub const RESEND_MAX: Millis = Millis(3_600_000);
/// How soon unreceipted mail is posted again when a relay comes back: 5 s.
pub const RESEND_AFTER_RETURN: Millis = Millis(5_000);
/// How often everything is sent again to a sibling that does not answer: three times, some 7, 21 and 49 s after the first.
pub const WHOLE_REWINDS: u32 = 3;
/// How long a lane keeps off the relay that it left for another one: 10 min.
pub const STRAY: Millis = Millis(600_000);

/// The lane to one sibling.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    acked: Seq,
    mailboxes: BTreeMap<RelayId, Mailbox>,
    relay: Option<RelayId>,
    /// Since when it is on another relay than it chose, for want of receipts or room there.
    strayed: Option<Millis>,
    /// Parcels under way, with the position after which their own bundles begin, if they have any.
    in_flight: BTreeMap<RelayId, Option<Seq>>,
    /// Rewinds without progress.
    attempts: u32,
    /// Rewinds since the sibling spoke.
    unanswered: u32,
    /// The next parcel asks with one bundle.
    probing: bool,
    /// It took another relay for questions alone.
    detoured: bool,
    resend_at: Option<Millis>,
    /// Relays that refused a parcel.
    held: BTreeMap<RelayId, Hold>,
    round_trip: Option<Millis>,
    probe: Option<(Seq, Millis)>,
    wanted_at: Option<Millis>,
    suspicion: Suspicion,
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    failures: u32,
    until: Millis,
}

impl Lane {
    /// A lane to a sibling that has receipted everything up to `acked`, and for which this was left before. It is asked what it holds
    /// now, and gets what it lacks when it answers.
    pub fn resume(acked: Seq, mailboxes: impl IntoIterator<Item = (RelayId, Mailbox)>) -> Self {
        let mailboxes: BTreeMap<RelayId, Mailbox> = mailboxes.into_iter().collect();
        let open = mailboxes.values().any(|mailbox| mailbox.sent > acked);
        let (unanswered, resend_at) = if open { (WHOLE_REWINDS, Some(Millis(0))) } else { (0, None) };
        Self { acked, mailboxes, unanswered, resend_at, ..Self::default() }
    }

    /// What is to be remembered of what lies on relays.
    pub fn posted(&self) -> impl Iterator<Item = (RelayId, Mailbox)> + '_ {
        let counts = |mailbox: &Mailbox| mailbox.parcels > 0 || mailbox.sent > self.acked;
        self.mailboxes.iter().map(|(relay, mailbox)| (*relay, *mailbox)).filter(move |(_, mailbox)| counts(mailbox))
    }

    /// What the sibling has receipted.
    pub fn acked(&self) -> Seq {
        self.acked
    }

    /// The relay to use now: the one in use while it is among the `healthy` (best first) and takes parcels, else the best that does.
    pub fn relay(&mut self, healthy: &[RelayId], now: Millis) -> Option<RelayId> {
        let takes = |relay: &RelayId| self.held.get(relay).is_none_or(|hold| hold.until <= now);
        let current = self.relay.filter(|relay| healthy.contains(relay));
        let taking = || healthy.iter().copied().find(takes);
        let next = current.filter(takes).or_else(taking).or(current).or_else(|| healthy.first().copied());
        if self.relay.is_some() && next != self.relay {
            self.strayed.get_or_insert(now);
        }
        self.relay = next;
        next
    }

    /// Whether a parcel can be given to `relay` now: none is under way there, and the last failure is long enough ago.
    pub fn is_free(&self, relay: RelayId, now: Millis) -> bool {
        !self.in_flight.contains_key(&relay) && self.held.get(&relay).is_none_or(|hold| hold.until <= now)
    }

    /// What comes after this position was not yet given to `relay`.
    pub fn sent(&self, relay: RelayId) -> Seq {
        self.mailboxes.get(&relay).map(|mailbox| mailbox.sent).unwrap_or_default().max(self.acked)
    }

    /// The own bundles to be given to `relay` now, of those up to `last`: after the first and up to the second position. None while the
    /// mailbox there is full.
    pub fn stretch(&self, relay: RelayId, last: Seq) -> Option<(Seq, Seq)> {
        let stretch = if self.probing { (self.acked, self.acked.next()) } else { (self.sent(relay), last) };
        (stretch.0 < last && (self.probing || !self.is_full(relay))).then_some(stretch)
    }

    /// Whether bundles for the sibling should wait before they go to `relay`.
    pub fn is_full(&self, relay: RelayId) -> bool {
        self.mailboxes.get(&relay).is_some_and(Mailbox::is_full)
    }

    /// Whether so much lies on `relay` that the sibling should say what it has collected.
    pub fn is_filling(&self, relay: RelayId) -> bool {
        self.mailboxes.get(&relay).is_some_and(Mailbox::is_filling)
    }

    /// A parcel of `bytes` lies on `relay`.
    pub fn posted_to(&mut self, relay: RelayId, bytes: u64, wall: Millis) {
        self.mailboxes.entry(relay).or_default().take(bytes, wall);
    }

    /// Begins anew on a relay that keeps mail for `keeps`, if what lies there is about to expire. Says whether it is.
    pub fn renew(&mut self, relay: RelayId, keeps: Millis, wall: Millis) -> bool {
        let expires = self.mailboxes.get(&relay).is_some_and(|mailbox| mailbox.expires(keeps, wall));
        expires && self.mailboxes.remove(&relay).is_some()
    }

    /// A parcel for the sibling goes to `relay`, with the own bundles after the first and up to the second position of
    /// `own` if it has any.
    pub fn departed(&mut self, relay: RelayId, own: Option<(Seq, Seq)>, now: Millis) {
        self.in_flight.insert(relay, own.map(|(after, _)| after));
        self.probing &= own.is_none();
        if let (Some((_, upto)), None, 0) = (own, self.probe, self.attempts) {
            self.probe = Some((upto, now));
        }
    }

    /// The parcel lies on `relay`; its own bundles reach up to `reached`. When the lane was taken back meanwhile, the parcel does
    /// not close the hole before it, and nothing counts as sent.
    pub fn arrived(&mut self, relay: RelayId, reached: Option<Seq>, now: Millis, jitter: u64) {
        let after = self.in_flight.remove(&relay).flatten();
        self.held.remove(&relay);
        let Some(reached) = reached.filter(|_| after.is_some_and(|after| after <= self.sent(relay))) else { return };
        let mailbox = self.mailboxes.entry(relay).or_default();
        mailbox.sent = reached.max(mailbox.sent);
        if reached > self.acked && self.resend_at.is_none() {
            self.resend_at = Some(now.plus(self.patience(jitter)));
        }
    }

    /// The parcel did not arrive on `relay`.
    pub fn failed(&mut self, relay: RelayId, now: Millis, jitter: u64) {
        let after = self.in_flight.remove(&relay).flatten();
        self.probing |= after.is_some_and(|after| after < self.sent(relay));
        self.probe = None;
        let failures = self.held.get(&relay).map_or(0, |hold| hold.failures);
        let until = now.plus(backed_off(RESEND_MIN, failures, jitter));
        self.held.insert(relay, Hold { failures: failures.saturating_add(1), until });
    }

    /// The sibling receipts everything up to `acked`. Says whether that was progress.
    pub fn receipted(&mut self, acked: Seq, now: Millis, jitter: u64) -> bool {
        if acked <= self.acked {
            return false;
        }
        self.acked = acked;
        self.suspicion.receipted(self.relay, std::mem::take(&mut self.attempts), now);
        if let Some((_, since)) = self.probe.take_if(|(upto, _)| *upto <= acked) {
            let sample = now.since(since).since(RECEIPT_DELAY);
            let smooth = self.round_trip.map_or(sample, |old| Millis((old.0 * 7 + sample.0) / 8));
            self.round_trip = Some(smooth);
        }
        self.probing = false;
        self.resend_at = self.is_open().then(|| now.plus(self.patience(jitter)));
        if !self.is_open() && self.strayed.is_some_and(|since| now.since(since) >= STRAY) {
            self.choose_anew();
        }
        true
    }

    /// The sibling spoke: it runs and collects its mail. One that was taken to be away gets what it lacks at `at`, when what it has just
    /// found is receipted.
    pub fn heard(&mut self, at: Millis) {
        self.mailboxes.values_mut().for_each(Mailbox::collected);
        if std::mem::take(&mut self.detoured) && !self.is_open() {
            self.choose_anew();
        }
        let was_away = std::mem::take(&mut self.unanswered) >= WHOLE_REWINDS || self.probing;
        self.probing = false;
        if was_away && self.is_open() {
            self.resend_at = Some(self.resend_at.map_or(at, |due| due.min(at)));
        }
    }

    /// The sibling started afresh and holds only what is up to `acked`.
    pub fn reset(&mut self, acked: Seq) {
        let mut mailboxes = std::mem::take(&mut self.mailboxes);
        mailboxes.values_mut().for_each(|mailbox| mailbox.sent = Seq::ZERO);
        let in_flight = std::mem::take(&mut self.in_flight);
        let suspicion = std::mem::take(&mut self.suspicion);
        *self = Self { acked, mailboxes, round_trip: self.round_trip, in_flight, suspicion, ..Self::default() };
    }

    /// Whether a rewind is due.
    pub fn is_late(&self, now: Millis) -> bool {
        self.resend_at.is_some_and(|at| at <= now)
    }

    /// Goes back to what was receipted, as a whole or to ask, and takes the next of the `healthy` relays. One rewind at a time: the next
    /// one is due only after something was sent again.
    pub fn rewind(&mut self, healthy: &[RelayId], now: Millis) {
        self.suspicion.late(self.relay);
        self.attempts = self.attempts.saturating_add(1);
        self.unanswered = self.unanswered.saturating_add(1);
        self.probe = None;
        self.resend_at = None;
        self.take_next(healthy, now);
        self.probing = self.is_unanswered() || self.relay.is_some_and(|relay| self.is_full(relay));
        if !self.probing {
            self.mailboxes.values_mut().for_each(|mailbox| mailbox.sent = Seq::ZERO);
        }
    }

    /// Takes the next of the `healthy` relays until the sibling is heard: questions over this one were not answered.
    pub fn detour(&mut self, healthy: &[RelayId], now: Millis) {
        self.detoured = true;
        self.take_next(healthy, now);
    }

    fn take_next(&mut self, healthy: &[RelayId], now: Millis) {
        let next = self.relay.and_then(|relay| healthy.iter().position(|other| *other == relay));
        let next = next.map_or(0, |at| (at + 1) % healthy.len().max(1));
        let next = healthy.get(next).copied().or(self.relay);
        if self.relay.is_some() && next != self.relay {
            self.strayed.get_or_insert(now);
        }
        self.relay = next;
    }

    /// Whether so many rewinds brought no answer that the sibling is away, or looks elsewhere.
    pub fn is_unanswered(&self) -> bool {
        self.unanswered > WHOLE_REWINDS
    }

    /// The sibling asks for what comes after `after`. Answered only when it was sent before, no rewind is outstanding, and
    /// the last answer is older than [`WANT_GAP`]: a repeated question is answered once.
    pub fn wanted(&mut self, after: Seq, now: Millis) {
        // What was sent waits for a receipt until a rewind takes it back.
        let outstanding = self.resend_at.is_none();
        let repeated = self.wanted_at.is_some_and(|at| now.since(at) < WANT_GAP);
        if !outstanding
            && !repeated
            && after >= self.acked
            && self.mailboxes.values().any(|mailbox| mailbox.sent > after)
        {
            self.mailboxes.values_mut().for_each(|mailbox| mailbox.sent = after.min(mailbox.sent));
            self.wanted_at = Some(now);
        }
    }

    /// Brings a due rewind forward to `at`: the sibling was seen, or a person asked.
    pub fn hurry(&mut self, at: Millis) {
        self.retry(at);
        self.resend_at = self.resend_at.map(|due| due.min(at));
    }

    /// The relay is back: what it never took can leave at once, what it took and nobody receipted is posted again after
    /// [`RESEND_AFTER_RETURN`], when a receipt that lay there has had its time.
    pub fn returned(&mut self, relay: RelayId, now: Millis) {
        self.held.remove(&relay);
        self.choose_anew();
        let at = now.plus(RESEND_AFTER_RETURN);
        self.resend_at = self.resend_at.map(|due| if due > now { due.min(at) } else { at });
    }

    /// The relay takes parcels, whatever became of the last ones.
    pub fn release(&mut self, relay: RelayId) {
        self.held.remove(&relay);
    }

    /// Refused parcels can be given to their relays again at once.
    pub fn retry(&mut self, now: Millis) {
        self.held.values_mut().for_each(|hold| hold.until = hold.until.min(now));
    }

    /// The relay is chosen anew with the next parcel: the best of all that are healthy then.
    pub fn choose_anew(&mut self) {
        (self.relay, self.strayed) = (None, None);
    }

    /// Whether the last rewinds brought no receipt.
    pub fn is_waiting_long(&self) -> bool {
        self.attempts > 0
    }

    /// Relays that seem to keep the sibling's mail back, for at least `bound`.
    pub fn suspected(&self, bound: Millis, now: Millis) -> impl Iterator<Item = RelayId> + '_ {
        self.suspicion.of(bound, now)
    }

    /// Drops what is known of a relay that was taken out.
    pub fn forget(&mut self, relay: RelayId) {
        self.suspicion.forget(relay);
        self.mailboxes.remove(&relay);
        self.in_flight.remove(&relay);
        self.held.remove(&relay);
        self.relay = self.relay.filter(|other| *other != relay);
    }

    /// When this lane wants to be looked at again.
    pub fn wake_at(&self, now: Millis) -> Option<Millis> {
        self.held.values().map(|hold| hold.until).chain(self.resend_at).filter(|at| *at > now).min()
    }

    /// A person asks: everything unreceipted leaves again.
    pub fn insist(&mut self, now: Millis) {
        self.unanswered = 0;
        self.hurry(now);
    }

    /// Whether something lies on relays and is not receipted.
    fn is_open(&self) -> bool {
        self.mailboxes.values().any(|mailbox| mailbox.sent > self.acked)
    }

    fn patience(&self, jitter: u64) -> Millis {
        let usual = self.round_trip.map_or(RESEND_MIN, |trip| Millis(trip.0.saturating_mul(4)).max(RESEND_MIN));
        backed_off(usual.plus(RECEIPT_DELAY), self.attempts, jitter)
    }
}

/// `base × 2^attempts`, at most [`RESEND_MAX`], moved by up to ±20 % according to `jitter`.
pub fn backed_off(base: Millis, attempts: u32, jitter: u64) -> Millis {
    let doubled = base.0.saturating_mul(1 << attempts.min(20)).min(RESEND_MAX.0);
    Millis(doubled / 10 * 8 + doubled * 4 / 10 * (jitter % 1024) / 1023)
}

/// A question that comes again within this is the same one, repeated by a relay: 4 s, less than the shortest pause between two
/// questions (5 s, less a fifth of jitter).
const WANT_GAP: Millis = Millis(4_000);

#[cfg(test)]
mod tests;
