//! A device that is set up, with its running parts: driver, readers, relays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kinfolk_core::engine::Config;
use kinfolk_core::ids::{DeviceId, RelayId, SourceId};
use rand::Rng;
use tokio::sync::{Mutex, oneshot};
use tracing::{info, warn};

use crate::driver::{self, DriverError, Handle, wall_clock};
use crate::relay::worker::{Credentials, Report, Worker, unreached};
use crate::relay::{self, Relay, RelayError, RelayUrl};
use crate::seal::Kek;
use crate::seal::wrap::{Place, WrapError};
use crate::setup::{Opened, SetupError};
use crate::store::{Reader, SavedRelay};

/// A running device.
pub struct Node {
    /// This device.
    pub me: DeviceId,
    /// The source it writes.
    pub source: SourceId,
    /// To the driver.
    pub driver: Handle,
    /// Reads, without the driver.
    pub reader: Reader,
    pub(crate) credentials: Arc<Credentials>,
    kek: Kek,
    relays: Arc<Mutex<Vec<Link>>>,
}

/// A configured relay: served, or still to be reached.
enum Link {
    Served(Worker),
    Unreached { id: RelayId, url: RelayUrl, reason: String },
}

/// Why a relay was not added or removed.
#[derive(Debug, thiserror::Error)]
pub enum RelayChangeError {
    /// It cannot be used or reached; nothing changed.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// There is no such relay.
    #[error("no relay is called {0}")]
    NotFound(String),
    /// It could not be written down.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// Its URL could not be wrapped or unwrapped.
    #[error("the relay's URL cannot be kept: {0}")]
    Wrap(#[from] WrapError),
}

impl Node {
    /// Starts everything for an opened device.
    ///
    /// # Errors
    /// When the store cannot be read or a relay's URL cannot be unwrapped.
    pub async fn start(opened: Opened) -> Result<Arc<Self>, SetupError> {
        let Opened { store, directory, db_key, credentials, kek } = opened;
        let source = store.restore()?.source;
        let saved = store.relays()?;
        let reader = Reader::open(&directory, &db_key)?;
        let config = Config { seed: rand::rng().next_u64(), ..Config::default() };
        let me = credentials.me;
        let driver = driver::start(me, Arc::clone(&credentials.identity), store, config);
        let driver = driver.map_err(|error| SetupError::Keys(error.to_string()))?;
        let relays = Arc::new(Mutex::new(Vec::new()));
        let node = Arc::new(Self { me, source, driver, reader, credentials, kek, relays });
        for relay in saved {
            let url = node.unwrap_url(&relay)?;
            let link = Link::Unreached { id: relay.id, url, reason: "not reached yet".into() };
            node.relays.lock().await.push(link);
        }
        let (reached, first) = oneshot::channel();
        tokio::spawn(Self::keep_reaching(Arc::downgrade(&node), reached));
        // A relay that hangs keeps nobody from working.
        tokio::time::timeout(FIRST_REACH, first).await.ok();
        Ok(node)
    }

    /// How the relays are doing, in the order of use.
    pub async fn relays(&self) -> Vec<Report> {
        self.relays.lock().await.iter().map(Link::report).collect()
    }

    /// URLs of all relays, with their secrets: for a pairing card.
    pub(crate) async fn relay_urls(&self) -> Vec<String> {
        self.relays.lock().await.iter().map(|link| link.url().expose().to_string()).collect()
    }

    /// The relays that are served now.
    pub(crate) async fn reached(&self) -> Vec<Arc<dyn Relay>> {
        let relays = self.relays.lock().await;
        let served = relays.iter().filter_map(|link| match link {
            Link::Served(worker) => Some(Arc::clone(&worker.relay)),
            Link::Unreached { .. } => None,
        });
        served.collect()
    }

