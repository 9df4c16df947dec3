//! Server streams: one task feeds each, through a bounded channel.
//!
//! A stream ends when its task is done, its client is gone, its deadline has passed, the daemon stops, its app is revoked, or its client
//! reads too slowly. The
//! last place in the channel is kept for the reason: even a subscriber whose channel is full gets it, in order, and
//! knows from what it read before where to resume. Nothing is lost and nobody else is delayed.

use std::sync::Arc;
use std::time::Duration;

use ipc_proto::v1::{ErrorCode, ErrorDetail};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::admission::{Deadline, limit, too_late};
use super::caller::{Caller, unknown};

/// Most streams that are open at a time, over all connections.
pub(super) const MAX_STREAMS: usize = 128;
/// Streams that are few: 8 reads of 0.2 ms hold the event loop up for less than 2 ms.
const FEW_STREAMS: usize = 8;
/// Events that wait for a subscriber in its channel; a bundle has at most about 1 MiB, so some 4 MiB for each stream at worst.
pub(super) const MAX_WAITING: usize = 4;
/// How long a subscriber may leave its channel full before it is disconnected.
pub(super) const SLOW: Duration = Duration::from_secs(30);

/// What a streaming call answers with.
pub(super) type Events<T> = ReceiverStream<Result<T, Status>>;

/// Where streams are opened.
#[derive(Clone, Debug)]
pub(super) struct Pipes {
    places: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
    slow: Duration,
}

/// Why a stream ends before its task is done.
#[derive(Debug)]
pub(super) enum End {
    /// Its client went away.
    Gone,
    /// Something is to be said about it.
    Told(Box<Status>),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Told(Box::new(status))
    }
}

impl From<ErrorDetail> for End {
    fn from(detail: ErrorDetail) -> Self {
        detail.into_status().into()
    }
}

/// The feeding end of a stream.
#[derive(Debug)]
pub(super) struct Pipe<T> {
    events: mpsc::Sender<Result<T, Status>>,
    stopping: watch::Receiver<bool>,
    deadline: Option<Deadline>,
    revocation: Option<watch::Receiver<bool>>,
    slow: Duration,
    places: Arc<Semaphore>,
}

