//! The daemon: one process, one state directory, one person's device.
//!
//! ```text
//! lock the state directory ─▶ open the device ─▶ listen ─▶ serve until a signal or a call ends it ─▶ stop the driver
//! ```
//!
//! A home without a device is served too: it answers `Info`, `Init` and `Join`, and becomes a device in place. A device whose keys or store
//! cannot be read is *locked*: served, said so, and tried again.

mod credential;
mod error;
mod process;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipc_proto::paths::Paths;
use kinfolk_core::ids::{DeviceId, Millis};
use tokio::sync::{Mutex, mpsc, watch};
use tracing::{error, info, warn};

pub use self::error::{DaemonError, InitError};

use self::error::io_error;
use self::process::{announce, forbid_dumps, lock};
use crate::config::{Settings, Spans};
use crate::driver::wall_clock;
use crate::ipc;
use crate::logging;
use crate::node::{MAX_RELAYS, Node};
use crate::pairing::{self, Invitation, InviteError, InviteEvent, JoinError, JoinEvent, Wishes};
use crate::relay::{RelayError, RelayUrl};
use crate::seal::{Bearer, BearerHash};
use crate::setup::{Found, Fresh, Places, SetupError, private_dir};
use crate::shutdown::{self, Shutdown};

/// How to run the daemon.
#[derive(Clone, Debug, Default)]
pub struct Args {
    /// Where to listen, in place of the usual socket.
    pub socket: Option<PathBuf>,
    /// What to log, as a `tracing` filter; else `KINFOLK_LOG`, else `info`.
    pub log: Option<String>,
    /// Whether to let debuggers look at the process, which holds keys.
    pub debuggable: bool,
}

/// How far this device is.
#[derive(Clone)]
pub enum Setup {
    /// No identity yet.
    NotSetUp,
    /// There is one, and it cannot be opened now.
    Locked(Locked),
    /// Running.
    Ready(Arc<Node>),
}

/// Why a device cannot be opened now.
#[derive(Clone, Debug)]
pub struct Locked {
    /// In words.
    pub reason: String,
    /// What to do.
    pub hint: &'static str,
}

impl From<&SetupError> for Locked {
    fn from(error: &SetupError) -> Self {
        Self { reason: error.to_string(), hint: error.hint() }
    }
}

/// This run of the daemon.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Random for each run.
    pub id: String,
    /// Its process.
    pub pid: u32,
    /// When it began, by the wall clock.
    pub started: Millis,
}

/// Runs the daemon in the foreground until it is told to stop, and ends the process.
pub fn run(args: &Args) -> ! {
    let settings = Paths::discover(args.socket.as_deref())
        .map_err(DaemonError::from)
        .and_then(|paths| Ok((Settings::load(&paths.config_file())?, paths)));
    let written = settings.as_ref().ok().and_then(|(settings, _)| settings.log.as_deref());
    logging::start(args.log.as_deref(), written);
    let code = match settings.and_then(|(settings, paths)| try_run(args, paths, settings.spans)) {
        Ok(()) => 0,
        Err(error) => {
            error!(%error, "kinfolkd ends");
            eprintln!("kinfolkd: {error}");
            error.exit_code()
        }
    };
    shutdown::leave(code.into())
}

fn try_run(args: &Args, paths: Paths, spans: Spans) -> Result<(), DaemonError> {
    if !args.debuggable {
        forbid_dumps();
    }
    for directory in [&paths.state, &paths.config] {
        private_dir(directory).map_err(|source| io_error(format!("cannot make {}", directory.display()), source))?;
    }
    let _lock = lock(&paths)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_THREADS).build();
    let runtime = runtime.map_err(|source| io_error("cannot start the runtime".into(), source))?;
    let outcome = runtime.block_on(serve(paths, spans));
    runtime.shutdown_timeout(DRAIN);
    outcome
}

async fn serve(paths: Paths, spans: Spans) -> Result<(), DaemonError> {
    let shutdown = Shutdown::listen().map_err(|source| io_error("cannot listen for signals".into(), source))?;
    let daemon = Daemon::open(&paths, spans, shutdown.clone()).await?;
    let listener = ipc::listener::Listener::bind(&paths.socket).map_err(ipc::IpcError::from)?;
    announce(&paths, daemon.instance())?;
    info!(socket = %paths.socket.display(), "kinfolkd is ready");
    let outcome = ipc::serve(listener, Arc::clone(&daemon), shutdown.clone()).await;
    info!("kinfolkd is stopping");
    daemon.stop().await;
    std::fs::remove_file(paths.endpoint_file()).ok();
    Ok(outcome?)
}

