//! Pairing as the daemon does it: carries [`crate::seal::pairing`]'s messages over the relays both devices reach.
//!
//! The inviter puts its offer into a mailbox that only the card names, shows the card, and waits; the joiner answers; when the person has typed
//! the joiner's check code at the inviter, the inviter commits the addition to its roster *first* and gives the welcome after that: a crash
//! between leaves a device on the roster that never speaks, never a device that speaks and is on no roster.
//!
//! The joiner writes nothing to its disk before the welcome is here and proven.

mod invite;
mod join;
mod rendezvous;
mod welcome;

use std::sync::Arc;
use std::time::Duration;

use kinfolk_core::ids::{DeviceId, Millis};

use crate::driver::DriverError;
use crate::relay::RelayError;
use crate::seal::pairing::PairingError;
use crate::setup::SetupError;

pub use self::invite::{Invitation, InviteEvent};
pub(crate) use self::join::join;
pub use self::join::{JoinEvent, Wishes};

/// Why nobody was added.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InviteError {
    /// There is no relay to meet on.
    #[error("no relay is reachable to meet the new device on: add one with `kin relay add`")]
    NoRelay,
    /// The person wants no network.
    #[error("sync is off: no relay is reached to meet the new device on")]
    Off,
    /// Another invitation is open.
    #[error("an invitation is open already: finish it or end it first")]
    Busy,
    /// No invitation is open.
    #[error("no invitation is open: run `kin pair show`")]
    None,
    /// A step of pairing was refused.
    #[error(transparent)]
    Pairing(#[from] PairingError),
    /// The relay failed.
    #[error(transparent)]
    Relay(Arc<RelayError>),
    /// The addition could not be committed.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

impl From<RelayError> for InviteError {
    fn from(error: RelayError) -> Self {
        Self::Relay(Arc::new(error))
    }
}

/// Why this device did not become a sibling. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// A step of pairing was refused.
    #[error(transparent)]
    Pairing(#[from] PairingError),
    /// None of the card's relays can be reached.
    #[error("none of the relays on the card can be reached: {0}")]
    Unreachable(RelayError),
    /// The card names no relay.
    #[error("the card names no relay")]
    NoRelay,
    /// The other device took its offer back.
    #[error(
        "the other device ended the pairing: the code was wrong too often, the card was used twice, or `kin pair show` was stopped"
    )]
    Ended,
    /// Nobody waits for an answer to this card.
    #[error("nothing waits under this card: it was used, or its `kin pair show` has ended")]
    NoOffer,
    /// The other device was silent until the card expired.
    #[error("the other device did not go on before the card expired")]
    Silent,
    /// What the other device sent last does not fit together.
    #[error("the welcome of the other device is not valid: {0}")]
    Welcome(&'static str),
    /// This device could not be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// A device that was just added.
pub type Added = DeviceId;

/// How often the rendezvous is looked at when no hint comes: 1 s.
const LOOK: Duration = Duration::from_secs(1);

/// How long a joiner looks for the offer, which was there before its card was shown: 20 s. Only a folder that a sync tool carries
/// around takes longer, and then joining again later works.
const OFFER_PATIENCE: Duration = Duration::from_secs(20);

/// What is left of a card's time.
fn left(expires: Millis, now: Millis) -> Duration {
    Duration::from_millis(expires.since(now).0)
}
