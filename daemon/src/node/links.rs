//! The relays of a device: how they come, go, and are reached.
//!
//! A *link* is a configured relay, either served by a [`Worker`], which deals with its later outages itself, or still to be reached. One to be
//! reached is tried again with growing pauses while the device is live, and on every pass otherwise; one that refused us, or is not what its URL
//! promises, rests until a person acts: `relay add`, `relay test`, `sync now`, a restart.

use std::sync::{Arc, Weak};
use std::time::Duration;

use kinfolk_core::ids::RelayId;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Node;
use crate::driver::DriverError;
use crate::relay::trial::Trial;
use crate::relay::worker::{Report, Worker, unreached};
use crate::relay::{self, Fault, Relay, RelayError, RelayUrl, backoff};
use crate::seal::wrap::WrapError;
use crate::seal::{Kek, pairing};
use crate::setup::{SetupError, reveal_url, saved_relay};
use crate::store::SavedRelay;

/// Most relays of a device: as many as a pairing card carries.
pub const MAX_RELAYS: usize = pairing::MAX_RELAYS;

/// A configured relay: served, or still to be reached.
pub(super) enum Link {
    Served(Worker),
    Unreached(Unreached),
}

/// A relay to be reached.
pub(super) struct Unreached {
    id: RelayId,
    url: RelayUrl,
    /// Why it was not reached; empty when it was not tried.
    reason: String,
    fault: Option<Fault>,
    failures: u32,
    /// When to try next by itself; `None` when it rests.
    next: Option<Instant>,
}

/// Which relays to try to reach.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    /// Those whose time has come.
    Due,
    /// All that do not rest.
    Willing,
    /// All: a person asks.
    All,
}

/// What adding a relay came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Added {
    /// It is used from now on.
    Now,
    /// It was in use under this URL. One that rested works again.
    Before,
    /// It was in use under another URL, and is reached by this one from now on.
    Moved,
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
    /// There are enough.
    #[error("a device has at most {MAX_RELAYS} relays")]
    TooMany,
    /// The person wants no network.
    #[error("sync is off: no relay is reached")]
    Off,
    /// It could not be written down.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// Its URL could not be wrapped or unwrapped.
    #[error("the relay's URL cannot be kept: {0}")]
    Wrap(#[from] WrapError),
}

impl Node {
    /// How the relays are doing, in the person's order.
    pub async fn relays(&self) -> Vec<Report> {
        self.links.lock().await.iter().map(Link::report).collect()
    }

    /// URLs of all relays, with their secrets: for a pairing card.
    pub(crate) async fn relay_urls(&self) -> Vec<String> {
        self.links.lock().await.iter().map(|link| link.url().expose().to_string()).collect()
    }

    /// The relays that are served now.
    pub(crate) async fn reached(&self) -> Vec<Arc<dyn Relay>> {
        let links = self.links.lock().await;
        links.iter().filter_map(Link::served).map(|worker| Arc::clone(&worker.relay)).collect()
    }

    /// The relays that are served now, after those that are not were tried.
    pub(crate) async fn reach_all(&self) -> Vec<Arc<dyn Relay>> {
        self.reach(Reach::All).await;
        self.reached().await
    }

