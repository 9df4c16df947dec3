//! Before a call reaches its service: is there room, until when may it take, and what becomes of what gRPC itself refuses.
//!
//! A call takes places in the rooms of its connection, of its caller and of the daemon ([`super::room`]); when one of them is full it is told `busy`
//! at once. It keeps them until its reply is taken, so that a client that reads nothing fills its own room; a stream gives them back when it
//! has begun and has places of another kind. A call's deadline travels as `grpc-timeout`: here it ends unary calls, and streams find it as
//! [`Deadline`] in their request. What has ended stops working: its reads of the store are interrupted, and a push that the driver has not taken up
//! yet is never made. One that it has taken up may still be committed; its caller asks again with the same `source_bundle_id`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use ipc_proto::MAX_REQUEST_BYTES;
use ipc_proto::v1::{ErrorCode, ErrorDetail, LimitExceeded, error_detail::Payload};
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::{Code, Status};
use tower::Layer;

use super::line::{Debt, Line};
use super::room::{Full, Kind, Place, Room, Share};

/// When a call's time is over; in the extensions of a request that came with one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Instant);

/// In the extensions of a reply that is a stream: it has places of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun;

/// The layer around all services.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    daemon: Room,
}

impl Admission {
    /// Into this room.
    pub(super) fn new(daemon: Room) -> Self {
        Self { daemon }
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admitted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Admitted { inner, daemon: self.daemon.clone() }
    }
}

/// The services behind the door.
#[derive(Clone, Debug)]
pub(super) struct Admitted<S> {
    inner: S,
    daemon: Room,
}

impl<S> Service<http::Request<Body>> for Admitted<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let line = Line::of(request.extensions());
        let places = match take(Kind::Call, request.extensions(), &self.daemon) {
            Ok(places) => places,
            Err(full) => return Box::pin(std::future::ready(Ok(Status::from(full).into_http()))),
        };
        let deadline = request.headers().get("grpc-timeout").and_then(|text| read_timeout(text.as_bytes()));
        let deadline = deadline.and_then(|timeout| Instant::now().checked_add(timeout));
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(Deadline(deadline));
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = match deadline {
                None => answer.await?,
                Some(deadline) => match timeout_at(deadline, answer).await {
                    Ok(response) => response?,
                    Err(_) => return Ok(too_late().into_http()),
                },
            };
            Ok(hold(explain(response), places, line))
        })
    }
}

/// Takes a place for a request: on its connection, of its caller, and of the daemon.
pub(super) fn take(kind: Kind, of: &http::Extensions, daemon: &Room) -> Result<Vec<Place>, Full> {
    let mut places: Vec<Place> = Line::of(of).map(|line| line.take(kind)).transpose()?.into_iter().collect();
    if let Some(share) = of.get::<Share>() {
        places.extend(share.take(kind)?);
    }
    places.push(daemon.take(kind)?);
    Ok(places)
}

/// Keeps the places of a call until its reply is taken.
fn hold(response: http::Response<Body>, places: Vec<Place>, line: Option<Line>) -> http::Response<Body> {
    if response.extensions().get::<Begun>().is_some() || http_body::Body::is_end_stream(response.body()) {
        return response;
    }
    response.map(|body| Body::new(Held { body, _places: places, _debt: line.map(|line| line.owe()) }))
}

/// A reply that has not been taken.
struct Held {
    body: Body,
    _places: Vec<Place>,
    _debt: Option<Debt>,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a call gets whose time is over.
pub(super) fn too_late() -> Status {
    Status::deadline_exceeded("the call's deadline passed")
}

/// A [`LimitExceeded`] payload.
pub(super) fn limit(what: &str, limit: usize, actual: usize) -> Payload {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Payload::Limit(LimitExceeded { what: what.into(), limit: number(limit), actual: number(actual) })
}

/// The gRPC library refuses a message above [`MAX_REQUEST_BYTES`] unread, without a detail of ours: adds it.
fn explain(response: http::Response<Body>) -> http::Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    if status.code() != Code::OutOfRange || !status.details().is_empty() {
        return response;
    }
    let detail = ErrorDetail::new(
        ErrorCode::TooLarge,
        format!("a request has at most {} MiB: {}", MAX_REQUEST_BYTES >> 20, status.message()),
    );
    detail
        .hint("split it")
        .payload(limit("request", MAX_REQUEST_BYTES, MAX_REQUEST_BYTES + 1))
        .into_status()
        .into_http()
}

/// Reads the value of `grpc-timeout`: at most eight digits and a unit. What cannot be read is no deadline.
fn read_timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(count * 3600)),
        b'M' => Some(Duration::from_secs(count * 60)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
