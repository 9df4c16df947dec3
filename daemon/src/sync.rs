//! When a device exchanges with its relays: what the person chose, and what follows from it.
//!
//! Pure: the caller brings the time and what is known of the power supply; relay workers and the driver obey.
//!
//! ```text
//!              connected   live: watches, looks and sends by itself   passes
//! realtime     yes         yes                                        none
//! hybrid       yes         yes; no on battery                         every N minutes
//! periodic     yes         no                                         every N minutes
//! manual       yes         no                                         only when asked
//! off          no          no                                         refused
//! ```
//! A *pass* fetches everything from every relay, then sends all that waits, receipts too. Between passes a device that is not live
//! neither watches, looks, nor sends, so that its relays see the same cadence whether there is mail or not.
//!
//! **Pairing** uses the relays while a card is shown, in every mode but off: a person stands before it. What follows, the history, keeps
//! to the mode. **Battery** is looked at in hybrid mode only ([`power`]). Whether a network is metered is not known here: on such a network choose
//! periodic or manual.

pub mod power;

use std::time::Duration;

use tokio::time::Instant;

/// When a device exchanges with its relays.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// At once: pushed, else polled.
    #[default]
    Realtime,
    /// On a pass every so often, and not between.
    Periodic,
    /// As realtime, with a full pass every so often; as periodic on battery.
    Hybrid,
    /// When asked.
    Manual,
    /// Never.
    Off,
}

/// What the person chose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Plan {
    /// When to exchange.
    pub mode: Mode,
    /// From one pass to the next, in the modes that have them.
    pub every: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self { mode: Mode::default(), every: EVERY }
    }
}

/// What a device does by itself now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Conduct {
    /// Relays may be reached at all.
    pub connected: bool,
    /// It watches, looks and sends by itself.
    pub live: bool,
    /// From one pass to the next.
    pub every: Option<Duration>,
}

impl Plan {
    /// What follows from the plan.
    pub fn conduct(self, on_battery: bool) -> Conduct {
        let every = Some(self.every);
        match self.mode {
            Mode::Realtime => Conduct { connected: true, live: true, every: None },
            Mode::Hybrid => Conduct { connected: true, live: !on_battery, every },
            Mode::Periodic => Conduct { connected: true, live: false, every },
            Mode::Manual => Conduct { connected: true, live: false, every: None },
            Mode::Off => Conduct { connected: false, live: false, every: None },
        }
    }

    /// The plan as the store keeps it: name of the mode, blank, milliseconds.
    pub fn to_text(self) -> String {
        let name = MODES.iter().find(|(mode, _)| *mode == self.mode).map_or("realtime", |(_, name)| name);
        format!("{name} {}", self.every.as_millis())
    }

    /// Reads what [`Plan::to_text`] wrote. `None` for anything else, such as a mode of a later version.
    pub fn from_text(text: &str) -> Option<Self> {
        let (name, millis) = text.split_once(' ')?;
        let (mode, _) = MODES.iter().find(|(_, known)| *known == name)?;
        let every = Duration::from_millis(millis.parse().ok()?);
        Some(Self { mode: *mode, every: every.clamp(LEAST_EVERY, MOST_EVERY) })
    }
}

/// When passes come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Timetable {
    every: Option<Duration>,
    next: Option<Instant>,
}

impl Timetable {
    /// When the next pass comes; `None` when none comes by itself.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Follows a changed conduct. Whoever had no passes begins with one at once; a new distance never puts the next one off.
    pub fn follow(&mut self, conduct: Conduct, now: Instant) {
        self.next = match (self.every, conduct.every) {
            (_, None) => None,
            (None, Some(_)) => Some(now),
            (Some(_), Some(every)) => self.next.map(|next| next.min(now + every)),
        };
        self.every = conduct.every;
    }

    /// The pass that was due has begun. The cadence does not drift by how long passes take; what a sleeping machine has missed is not made
    /// up for.
    pub fn begun(&mut self, now: Instant) {
        let Some((every, due)) = self.every.zip(self.next) else { return };
        let next = due + every;
        self.next = Some(if next > now { next } else { now + every });
    }
}

