//! The bytes of a connection, bounded.
//!
//! The client library collects an answer until it is whole, however long the server says that it is. A server that never ends one would fill
//! our memory, so this counts what arrives, and ends the connection when more came than any answer has. Whoever got a whole answer or push grants the
//! next one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes that may arrive without a whole answer or push among them: 16 MiB. A page of mail has at most 1 MiB, or one envelope of 2 MiB, and its
/// names; a few answers may be under way at once.
const MAX_PENDING: usize = 16 << 20;

/// A connection's two directions.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for S {}

/// How much has arrived since the last whole answer or push.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending(Arc<AtomicUsize>);

impl Pending {
    /// Something whole has arrived.
    pub(super) fn whole(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A connection that ends when too much is pending.
pub(super) struct Bounded {
    inner: Box<dyn Duplex>,
    pending: Pending,
}

impl Bounded {
    /// Bounds a connection.
    pub(super) fn new(inner: Box<dyn Duplex>, pending: Pending) -> Self {
        Self { inner, pending }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let arrived = buffer.filled().len() - before;
        let pending = self.pending.0.fetch_add(arrived, Ordering::Relaxed) + arrived;
        if pending > MAX_PENDING {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
