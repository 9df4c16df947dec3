//! What this device has left in a sibling's mailbox on one relay since the sibling was heard last.
//!
//! **It is a debt, not an inventory.** Who runs collects its mail, so a sibling that speaks has emptied the mailbox or is about to, and the
//! count begins anew. A sibling that is away fills no relay: past [`MAX_PARCELS`] or [`MAX_BYTES`] nothing more is left there but a question
//! now and then ([`super::Lane::rewind`]), and what is written waits in the log.
//!
//! **It expires.** A relay keeps mail for so long and no longer. What lies there unreceipted for [`RENEW_AFTER`] of that is put again as a
//! whole, in few large parcels: two devices that never run at the same time still reach each other. Age is told by the wall clock, which
//! goes on while a machine sleeps, and is saved with the count.

use crate::ids::{Millis, Seq};

/// Most parcels: four days of 1,000 lonely events a day.
pub const MAX_PARCELS: u32 = 4_096;
/// Most sealed bytes: 12 MiB. A relay gives a mailbox 64 MiB; two siblings fill it with 2 × (12 MiB + 1.3 MiB for a last parcel that began
/// below the limit), twice, since what is put again lies beside the old copies until they expire: 53 MiB.
pub const MAX_BYTES: u64 = 12 << 20;
/// How long a relay keeps mail, if it does not say otherwise: 30 days.
pub const KEEPS: Millis = Millis(30 * 24 * 3_600_000);
/// After which part of that time mail is put again: five sixths, day 25 of 30.
const RENEW_AFTER: (u64, u64) = (5, 6);

/// The mail for one sibling on one relay.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Mailbox {
    /// How far the own source was put there.
    pub sent: Seq,
    /// Parcels.
    pub parcels: u32,
    /// Their sealed bytes.
    pub bytes: u64,
    /// When the first of them was put, by the wall clock.
    pub since: Millis,
}

impl Mailbox {
    /// A parcel of `bytes` lies there now.
    pub(super) fn take(&mut self, bytes: u64, wall: Millis) {
        if self.parcels == 0 {
            self.since = wall;
        }
        self.parcels = self.parcels.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether bundles should wait.
    pub(super) fn is_full(&self) -> bool {
        self.parcels >= MAX_PARCELS || self.bytes >= MAX_BYTES
    }

    /// Whether a quarter of the room is used: time to hear what was collected, so that a long import does not come to a halt.
    pub(super) fn is_filling(&self) -> bool {
        self.parcels >= MAX_PARCELS / 4 || self.bytes >= MAX_BYTES / 4
    }

    /// Whether it will soon be gone from a relay that keeps mail for `keeps`. A clock that was set back makes it older again when it
    /// has caught up.
    pub(super) fn expires(&self, keeps: Millis, wall: Millis) -> bool {
        let (part, whole) = RENEW_AFTER;
        self.parcels > 0 && wall.since(self.since).0 >= keeps.0 / whole * part
    }

    /// The sibling was heard: it collects what lies there.
    pub(super) fn collected(&mut self) {
        *self = Self { sent: self.sent, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_full_by_count_or_by_bytes() {
        let mut small = Mailbox::default();
        (1..MAX_PARCELS).for_each(|_| small.take(1, Millis(1)));
        assert!(!small.is_full());
        small.take(1, Millis(1));
        assert!(small.is_full());
        let mut large = Mailbox::default();
        large.take(MAX_BYTES - 1, Millis(1));
        assert!(!large.is_full());
        large.take(1, Millis(1));
        assert!(large.is_full());
        large.collected();
        assert!(!large.is_full());
    }

    #[test]
    fn mail_expires_with_the_first_parcel_that_lies_there() {
        let mut mailbox = Mailbox::default();
        assert!(!mailbox.expires(KEEPS, Millis(u64::MAX)), "nothing lies there");
        mailbox.take(1, Millis(1_000));
        mailbox.take(1, Millis(KEEPS.0 / 2));
        let day_25 = Millis(1_000 + KEEPS.0 / 6 * 5);
        assert!(!mailbox.expires(KEEPS, Millis(day_25.0 - 1)));
        assert!(mailbox.expires(KEEPS, day_25));
        assert!(!mailbox.expires(KEEPS, Millis(0)), "the clock was set back");
        mailbox.collected();
        mailbox.take(1, day_25);
        assert!(!mailbox.expires(KEEPS, day_25));
    }

    #[test]
    fn a_mailbox_fills_up_from_a_quarter_by_count_or_by_bytes() {
        for (parcels, bytes, filling) in [
            (MAX_PARCELS / 4, 0, true),
            (MAX_PARCELS / 4 - 1, 0, false),
            (1, MAX_BYTES / 4, true),
            (1, MAX_BYTES / 4 - 1, false),
        ] {
            let mailbox = Mailbox { parcels, bytes, ..Mailbox::default() };
            assert_eq!(mailbox.is_filling(), filling, "{parcels} parcels, {bytes} bytes");
        }
    }

    #[test]
    fn a_relay_keeps_mail_for_thirty_days_and_a_mailbox_has_twelve_mebibytes() {
        assert_eq!((KEEPS, MAX_BYTES), (Millis(2_592_000_000), 12_582_912));
    }
}
