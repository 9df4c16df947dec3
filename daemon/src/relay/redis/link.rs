//! The one connection to a server, made again whenever it is needed and broken.
//!
//! All calls and all pushes share it. A call that finds it broken makes a new one; a call whose answer does not come in time gives it up, since
//! nothing that follows on it would come either. Nobody retries here: callers know what a repetition costs.
//!
//! # Whose server is it?
//! Every new connection reads the marker before anything else happens on it. A server without one was emptied (started without its data,
//! flushed): a device that knows the relay's id puts the marker back, and the loss is told once, as an error that passes by itself. The caller
//! then takes the relay for one that was away, and what no sibling has confirmed is sent again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kinfolk_core::ids::RelayId;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, Pipeline, PushInfo, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::address::Address;
use super::bells::Bells;
use super::failure::{self, Effect};
use super::keys::{self, Marker};
use super::scripts::{Names, Script};
use super::stream::{Bounded, Pending};
use crate::relay::error::{ConfigError, Reason, RelayError};
use crate::relay::mail::Mailbox;

/// The slowest line on which mail still passes, in bytes a second: 64 KiB. An envelope of 2 MiB then has 32 s.
const SLOWEST: usize = 64 << 10;

/// What a device knows of a server it connects to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Claim {
    /// It must be a relay.
    Find,
    /// It becomes one, with this id, if it is none.
    Make(RelayId),
    /// It is this one, or was emptied.
    Keep(RelayId),
}

/// A server, and the connection to it while there is one.
#[derive(Debug)]
pub(super) struct Link {
    address: Address,
    /// The relay.
    pub(super) id: RelayId,
    /// Rung by what the server pushes.
    pub(super) bells: Arc<Bells>,
    /// How long the server may take to accept a connection, and to answer beyond the time that bytes need.
    response: Duration,
    live: Mutex<Option<Arc<Live>>>,
    /// The server lost its data, and nobody was told yet.
    emptied: AtomicBool,
}

/// A connection.
pub(super) struct Live {
    connection: MultiplexedConnection,
    /// Carries its bytes; it ends with the connection.
    carrier: AbortHandle,
    pending: Pending,
    names: Names,
    /// Becomes true once.
    broken: watch::Sender<bool>,
    /// Mailboxes whose changes the server tells of.
    tracked: Mutex<BTreeSet<Mailbox>>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("broken", &*self.broken.borrow()).finish_non_exhaustive()
    }
}

impl Link {
    /// Connects for the first time.
    pub(super) async fn open(address: Address, claim: Claim, response: Duration) -> Result<Self, RelayError> {
        let bells = Arc::new(Bells::default());
        let dialled = dial(&address, &bells, claim, response).await?;
        let live = Mutex::new(Some(Arc::new(dialled.live)));
        Ok(Self { address, id: dialled.id, bells, response, live, emptied: AtomicBool::new(dialled.emptied) })
    }

    /// The URL as people may see it.
    pub(super) fn place(&self) -> &str {
        &self.address.place
    }

    /// How long a call may take that carries so many bytes.
    pub(super) fn deadline(&self, bytes: usize) -> Duration {
        self.response + Duration::from_secs(u64::try_from(bytes / SLOWEST).unwrap_or(u64::MAX))
    }

    /// One round trip: everything in the pipeline, each answer in its place. Answers that are errors end it, the first one counts.
    pub(super) async fn ask(
        &self,
        deadline: Duration,
        effect: Effect,
        compose: impl Fn(&Names) -> Pipeline,
    ) -> Result<Vec<Value>, RelayError> {
        let answers = self.ask_each(deadline, effect, compose).await?;
        let answers = answers.into_iter().collect::<RedisResult<Vec<Value>>>();
        answers.map_err(|error| failure::sort(self.place(), effect, &error))
    }

    /// As [`Link::ask`], and an answer may be an error.
    pub(super) async fn ask_each(
        &self,
        deadline: Duration,
        effect: Effect,
        compose: impl Fn(&Names) -> Pipeline,
    ) -> Result<Vec<RedisResult<Value>>, RelayError> {
        let live = self.live().await?;
        let answers = self.round_trip(&live, deadline, effect, compose(&live.names)).await?;
        if !answers.iter().any(has_no_script) {
            return Ok(answers);
        }
        // It forgot the scripts while we were connected, and did nothing.
        self.give_up(&live).await;
        let live = self.live().await?;
        self.round_trip(&live, deadline, effect, compose(&live.names)).await
    }

