//! The way of one event, in time stamps.
//!
//! `KINFOLK_LOG=warn,kinfolk::live=trace` writes a line with the time, in microseconds, at each place an event passes between the push on
//! one device and the watch on another. `cargo budgets -- --trace` does that for both devices and prints where the time goes. Switched
//! off, a place costs one comparison; switched on, a line costs some 5 µs. A line names the place and nothing else: nobody's data.

use tracing::trace;

/// The target of the lines.
pub const TARGET: &str = "kinfolk::live";

/// A place on the way.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Hop {
    /// A push was received and understood.
    Asked,
    /// The driver begins a round.
    Taken,
    /// Everything of the round is in the open transaction.
    Applied,
    /// The commit has returned.
    Durable,
    /// A relay worker has a parcel to send.
    Handed,
    /// It is sealed and goes to the relay.
    Sealed,
    /// The relay has answered that it is there.
    Put,
    /// A relay says that there is something, or it is time to look.
    Hinted,
    /// What is there has come.
    Fetched,
    /// It is open and its author is proven.
    Opened,
    /// A watch has heard the bell.
    Rung,
    /// It has read what is new.
    Read,
}

impl Hop {
    /// As it stands in a line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Taken => "taken",
            Self::Applied => "applied",
            Self::Durable => "durable",
            Self::Handed => "handed",
            Self::Sealed => "sealed",
            Self::Put => "put",
            Self::Hinted => "hinted",
            Self::Fetched => "fetched",
            Self::Opened => "opened",
            Self::Rung => "rung",
            Self::Read => "read",
        }
    }
}

/// Notes that something passed `hop` now.
pub(crate) fn passed(hop: Hop) {
    trace!(target: TARGET, "{}", hop.name());
}
