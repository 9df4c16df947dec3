//! The local API: gRPC over the local socket.
//!
//! ```text
//! listener ─▶ door ─▶ admission ─▶ info · records · conversations · admin ─▶ driver (writes) · reader (reads) · node, daemon (the rest)
//!             who?    limits,      convert: contract ⇄ domain                 │
//!             may     deadlines    error: domain errors → codes               ▼
//!             they?                pipe: streams            ◀── bell ── watch: log after a cursor
//! ```
//!
//! Writes go through the driver and are durable when they are answered. Reads never do: they run on blocking threads with read-only
//! connections, so neither a slow query nor a slow client holds up the event loop. Streams hold a cursor, no data: the bell says
//! "look again", and the log is read from there.
//!
//! **To add a call**: the `.proto` file with its comments, `cargo gen-protos`, its line in [`methods`], a method in the service's file here
//! that asks [`caller`] about every name it touches, its conversions in [`convert`], its errors in [`error`], the command in `kin`.

mod admin;
mod admission;
mod bodies;
mod bulk;
mod caller;
mod conflicts;
mod conversations;
mod convert;
mod cursors;
mod door;
mod error;
mod health;
mod history;
mod info;
mod line;
pub mod listener;
mod lookup;
mod methods;
mod page;
mod pipe;
mod pull;
mod quota;
mod records;
mod room;
mod snapshot;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use ipc_proto::v1::admin_server::AdminServer;
use ipc_proto::v1::conversations_server::ConversationsServer;
use ipc_proto::v1::info_server::InfoServer;
use ipc_proto::v1::records_server::RecordsServer;
use ipc_proto::v1::{ErrorCode, ErrorDetail};
use ipc_proto::{DESCRIPTORS, MAX_REPLY_BYTES, MAX_REQUEST_BYTES};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch as signal};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::Server;
use tonic_health::pb::health_server::HealthServer;

use self::admission::{Admission, limit};
use self::cursors::Cursors;
use self::door::Door;
use self::listener::{ListenError, Listener};
use self::pipe::{Pipes, SLOW};
use self::room::Room;
use crate::daemon::{Daemon, Setup};
use crate::node::Node;
use crate::shutdown::Shutdown;
use crate::store::{Reader, StoreError};