    /// Asks the server to tell of these mailboxes. Says in which ways it will.
    pub(super) async fn listen(&self, mailboxes: &[Mailbox]) -> Result<Hints, RelayError> {
        let live = self.live().await?;
        let messages = self.subscribe(&live, mailboxes).await?;
        let mut tracked = live.tracked.lock().await;
        let new: BTreeSet<Mailbox> = mailboxes.iter().copied().filter(|mailbox| !tracked.contains(mailbox)).collect();
        if new.is_empty() {
            return Ok(Hints { messages, changes: true });
        }
        let mut pipeline = redis::pipe();
        pipeline.cmd("CLIENT").arg("TRACKING").arg("ON").arg("BCAST");
        for mailbox in &new {
            pipeline.arg("PREFIX").arg(keys::mail(*mailbox));
        }
        let answers = self.round_trip(&live, self.response, Effect::Repeatable, pipeline).await?;
        let changes = answers.iter().all(Result::is_ok);
        if changes {
            tracked.extend(new);
        }
        Ok(Hints { messages, changes })
    }

    /// Subscribes to the channels of these mailboxes; `false` when the user may not.
    async fn subscribe(&self, live: &Arc<Live>, mailboxes: &[Mailbox]) -> Result<bool, RelayError> {
        let channels: Vec<String> = mailboxes.iter().map(|mailbox| keys::channel(*mailbox)).collect();
        if channels.is_empty() {
            return Ok(true);
        }
        let mut connection = live.connection.clone();
        let failed = match timeout(self.response, connection.subscribe(channels)).await {
            Ok(Ok(())) => return Ok(true),
            Ok(Err(error)) if failure::is_denied(&error) => return Ok(false),
            Ok(Err(error)) => failure::sort(self.place(), Effect::Repeatable, &error),
            Err(_elapsed) => self.silent(self.response, Effect::Repeatable),
        };
        self.give_up(live).await;
        Err(failed)
    }

    /// Tells the caller, once, that the server lost its data.
    pub(super) fn check_kept(&self) -> Result<(), RelayError> {
        if self.emptied.swap(false, Ordering::SeqCst) {
            return Err(failure::unanswered(self.place(), Effect::Repeatable, Reason::Emptied));
        }
        Ok(())
    }

    /// The marker, as a call found it. A lost one is put back.
    pub(super) async fn check_marker(&self, found: &[u8]) -> Result<(), RelayError> {
        if found.is_empty() {
            // The next connection puts it back.
            let live = self.live().await?;
            self.give_up(&live).await;
            self.live().await?;
            return self.check_kept();
        }
        accept(&self.address.place, keys::read_marker(found), Some(self.id)).map(drop)
    }

    /// The connection, made if there is none.
    async fn live(&self) -> Result<Arc<Live>, RelayError> {
        let mut live = self.live.lock().await;
        if let Some(live) = live.as_ref().filter(|live| !*live.broken.borrow()) {
            return Ok(Arc::clone(live));
        }
        *live = None;
        let dialled = dial(&self.address, &self.bells, Claim::Keep(self.id), self.response).await?;
        self.emptied.fetch_or(dialled.emptied, Ordering::SeqCst);
        let made = Arc::new(dialled.live);
        *live = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Uses this connection no more.
    async fn give_up(&self, live: &Arc<Live>) {
        if !live.broken.send_replace(true) {
            self.bells.broken();
        }
        let mut current = self.live.lock().await;
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            *current = None;
        }
    }

    async fn round_trip(
        &self,
        live: &Arc<Live>,
        deadline: Duration,
        effect: Effect,
        mut pipeline: Pipeline,
    ) -> Result<Vec<RedisResult<Value>>, RelayError> {
        let mut connection = live.connection.clone();
        let asking = pipeline.ignore_errors().query_async(&mut connection);
        let mut broken = live.broken.subscribe();
        let failed = tokio::select! {
            answered = timeout(deadline, asking) => match answered {
                Ok(Ok(answers)) => {
                    live.pending.whole();
                    return Ok(answers);
                }
                Ok(Err(error)) => failure::sort(self.place(), effect, &error),
                Err(_elapsed) => self.silent(deadline, effect),
            },
            // Another call waited in vain, and so would this one.
            _ = broken.wait_for(|broken| *broken) => failure::unanswered(self.place(), effect, Reason::Disconnected),
        };
        self.give_up(live).await;
        Err(failed)
    }

