//! The post between simulated devices: relays that lose, repeat, delay, reorder and go away.

use std::collections::BTreeMap;
use std::rc::Rc;

use kinfolk_core::epoch::Epoch;
use kinfolk_core::ids::{Millis, RelayId};
use kinfolk_core::parcel::VerifiedParcel;

use super::dice::Dice;
use super::tally::Tally;

/// All relays, and what lies on them.
#[derive(Debug, Default)]
pub(super) struct Post {
    pub(super) relays: Vec<Relay>,
    /// Whether relays do their worst.
    pub(super) hostile: bool,
    mail: BTreeMap<u64, Mail>,
    next: u64,
    /// Envelopes in mailboxes into which their devices do not look.
    unseen: BTreeMap<usize, Vec<u64>>,
    /// The last one delivered from whom to whom, to see what overtook what.
    latest: BTreeMap<(usize, usize), u64>,
}

#[derive(Debug)]
pub(super) struct Relay {
    pub(super) id: RelayId,
    pub(super) up: bool,
    /// How long it keeps mail, if not for good.
    pub(super) keeps: Option<Millis>,
    /// How many envelopes a mailbox holds, if there is a limit.
    pub(super) room: Option<usize>,
    /// Whose mail it keeps to itself, and until when.
    pub(super) withholds: Option<(usize, Millis)>,
    /// What lay there when somebody copied its state.
    image: BTreeMap<u64, Mail>,
}

/// One envelope on a relay.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) relay: RelayId,
    /// The epoch in whose mailbox it lies.
    pub(super) under: Epoch,
    /// The slot of the prekey that it is sealed to.
    pub(super) slot: u32,
    /// Whether its sender knew no later one.
    pub(super) newest: bool,
    pub(super) parcel: Rc<VerifiedParcel>,
    /// When it was put.
    pub(super) put: Millis,
    /// The order in which envelopes were put.
    order: u64,
}

/// Which mailbox an envelope is put into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) under: Epoch,
    pub(super) slot: u32,
    pub(super) newest: bool,
}

/// What a put comes to.
#[derive(Debug)]
pub(super) struct Put {
    /// When the sender is answered.
    pub(super) answered_after: Millis,
    /// Whether the answer is that it lies there.
    pub(super) taken: bool,
    /// Which envelopes arrive, and when at the earliest.
    pub(super) arriving: Vec<(u64, Millis)>,
}

impl Post {
    pub(super) fn of(relays: usize) -> Self {
        let relay = |n: usize| Relay {
            id: RelayId([0xA0 + u8::try_from(n).unwrap_or_default(); 16]),
            up: true,
            keeps: None,
            room: None,
            withholds: None,
            image: BTreeMap::new(),
        };
        Self { relays: (0..relays).map(relay).collect(), hostile: true, ..Self::default() }
    }

    pub(super) fn is_up(&self, relay: RelayId) -> bool {
        self.relays.iter().any(|other| other.id == relay && other.up)
    }

    /// Puts a parcel.
    pub(super) fn put(
        &mut self,
        (from, to): (usize, usize),
        (relay, place): (RelayId, Place),
        parcel: Rc<VerifiedParcel>,
        now: Millis,
        dice: &mut Dice,
        tally: &mut Tally,
    ) -> Put {
        tally.envelopes += 1;
        let answered_after = Millis(if self.hostile { dice.between(1, 1_500) } else { dice.between(1, 20) });
        if !self.is_up(relay) || (self.hostile && dice.chance(4)) {
            tally.failed_puts += 1;
            return Put { answered_after, taken: false, arriving: Vec::new() };
        }
        let (room, keeps) =
            self.relays.iter().find(|other| other.id == relay).map_or((None, None), |r| (r.room, r.keeps));
        if let Some(keeps) = keeps {
            self.mail.retain(|_, mail| mail.relay != relay || now.since(mail.put) < keeps);
        }
        let mailbox = |mail: &&Mail| mail.relay == relay && mail.to == to && mail.under == place.under;
        if room.is_some_and(|room| self.mail.values().filter(mailbox).count() >= room) {
            tally.full += 1;
            return Put { answered_after, taken: false, arriving: Vec::new() };
        }
        // Some that are said to have failed lie there all the same.
        let taken = !(self.hostile && dice.chance(2));
        let lost = self.hostile && dice.chance(20);
        let copies = if lost { 0 } else { 1 + u64::from(self.hostile && dice.chance(20)) };
        tally.drops += u64::from(lost);
        tally.repeats += u64::from(copies > 1);
        let order = self.next;
        let arriving = (0..copies).map(|_| {
            let mail = self.next;
            self.next += 1;
            let Place { under, slot, newest } = place;
            let parcel = Rc::clone(&parcel);
            self.mail.insert(mail, Mail { from, to, relay, under, slot, newest, parcel, put: now, order });
            (mail, self.delay(dice))
        });
        Put { answered_after, taken, arriving: arriving.collect() }
    }

