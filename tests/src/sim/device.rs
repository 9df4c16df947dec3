//! A simulated device: an engine while it runs, a disk always, and what it was asked to do.

use std::collections::{BTreeMap, BTreeSet};

use kinfolk_core::engine::{Config, Engine};
use kinfolk_core::epoch::Epoch;
use kinfolk_core::ids::{DeviceId, Millis, Now, RelayId, Seq, SourceId};
use kinfolk_core::look::Look;
use kinfolk_core::op::Op;
use kinfolk_core::prekey::COMMON_SLOT;
use kinfolk_core::roster::RosterChange;
use kinfolk_core::step::{AppBundle, CallId, Input};
use kinfolk_core::vector::VersionVector;

use super::broken::{Broken, Held};
use super::disk::{Disk, Image};
use super::people::EPOCH;
use super::post::Mail;

/// One device.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) index: usize,
    pub(super) disk: Disk,
    /// `None` while it is down.
    pub(super) engine: Option<Engine>,
    /// How often it was started.
    pub(super) life: u64,
    /// It never comes back.
    pub(super) lost: bool,
    pub(super) inbox: Vec<Request>,
    pub(super) planned: bool,
    pub(super) wake: Option<Millis>,
    /// How far its wall clock is ahead.
    pub(super) skew: Millis,
    pub(super) calls: BTreeMap<CallId, Call>,
    pub(super) next_call: u64,
    /// The last number of its app's bundles that was answered, and the one that is not.
    pub(super) app: AppState,
    /// Who spoke in this round without being on its roster.
    pub(super) strangers: BTreeSet<DeviceId>,
    /// Sources that its engine took back in this round.
    pub(super) cut: BTreeSet<SourceId>,
    /// The epochs whose mailboxes it looks into.
    pub(super) polled: Vec<Epoch>,
    /// The slots of its prekeys to which it looks for mail.
    pub(super) slots: Vec<u32>,
    /// Whether its disk or its clock was tampered with: it may have lost seeds, or think that much time has passed.
    pub(super) disturbed: bool,
    /// Whether it may know older prekeys of others than they were told it knows: its disk was put back, or that of the device it joined over.
    pub(super) behind: bool,
    /// Whether it changes its prekeys often.
    pub(super) hasty: bool,
    /// What it held after its last commit.
    pub(super) held: VersionVector,
    /// What its disk has held at any time, as far as that was not put back.
    pub(super) ever: VersionVector,
    /// An older image of its disk.
    pub(super) image: Option<Image>,
    /// Relays on which it does not look.
    pub(super) left: BTreeSet<RelayId>,
    /// How many contents it lacks, as its engine was told.
    pub(super) lacking: u64,
    /// How far own bundles were sent to whom, to see lanes go back.
    pub(super) sent: BTreeMap<DeviceId, Seq>,
}

/// What a device is asked to do.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Push {
        ops: Vec<Op>,
        app: Option<AppBundle>,
    },
    Author(RosterChange),
    Tell(Input),
    /// An envelope of the post.
    Mail(u64),
    Compact,
    /// Contents of all messages go, as far as somebody keeps them.
    Prune,
    /// Somebody wants to see messages whose contents are elsewhere.
    Seek,
}

/// Who waits for an answer.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Push { numbered: bool },
    Author(Box<RosterChange>),
    Compact,
    Prune,
    Seek,
}

/// An app that numbers its bundles and retries until it is answered.
#[derive(Clone, Debug, Default)]
pub(super) struct AppState {
    pub(super) answered: u64,
    pub(super) trying: Option<Vec<Op>>,
}

impl Device {
    pub(super) fn new(index: usize, disk: Disk, skew: Millis) -> Self {
        Self {
            index,
            disk,
            engine: None,
            life: 0,
            lost: false,
            inbox: Vec::new(),
            planned: false,
            wake: None,
            skew,
            calls: BTreeMap::new(),
            next_call: 0,
            app: AppState::default(),
            strangers: BTreeSet::new(),
            cut: BTreeSet::new(),
            polled: Vec::new(),
            slots: Vec::new(),
            disturbed: false,
            behind: false,
            hasty: false,
            held: VersionVector::default(),
            ever: VersionVector::default(),
            image: None,
            left: BTreeSet::new(),
            lacking: 0,
            sent: BTreeMap::new(),
        }
    }

    /// What it knows of time at `now`.
    pub(super) fn at(&self, now: Millis) -> Now {
        Now { mono: now, wall: EPOCH.plus(now).plus(self.skew) }
    }

    /// Whether it looks for mail where this lies.
    pub(super) fn looks_into(&self, mail: &Mail) -> bool {
        self.polled.contains(&mail.under) && (mail.slot == COMMON_SLOT || self.slots.contains(&mail.slot))
    }

    /// Starts from what is on disk.
    pub(super) fn restore(&mut self, seed: u64) -> Result<(), Broken> {
        let mut entropy = [0; 16];
        entropy.iter_mut().zip(seed.to_be_bytes()).for_each(|(byte, part)| *byte = part);
        let config = Config { seed, entropy, ..if self.hasty { HASTY } else { Config::default() } };
        let saved = self.disk.restore()?;
        self.lacking = saved.lacking;
        self.engine = Some(Engine::restore(saved, config));
        self.life += 1;
        Ok(())
    }

    /// Answers a question of its engine.
    pub(super) fn look_up(&mut self, look: Look, now: Millis) -> Held {
        let (looked, at) = (self.disk.look(look)?, self.at(now));
        if let Some(engine) = self.engine.as_mut() {
            engine.handle(Input::Looked(looked), at);
        }
        Ok(())
    }

    /// A name for a caller.
    pub(super) fn register(&mut self, call: Call) -> CallId {
        self.next_call += 1;
        let id = CallId(self.next_call);
        self.calls.insert(id, call);
        id
    }

    /// The push that its app would try now: the one without an answer, or a new one.
    pub(super) fn numbered(&mut self, fresh: Vec<Op>) -> Request {
        let ops = self.app.trying.get_or_insert(fresh).clone();
        let source = self.app_source();
        Request::Push { ops, app: Some(AppBundle { source, id: self.app.answered + 1, stamp: None }) }
    }

    /// What its app calls itself.
    pub(super) fn app_source(&self) -> String {
        format!("app of {}", self.index)
    }
}

/// A week in a minute: what takes months otherwise happens within a storm.
const HASTY: Config = Config {
    stale_after: Millis(90 * 24 * 3_600_000),
    retention: HASTY_RETENTION,
    slack: Millis(30_000),
    rekey_after: Millis(60_000),
    seed: 0,
    entropy: [0; 16],
};
/// How long relays keep mail in such a world: 2 min.
pub(super) const HASTY_RETENTION: Millis = Millis(120_000);
