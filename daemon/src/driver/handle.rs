//! How everyone else talks to the driver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use kinfolk_core::contents::Wanted;
use kinfolk_core::ids::{BundleSeq, DeviceId, RelayId};
use kinfolk_core::op::Op;
use kinfolk_core::roster::{Addition, Roster};
use kinfolk_core::step::{AppBundle, Compaction, Input, Pushed};
use tokio::sync::{mpsc, oneshot, watch};

use super::{DriverError, Picture, Prunable, PushError, Request, Sought, Trail};
use crate::relay::worker;
use crate::store::{Compacted, Store, StoreError};

/// A roster change that this device signs.
pub(crate) enum Authored {
    Add(Addition),
    Rename { device: DeviceId, name: String },
    Remove(DeviceId),
}

/// A sender of requests to the driver. Cheap to clone; the driver ends when the last one is dropped.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    picture: watch::Receiver<Arc<Picture>>,
    bell: watch::Receiver<BundleSeq>,
    roster: watch::Receiver<Arc<Roster>>,
    trail: Trail,
    /// Dropped last: by then the driver has nobody to wait for.
    _thread: Arc<Thread>,
}

/// The driver's thread; whoever drops the last handle waits for its end, so that no thread is left in the database when a process ends.
struct Thread(Option<JoinHandle<()>>);

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take().filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A driver that panicked has ended the process.
            thread.join().ok();
        }
    }
}

impl Handle {
    pub(super) fn new(
        requests: mpsc::Sender<Request>,
        picture: watch::Receiver<Arc<Picture>>,
        bell: watch::Receiver<BundleSeq>,
        roster: watch::Receiver<Arc<Roster>>,
        trail: Trail,
        thread: JoinHandle<()>,
    ) -> Self {
        Self { requests, picture, bell, roster, trail, _thread: Arc::new(Thread(Some(thread))) }
    }

    /// Pushes one atomic bundle. Durable when it returns. Whoever stops waiting before the driver has taken it up has pushed nothing; later it
    /// may have been committed.
    ///
    /// # Errors
    /// The refusal, or what kept the store from committing; in both cases nothing changed.
    pub async fn push(&self, ops: Vec<Op>, app: Option<AppBundle>) -> Result<Pushed, PushError> {
        self.push_on(BTreeMap::new(), ops, app).await
    }

    /// [`Self::push`], if the records of the ops with these numbers are at these versions.
    ///
    /// # Errors
    /// As there; and when one of them is at another.
    pub async fn push_on(
        &self,
        bases: BTreeMap<usize, BundleSeq>,
        ops: Vec<Op>,
        app: Option<AppBundle>,
    ) -> Result<Pushed, PushError> {
        let (reply, answer) = oneshot::channel();
        self.request(Request::Push { ops, app, bases, reply }).await?;
        answer.await.map_err(|_| DriverError::Stopping)?
    }

    /// Gives a device another name, on all devices.
    ///
    /// # Errors
    /// When the name does not fit, the device is unknown, or the store cannot commit.
    pub async fn rename(&self, device: DeviceId, name: String) -> Result<(), DriverError> {
        self.author(Authored::Rename { device, name }).await
    }

    /// Removes a device, for good. What it has written and this device has not taken in by now does not count any more, anywhere.
    ///
    /// # Errors
    /// When the device is this one or unknown, or the store cannot commit.
    pub async fn remove(&self, device: DeviceId) -> Result<(), DriverError> {
        self.author(Authored::Remove(device)).await
    }

    /// Puts a device on the roster.
    pub(crate) async fn add_device(&self, addition: Addition) -> Result<(), DriverError> {
        self.author(Authored::Add(addition)).await
    }

    /// Sends all that there is to say now; answers when relays have taken or refused it. `again`: what is not receipted goes out once
    /// more, and receipts are asked for.
    ///
    /// # Errors
    /// When the daemon is stopping or the store cannot commit.
    pub(crate) async fn pass(&self, again: bool) -> Result<(), DriverError> {
        let (reply, answer) = oneshot::channel();
        self.request(Request::Pass { again, reply }).await?;
        answer.await.map_err(|_| DriverError::Stopping)?
    }

    /// Whether parcels wait for a pass. They leave by themselves otherwise.
    pub(crate) async fn hold(&self, held: bool) -> Result<(), DriverError> {
        self.request(Request::Hold { held }).await
    }

    /// Names all relays in the person's order, attached or not.
    pub(crate) async fn prefer(&self, order: Vec<RelayId>) -> Result<(), DriverError> {
        self.request(Request::Prefer { order }).await
    }