/// What the services of the local API work on.
pub struct Daemon {
    places: Places,
    spans: Spans,
    instance: Instance,
    /// Of the token by which the owner's programs are known.
    owner: BearerHash,
    shutdown: Shutdown,
    setup: watch::Sender<Setup>,
    /// Held while a device is being made, so that two callers cannot make two. A join waits for a person: who comes second is told,
    /// and does not wait behind it.
    making: Mutex<()>,
    invitation: Mutex<Option<Invitation>>,
}

impl Daemon {
    pub(crate) async fn open(paths: &Paths, spans: Spans, shutdown: Shutdown) -> Result<Arc<Self>, DaemonError> {
        let places = Places { config: paths.config.clone(), state: paths.state.clone() };
        let instance =
            Instance { id: uuid::Uuid::new_v4().to_string(), pid: std::process::id(), started: wall_clock() };
        let credential = paths.credential_file();
        let owner = credential::settle(&credential, &mut rand::rng())
            .map_err(|source| io_error(format!("cannot keep {}", credential.display()), source))?
            .hash();
        let setup = match open_device(&places, spans).await {
            Ok(setup) => setup,
            Err(error) if error.is_locked() => {
                warn!(%error, "the device is locked");
                Setup::Locked((&error).into())
            }
            Err(error) => return Err(error.into()),
        };
        let locked = matches!(setup, Setup::Locked(_));
        let (setup, _) = watch::channel(setup);
        let (making, invitation) = (Mutex::new(()), Mutex::new(None));
        let daemon = Arc::new(Self { places, spans, instance, owner, shutdown, setup, making, invitation });
        if locked {
            tokio::spawn(Self::keep_unlocking(Arc::downgrade(&daemon)));
        }
        Ok(daemon)
    }

    /// How far this device is now.
    pub fn setup(&self) -> Setup {
        self.setup.borrow().clone()
    }

    /// Changes of [`Daemon::setup`].
    pub fn watch_setup(&self) -> watch::Receiver<Setup> {
        self.setup.subscribe()
    }

    /// Makes this the first device of a person. Every relay must answer; nothing is made otherwise.
    ///
    /// # Errors
    /// [`InitError`]; nothing is left behind then, but with [`InitError::Change`]: the device is made and lacks the relay.
    pub async fn init(&self, name: &str, relays: &[String]) -> Result<Arc<Node>, InitError> {
        self.must_be_new()?;
        let _making = self.making.try_lock().map_err(|_| SetupError::Busy)?;
        self.must_be_new()?;
        let mut reached = Vec::with_capacity(relays.len());
        for url in relays {
            let url = RelayUrl::parse(url).map_err(RelayError::from)?;
            let relay = crate::relay::prepare(&url).await?;
            relay.probe().await?;
            reached.push((relay, url));
        }
        let made = {
            let mut rng = rand::rng();
            let mut fresh = Fresh::generate(name, &mut rng)?;
            fresh.relays = reached.iter().take(MAX_RELAYS).map(|(relay, url)| (relay.id(), url.clone())).collect();
            self.places.found(fresh, &mut rng)
        };
        let started = match made {
            Ok(opened) => Node::start(opened, self.spans).await,
            Err(error) => Err(error),
        };
        let node = match started {
            Ok(node) => node,
            Err(error) => {
                // A device that was made and did not start is a device: it is opened as after a restart.
                let Ok(Setup::Ready(node)) = open_device(&self.places, self.spans).await else {
                    return Err(error.into());
                };
                if matches!(error, SetupError::AlreadySetUp) {
                    self.setup.send_replace(Setup::Ready(node));
                    return Err(error.into());
                }
                node
            }
        };
        info!(device = %node.me, "set up as the first device");
        // It exists from here on, whatever becomes of its relays.
        self.setup.send_replace(Setup::Ready(Arc::clone(&node)));
        for (relay, url) in reached {
            node.adopt(relay, url).await?;
        }
        Ok(node)
    }

