//! What goes wrong, and how it is put right again. Several things are wrong at a time; each for a while of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use super::nap;
use crate::e2e::Failed;
use crate::e2e::device::Device;
use crate::e2e::faults::files;
use crate::servers::proxy::Proxy;
use crate::servers::redis_server::{Memory, RedisServer};

/// Between two things that go wrong, at most, in milliseconds.
const LONGEST_LULL: u64 = 1_500;
/// How long something stays wrong, at most, in milliseconds.
const LONGEST_TROUBLE: u64 = 6_000;
/// How long a slow server holds its answers back.
const SLOW: Duration = Duration::from_millis(400);

/// Everything that can go wrong.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) devices: Vec<Device>,
    pub(super) server: RedisServer,
    /// Each device's way to the server.
    pub(super) proxies: Vec<Proxy>,
    pub(super) folder: PathBuf,
    /// Where the folder is while it is away.
    pub(super) away: PathBuf,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Trouble {
    Killed(usize),
    Stopped(usize),
    CutOff(usize),
    Slow(usize),
    Silent(usize),
    ServerKilled,
    ServerEmptied,
    MailFlushed,
    FolderAway,
    FolderEmptied,
}

/// What is wrong now, and what was.
#[derive(Debug)]
pub(super) struct Weather {
    dice: StdRng,
    troubles: BTreeMap<Trouble, Instant>,
    count: BTreeMap<&'static str, u32>,
}

impl Weather {
    pub(super) fn new(dice: StdRng) -> Self {
        Self { dice, troubles: BTreeMap::new(), count: BTreeMap::new() }
    }

    /// A lull; then what has lasted long enough is put right, and something else goes wrong.
    pub(super) fn turn(&mut self, place: &mut Place) -> Result<(), Failed> {
        nap(self.dice.random_range(0..LONGEST_LULL));
        let now = Instant::now();
        let over: Vec<Trouble> = self.troubles.iter().filter(|(_, end)| **end <= now).map(|(what, _)| *what).collect();
        for trouble in over {
            self.end(trouble, place)?;
        }
        let trouble = self.draw(place.devices.len());
        let lasts = Duration::from_millis(self.dice.random_range(0..LONGEST_TROUBLE));
        if self.may_begin(trouble) {
            trouble.begin(place)?;
            *self.count.entry(trouble.name()).or_default() += 1;
            self.troubles.insert(trouble, now + lasts);
        }
        Ok(())
    }

    /// Puts everything right.
    pub(super) fn clear(&mut self, place: &mut Place) -> Result<(), Failed> {
        let all: BTreeSet<Trouble> = self.troubles.keys().copied().collect();
        // A device that is told to speak must run.
        let (first, then): (Vec<Trouble>, Vec<Trouble>) =
            all.into_iter().partition(|trouble| !matches!(trouble, Trouble::Silent(_)));
        first.into_iter().chain(then).try_for_each(|trouble| self.end(trouble, place))
    }

    fn end(&mut self, trouble: Trouble, place: &mut Place) -> Result<(), Failed> {
        if let Trouble::Silent(device) = trouble
            && self.is_off(device)
        {
            // It speaks again when it runs again.
            return Ok(());
        }
        self.troubles.remove(&trouble);
        trouble.end(place)
    }

    fn draw(&mut self, devices: usize) -> Trouble {
        let device = self.dice.random_range(0..devices);
        match self.dice.random_range(0..20) {
            0..6 => Trouble::Killed(device),
            6..8 => Trouble::Stopped(device),
            8..11 => Trouble::CutOff(device),
            11..12 => Trouble::Slow(device),
            12..13 => Trouble::Silent(device),
            13..15 => Trouble::ServerKilled,
            15..16 => Trouble::ServerEmptied,
            16..17 => Trouble::MailFlushed,
            17..19 => Trouble::FolderAway,
            _ => Trouble::FolderEmptied,
        }
    }

    /// Whether it can go wrong as things are.
    fn may_begin(&self, trouble: Trouble) -> bool {
        let server_is_off =
            [Trouble::ServerKilled, Trouble::ServerEmptied].iter().any(|off| self.troubles.contains_key(off));
        !self.troubles.contains_key(&trouble)
            && match trouble {
                Trouble::Killed(device) | Trouble::Stopped(device) | Trouble::Silent(device) => !self.is_off(device),
                Trouble::CutOff(_) | Trouble::Slow(_) | Trouble::FolderAway => true,
                Trouble::ServerKilled | Trouble::ServerEmptied | Trouble::MailFlushed => !server_is_off,
                Trouble::FolderEmptied => !self.troubles.contains_key(&Trouble::FolderAway),
            }
    }

    fn is_off(&self, device: usize) -> bool {
        [Trouble::Killed(device), Trouble::Stopped(device)].iter().any(|off| self.troubles.contains_key(off))
    }
}

impl Trouble {
    fn begin(self, place: &mut Place) -> Result<(), Failed> {
        match self {
            Self::Killed(device) => place.devices[device].kill(),
            Self::Stopped(device) => place.devices[device].stop().map(drop),
            Self::CutOff(device) => {
                place.proxies[device].admit(false);
                Ok(())
            }
            Self::Slow(device) => {
                place.proxies[device].delay_answers(SLOW);
                Ok(())
            }
            Self::Silent(device) => place.devices[device].ok(&["sync", "mode", "off"]).map(drop),
            Self::ServerKilled | Self::ServerEmptied => Ok(place.server.kill()?),
            Self::MailFlushed => Ok(place.server.ask(&["FLUSHALL"]).map(drop)?),
            Self::FolderAway => fs::rename(&place.folder, &place.away).map_err(Failed::io("taking the folder away")),
            Self::FolderEmptied => files(&place.folder)?.into_iter().try_for_each(|mail| match fs::remove_file(mail) {
                // A device may have collected it meanwhile.
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failed::io("losing mail")(error)),
                Ok(()) | Err(_) => Ok(()),
            }),
        }
    }

    fn end(self, place: &mut Place) -> Result<(), Failed> {
        match self {
            Self::Killed(device) | Self::Stopped(device) => place.devices[device].start(),
            Self::CutOff(device) => {
                place.proxies[device].admit(true);
                Ok(())
            }
            Self::Slow(device) => {
                place.proxies[device].delay_answers(Duration::ZERO);
                Ok(())
            }
            Self::Silent(device) => place.devices[device].ok(&["sync", "mode", "realtime"]).map(drop),
            Self::ServerKilled => Ok(place.server.restart(Memory::Kept)?),
            Self::ServerEmptied => Ok(place.server.restart(Memory::Lost)?),
            Self::FolderAway => fs::rename(&place.away, &place.folder).map_err(Failed::io("bringing the folder back")),
            Self::MailFlushed | Self::FolderEmptied => Ok(()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Killed(_) => "kills",
            Self::Stopped(_) => "stops",
            Self::CutOff(_) => "partitions",
            Self::Slow(_) => "slow spells",
            Self::Silent(_) => "silences",
            Self::ServerKilled => "server restarts",
            Self::ServerEmptied => "server restarts empty",
            Self::MailFlushed => "flushes",
            Self::FolderAway => "folder away",
            Self::FolderEmptied => "folder emptied",
        }
    }
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self.count.iter().map(|(what, count)| format!("{count} {what}")).collect();
        f.write_str(&counts.join(", "))
    }
}