impl Pipes {
    /// Pipes that end when `stopping` says so.
    pub(super) fn new(stopping: watch::Receiver<bool>) -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_STREAMS)), stopping, slow: SLOW }
    }

    /// Answers `request` with a stream that `feed` fills.
    pub(super) fn open<Q, T, F>(
        &self,
        request: &Request<Q>,
        feed: impl FnOnce(Pipe<T>) -> F,
    ) -> Result<Response<Events<T>>, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<(), End>> + Send + 'static,
    {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            ErrorDetail::new(ErrorCode::Busy, "too many streams are open").hint("end some of them").payload(limit(
                "open streams",
                MAX_STREAMS,
                MAX_STREAMS + 1,
            ))
        })?;
        let (events, receiver) = mpsc::channel(MAX_WAITING + 1);
        // Nobody else has the channel yet, so it has room.
        let last = events.clone().try_reserve_owned().map_err(|_| Status::internal("a new channel is full"))?;
        let deadline = request.extensions().get().copied();
        let revocation = Caller::of(request).revocation();
        let (stopping, places) = (self.stopping.clone(), Arc::clone(&self.places));
        let feeding = feed(Pipe { events, stopping, deadline, revocation, slow: self.slow, places });
        tokio::spawn(async move {
            let _place = place;
            if let Err(End::Told(status)) = feeding.await {
                last.send(Err(*status));
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl<T> Pipe<T> {
    /// Whether so few streams are open that each may do a little work on the event loop.
    pub(super) fn is_one_of_few(&self) -> bool {
        MAX_STREAMS - self.places.available_permits() <= FEW_STREAMS
    }

    /// Hands one event over, once there is room for it.
    pub(super) async fn send(&self, event: T) -> Result<(), End> {
        let patience = async {
            sleep(self.slow).await;
            End::from(
                ErrorDetail::new(ErrorCode::TooSlow, "this stream was read too slowly")
                    .hint("resume it from the last position that was read"),
            )
        };
        let place = self.wait(async {
            tokio::select! {
                place = self.events.reserve() => place.map_err(|_| End::Gone),
                end = patience => Err(end),
            }
        });
        place.await??.send(Ok(event));
        Ok(())
    }

    /// Waits for something, unless the stream ends before.
    pub(super) async fn wait<O>(&self, what: impl Future<Output = O>) -> Result<O, End> {
        let mut stopping = self.stopping.clone();
        let deadline = async {
            match self.deadline {
                Some(Deadline(at)) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let revoked = async {
            match self.revocation.clone() {
                // An error means that the app itself is gone.
                Some(mut revocation) => drop(revocation.wait_for(|revoked| *revoked).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.events.closed() => Err(End::Gone),
            // An error means that the server is gone already.
            _ = stopping.wait_for(|stop| *stop) => {
                Err(ErrorDetail::new(ErrorCode::ShuttingDown, "the daemon is stopping").into())
            }
            () = revoked => Err(unknown("the token of this stream was revoked").into()),
            () = deadline => Err(too_late().into()),
            done = what => Ok(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_slow_subscriber_gets_what_was_sent_and_then_the_reason() {
        let (_stop, stopping) = watch::channel(false);
        let pipes = Pipes { slow: Duration::from_millis(20), ..Pipes::new(stopping) };
        let mut stream = open(&pipes, Request::new(()), |pipe| async move {
            for number in 0.. {
                pipe.send(number).await?;
            }
            Ok(())
        });
        // Not read until the task has given up.
        while pipes.places.available_permits() < MAX_STREAMS {
            tokio::task::yield_now().await;
        }
        for number in 0..u64::try_from(MAX_WAITING).unwrap() {
            assert_eq!(stream.next().await.unwrap().unwrap(), number);
        }
        assert_eq!(code(stream.next().await), "too_slow");
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn a_stream_ends_when_the_daemon_stops() {
        let (stop, stopping) = watch::channel(false);
        let mut stream = open(&Pipes::new(stopping), Request::new(()), |pipe| async move {
            pipe.send(1).await?;
            pipe.wait(std::future::pending()).await
        });
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        stop.send(true).unwrap();
        assert_eq!(code(stream.next().await), "shutting_down");
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn a_stream_ends_at_the_deadline_of_its_call() {
        let (_stop, stopping) = watch::channel(false);
        let mut request = Request::new(());
        request.extensions_mut().insert(Deadline(Instant::now()));
        let mut stream =
            open(&Pipes::new(stopping), request, |pipe| async move { pipe.wait(std::future::pending()).await });
        assert_eq!(stream.next().await.unwrap().unwrap_err().code(), tonic::Code::DeadlineExceeded);
    }

    #[tokio::test]
    async fn a_client_that_leaves_ends_the_task_and_frees_its_place() {
        let (_stop, stopping) = watch::channel(false);
        let pipes = Pipes::new(stopping);
        let (ended, end) = tokio::sync::oneshot::channel();
        let stream = open(&pipes, Request::new(()), |pipe| async move {
            let left = pipe.wait(std::future::pending::<()>()).await;
            ended.send(matches!(left, Err(End::Gone))).unwrap();
            left
        });
        drop(stream);
        assert!(end.await.unwrap());
    }

    #[tokio::test]
    async fn one_stream_too_many_is_told_busy() {
        let (_stop, stopping) = watch::channel(false);
        let pipes = Pipes::new(stopping);
        let forever = |pipe: Pipe<u64>| async move { pipe.wait(std::future::pending()).await };
        let streams: Vec<_> = (0..MAX_STREAMS).map(|_| open(&pipes, Request::new(()), forever)).collect();
        let refused = pipes.open(&Request::new(()), forever).unwrap_err();
        assert_eq!(ErrorDetail::from_status(&refused).unwrap().code, "busy");
        drop(streams);
    }

    fn open<F>(pipes: &Pipes, request: Request<()>, feed: impl FnOnce(Pipe<u64>) -> F) -> Events<u64>
    where
        F: Future<Output = Result<(), End>> + Send + 'static,
    {
        pipes.open(&request, feed).unwrap().into_inner()
    }

    fn code(event: Option<Result<u64, Status>>) -> String {
        ErrorDetail::from_status(&event.unwrap().unwrap_err()).unwrap().code
    }
}