    /// Joins the family of the device that shows `card`.
    ///
    /// # Errors
    /// When this device is set up already; everything else is the last event.
    pub fn join(
        self: &Arc<Self>,
        card: String,
        name: String,
        wishes: Wishes,
    ) -> Result<mpsc::Receiver<JoinEvent>, JoinError> {
        self.must_be_new()?;
        let (events, heard) = mpsc::channel(8);
        let daemon = Arc::clone(self);
        tokio::spawn(async move {
            let last = match daemon.making.try_lock() {
                Ok(_making) => daemon.try_join(&card, &name, &wishes, &events).await,
                Err(_) => Err(SetupError::Busy.into()),
            };
            let last = last.map_or_else(JoinEvent::Failed, JoinEvent::Joined);
            events.send(last).await.ok();
        });
        Ok(heard)
    }

    async fn try_join(
        &self,
        card: &str,
        name: &str,
        wishes: &Wishes,
        events: &mpsc::Sender<JoinEvent>,
    ) -> Result<Arc<Node>, JoinError> {
        self.must_be_new()?;
        let joined = pairing::join(&self.places, self.spans, card, name, wishes, events).await;
        let node = match joined {
            Ok(node) => node,
            // A device that was made and did not start is a device: it is opened as after a restart.
            Err(error) => match open_device(&self.places, self.spans).await {
                Ok(Setup::Ready(node)) => node,
                Ok(Setup::NotSetUp | Setup::Locked(_)) | Err(_) => return Err(error),
            },
        };
        info!(device = %node.me, "joined");
        self.setup.send_replace(Setup::Ready(Arc::clone(&node)));
        Ok(node)
    }

    /// Opens an invitation. There is one at a time.
    ///
    /// # Errors
    /// [`InviteError`].
    pub async fn invite(&self, node: Arc<Node>) -> Result<mpsc::Receiver<InviteEvent>, InviteError> {
        let mut open = self.invitation.lock().await;
        if open.as_ref().is_some_and(|invitation| !invitation.is_over()) {
            return Err(InviteError::Busy);
        }
        let (invitation, events) = Invitation::open(node).await?;
        *open = Some(invitation);
        Ok(events)
    }

    /// Takes the check code that the new device shows.
    ///
    /// # Errors
    /// [`InviteError`].
    pub async fn confirm(&self, code: &str) -> Result<DeviceId, InviteError> {
        let invitation = self.invitation.lock().await.clone().ok_or(InviteError::None)?;
        invitation.confirm(code).await
    }

    /// This run.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Whether this is the token that lies in the state directory, where only the owner can read it.
    pub fn is_owner(&self, token: &Bearer) -> bool {
        self.owner.is(&token.hash())
    }

    /// What protects the keys: a name, and what that means.
    pub fn key_protection(&self) -> (&'static str, &'static str) {
        self.places.protection()
    }

    /// Ends the daemon.
    pub fn shutdown(&self) {
        self.shutdown.begin();
    }

    pub(crate) async fn stop(&self) {
        if let Setup::Ready(node) = self.setup()
            && tokio::time::timeout(DRAIN, node.stop()).await.is_err()
        {
            warn!("the driver did not stop in time; what was committed is safe");
        }
    }

    fn must_be_new(&self) -> Result<(), SetupError> {
        match self.setup() {
            Setup::NotSetUp => Ok(()),
            Setup::Locked(_) | Setup::Ready(_) => Err(SetupError::AlreadySetUp),
        }
    }

    async fn keep_unlocking(daemon: std::sync::Weak<Self>) {
        loop {
            tokio::time::sleep(UNLOCK_AGAIN).await;
            let Some(daemon) = daemon.upgrade() else { return };
            let _making = daemon.making.lock().await;
            match open_device(&daemon.places, daemon.spans).await {
                Ok(setup) => {
                    info!("the device is unlocked");
                    daemon.setup.send_replace(setup);
                    return;
                }
                Err(error) => daemon.setup.send_replace(Setup::Locked((&error).into())),
            };
        }
    }
}

async fn open_device(places: &Places, spans: Spans) -> Result<Setup, SetupError> {
    match places.open()? {
        Found::Nothing => Ok(Setup::NotSetUp),
        Found::Device(opened) => Ok(Setup::Ready(Node::start(*opened, spans).await?)),
    }
}

/// Threads for reads, large seals and files, made on demand beside the event loop and the driver. A shared folder that hangs keeps two of
/// them; eight such folders stop nothing else.
const BLOCKING_THREADS: usize = 20;
/// How long stopping may take: 5 s.
const DRAIN: Duration = Duration::from_secs(5);
/// How often a locked device is tried again: 5 s.
const UNLOCK_AGAIN: Duration = Duration::from_secs(5);
