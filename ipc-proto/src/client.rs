//! The Rust client: one connection to the daemon over its local socket.
//!
//! # Finding and waiting
//! An explicit socket is the only place asked. Else `endpoint.json` comes first (it knows of sockets that a service
//! manager handed over), then the computed path. A daemon counts as *starting* while the process named in
//! `endpoint.json` lives or [`Connect::wait`] has not passed; only an answered `Info.GetInfo` counts as ready. A socket
//! that nobody serves, without such a process, is reported at once.
//!
//! # Trust
//! On Unix the peer's effective user must be ours before the first byte is sent: a squatter on the socket path learns
//! nothing.
//!
//! A token is shown only after that, with each call ([`crate::credential`]).
//!
//! # Life
//! The channel dials again by itself after the daemon was restarted. A call that was under way fails; [`Client::push`] sends again what counts once,
//! [`Client::watch`] goes on from its cursor, and an [`Outbox`](crate::outbox::Outbox) keeps what could not be pushed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use interprocess::local_socket::tokio::{Stream, prelude::*};
use interprocess::local_socket::{GenericFilePath, ToFsName};
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint as ChannelEndpoint};

use crate::credential::{Credential, Showing};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::paths::{PathError, Paths};
use crate::v1::admin_client::AdminClient;
use crate::v1::conversations_client::ConversationsClient;
use crate::v1::info_client::InfoClient;
use crate::v1::records_client::RecordsClient;
use crate::v1::{GetInfoRequest, GetInfoResponse, VersionRange};
use crate::{MAX_REPLY_BYTES, PROTOCOL_MAX, PROTOCOL_MIN};

/// How to connect.
#[derive(Clone, Debug)]
pub struct Connect {
    /// Where the daemon may be.
    pub paths: Paths,
    /// What the daemon's log calls this client, such as `kin/0.1.0`.
    pub client: String,
    /// How long to wait for a daemon that does not listen yet. With zero one that is not there is reported at once; one
    /// that is starting is waited for in any case, up to [`STARTING`].
    pub wait: Duration,
    /// What it shows the daemon to be let in.
    pub credential: Credential,
}

impl Connect {
    /// To the daemon that this process's environment leads to, with the credential that it names, without waiting for one that does not run.
    pub fn of_environment(client: &str) -> Result<Self, PathError> {
        let credential = Credential::of_environment();
        Ok(Self { paths: Paths::discover(None)?, client: client.into(), wait: Duration::ZERO, credential })
    }

    /// Whether that daemon lives and is one that is asked: the daemon of this home is not when another socket was named.
    fn may_answer(&self, endpoint: &Endpoint) -> bool {
        (!self.paths.socket_is_explicit || endpoint.address == self.paths.socket) && endpoint.process_exists()
    }
}

/// A channel on which every call shows the [`Credential`] of its client.
pub type Shown = InterceptedService<Channel, Showing>;

/// A connection to a daemon of a version that this client understands. Cloning is cheap and shares the connection.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    showing: Showing,
    info: GetInfoResponse,
    address: PathBuf,
}

