//! The local socket: who may listen where, and who may talk to it.
//!
//! # The way in is guarded three times
//! The socket lies in a directory that is ours, is no symbolic link and that nobody else may enter; it is made for its owner
//! only, without a moment in between; and the user behind each connection is asked of the kernel before its first byte is read.
//! On Windows the pipe's access list says the same: its owner and the system, nobody else and no other machine.
//!
//! # Stale sockets
//! A daemon that was killed leaves its socket behind. The caller of [`Listener::bind`] holds the lock of the state directory, so no
//! daemon of the same home is alive. But a socket can be named explicitly, and two homes may name the same one: what answers is
//! left alone, and only what refuses is removed.
//!
//! # Limits
//! A connection beyond [`super::room::MAX_CONNECTIONS`] is closed at once, which its client sees as such, while those there go on undisturbed.
//! Who connects and does not send the HTTP/2 preface within [`HELLO`] is disconnected; so is who leaves what it was sent lying for too long
//! ([`super::line`]).

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use interprocess::ConnectWaitMode;
use interprocess::local_socket::tokio::{Listener as Socket, Stream, prelude::*};
use interprocess::local_socket::{ConnectOptions, GenericFilePath, ListenerOptions, ToFsName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tonic::transport::server::Connected;

use super::line::{Debt, Line};
use super::room::{Kind, Place, Room};

/// How long a new connection may take to send its preface.
pub const HELLO: Duration = Duration::from_secs(10);

/// A bound local socket. Dropping it removes the socket file.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: PathBuf,
}

/// Why there is no local socket.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The directory would let others in.
    #[error("the socket directory {} {fault}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        fault: DirectoryFault,
    },
    /// Somebody answers there.
    #[error("another daemon listens at {}: end it, or set KINFOLK_SOCKET to another path", .0.display())]
    InUse(PathBuf),
    /// Something that is no socket has the name.
    #[error("{} is there and is no socket: move it away, or set KINFOLK_SOCKET to another path", .0.display())]
    NotASocket(PathBuf),
    /// The system said no.
    #[error("cannot listen at {}", path.display())]
    System {
        /// Where.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// What can be wrong with a socket directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DirectoryFault {
    /// A link can be turned elsewhere.
    #[error("is a symbolic link or no directory: name the directory itself")]
    NotADirectory,
    /// Its owner can put another socket there.
    #[error("belongs to user {0}, not to you: choose one of your own")]
    Foreign(u32),
    /// Others may enter or write.
    #[error("is open to others (mode {0:03o}): close it with chmod 700")]
    Open(u32),
}

impl Listener {
    /// Listens at `address`. Makes the directory when it is missing, and removes a socket that nobody serves. Must be called within a
    /// tokio runtime, under the lock of the state directory.
    pub fn bind(address: &Path) -> Result<Self, ListenError> {
        prepare(address)?;
        let socket = create(address).map_err(|source| system(address, source))?;
        let listener = Self { socket, address: address.to_owned() };
        confirm(address)?;
        Ok(listener)
    }

    /// The socket path or pipe name.
    pub fn address(&self) -> &Path {
        &self.address
    }

    /// Accepts connections and hands them over, until the receiver of `accepted` is dropped. Each is closed when its client leaves lying what it was
    /// sent for as long as `patience`.
    pub(super) async fn accept(self, room: Room, patience: Duration, accepted: mpsc::Sender<io::Result<Connection>>) {
        loop {
            let stream = tokio::select! {
                () = accepted.closed() => return,
                stream = self.socket.accept() => stream,
            };
            let stream = match stream {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a local connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if !peer_is_us(&stream) {
                tracing::warn!("closed a local connection of another user");
                continue;
            }
            let place = match room.take(Kind::Connection) {
                Ok(place) => place,
                Err(full) => {
                    tracing::warn!(reason = %full, "closed a local connection");
                    continue;
                }
            };
            if accepted.send(Ok(Connection::new(stream, place, HELLO, patience))).await.is_err() {
                return;
            }
        }
    }
}

/// A connection of one of our own processes.
pub(super) struct Connection {
    stream: Stream,
    /// How much of the preface is missing, and until when it may.
    greeting: Option<(usize, Pin<Box<Sleep>>)>,
    line: Line,
    /// How long the client may owe something.
    patience: Duration,
    /// When to look whether it does. It may ring too early, and is set again then.
    alarm: Option<Pin<Box<Sleep>>>,
    /// The socket takes no more bytes.
    stalled: Option<Debt>,
    _place: Place,
}

impl Connection {
    fn new(stream: Stream, place: Place, hello: Duration, patience: Duration) -> Self {
        let greeting = Some((PREFACE, Box::pin(sleep(hello))));
        Self { stream, greeting, line: Line::new(), patience, alarm: None, stalled: None, _place: place }
    }

    /// Ready when the client has owed something for too long.
    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        while let Some(since) = self.line.owes_since(cx) {
            let due = since + self.patience;
            if Instant::now() >= due {
                tracing::info!("closed a local connection whose client took nothing of what it was sent");
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly"));
            }
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.alarm = None;
        }
        Poll::Pending
    }

