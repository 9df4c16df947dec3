//! What lies in a relay in memory, and what the dice do to it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::faults::{Faults, PerMille, Tally};
use super::{MAX_ENVELOPE, PLACE, transient};
use crate::relay::error::{Reason, RelayError};
use crate::relay::mail::{Cursor, Delivery, Envelope, Fetched, Handle, Mailbox, PutOutcome, Want};

#[derive(Debug)]
pub(super) struct State {
    pub(super) mailboxes: BTreeMap<Mailbox, Vec<Copy>>,
    pub(super) max_mailbox_bytes: u64,
    /// Counts copies, in order of arrival.
    serial: u64,
    /// Counts fetches, the measure of lateness.
    fetches: u64,
    /// Since the storage was made.
    pub(super) clock: Duration,
    pub(super) faults: Faults,
    pub(super) tally: Tally,
    dice: StdRng,
}

/// One stored copy.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    serial: u64,
    pub(super) envelope: Envelope,
    /// When it was last put.
    pub(super) at: Duration,
    /// First fetch that shows it.
    visible_from: u64,
    pub(super) torn: bool,
    /// A second copy of an envelope, which the budget does not count.
    repeated: bool,
}

impl Copy {
    /// Names this copy.
    pub(super) fn handle(&self) -> Handle {
        Handle(Bytes::copy_from_slice(&self.serial.to_be_bytes()))
    }
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            mailboxes: BTreeMap::new(),
            max_mailbox_bytes: 64 * 1024 * 1024,
            serial: 0,
            fetches: 0,
            clock: Duration::ZERO,
            faults: Faults::default(),
            tally: Tally::default(),
            dice: StdRng::seed_from_u64(seed),
        }
    }

    /// Throws the die for everything that stops a call before it does anything.
    pub(super) fn enter(&mut self) -> Result<(), RelayError> {
        if self.faults.refuse {
            self.tally.refused += 1;
            return Err(RelayError::Denied { place: PLACE.to_owned(), reason: Reason::Refused });
        }
        if self.strikes(self.faults.transient) {
            self.tally.transient += 1;
            return Err(transient());
        }
        Ok(())
    }

    /// Throws the die for a lost reply after the effect.
    pub(super) fn leave(&mut self) -> Result<(), RelayError> {
        if self.strikes(self.faults.ambiguous) {
            self.tally.ambiguous += 1;
            return Err(RelayError::Ambiguous { place: PLACE.to_owned(), reason: Reason::Disconnected });
        }
        Ok(())
    }

    pub(super) fn put(&mut self, mailbox: Mailbox, envelope: &Envelope) -> PutOutcome {
        if envelope.sealed.len() > MAX_ENVELOPE {
            return PutOutcome::TooLarge { max: MAX_ENVELOPE };
        }
        let now = self.clock;
        let copies = self.mailboxes.entry(mailbox).or_default();
        let mut there = false;
        for copy in copies.iter_mut().filter(|copy| !copy.torn && copy.envelope == *envelope) {
            copy.at = now;
            there = true;
        }
        if there {
            return PutOutcome::AlreadyThere;
        }
        let counted = copies.iter().filter(|copy| !copy.repeated);
        let used: u64 = counted.map(|copy| copy.envelope.sealed.len() as u64).sum();
        let max = self.max_mailbox_bytes;
        if used.saturating_add(envelope.sealed.len() as u64) > max {
            return PutOutcome::MailboxFull { used, max };
        }
        if self.strikes(self.faults.lose) {
            self.tally.lost += 1;
            return PutOutcome::Stored;
        }
        if self.strikes(self.faults.tear) {
            self.tally.torn += 1;
            self.store(mailbox, envelope, |copy| copy.torn = true);
            return PutOutcome::Stored;
        }
        let late = self.strikes(self.faults.late);
        let visible_from = if late { self.fetches + self.faults.late_by } else { 0 };
        self.tally.late += u64::from(late);
        self.store(mailbox, envelope, |copy| copy.visible_from = visible_from);
        if self.strikes(self.faults.repeat) {
            self.tally.repeated += 1;
            self.store(mailbox, envelope, |copy| copy.repeated = true);
        }
        PutOutcome::Stored
    }

    pub(super) fn store(&mut self, mailbox: Mailbox, envelope: &Envelope, adjust: impl FnOnce(&mut Copy)) {
        self.serial += 1;
        let mut copy = Copy {
            serial: self.serial,
            envelope: envelope.clone(),
            at: self.clock,
            visible_from: 0,
            torn: false,
            repeated: false,
        };
        adjust(&mut copy);
        self.mailboxes.entry(mailbox).or_default().push(copy);
    }

    pub(super) fn fetch(&mut self, wants: &[Want], max_bytes: usize) -> Vec<Fetched> {
        self.fetches += 1;
        let mut answers = Vec::with_capacity(wants.len());
        let mut left = Vec::with_capacity(wants.len());
        for want in wants {
            let after = want.after.as_ref().and_then(position).unwrap_or(0);
            let copies = self.mailboxes.get(&want.mailbox).map_or(&[][..], Vec::as_slice);
            let shown: Vec<Copy> = copies
                .iter()
                .filter(|copy| copy.serial > after && copy.visible_from <= self.fetches)
                .cloned()
                .collect();
            left.push(shown.into_iter().peekable());
            answers.push(Fetched {
                mailbox: want.mailbox,
                mail: Vec::new(),
                cursor: want.after.clone(),
                more: false,
                torn: 0,
            });
        }
        let (mut bytes, mut idle) = (0_usize, false);
        'full: while !idle {
            idle = true;
            for (answer, left) in answers.iter_mut().zip(&mut left) {
                let Some(copy) = left.peek() else {
                    continue;
                };
                let after = bytes.saturating_add(copy.envelope.sealed.len());
                if !copy.torn && bytes > 0 && after > max_bytes {
                    break 'full;
                }
                idle = false;
                answer.cursor = Some(Cursor(copy.handle().0));
                if copy.torn {
                    answer.torn += 1;
                } else {
                    bytes = after.max(1);
                    answer.mail.push(Delivery { handle: copy.handle(), envelope: copy.envelope.clone() });
                }
                left.next();
            }
        }
        for (answer, mut left) in answers.iter_mut().zip(left) {
            answer.more = left.peek().is_some();
            if self.faults.reorder {
                self.tally.reordered += u64::from(answer.mail.len() > 1);
                answer.mail.shuffle(&mut self.dice);
            }
        }
        answers
    }

    pub(super) fn strikes(&mut self, chance: PerMille) -> bool {
        chance.strikes(&mut self.dice)
    }
}

/// Reads a cursor; `None` for bytes that are not one.
fn position(cursor: &Cursor) -> Option<u64> {
    Some(u64::from_be_bytes(cursor.0.as_ref().try_into().ok()?))
}