impl Client {
    /// Connects, and asks who is there.
    ///
    /// Errors: [`Error::Unreachable`], [`Error::NotReady`], [`Error::TurnedAway`], [`Error::ForeignSocket`],
    /// [`Error::VersionMismatch`], [`Error::Credential`].
    pub async fn connect(connect: &Connect) -> Result<Self, Error> {
        let begin = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let endpoint = Endpoint::read(&connect.paths.endpoint_file());
            let starting = endpoint.as_ref().is_some_and(|endpoint| connect.may_answer(endpoint));
            let patience = if starting { connect.wait.max(STARTING) } else { connect.wait };
            let error = match Self::try_connect(connect, endpoint).await {
                Ok(client) => return Ok(client),
                Err(error @ (Error::Unreachable { .. } | Error::NotReady { .. } | Error::TurnedAway { .. })) => error,
                Err(other) => return Err(other),
            };
            if begin.elapsed() + pause > patience {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Who answered when the connection was made.
    pub fn info(&self) -> &GetInfoResponse {
        &self.info
    }

    /// The socket or pipe.
    pub fn address(&self) -> &Path {
        &self.address
    }

    /// Asks anew who is there.
    pub async fn get_info(&self) -> Result<GetInfoResponse, Error> {
        let request = GetInfoRequest { client: String::new() };
        Ok(InfoClient::new(self.channel.clone()).get_info(request).await?.into_inner())
    }

    /// The records service.
    pub fn records(&self) -> RecordsClient<Shown> {
        RecordsClient::with_interceptor(self.channel.clone(), self.showing.clone())
            .max_decoding_message_size(MAX_REPLY_BYTES)
    }

    /// The conversations service.
    pub fn conversations(&self) -> ConversationsClient<Shown> {
        ConversationsClient::with_interceptor(self.channel.clone(), self.showing.clone())
            .max_decoding_message_size(MAX_REPLY_BYTES)
    }

    /// The owner's service.
    pub fn admin(&self) -> AdminClient<Shown> {
        AdminClient::with_interceptor(self.channel.clone(), self.showing.clone())
            .max_decoding_message_size(MAX_REPLY_BYTES)
    }

    async fn try_connect(connect: &Connect, endpoint: Option<Endpoint>) -> Result<Self, Error> {
        let mut candidates = Vec::with_capacity(2);
        if !connect.paths.socket_is_explicit {
            candidates.extend(endpoint.map(|endpoint| endpoint.address));
        }
        if !candidates.contains(&connect.paths.socket) {
            candidates.push(connect.paths.socket.clone());
        }
        let mut last = None;
        for address in candidates {
            match dial(&address).await {
                Ok(stream) => return Self::shake_hands(connect, address, stream).await,
                Err(error @ Error::Unreachable { .. }) => last = Some(error),
                Err(other) => return Err(other),
            }
        }
        Err(last.unwrap_or_else(|| Error::Unreachable {
            address: connect.paths.socket.clone(),
            source: io::ErrorKind::NotFound.into(),
        }))
    }

    async fn shake_hands(connect: &Connect, address: PathBuf, stream: Stream) -> Result<Self, Error> {
        let channel = channel(address.clone(), stream);
        let request = GetInfoRequest { client: connect.client.clone() };
        let answer = timeout(HANDSHAKE, InfoClient::new(channel.clone()).get_info(request)).await;
        let Ok(answer) = answer else { return Err(Error::NotReady { address, waited: HANDSHAKE }) };
        let info = match answer.map_err(Error::from) {
            Ok(info) => info.into_inner(),
            // A daemon that is there answers this, or says why not: it has closed the connection.
            Err(Error::Failed(status)) if status.code() != Code::Unimplemented => {
                return Err(Error::TurnedAway { address });
            }
            Err(error) => return Err(error),
        };
        if info.protocol_max < PROTOCOL_MIN || info.protocol_min > PROTOCOL_MAX {
            return Err(Error::VersionMismatch {
                version: info.version,
                daemon: VersionRange { min: info.protocol_min, max: info.protocol_max },
                client: VersionRange { min: PROTOCOL_MIN, max: PROTOCOL_MAX },
            });
        }
        // The daemon has put its credential there before it answers.
        let showing = connect.credential.read(&connect.paths)?;
        Ok(Self { channel, showing, info, address })
    }
}

/// How long a daemon whose process lives may take until it answers: the time of a database migration.
pub const STARTING: Duration = Duration::from_secs(10);

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_millis(200);
/// How long one `GetInfo` may take: it is answered from memory.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// HTTP/2 window of a stream: four replies of the usual greatest size, so that a local bulk transfer hardly waits for updates.
const STREAM_WINDOW: u32 = 4 << 20;
/// HTTP/2 window of the connection: seven streams that nobody reads leave room for an eighth.
const CONNECTION_WINDOW: u32 = 32 << 20;

/// A channel that uses `first`, and dials `address` again when that breaks.
fn channel(address: PathBuf, first: Stream) -> Channel {
    let first = Arc::new(Mutex::new(Some(first)));
    let connector = tower::service_fn(move |_| {
        let first = Arc::clone(&first);
        let address = address.clone();
        async move {
            let ready = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            let stream = match ready {
                Some(stream) => stream,
                None => dial(&address).await?,
            };
            Ok::<_, Error>(TokioIo::new(stream))
        }
    });
    // HTTP/2 wants an authority; the socket is what counts.
    ChannelEndpoint::from_static("http://kinfolk.localhost")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .connect_with_connector_lazy(connector)
}

/// Opens a stream to our own daemon.
async fn dial(address: &Path) -> Result<Stream, Error> {
    let unreachable = |source| Error::Unreachable { address: address.to_owned(), source };
    let name = address.to_fs_name::<GenericFilePath>().map_err(unreachable)?;
    let stream =
        Stream::connect(name).await.map_err(|source| foreign_socket(address).unwrap_or(unreachable(source)))?;
    check_peer(address, &stream)?;
    Ok(stream)
}

#[cfg(unix)]
fn check_peer(address: &Path, stream: &Stream) -> Result<(), Error> {
    let peer = stream.peer_creds().map_err(|source| Error::Unreachable { address: address.to_owned(), source })?;
    let us = rustix::process::geteuid().as_raw();
    match peer.euid() {
        Some(owner) if owner != us => Err(Error::ForeignSocket { address: address.to_owned(), owner }),
        Some(_) | None => Ok(()),
    }
}

/// Pipes carry an access list that only their owner can set; a server's user is not visible without unsafe code.
#[cfg(not(unix))]
fn check_peer(_: &Path, _: &Stream) -> Result<(), Error> {
    Ok(())
}

/// The error for a socket that cannot be opened, when it is somebody else's.
#[cfg(unix)]
fn foreign_socket(address: &Path) -> Option<Error> {
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::symlink_metadata(address).ok()?.uid();
    let ours = owner == rustix::process::geteuid().as_raw();
    (!ours).then(|| Error::ForeignSocket { address: address.to_owned(), owner })
}

#[cfg(not(unix))]
fn foreign_socket(_: &Path) -> Option<Error> {
    None
}

#[cfg(test)]
mod tests;