const MODES: [(Mode, &str); 5] = [
    (Mode::Realtime, "realtime"),
    (Mode::Periodic, "periodic"),
    (Mode::Hybrid, "hybrid"),
    (Mode::Manual, "manual"),
    (Mode::Off, "off"),
];

/// From one pass to the next when nobody said: 5 min.
pub const EVERY: Duration = Duration::from_secs(5 * 60);
/// The least distance of passes: 10 s. Who wants it closer wants realtime.
pub const LEAST_EVERY: Duration = Duration::from_secs(10);
/// The greatest distance of passes: 7 days, well within the 30 days that mail lies on a relay.
pub const MOST_EVERY: Duration = Duration::from_secs(7 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn plan(mode: Mode) -> Plan {
        Plan { mode, every: 5 * MINUTE }
    }

    #[test]
    fn each_mode_has_its_conduct() {
        let conduct = |mode, on_battery| {
            let Conduct { connected, live, every } = plan(mode).conduct(on_battery);
            (connected, live, every.map(|every| every.as_secs()))
        };
        for on_battery in [false, true] {
            assert_eq!(conduct(Mode::Realtime, on_battery), (true, true, None));
            assert_eq!(conduct(Mode::Periodic, on_battery), (true, false, Some(300)));
            assert_eq!(conduct(Mode::Manual, on_battery), (true, false, None));
            assert_eq!(conduct(Mode::Off, on_battery), (false, false, None));
        }
        assert_eq!(conduct(Mode::Hybrid, false), (true, true, Some(300)));
        assert_eq!(conduct(Mode::Hybrid, true), (true, false, Some(300)));
    }

    #[test]
    fn a_plan_survives_its_text_and_nonsense_is_none() {
        for (mode, _) in MODES {
            assert_eq!(Plan::from_text(&plan(mode).to_text()), Some(plan(mode)));
        }
        for nonsense in ["", "realtime", "sometimes 5000", "periodic x", "periodic -1", "Periodic 5000"] {
            assert_eq!(Plan::from_text(nonsense), None, "{nonsense:?}");
        }
        assert_eq!(Plan::from_text("periodic 1").unwrap().every, LEAST_EVERY);
        assert_eq!(Plan::from_text("periodic 99999999999").unwrap().every, MOST_EVERY);
    }

    #[test]
    fn passes_keep_their_cadence_whatever_they_take() {
        let start = Instant::now();
        let mut times = Timetable::default();
        times.follow(plan(Mode::Periodic).conduct(false), start);
        let mut begins = Vec::new();
        for late in [0, 1, 7, 3] {
            let due = times.next().unwrap();
            begins.push((due - start).as_secs());
            times.begun(due + Duration::from_secs(late));
        }
        assert_eq!(begins, [0, 300, 600, 900]);
        times.begun(start + 60 * MINUTE);
        assert_eq!(times.next(), Some(start + 65 * MINUTE), "missed passes are not made up for");
    }

    #[test]
    fn a_change_of_mode_begins_with_a_pass_and_ends_passes() {
        let start = Instant::now();
        let mut times = Timetable::default();
        times.follow(plan(Mode::Realtime).conduct(false), start);
        assert_eq!(times.next(), None);
        times.begun(start);
        assert_eq!(times.next(), None);
        times.follow(plan(Mode::Hybrid).conduct(false), start + MINUTE);
        assert_eq!(times.next(), Some(start + MINUTE));
        times.begun(start + MINUTE);
        times.follow(plan(Mode::Hybrid).conduct(true), start + 2 * MINUTE);
        assert_eq!(times.next(), Some(start + 6 * MINUTE), "a battery does not move the passes");
        let closer = Plan { mode: Mode::Periodic, every: MINUTE };
        times.follow(closer.conduct(false), start + 2 * MINUTE);
        assert_eq!(times.next(), Some(start + 3 * MINUTE));
        times.follow(plan(Mode::Periodic).conduct(false), start + 2 * MINUTE);
        assert_eq!(times.next(), Some(start + 3 * MINUTE), "a wider distance does not put the next one off");
        times.follow(plan(Mode::Manual).conduct(false), start + 3 * MINUTE);
        assert_eq!(times.next(), None);
    }
}