    fn silent(&self, deadline: Duration, effect: Effect) -> RelayError {
        failure::unanswered(self.place(), effect, Reason::TimedOut(deadline))
    }
}

/// In which ways a server tells of new mail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Hints {
    /// On channels, when kinfolk puts.
    pub(super) messages: bool,
    /// Whatever changes a mailbox.
    pub(super) changes: bool,
}

struct Dialled {
    live: Live,
    id: RelayId,
    emptied: bool,
}

async fn dial(address: &Address, bells: &Arc<Bells>, claim: Claim, response: Duration) -> Result<Dialled, RelayError> {
    let silent = |_elapsed| failure::unanswered(&address.place, Effect::Repeatable, Reason::TimedOut(response));
    let said = |error| failure::sort(&address.place, Effect::Repeatable, &error);
    let broken = watch::Sender::new(false);
    let pending = Pending::default();
    let listener = {
        let (broken, pending, bells) = (broken.clone(), pending.clone(), Arc::clone(bells));
        move |push: PushInfo| {
            pending.whole();
            if push.kind == redis::PushKind::Disconnection {
                broken.send_replace(true);
            }
            bells.pushed(&push);
            Ok::<(), std::convert::Infallible>(())
        }
    };
    // Deadlines are ours: those of the library know nothing of the size of a call.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let config = config.set_push_sender(listener);
    let connecting = timeout(response, address.connect()).await.map_err(silent)?;
    let stream = connecting.map_err(|error| failure::unconnected(&address.place, error))?;
    let stream = Bounded::new(stream, pending.clone());
    let logging_in = MultiplexedConnection::new_with_config(&address.login, stream, config);
    let (mut connection, carrying) = timeout(response, logging_in).await.map_err(silent)?.map_err(said)?;
    let carrier = tokio::spawn(carrying).abort_handle();

    let mut pipeline = redis::pipe();
    pipeline.cmd("GET").arg(keys::MARKER);
    for script in Script::ALL {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(script.text());
    }
    let greeting = pipeline.query_async::<(Option<Vec<u8>>, String, String, String, String)>(&mut connection);
    let greeted = timeout(response, greeting).await.map_err(silent)?.map_err(first).map_err(said)?;
    let (marker, put, fetch, acknowledge, sweep) = greeted;
    let names = Names::new([put, fetch, acknowledge, sweep]);

    let expected = match claim {
        Claim::Find | Claim::Make(_) => None,
        Claim::Keep(id) => Some(id),
    };
    let place = &address.place;
    let (id, emptied) = match (marker, claim) {
        (Some(marker), _) => (accept(place, keys::read_marker(&marker), expected)?, false),
        (None, Claim::Find) => return Err(RelayError::Config(ConfigError::NotPrepared { place: place.clone() })),
        (None, Claim::Make(id) | Claim::Keep(id)) => {
            let mut pipeline = redis::pipe();
            pipeline.cmd("SET").arg(keys::MARKER).arg(keys::marker(id)).arg("NX").ignore();
            pipeline.cmd("GET").arg(keys::MARKER);
            let marking = pipeline.query_async::<(Vec<u8>,)>(&mut connection);
            // Of several that put one there, all read the one that won.
            let (marker,) = timeout(response, marking).await.map_err(silent)?.map_err(first).map_err(said)?;
            (accept(place, keys::read_marker(&marker), expected)?, expected.is_some())
        }
    };
    let live = Live { connection, carrier, pending, names, broken, tracked: Mutex::default() };
    Ok(Dialled { live, id, emptied })
}

/// The relay a marker names, if it is the expected one.
fn accept(place: &str, marker: Marker, expected: Option<RelayId>) -> Result<RelayId, RelayError> {
    let place = place.to_owned();
    Err(RelayError::Config(match marker {
        Marker::Relay(found) => match expected {
            Some(expected) if expected != found => ConfigError::AnotherRelay { place, expected, found },
            Some(_) | None => return Ok(found),
        },
        Marker::Newer(found) => ConfigError::NewerRelay { place, found, known: keys::VERSION },
        Marker::Garbled => ConfigError::Unsuited { place, why: failure::FOREIGN },
    }))
}

/// Of the errors in a pipeline the first one.
fn first(error: RedisError) -> RedisError {
    let answers = error.clone().into_server_errors();
    answers.and_then(|errors| errors.first().map(|(_, error)| error.clone().into())).unwrap_or(error)
}

fn has_no_script(answer: &RedisResult<Value>) -> bool {
    answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}