    /// Most come soon, some late, a few after minutes.
    fn delay(&self, dice: &mut Dice) -> Millis {
        Millis(match dice.below(20) {
            _ if !self.hostile => dice.between(1, 50),
            0 => dice.between(10_000, 300_000),
            1..4 => dice.between(1_000, 20_000),
            _ => dice.between(1, 800),
        })
    }

    /// The envelope, if it was not acknowledged.
    pub(super) fn mail(&self, mail: u64) -> Option<&Mail> {
        self.mail.get(&mail)
    }

    /// An envelope lies where its device does not look.
    pub(super) fn set_aside(&mut self, mail: u64, to: usize) {
        self.unseen.entry(to).or_default().push(mail);
    }

    /// A device looks into other mailboxes than before: what may lie there.
    pub(super) fn seen_anew(&mut self, to: usize) -> Vec<u64> {
        self.unseen.remove(&to).unwrap_or_default()
    }

    /// What lies on a relay for a device.
    pub(super) fn lying(&self, relay: RelayId, to: usize) -> Vec<u64> {
        self.mail.iter().filter(|(_, mail)| mail.relay == relay && mail.to == to).map(|(number, _)| *number).collect()
    }

    /// An envelope was there for too long.
    pub(super) fn expire(&mut self, mail: u64) {
        self.mail.remove(&mail);
    }

    /// Copies what lies on a relay.
    pub(super) fn copy(&mut self, relay: usize) {
        let Some(relay) = self.relays.get_mut(relay) else { return };
        let id = relay.id;
        relay.image =
            self.mail.iter().filter(|(_, mail)| mail.relay == id).map(|(n, mail)| (*n, mail.clone())).collect();
    }

    /// Puts that copy back; gives what is there again.
    pub(super) fn put_back(&mut self, relay: usize) -> Vec<u64> {
        self.evict(relay);
        let image = self.relays.get(relay).map(|relay| relay.image.clone()).unwrap_or_default();
        let back = image.keys().copied().collect();
        self.mail.extend(image);
        back
    }

    /// Loses all that lies on a relay; says how much that was.
    pub(super) fn evict(&mut self, relay: usize) -> u64 {
        let Some(id) = self.relays.get(relay).map(|relay| relay.id) else { return 0 };
        let before = self.mail.len();
        self.mail.retain(|_, mail| mail.relay != id);
        u64::try_from(before - self.mail.len()).unwrap_or_default()
    }

    /// Counts a delivery.
    pub(super) fn delivered(&mut self, mail: &Mail, tally: &mut Tally) {
        let latest = self.latest.entry((mail.from, mail.to)).or_default();
        tally.reorders += u64::from(mail.order < *latest);
        *latest = mail.order.max(*latest);
    }

    /// The envelope's content is durable at its device: it goes.
    pub(super) fn acknowledge(&mut self, mail: u64, dice: &mut Dice) {
        if !(self.hostile && dice.chance(10)) {
            self.mail.remove(&mail);
        }
    }
}
