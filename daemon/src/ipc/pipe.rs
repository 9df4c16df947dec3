//! Server streams: one task feeds each, through a bounded channel.
//!
//! A stream ends when its task is done, its client is gone, its deadline has passed, the daemon stops, its app is revoked, or its client
//! reads too slowly. The last place in the channel is kept for the reason: even a subscriber whose channel is full gets it, after all that was
//! sent before, and with the cursor after which to resume. Nothing is lost and nobody else is delayed.
//!
//! What waits in a stream is bounded by its channel, and how many streams there are by the rooms of its connection, its caller and the daemon
//! ([`super::room`]); the places are free when what was sent is taken, or the client is gone. One that takes nothing, not even the reason, loses its
//! connection ([`super::line`]).

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ipc_proto::v1::error_detail::Payload;
use ipc_proto::v1::{ErrorCode, ErrorDetail, ResumeAfter};
use kinfolk_core::ids::BundleSeq;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::admission::{Begun, Deadline, take, too_late};
use super::caller::{Caller, unknown};
use super::line::{Debt, Line};
use super::room::{Kind, Place, Room};

/// Streams that are few: 8 reads of 0.2 ms hold the event loop up for less than 2 ms.
const FEW_STREAMS: usize = 8;
/// Events that wait for a subscriber in its channel; a bundle has at most about 1 MiB, so some 4 MiB for each stream at worst.
pub(super) const MAX_WAITING: usize = 4;
/// How long a subscriber may leave its channel full before it is disconnected.
pub(super) const SLOW: Duration = Duration::from_secs(30);

/// What a streaming call answers with.
#[derive(Debug)]
pub(super) struct Events<T> {
    events: mpsc::Receiver<Result<T, Status>>,
    _places: Vec<Place>,
    /// The reason, once it waits to be taken.
    _reason: Reason,
}

type Reason = Arc<Mutex<Option<Debt>>>;

impl<T> Stream for Events<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(cx)
    }
}

/// Where streams are opened.
#[derive(Clone, Debug)]
pub(super) struct Pipes {
    daemon: Room,
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
    daemon: Room,
}

impl Pipes {
    /// Pipes that end when `stopping` says so, or when a subscriber leaves its channel full for as long as `slow`.
    pub(super) fn new(daemon: Room, stopping: watch::Receiver<bool>, slow: Duration) -> Self {
        Self { daemon, stopping, slow }
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
        let places = take(Kind::Stream, request.extensions(), &self.daemon)?;
        let (events, receiver) = mpsc::channel(MAX_WAITING + 1);
        // Nobody else has the channel yet, so it has room.
        let last = events.clone().try_reserve_owned().map_err(|_| Status::internal("a new channel is full"))?;
        let deadline = request.extensions().get().copied();
        let revocation = Caller::of(request).revocation();
        let (stopping, daemon) = (self.stopping.clone(), self.daemon.clone());
        let feeding = feed(Pipe { events, stopping, deadline, revocation, slow: self.slow, daemon });
        let (line, reason) = (Line::of(request.extensions()), Reason::default());
        let told = Arc::clone(&reason);
        tokio::spawn(async move {
            if let Err(End::Told(status)) = feeding.await {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = line.map(|line| line.owe());
                last.send(Err(*status));
            }
        });
        let mut response = Response::new(Events { events: receiver, _places: places, _reason: reason });
        response.extensions_mut().insert(Begun);
        Ok(response)
    }
}

impl<T> Pipe<T> {
    /// Whether so few streams are open that each may do a little work on the event loop.
    pub(super) fn is_one_of_few(&self) -> bool {
        self.daemon.taken(Kind::Stream) <= FEW_STREAMS
    }

    /// Hands one event over, once there is room for it.
    pub(super) async fn send(&self, event: T) -> Result<(), End> {
        self.hand_over(event, None).await
    }

    /// The same on a stream with a cursor, which stands here before the event.
    pub(super) async fn send_after(&self, cursor: BundleSeq, event: T) -> Result<(), End> {
        self.hand_over(event, Some(cursor)).await
    }

