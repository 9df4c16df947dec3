//! Contents that this device should have come back in the background, newest first.
//!
//! A device keeps everything, or what is younger than its retention. It may lack some of that all the same: it joined over a device that had let go, or asked
//! for the recent past first; or the retention is longer than it was. That comes by the same way on which somebody who looks at a message gets it
//! ([`kinfolk_core::contents`]), a letter at a time, so that whoever looks never waits behind more than one.
//!
//! What a person let go by hand (`kin store prune`) stays away until the retention is set anew.

use std::sync::{Arc, Weak};
use std::time::Duration;

use kinfolk_core::ids::Millis;
use kinfolk_core::step::Missed;
use tracing::{info, warn};

use super::Node;
use crate::driver::{before, wall_clock};
use crate::store::{Lacking, StoreError};

/// What a pass over what is lacking came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// All that should be here is, or nobody has it.
    Done,
    /// Somebody who may have the rest could not be asked, or did not answer in time.
    Later,
}

impl Node {
    /// Fetches what should be here whenever something is lacking, for as long as the node lives.
    pub(super) async fn keep_refilling(node: Weak<Self>) {
        let Some(mut pictures) = node.upgrade().map(|node| node.driver.picture()) else { return };
        let mut pause = SHORTEST;
        loop {
            if pictures.wait_for(|picture| picture.status.lacking > 0).await.is_err() {
                return;
            }
            let Some(strong) = node.upgrade() else { return };
            let outcome = strong.refill().await;
            pause = match outcome {
                Ok(Outcome::Done) => SHORTEST,
                Ok(Outcome::Later) => (pause * 2).min(LONGEST),
                Err(fault) => {
                    warn!(%fault, "what is lacking here cannot be looked up");
                    LONGEST
                }
            };
            let again = Arc::clone(&strong.refill_again);
            drop(strong);
            if tokio::time::timeout(pause, again.notified()).await.is_ok() {
                pause = SHORTEST;
            }
        }
    }

    /// One pass, from the newest to the oldest that should be here.
    async fn refill(&self) -> Result<Outcome, StoreError> {
        let days = self.driver.picture().borrow().retention;
        let young = days.map(|days| before(wall_clock(), Millis(u64::from(days).saturating_mul(DAY_MS))));
        let left = self.look_up(|reader| reader.left()).await?;
        let from_us = young.max(left).unwrap_or(i64::MIN);
        let (mut outcome, mut last, mut came) = (Outcome::Done, None, 0);
        loop {
            let after = last.take();
            let lacking = self.look_up(move |reader| reader.lacking(from_us, after.as_ref(), BATCH)).await?;
            let Lacking { wanted, last: Some(place) } = lacking else { break };
            let asked = wanted.len();
            let Ok(missed) = self.driver.seek(wanted).await else { break };
            came += asked.saturating_sub(missed.len());
            if missed.values().any(|why| matches!(why, Missed::Nobody | Missed::Silent)) {
                outcome = Outcome::Later;
                break;
            }
            last = Some(place);
        }
        if came > 0 {
            info!(came, "bodies came back");
        }
        Ok(outcome)
    }

    async fn look_up<T: Send + 'static>(
        &self,
        what: impl FnOnce(&crate::store::Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = self.reader.clone();
        let looked = tokio::task::spawn_blocking(move || what(&reader)).await;
        looked.unwrap_or(Err(StoreError::Damaged("reading the store broke down")))
    }
}

/// Contents that are asked for at a time: a letter or two.
const BATCH: usize = 64;
const DAY_MS: u64 = 24 * 3_600_000;
/// From one pass to the next: 10 s; twice as long each time that somebody could not be reached, at most 1 h.
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(3_600);