    /// Adds a relay after it answered, making its place ready first. Says whether it was there already.
    ///
    /// # Errors
    /// [`RelayChangeError`]; nothing changed then.
    pub async fn add_relay(&self, url: &str) -> Result<(Report, bool), RelayChangeError> {
        let url = RelayUrl::parse(url).map_err(RelayError::from)?;
        let relay = relay::prepare(&url).await?;
        self.adopt(relay, url).await
    }

    /// Adds a relay that another device named. Its place must be there: a path of another machine is not made here. One that is
    /// served already stays where it is: this device's own word for it goes first.
    pub(crate) async fn add_known_relay(&self, url: &str) -> Result<(), RelayChangeError> {
        let url = RelayUrl::parse(url).map_err(RelayError::from)?;
        let relay = relay::connect(&url).await?;
        if self.reached().await.iter().all(|served| served.id() != relay.id()) {
            self.adopt(relay, url).await?;
        }
        Ok(())
    }

    /// Uses a relay that was reached. One that is in use already under another URL moves there.
    pub(crate) async fn adopt(&self, relay: Arc<dyn Relay>, url: RelayUrl) -> Result<(Report, bool), RelayChangeError> {
        relay.probe().await?;
        let id = relay.id();
        let mut relays = self.relays.lock().await;
        let known = relays.iter().position(|link| link.id() == id);
        let served = known.and_then(|at| relays.get(at)).filter(|link| matches!(link, Link::Served(_)));
        if let Some(link) = served.filter(|link| *link.url() == url) {
            return Ok((link.report(), true));
        }
        let moves = served.is_some();
        let wrapped = self.kek.wrap(url_place(&id), url.expose().as_bytes(), &mut rand::rng())?;
        let saved = SavedRelay { id, url: wrapped, display: url.to_string(), added: wall_clock() };
        self.driver.keep(move |store| store.add_relay(&saved)).await?;
        if moves {
            // What the old worker has under way never comes back: the engine must forget it first.
            self.driver.detach(id).await?;
        }
        let link = Link::Served(self.serve(relay, url).await);
        let report = link.report();
        match known.and_then(|at| relays.get_mut(at)) {
            Some(other) => *other = link,
            None => relays.push(link),
        }
        Ok((report, known.is_some()))
    }

    /// Stops using a relay, named by its URL as shown or its id.
    ///
    /// # Errors
    /// [`RelayChangeError`]; nothing changed then.
    pub async fn remove_relay(&self, name: &str) -> Result<Report, RelayChangeError> {
        let mut relays = self.relays.lock().await;
        let spelled = RelayUrl::parse(name).map(|url| url.to_string()).ok();
        let named = |link: &Link| link.id().to_string() == name || Some(link.url().to_string()) == spelled;
        let at = relays.iter().position(named).ok_or_else(|| RelayChangeError::NotFound(name.to_owned()))?;
        let id = relays.get(at).map(Link::id).unwrap_or_default();
        self.driver.keep(move |store| store.remove_relay(id).map(drop)).await?;
        self.driver.detach(id).await?;
        Ok(relays.remove(at).report())
    }

    /// One full pass: everything unreceipted goes out again, every mailbox is fetched from nothing. Envelopes sent and received.
    ///
    /// # Errors
    /// When the daemon is stopping.
    pub async fn sync_pass(&self) -> Result<(u64, u64), DriverError> {
        self.reach().await;
        let before = self.sent().await;
        let mut received = 0;
        for pass in self.passes().await {
            received += pass.await.unwrap_or_default();
        }
        self.driver.pass(true).await?;
        Ok((self.sent().await.saturating_sub(before), received))
    }

    /// Stops the driver; what is committed stays.
    pub async fn stop(&self) {
        self.driver.stop().await;
        self.relays.lock().await.clear();
    }

    async fn passes(&self) -> Vec<oneshot::Receiver<u64>> {
        let relays = self.relays.lock().await;
        relays
            .iter()
            .filter_map(|link| match link {
                Link::Served(worker) => worker.ask_pass(),
                Link::Unreached { .. } => None,
            })
            .collect()
    }

    async fn sent(&self) -> u64 {
        self.relays.lock().await.iter().map(|link| link.report().sent).sum()
    }