    /// Adds a relay after it answered, making its place ready first. One that rested works again.
    ///
    /// # Errors
    /// [`RelayChangeError`]; nothing changed then.
    pub async fn add_relay(&self, url: &str) -> Result<(Report, Added), RelayChangeError> {
        let url = RelayUrl::parse(url).map_err(RelayError::from)?;
        self.must_be_connected()?;
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
    pub(crate) async fn adopt(
        &self,
        relay: Arc<dyn Relay>,
        url: RelayUrl,
    ) -> Result<(Report, Added), RelayChangeError> {
        relay.probe().await?;
        let id = relay.id();
        let mut links = self.links.lock().await;
        let known = links.iter().position(|link| link.id() == id);
        let served = known.and_then(|at| links.get(at)).and_then(Link::served);
        if let Some(worker) = served.filter(|worker| worker.url == url) {
            let looked = worker.ask_pass(true).filter(|_| !worker.report().ok);
            drop(links);
            if let Some(looked) = looked {
                looked.await.ok();
            }
            let report = self.relays().await.into_iter().find(|report| report.id == Some(id));
            return Ok((report.unwrap_or_else(|| unreached(&url)), Added::Before));
        }
        if known.is_none() && links.len() >= MAX_RELAYS {
            return Err(RelayChangeError::TooMany);
        }
        let moves = served.is_some();
        let added = match known.and_then(|at| links.get(at)) {
            None => Added::Now,
            Some(link) if *link.url() == url => Added::Before,
            Some(_) => Added::Moved,
        };
        let saved = saved_relay(&self.kek, id, &url, &mut rand::rng())?;
        self.driver.keep(move |store| store.add_relay(&saved)).await?;
        if moves {
            // What the old worker has under way never comes back: the engine must forget it first.
            self.driver.detach(id).await?;
        }
        let link = Link::Served(self.serve(relay, url).await);
        let report = link.report();
        match known.and_then(|at| links.get_mut(at)) {
            Some(other) => *other = link,
            None => links.push(link),
        }
        drop(links);
        self.tell_order().await;
        Ok((report, added))
    }

    /// Stops using a relay, named by its URL as shown or its id.
    ///
    /// # Errors
    /// [`RelayChangeError`]; nothing changed then.
    pub async fn remove_relay(&self, name: &str) -> Result<Report, RelayChangeError> {
        let not_found = || RelayChangeError::NotFound(name.to_owned());
        let id = {
            let links = self.links.lock().await;
            named(&links, name).and_then(|at| links.get(at)).map(Link::id).ok_or_else(not_found)?
        };
        self.take_leave(id).await;
        let mut links = self.links.lock().await;
        let at = links.iter().position(|link| link.id() == id).ok_or_else(not_found)?;
        self.driver.keep(move |store| store.remove_relay(id).map(drop)).await?;
        self.driver.detach(id).await?;
        let report = links.remove(at).report();
        drop(links);
        // Nobody waits for what it still holds.
        self.tell_order().await;
        Ok(report)
    }

    /// Tries a relay, in use or not, without adding it; creates nothing. One in use that works again is used again.
    ///
    /// # Errors
    /// When the name is none, or the person wants no network. A relay that does not work is an answer.
    pub async fn test_relay(&self, name: &str) -> Result<Trial, RelayChangeError> {
        self.must_be_connected()?;
        let known = {
            let links = self.links.lock().await;
            let at = match RelayUrl::parse(name) {
                // With a password of its own it is tried as it is, also where all that can be seen is the same.
                Ok(url) if *url.expose() != url.to_string() => links.iter().position(|link| *link.url() == url),
                Ok(_) | Err(_) => named(&links, name),
            };
            at.and_then(|at| links.get(at)).map(|link| (link.id(), link.url().clone()))
        };
        let url = match &known {
            Some((_, url)) => url.clone(),
            None => RelayUrl::parse(name).map_err(RelayError::from)?,
        };
        let trial = relay::trial::run(&url, known.as_ref().map(|(id, _)| *id)).await;
        let works = trial.outcome.is_ok();
        if let Some((id, _)) = known.filter(|_| works) {
            self.wake(id).await;
        }
        Ok(trial)
    }

    /// Tries again a relay that did not work; waits for what becomes of it.
    async fn wake(&self, id: RelayId) {
        self.reach(Reach::All).await;
        let woken = {
            let links = self.links.lock().await;
            let worker = links.iter().filter_map(Link::served).find(|worker| worker.id == id && !worker.report().ok);
            worker.and_then(|worker| worker.ask_pass(true))
        };
        if let Some(looked) = woken {
            looked.await.ok();
        }
    }

    /// Asks every served relay for a pass.
    pub(super) async fn ask_passes(&self, insist: bool) -> Vec<oneshot::Receiver<u64>> {
        let links = self.links.lock().await;
        links.iter().filter_map(Link::served).filter_map(|worker| worker.ask_pass(insist)).collect()
    }

    /// Lets go of all relays: nothing is connected when it returns.
    pub(super) async fn part(&self) {
        let mut links = self.links.lock().await;
        for link in links.iter_mut() {
            // What the worker has under way never comes back; a driver that is gone knows that.
            self.driver.detach(link.id()).await.ok();
            *link = Link::Unreached(Unreached::new(link.id(), link.url().clone()));
        }
    }

    /// Tells the driver the person's order of relays.
    pub(super) async fn tell_order(&self) {
        let order = self.links.lock().await.iter().map(Link::id).collect();
        // A driver that is gone needs no order.
        self.driver.prefer(order).await.ok();
    }

    /// Tries to reach relays, all at once. Nobody who asks for the relays waits for that.
    pub(super) async fn reach(&self, which: Reach) {
        let now = Instant::now();
        let mut connecting = JoinSet::new();
        for tried in self.links.lock().await.iter().filter_map(Link::unreached).filter(|link| link.wants(which, now)) {
            let (id, url) = (tried.id, tried.url.clone());
            connecting.spawn(async move { (relay::reconnect(&url, id).await, url) });
        }
        while let Some(tried) = connecting.join_next().await {
            let Ok((connected, url)) = tried else { continue };
            let mut links = self.links.lock().await;
            let sought = |link: &&mut Link| link.unreached().is_some_and(|link| link.url == url);
            let Some(link) = links.iter_mut().find(sought) else { continue };
            let Link::Unreached(unreached) = link else { continue };
            // The person may have switched off meanwhile.
            if self.must_be_connected().is_err() {
                return;
            }
            match connected {
                Ok(relay) => {
                    info!(relay = %url, "reached");
                    *link = Link::Served(self.serve(relay, url).await);
                }
                Err(error) => {
                    warn!(relay = %url, %error, "a relay is out of reach");
                    unreached.failed(error.fault(), error.asked_to_wait(), error.to_string());
                }
            }
        }
    }

    /// Tries relays again whose time has come, while the device is live.
    pub(super) async fn keep_reaching(node: Weak<Self>, reached: oneshot::Sender<()>) {
        let mut first = Some(reached);
        while let Some(node) = node.upgrade() {
            let live = *node.live.borrow();
            if live {
                node.reach(Reach::Due).await;
            }
            // Whoever waited may have gone on.
            first.take().map(|reached| reached.send(()));
            let reach_again = Arc::clone(&node.reach_again);
            let next = node.links.lock().await.iter().filter_map(Link::unreached).filter_map(|link| link.next).min();
            drop(node);
            let far = Instant::now() + LONGEST_PAUSE;
            let next = next.filter(|_| live).map_or(far, |next| next.min(far));
            // A relay that was added or lost meanwhile is found at the latest after the longest pause.
            tokio::time::timeout_at(next, reach_again.notified()).await.ok();
        }
    }

    async fn serve(&self, relay: Arc<dyn Relay>, url: RelayUrl) -> Worker {
        let (driver, reader, credentials) = (self.driver.clone(), self.reader.clone(), Arc::clone(&self.credentials));
        Worker::start(relay, url, driver, reader, credentials, self.live.subscribe()).await
    }
}

impl Link {
    /// A relay from the store.
    pub(super) fn saved(kek: &Kek, relay: &SavedRelay) -> Result<Self, SetupError> {
        Ok(Self::Unreached(Unreached::new(relay.id, reveal_url(kek, relay)?)))
    }