/// Why the local API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum IpcError {
    /// There is no socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The descriptions for reflection cannot be read.
    #[error("the description of the local API is damaged: {0}")]
    Descriptors(#[from] tonic_reflection::server::Error),
    /// The server broke down.
    #[error("the local API cannot be served")]
    Server(#[from] tonic::transport::Error),
}

/// Serves the local API until the shutdown begins, then lets calls that are under way finish, at most for [`GRACE`].
pub async fn serve(listener: Listener, daemon: Arc<Daemon>, shutdown: Shutdown) -> Result<(), IpcError> {
    serve_within(Room::of_the_daemon(), [SLOW; 2], listener, daemon, shutdown).await
}

/// The same, in that room, and with so much time for clients to take an event, and what they are sent at all.
async fn serve_within(
    room: Room,
    [slow, stuck]: [Duration; 2],
    listener: Listener,
    daemon: Arc<Daemon>,
    shutdown: Shutdown,
) -> Result<(), IpcError> {
    let (stop, stopping) = signal::channel(false);
    let long_reads = Arc::new(Semaphore::new(MAX_LONG_READS));
    let api = Api { daemon, pipes: Pipes::new(room.clone(), stopping, slow), long_reads, cursors: Arc::default() };
    let describe = || tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
    let describe = || describe().register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);

    let (accepted, connections) = mpsc::channel(1);
    let accepting = tokio::spawn(listener.accept(room.clone(), stuck, accepted));
    let limited = |api: &Api| api.clone();
    let server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .layer(Door::new(Arc::clone(&api.daemon)))
        .layer(Admission::new(room))
        .add_service(InfoServer::new(limited(&api)).max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(
            RecordsServer::new(limited(&api))
                .max_decoding_message_size(MAX_REQUEST_BYTES)
                .max_encoding_message_size(MAX_REPLY_BYTES),
        )
        .add_service(
            ConversationsServer::new(limited(&api))
                .max_decoding_message_size(MAX_REQUEST_BYTES)
                .max_encoding_message_size(MAX_REPLY_BYTES),
        )
        .add_service(
            AdminServer::new(limited(&api))
                .max_decoding_message_size(MAX_REQUEST_BYTES)
                .max_encoding_message_size(MAX_REPLY_BYTES),
        )
        .add_service(HealthServer::new(limited(&api)))
        .add_service(describe().build_v1()?)
        .add_service(describe().build_v1alpha()?);

    let begun = async {
        shutdown.begun().await;
        stop.send_replace(true);
    };
    let serving = server.serve_with_incoming_shutdown(ReceiverStream::new(connections), begun);
    let late = async {
        shutdown.begun().await;
        tokio::time::sleep(GRACE).await;
    };
    let outcome = tokio::select! {
        outcome = serving => outcome,
        () = late => {
            tracing::warn!("some local calls did not end in time");
            Ok(())
        }
    };
    if let Ok(node) = api.node() {
        api.cursors.write_down(&node).await;
    }
    // The server has let go of the connections, so this ends, and the socket is gone when it has.
    if let Err(panic) = accepting.await {
        tracing::error!(%panic, "the listener broke down");
    }
    Ok(outcome?)
}

/// What all services work on.
#[derive(Clone)]
struct Api {
    daemon: Arc<Daemon>,
    pipes: Pipes,
    long_reads: Arc<Semaphore>,
    cursors: Arc<Cursors>,
}

impl Api {
    /// The running device, or why there is none.
    fn node(&self) -> Result<Arc<Node>, Status> {
        match self.daemon.setup() {
            Setup::NotSetUp => Err(error::not_set_up().into()),
            Setup::Locked(why) => Err(error::locked(&why).into()),
            Setup::Ready(node) => Ok(node),
        }
    }

    /// Leave to read all of the store. One too many is told so instead of waiting on a thread that short reads need.
    fn long_read(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.long_reads).try_acquire_owned().map_err(|_| {
            ErrorDetail::new(ErrorCode::Busy, "the store is being read from end to end already")
                .hint("wait until the exports and verifications that run have ended")
                .payload(limit("exports and verifications at a time", MAX_LONG_READS, MAX_LONG_READS + 1))
                .into()
        })
    }
}

/// Reads from the store, off the event loop. When nobody waits for it any more it is interrupted, or not even begun.
async fn read<O: Send + 'static>(
    reader: &Reader,
    what: impl FnOnce(&Reader) -> Result<O, StoreError> + Send + 'static,
) -> Result<O, Status> {
    let (reader, _awaited) = reader.awaited();
    match tokio::task::spawn_blocking(move || what(&reader)).await {
        Ok(outcome) => Ok(outcome.map_err(|fault| error::store(&fault))?),
        Err(_) => Err(ErrorDetail::new(ErrorCode::Internal, "reading the store broke down").into()),
    }
}

/// Most exports and verifications at a time. Each holds a thread and a connection for as long as it lasts.
pub const MAX_LONG_READS: usize = 2;
/// How long calls that are under way may take to finish when the daemon stops.
pub const GRACE: Duration = Duration::from_secs(3);
/// Most streams and calls on one connection, above the limits of its [`Room`]; more wait in the client.
const MAX_STREAMS_PER_CONNECTION: u32 = 256;
/// How much of a request may be under way unread: one of the largest.
const STREAM_WINDOW: u32 = 2 << 20;
/// The same for all requests of a connection.
const CONNECTION_WINDOW: u32 = 4 << 20;

#[cfg(test)]
#[cfg(unix)]
mod tests;
