//! A device that is set up, with its running parts: driver, readers, relays.
//!
//! [`links`] keeps the relays: reached, lost, added, removed. [`exchange`] follows the person's [`Plan`]: passes, modes.

mod exchange;
mod farewell;
mod links;
mod refill;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use kinfolk_core::ids::DeviceId;
use rand::Rng;
use tokio::sync::{Mutex, Notify, oneshot, watch};

use crate::apps::Apps;
use crate::config::Spans;
use crate::credentials::Credentials;
use crate::driver::{self, Handle};
use crate::seal::Kek;
use crate::setup::{Opened, SetupError};
use crate::store::Reader;
use crate::sync::{Plan, Timetable};

pub use self::exchange::{ExchangeError, Exchanged, Part};
use self::links::Link;
pub use self::links::{Added, MAX_RELAYS, RelayChangeError};

/// A running device.
pub struct Node {
    /// This device.
    pub me: DeviceId,
    /// To the driver.
    pub driver: Handle,
    /// Reads, without the driver.
    pub reader: Reader,
    /// Who else than the owner may use the local API.
    pub apps: Apps,
    pub(crate) credentials: Arc<Credentials>,
    kek: Kek,
    /// In the person's order.
    links: Mutex<Vec<Link>>,
    /// Rung when a link wants to be reached sooner than planned.
    reach_again: Arc<Notify>,
    /// Rung when more should be here than before.
    pub(crate) refill_again: Arc<Notify>,
    plan: watch::Sender<Plan>,
    on_battery: AtomicBool,
    /// Whether workers watch and look by themselves.
    live: watch::Sender<bool>,
    timetable: std::sync::Mutex<Timetable>,
    /// Held while what follows from the plan is put into effect.
    following: Mutex<()>,
}

impl Node {
    /// Starts everything for an opened device.
    ///
    /// # Errors
    /// When the store cannot be read or a relay's URL cannot be unwrapped.
    pub async fn start(opened: Opened, spans: Spans) -> Result<Arc<Self>, SetupError> {
        let Opened { store, directory, db_key, credentials, kek } = opened;
        let saved = store.relays()?;
        let (plan, apps) = (exchange::saved_plan(&store)?, Apps::load(&store)?);
        let reader = Reader::open(&directory, &db_key)?;
        let config = spans.into_engine(rand::rng().next_u64(), rand::random());
        let me = credentials.me;
        let driver = driver::start(Arc::clone(&credentials), store, config);
        let driver = driver.map_err(|error| SetupError::Keys(error.to_string()))?;
        let links = saved.into_iter().map(|relay| Link::saved(&kek, &relay)).collect::<Result<Vec<_>, _>>()?;
        let node = Arc::new(Self {
            me,
            driver,
            reader,
            apps,
            credentials,
            kek,
            links: Mutex::new(links),
            reach_again: Arc::default(),
            refill_again: Arc::default(),
            plan: watch::channel(plan).0,
            on_battery: AtomicBool::new(false),
            live: watch::channel(false).0,
            timetable: std::sync::Mutex::default(),
            following: Mutex::new(()),
        });
        node.tell_order().await;
        node.follow().await;
        let (reached, first) = oneshot::channel();
        tokio::spawn(Self::keep_reaching(Arc::downgrade(&node), reached));
        tokio::spawn(Self::keep_passing(Arc::downgrade(&node)));
        tokio::spawn(Self::keep_refilling(Arc::downgrade(&node)));
        // Until its first round the driver has nothing to show; whoever asks then would hear that nothing is in sync.
        node.driver.keep(|_| Ok(())).await.ok();
        // A relay that hangs keeps nobody from working.
        tokio::time::timeout(FIRST_REACH, first).await.ok();
        Ok(node)
    }

    /// Stops the driver; what is committed stays.
    pub async fn stop(&self) {
        if let Err(error) = self.apps.note_uses(&self.driver).await {
            tracing::warn!(%error, "when apps were last used is not written down");
        }
        // The last connection takes the write-ahead log along, if it can write.
        self.reader.close();
        self.driver.stop().await;
        self.links.lock().await.clear();
    }
}

/// How long the start waits for relays that are slow to answer: 3 s.
const FIRST_REACH: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