    fn id(&self) -> RelayId {
        match self {
            Self::Served(worker) => worker.id,
            Self::Unreached(unreached) => unreached.id,
        }
    }

    fn url(&self) -> &RelayUrl {
        match self {
            Self::Served(worker) => &worker.url,
            Self::Unreached(unreached) => &unreached.url,
        }
    }

    pub(super) fn served(&self) -> Option<&Worker> {
        match self {
            Self::Served(worker) => Some(worker),
            Self::Unreached(_) => None,
        }
    }

    fn unreached(&self) -> Option<&Unreached> {
        match self {
            Self::Served(_) => None,
            Self::Unreached(unreached) => Some(unreached),
        }
    }

    fn report(&self) -> Report {
        match self {
            Self::Served(worker) => worker.report(),
            Self::Unreached(Unreached { id, url, reason, fault, .. }) => {
                Report { id: Some(*id), reason: reason.clone(), fault: *fault, ..unreached(url) }
            }
        }
    }
}

impl Unreached {
    fn new(id: RelayId, url: RelayUrl) -> Self {
        Self { id, url, reason: String::new(), fault: None, failures: 0, next: Some(Instant::now()) }
    }

    fn wants(&self, which: Reach, now: Instant) -> bool {
        match which {
            Reach::Due => self.next.is_some_and(|next| next <= now),
            Reach::Willing => self.next.is_some(),
            Reach::All => true,
        }
    }

    fn failed(&mut self, fault: Fault, asked: Option<Duration>, reason: String) {
        let wait = backoff::delay(self.failures, rand::random()).min(LONGEST_PAUSE).max(asked.unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        self.next = (!fault.needs_a_person()).then(|| Instant::now() + wait);
        (self.fault, self.reason) = (Some(fault), reason);
    }
}

/// Which link is called so: by its URL as shown, its whole URL, or its id.
fn named(links: &[Link], name: &str) -> Option<usize> {
    let spelled = RelayUrl::parse(name).map(|url| url.to_string()).ok();
    links.iter().position(|link| link.id().to_string() == name || Some(link.url().to_string()) == spelled)
}

/// The longest pause before a relay that was never reached is tried again: 1 min.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