    async fn serve(&self, relay: Arc<dyn Relay>, url: RelayUrl) -> Worker {
        Worker::start(relay, url, self.driver.clone(), self.reader.clone(), Arc::clone(&self.credentials)).await
    }

    /// Tries to reach the relays that were not reached yet. Nobody who asks for the relays waits for that.
    async fn reach(&self) {
        let unreached: Vec<(RelayId, RelayUrl)> =
            self.relays.lock().await.iter().filter_map(|link| Some((link.id(), link.unreached()?.clone()))).collect();
        for (known, tried) in unreached {
            let connected = relay::reconnect(&tried, known).await;
            let mut relays = self.relays.lock().await;
            let Some(link) = relays.iter_mut().find(|link| link.unreached() == Some(&tried)) else { continue };
            let Link::Unreached { url, reason, .. } = link else { continue };
            match connected {
                Ok(relay) => {
                    info!(relay = %url, "reached");
                    *link = Link::Served(self.serve(relay, url.clone()).await);
                }
                Err(error) => {
                    warn!(relay = %url, %error, "a relay is out of reach");
                    *reason = error.to_string();
                }
            }
        }
    }

    async fn keep_reaching(node: std::sync::Weak<Self>, reached: oneshot::Sender<()>) {
        let mut first = Some(reached);
        while let Some(node) = node.upgrade() {
            node.reach().await;
            drop(node);
            // Whoever waited may have gone on.
            first.take().map(|reached| reached.send(()));
            let pause = relay::backoff::jittered(REACH_AGAIN, rand::rng().next_u64());
            tokio::time::sleep(pause).await;
        }
    }

    fn unwrap_url(&self, relay: &SavedRelay) -> Result<RelayUrl, SetupError> {
        let url = self.kek.reveal(url_place(&relay.id), &relay.url)?;
        let url = std::str::from_utf8(&url).ok().and_then(|url| RelayUrl::parse(url).ok());
        url.ok_or(SetupError::NoSecret("relay url"))
    }
}

impl Link {
    fn id(&self) -> RelayId {
        match self {
            Self::Served(worker) => worker.id,
            Self::Unreached { id, .. } => *id,
        }
    }

    fn url(&self) -> &RelayUrl {
        match self {
            Self::Served(worker) => &worker.url,
            Self::Unreached { url, .. } => url,
        }
    }

    fn unreached(&self) -> Option<&RelayUrl> {
        match self {
            Self::Served(_) => None,
            Self::Unreached { url, .. } => Some(url),
        }
    }

    fn report(&self) -> Report {
        match self {
            Self::Served(worker) => worker.reporter.get(),
            Self::Unreached { id, url, reason } => Report { id: Some(*id), reason: reason.clone(), ..unreached(url) },
        }
    }
}

/// Tries a relay without adding it; creates nothing. How it went, and how long it took.
pub async fn test_relay(url: &str) -> Result<(Report, Duration), RelayError> {
    let url = RelayUrl::parse(url)?;
    let began = Instant::now();
    let mut report = unreached(&url);
    let tried = async {
        let relay = relay::connect(&url).await?;
        let probe = relay.probe().await?;
        Ok::<_, RelayError>((relay, probe))
    };
    match tried.await {
        Ok((relay, probe)) => {
            (report.ok, report.id, report.last_ok) = (true, Some(relay.id()), Some(wall_clock()));
            report.push = !matches!(relay.capabilities().push, relay::Push::None);
            report.reason = probe.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        }
        Err(error) => report.reason = error.to_string(),
    }
    Ok((report, began.elapsed()))
}

fn url_place(id: &RelayId) -> Place<'_> {
    Place { table: "relay", row: id.as_bytes(), version: 1 }
}

/// How often relays that were never reached since the start are tried again: 30 s ± 20 %.
const REACH_AGAIN: Duration = Duration::from_secs(30);
/// How long the start waits for relays that are slow to answer: 3 s.
const FIRST_REACH: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