    async fn hand_over(&self, event: T, cursor: Option<BundleSeq>) -> Result<(), End> {
        let patience = async {
            sleep(self.slow).await;
            let detail = ErrorDetail::new(ErrorCode::TooSlow, "this stream was read too slowly");
            End::from(match cursor {
                Some(cursor) => detail
                    .hint("begin it again after the cursor that comes with this: nothing is lost")
                    .payload(Payload::Resume(ResumeAfter { bundle_seq: cursor.0 })),
                None => detail.hint("begin it again"),
            })
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
    use crate::ipc::room::MAX_STREAMS;

    #[tokio::test]
    async fn a_slow_subscriber_gets_what_was_sent_and_then_the_reason() {
        let (_stop, stopping) = watch::channel(false);
        let pipes = Pipes::new(Room::of_the_daemon(), stopping, Duration::from_millis(20));
        let (ended, end) = tokio::sync::oneshot::channel();
        let mut stream = open(&pipes, Request::new(()), |pipe| async move {
            for number in 0.. {
                if let Err(end) = pipe.send_after(BundleSeq(number), number).await {
                    ended.send(()).unwrap();
                    return Err(end);
                }
            }
            Ok(())
        });
        // Not read until the task has given up.
        end.await.unwrap();
        for number in 0..u64::try_from(MAX_WAITING).unwrap() {
            assert_eq!(stream.next().await.unwrap().unwrap(), number);
        }
        let reason = ErrorDetail::from_status(&stream.next().await.unwrap().unwrap_err()).unwrap();
        assert_eq!(reason.code, "too_slow");
        let resume = ResumeAfter { bundle_seq: u64::try_from(MAX_WAITING).unwrap() };
        assert_eq!(reason.payload, Some(Payload::Resume(resume)), "after the last one that was sent");
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn who_does_not_take_the_reason_owes_it_and_keeps_its_place() {
        let (stop, stopping) = watch::channel(false);
        let (room, line) = (Room::of_the_daemon(), Line::new());
        let pipes = Pipes::new(room.clone(), stopping, SLOW);
        let mut request = Request::new(());
        request.extensions_mut().insert(line.clone());
        let stream = open(&pipes, request, |pipe| async move { pipe.wait(std::future::pending()).await });
        let cx = Context::from_waker(std::task::Waker::noop());
        assert!(line.owes_since(&cx).is_none());
        stop.send(true).unwrap();
        while line.owes_since(&cx).is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(room.taken(Kind::Stream), 1);
        drop(stream);
        assert!(line.owes_since(&cx).is_none());
        assert_eq!(room.taken(Kind::Stream), 0);
    }

    #[tokio::test]
    async fn a_stream_ends_when_the_daemon_stops() {
        let (stop, stopping) = watch::channel(false);
        let mut stream = open(&pipes(stopping), Request::new(()), |pipe| async move {
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
        let mut stream = open(&pipes(stopping), request, |pipe| async move { pipe.wait(std::future::pending()).await });
        assert_eq!(stream.next().await.unwrap().unwrap_err().code(), tonic::Code::DeadlineExceeded);
    }

    #[tokio::test]
    async fn a_client_that_leaves_ends_the_task_and_frees_its_place() {
        let (_stop, stopping) = watch::channel(false);
        let pipes = pipes(stopping);
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
        let pipes = pipes(stopping);
        let forever = |pipe: Pipe<u64>| async move { pipe.wait(std::future::pending()).await };
        let streams: Vec<_> = (0..MAX_STREAMS).map(|_| open(&pipes, Request::new(()), forever)).collect();
        let refused = pipes.open(&Request::new(()), forever).unwrap_err();
        assert_eq!(ErrorDetail::from_status(&refused).unwrap().code, "busy");
        drop(streams);
    }

    fn pipes(stopping: watch::Receiver<bool>) -> Pipes {
        Pipes::new(Room::of_the_daemon(), stopping, SLOW)
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