    /// Notes whether the socket takes bytes.
    fn note<T>(&mut self, written: Poll<T>) -> Poll<T> {
        match &written {
            Poll::Ready(_) => self.stalled = None,
            Poll::Pending if self.stalled.is_none() => self.stalled = Some(self.line.owe()),
            Poll::Pending => {}
        }
        written
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(lost) = this.poll_lost(cx) {
            return Poll::Ready(Err(lost));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        let Some((missing, deadline)) = &mut this.greeting else { return read };
        *missing = missing.saturating_sub(buffer.filled().len().saturating_sub(before));
        if *missing == 0 {
            this.greeting = None;
        } else if deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no HTTP/2 preface in time")));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        let written = this.note(written);
        if written.is_pending()
            && let Poll::Ready(lost) = this.poll_lost(cx)
        {
            return Poll::Ready(Err(lost));
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl Connected for Connection {
    type ConnectInfo = Line;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.line.clone()
    }
}

/// Bytes of the HTTP/2 connection preface (RFC 9113 §3.4).
const PREFACE: usize = 24;
/// After a failed accept: out of file descriptors passes, a busy loop does not help it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a socket that is there may take to show that somebody serves it.
const ANSWER: Duration = Duration::from_secs(2);

fn system(address: &Path, source: io::Error) -> ListenError {
    if source.kind() == io::ErrorKind::AddrInUse {
        ListenError::InUse(address.to_owned())
    } else {
        ListenError::System { path: address.to_owned(), source }
    }
}

/// Whether somebody accepts connections at `address`. A backlog that stays full counts as somebody.
fn answers(address: &Path) -> bool {
    let Ok(name) = address.to_fs_name::<GenericFilePath>() else { return false };
    let options = ConnectOptions::new().name(name).wait_mode(ConnectWaitMode::Timeout(ANSWER));
    match options.connect_sync() {
        Ok(_) => true,
        Err(error) => matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock),
    }
}

#[cfg(unix)]
fn prepare(address: &Path) -> Result<(), ListenError> {
    use std::os::unix::fs::{DirBuilderExt, FileTypeExt};

    let directory = address.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|e| system(address, e))?;
    check_directory(directory)?;
    match std::fs::symlink_metadata(address) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(system(address, error)),
        Ok(there) if !there.file_type().is_socket() => Err(ListenError::NotASocket(address.to_owned())),
        Ok(_) if answers(address) => Err(ListenError::InUse(address.to_owned())),
        Ok(_) => std::fs::remove_file(address).map_err(|e| system(address, e)),
    }
}

#[cfg(unix)]
fn check_directory(path: &Path) -> Result<(), ListenError> {
    use std::os::unix::fs::MetadataExt;

    let found = std::fs::symlink_metadata(path).map_err(|e| system(path, e))?;
    let ours = rustix::process::geteuid().as_raw();
    let fault = if !found.is_dir() {
        DirectoryFault::NotADirectory
    } else if found.uid() != ours {
        DirectoryFault::Foreign(found.uid())
    } else if found.mode() & 0o077 != 0 {
        DirectoryFault::Open(found.mode() & 0o777)
    } else {
        return Ok(());
    };
    Err(ListenError::Directory { path: path.to_owned(), fault })
}

#[cfg(unix)]
fn create(address: &Path) -> io::Result<Socket> {
    address.to_fs_name::<GenericFilePath>().and_then(|name| ListenerOptions::new().name(name).create_tokio())
}

/// Makes the socket the owner's alone. Until then its directory is what keeps others out. A mask would make it so from the beginning, but it
/// counts for the whole process, and takes rights from whatever other threads make meanwhile.
#[cfg(unix)]
fn confirm(address: &Path) -> Result<(), ListenError> {
    use std::os::unix::fs::PermissionsExt;

    std::fs::set_permissions(address, std::fs::Permissions::from_mode(0o600)).map_err(|e| system(address, e))
}

/// Asks the kernel who connected. Who cannot be named does not get in.
#[cfg(unix)]
fn peer_is_us(stream: &Stream) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream.peer_creds().is_ok_and(|peer| admits(ours, peer.euid()))
}

#[cfg(unix)]
fn admits(ours: u32, peer: Option<u32>) -> bool {
    peer == Some(ours)
}

#[cfg(windows)]
fn prepare(address: &Path) -> Result<(), ListenError> {
    // A pipe ends with its last handle, so there are no stale ones.
    if answers(address) { Err(ListenError::InUse(address.to_owned())) } else { Ok(()) }
}

#[cfg(windows)]
fn create(address: &Path) -> io::Result<Socket> {
    use interprocess::os::windows::local_socket::ListenerOptionsExt;
    use interprocess::os::windows::security_descriptor::SecurityDescriptor;

    // Protected from inheritance; full access for the owner and for the system. The crate makes the first instance exclusively
    // and rejects remote clients.
    let access = SecurityDescriptor::deserialize(widestring::u16cstr!("D:P(A;;GA;;;OW)(A;;GA;;;SY)"))?;
    let name = address.to_fs_name::<GenericFilePath>()?;
    ListenerOptions::new().name(name).security_descriptor(access).create_tokio()
}

#[cfg(windows)]
fn confirm(_: &Path) -> Result<(), ListenError> {
    Ok(())
}

/// The pipe's access list let it in.
#[cfg(windows)]
fn peer_is_us(_: &Stream) -> bool {
    true
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