    /// Asks a sibling for the sums of its collections, unless that was done just now.
    ///
    /// # Errors
    /// When the daemon is stopping.
    pub async fn ask_sums(&self, sibling: DeviceId) -> Result<(), DriverError> {
        self.tell(Input::AskSums(sibling)).await
    }

    /// Compacts the log as far as every sibling that is waited for has receipted it; with `dry_run` it only says how far that is. Gives
    /// how far the watermark moved, and what went.
    ///
    /// # Errors
    /// When the store fails or the daemon is stopping.
    pub(crate) async fn compact(&self, dry_run: bool) -> Result<(Compaction, Compacted), DriverError> {
        let (reply, answer) = oneshot::channel();
        self.request(Request::Compact { dry_run, reply }).await?;
        answer.await.map_err(|_| DriverError::Stopping)?
    }

    /// Lets go of the contents of messages created before an instant (microseconds since the Unix epoch), as far as a sibling keeps them, and as
    /// many as one transaction takes; with `dry_run` it only says which may go.
    ///
    /// # Errors
    /// When the store fails or the daemon is stopping.
    pub(crate) async fn prune(&self, before_us: i64, dry_run: bool) -> Result<Prunable, DriverError> {
        let (reply, answer) = oneshot::channel();
        self.request(Request::Prune { before_us, dry_run, reply }).await?;
        answer.await.map_err(|_| DriverError::Stopping)?
    }

    /// Asks siblings for contents that are elsewhere, and waits for as long as that makes sense. Gives those that did not come, and why; the others
    /// are here.
    ///
    /// # Errors
    /// When the store fails or the daemon is stopping.
    pub(crate) async fn seek(&self, wanted: Vec<Wanted>) -> Result<Sought, DriverError> {
        let (reply, answer) = oneshot::channel();
        self.request(Request::Seek { wanted, reply }).await?;
        answer.await.map_err(|_| DriverError::Stopping)?
    }

    /// Contents go after so many days from now on; `None`: they stay. Younger ones that were let go by hand come back.
    ///
    /// # Errors
    /// When the store fails or the daemon is stopping.
    pub(crate) async fn retain(&self, days: Option<u32>) -> Result<(), DriverError> {
        let set = move |store: &mut Store| {
            store.leave_nothing()?;
            store.set_retention(days)
        };
        self.keep(set).await?;
        let (reply, answer) = oneshot::channel();
        self.request(Request::Retain { days, reply }).await?;
        answer.await.map_err(|_| DriverError::Stopping)?
    }

    /// Rings when something was applied. It carries no data that matters: look into the store again.
    pub fn bell(&self) -> watch::Receiver<BundleSeq> {
        self.bell.clone()
    }

    /// The state of things after the latest round.
    pub fn picture(&self) -> watch::Receiver<Arc<Picture>> {
        self.picture.clone()
    }

    /// The roster as of the latest round.
    pub fn roster(&self) -> watch::Receiver<Arc<Roster>> {
        self.roster.clone()
    }

    /// The last steps of bundles between this device and its siblings.
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Finishes what is under way and ends the driver.
    pub async fn stop(&self) {
        let (done, finished) = oneshot::channel();
        if self.request(Request::Stop { done }).await.is_ok() {
            finished.await.ok();
        }
    }

    pub(crate) async fn tell(&self, input: Input) -> Result<(), DriverError> {
        self.request(Request::Tell(input)).await
    }

    pub(crate) async fn attach(&self, relay: RelayId, worker: worker::Mailroom) -> Result<(), DriverError> {
        self.request(Request::Attach { relay, worker }).await
    }

    pub(crate) async fn detach(&self, relay: RelayId) -> Result<(), DriverError> {
        self.request(Request::Detach { relay }).await
    }

    /// Lets the driver do something small with the store between two rounds: relays, secrets.
    pub(crate) async fn keep(
        &self,
        work: impl FnOnce(&mut Store) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), DriverError> {
        let (reply, answer) = oneshot::channel();
        self.request(Request::Keep { work: Box::new(work), reply }).await?;
        answer.await.map_err(|_| DriverError::Stopping)?
    }

    async fn author(&self, change: Authored) -> Result<(), DriverError> {
        let (reply, answer) = oneshot::channel();
        self.request(Request::Author { change, reply }).await?;
        answer.await.map_err(|_| DriverError::Stopping)?
    }

    async fn request(&self, request: Request) -> Result<(), DriverError> {
        self.requests.send(request).await.map_err(|_| DriverError::Stopping)
    }
}
