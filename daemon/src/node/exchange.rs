//! Following the plan: passes on time and on request, and what a change of mode sets going.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError, Weak};
use std::time::Duration;

use kinfolk_core::ids::Millis;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::Node;
use super::links::{Reach, RelayChangeError};
use crate::driver::{DriverError, wall_clock};
use crate::relay::worker::Report;
use crate::store::{Store, StoreError};
use crate::sync::{Conduct, Mode, Plan, Timetable, power};

/// What a pass on request does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// Fetches everything, then sends all that waits, what is not receipted once more, and asks for receipts.
    Both,
    /// Sends all that waits.
    Push,
    /// Fetches everything.
    Pull,
}

/// What a pass did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exchanged {
    /// Envelopes put.
    pub sent: u64,
    /// Envelopes fetched and dealt with.
    pub received: u64,
    /// The relays after it.
    pub relays: Vec<Report>,
}

/// Why there was no pass.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The person wants no network.
    #[error("sync is off: nothing is sent or fetched")]
    Off,
    /// There is nothing to pass over.
    #[error("there is no relay to sync over")]
    NoRelay,
    /// The driver could not.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

impl Node {
    /// When this device exchanges.
    pub fn plan(&self) -> Plan {
        *self.plan.borrow()
    }

    /// When the next pass comes by itself, by the wall clock.
    pub fn next_pass(&self) -> Option<Millis> {
        let next = self.timetable().next()?.saturating_duration_since(Instant::now());
        Some(wall_clock().plus(Millis(u64::try_from(next.as_millis()).unwrap_or(u64::MAX))))
    }

    /// Keeps another plan and follows it: with `off`, nothing is connected any more when this returns.
    ///
    /// # Errors
    /// When it cannot be written down; nothing changes then.
    pub async fn set_plan(&self, plan: Plan) -> Result<(), DriverError> {
        self.driver.keep(move |store| store.put_setting(SETTING, &plan.to_text())).await?;
        info!(plan = plan.to_text(), "another sync mode");
        self.plan.send_replace(plan);
        self.follow().await;
        Ok(())
    }

    /// One pass because a person asks: over relays that rest, too. Answers when what came is durable and what was to be sent is put or
    /// refused.
    ///
    /// # Errors
    /// [`ExchangeError`]. Relays that fail are in the reports, not here.
    pub async fn exchange(&self, part: Part) -> Result<Exchanged, ExchangeError> {
        self.must_be_connected().map_err(|_| ExchangeError::Off)?;
        if self.relays().await.is_empty() {
            return Err(ExchangeError::NoRelay);
        }
        self.pass(part, Reach::All).await
    }

    /// Waits until the person wants no network.
    pub(crate) async fn switched_off(&self) {
        let mut plan = self.plan.subscribe();
        // The sender lives as long as this node.
        plan.wait_for(|plan| plan.mode == Mode::Off).await.ok();
    }

    pub(super) fn must_be_connected(&self) -> Result<(), RelayChangeError> {
        if self.conduct().connected { Ok(()) } else { Err(RelayChangeError::Off) }
    }

    fn conduct(&self) -> Conduct {
        self.plan().conduct(self.on_battery.load(Ordering::Relaxed))
    }

    pub(super) async fn pass(&self, part: Part, which: Reach) -> Result<Exchanged, ExchangeError> {
        self.reach(which).await;
        let before = self.sent().await;
        let mut received = 0;
        // What siblings say comes first: much of what waits for a receipt need not leave again then.
        if part != Part::Push {
            for pass in self.ask_passes(which == Reach::All).await {
                received += pass.await.unwrap_or_default();
            }
        }
        if part != Part::Pull {
            let again = part == Part::Both && which == Reach::All;
            self.driver.pass(again).await?;
        }
        Ok(Exchanged { sent: self.sent().await.saturating_sub(before), received, relays: self.relays().await })
    }

    async fn sent(&self) -> u64 {
        self.relays().await.iter().map(|report| report.sent).sum()
    }

    /// Puts into effect what follows from the plan now.
    pub(super) async fn follow(&self) {
        let _one_at_a_time = self.following.lock().await;
        let conduct = self.conduct();
        // A driver that is gone holds nothing back.
        self.driver.hold(!conduct.live).await.ok();
        self.live.send_if_modified(|live| std::mem::replace(live, conduct.live) != conduct.live);
        self.timetable().follow(conduct, Instant::now());
        if !conduct.connected {
            self.part().await;
        }
        self.reach_again.notify_one();
    }

    /// Makes passes when their time has come, and looks after the battery where it matters.
    pub(super) async fn keep_passing(node: Weak<Self>) {
        loop {
            let (next, mut plans, watches_battery) = {
                let Some(node) = node.upgrade() else { return };
                let next = node.timetable().next();
                (next, node.plan.subscribe(), node.plan().mode == Mode::Hybrid)
            };
            let far = Instant::now() + if watches_battery { LOOK_AT_BATTERY } else { LONGEST_SLEEP };
            tokio::select! {
                () = tokio::time::sleep_until(next.unwrap_or(far).min(far)) => {}
                changed = plans.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
            let Some(node) = node.upgrade() else { return };
            node.look_at_battery().await;
            let due = {
                let (mut timetable, now) = (node.timetable(), Instant::now());
                let due = timetable.next().is_some_and(|next| next <= now);
                if due {
                    timetable.begun(now);
                }
                due
            };
            if due {
                match node.pass(Part::Both, Reach::Willing).await {
                    Ok(Exchanged { sent, received, .. }) => debug!(sent, received, "a pass is over"),
                    Err(error) => warn!(%error, "a pass did not come to its end"),
                }
            }
        }
    }

    /// In the hybrid mode: asks whether the machine runs on its battery, and follows.
    async fn look_at_battery(&self) {
        if self.plan().mode != Mode::Hybrid {
            return;
        }
        let on_battery = tokio::task::spawn_blocking(power::on_battery).await.unwrap_or_default();
        if self.on_battery.swap(on_battery, Ordering::Relaxed) != on_battery {
            info!(on_battery, "the power supply has changed");
            self.follow().await;
        }
    }

    fn timetable(&self) -> MutexGuard<'_, Timetable> {
        self.timetable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The plan that the store keeps. One that this version does not know counts as none.
pub(super) fn saved_plan(store: &Store) -> Result<Plan, StoreError> {
    let text = store.setting(SETTING)?;
    let plan = text.as_deref().and_then(Plan::from_text);
    if plan.is_none() && text.is_some() {
        warn!("the sync mode that was saved is not known to this version: it is realtime again");
    }
    Ok(plan.unwrap_or_default())
}

/// What the plan is called in the store.
const SETTING: &str = "sync";
/// How often the power supply is asked: 1 min.
const LOOK_AT_BATTERY: Duration = Duration::from_secs(60);
/// How long to sleep when nothing is planned: 1 h. A change of plan wakes.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);
