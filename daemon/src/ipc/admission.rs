//! Before a call reaches its service: is there room, until when may it take, and what becomes of what gRPC itself refuses.
//!
//! At most [`MAX_IN_FLIGHT`] calls are worked on at a time; one more is told `busy` at once instead of waiting in a hidden queue.
//! A stream counts only until it has begun. A call's deadline travels as `grpc-timeout`: here it ends unary calls, and streams find it as
//! [`Deadline`] in their request. A push that passes its deadline may still be committed; its caller asks again with the same
//! `source_bundle_id`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ipc_proto::MAX_REQUEST_BYTES;
use ipc_proto::v1::{ErrorCode, ErrorDetail, LimitExceeded, error_detail::Payload};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::{Code, Status};
use tower::Layer;

/// Most calls that are worked on at a time, over all connections. An import keeps 64 pushes under way.
pub(super) const MAX_IN_FLIGHT: usize = 256;

/// When a call's time is over; in the extensions of a request that came with one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Instant);

/// The layer around all services.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    places: Arc<Semaphore>,
}

impl Admission {
    /// With room for `calls` calls.
    pub(super) fn new(calls: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(calls)) }
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admitted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Admitted { inner, places: Arc::clone(&self.places) }
    }
}

/// The services behind the door.
#[derive(Clone, Debug)]
pub(super) struct Admitted<S> {
    inner: S,
    places: Arc<Semaphore>,
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
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let busy = ErrorDetail::new(ErrorCode::Busy, "the daemon works on too many calls already")
                .hint("wait for earlier calls before you make new ones")
                .payload(limit("calls under way", MAX_IN_FLIGHT, MAX_IN_FLIGHT + 1));
            return Box::pin(std::future::ready(Ok(busy.into_status().into_http())));
        };
        let deadline = request.headers().get("grpc-timeout").and_then(|text| read_timeout(text.as_bytes()));
        let deadline = deadline.and_then(|timeout| Instant::now().checked_add(timeout));
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(Deadline(deadline));
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let _place = place;
            let response = match deadline {
                None => answer.await?,
                Some(deadline) => match timeout_at(deadline, answer).await {
                    Ok(response) => response?,
                    Err(_) => return Ok(too_late().into_http()),
                },
            };
            Ok(explain(response))
        })
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
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn a_call_beyond_the_limit_is_told_busy_and_a_finished_one_frees_its_place() {
        let never = service_fn(|_: http::Request<Body>| std::future::pending::<Result<_, Infallible>>());
        let layer = Admission::new(1);
        let mut first = layer.layer(never);
        let waiting = first.call(http::Request::new(Body::empty()));
        let refused = first.clone().oneshot(http::Request::new(Body::empty())).await.unwrap();
        assert_eq!(detail(&refused).code, "busy");
        drop(waiting);
        let answer =
            service_fn(|_: http::Request<Body>| async { Ok::<_, Infallible>(http::Response::new(Body::empty())) });
        let admitted = layer.layer(answer).oneshot(http::Request::new(Body::empty())).await.unwrap();
        assert!(Status::from_header_map(admitted.headers()).is_none());
    }

    #[tokio::test]
    async fn a_call_ends_at_its_deadline_and_a_quick_one_does_not_notice() {
        let never = service_fn(|request: http::Request<Body>| async move {
            assert!(request.extensions().get::<Deadline>().is_some());
            std::future::pending::<Result<_, Infallible>>().await
        });
        let late = Admission::new(1).layer(never).oneshot(request_with_timeout("5m")).await.unwrap();
        assert_eq!(Status::from_header_map(late.headers()).unwrap().code(), Code::DeadlineExceeded);
        let quick =
            service_fn(|_: http::Request<Body>| async { Ok::<_, Infallible>(http::Response::new(Body::empty())) });
        let in_time = Admission::new(1).layer(quick).oneshot(request_with_timeout("1H")).await.unwrap();
        assert!(Status::from_header_map(in_time.headers()).is_none());
    }

    #[tokio::test]
    async fn a_message_that_was_refused_unread_gets_a_code_and_both_numbers() {
        let refuse = service_fn(|_: http::Request<Body>| async {
            Ok::<_, Infallible>(Status::out_of_range("found 3000000 bytes").into_http())
        });
        let response = Admission::new(1).layer(refuse).oneshot(http::Request::new(Body::empty())).await.unwrap();
        let detail = detail(&response);
        assert_eq!(detail.code, "too_large");
        assert!(detail.message.contains("2 MiB") && detail.message.contains("3000000"), "{}", detail.message);
    }

    #[test]
    fn timeouts_are_read_as_grpc_writes_them_and_garbage_is_none() {
        assert_eq!(read_timeout(b"5S"), Some(Duration::from_secs(5)));
        assert_eq!(read_timeout(b"2H"), Some(Duration::from_secs(7200)));
        assert_eq!(read_timeout(b"3M"), Some(Duration::from_secs(180)));
        assert_eq!(read_timeout(b"250m"), Some(Duration::from_millis(250)));
        assert_eq!(read_timeout(b"99999999u"), Some(Duration::from_micros(99_999_999)));
        assert_eq!(read_timeout(b"7n"), Some(Duration::from_nanos(7)));
        for garbage in ["", "S", "5", "123456789S", "-1S", "+1S", "1x", "1 S"] {
            assert_eq!(read_timeout(garbage.as_bytes()), None, "{garbage:?}");
        }
    }

    fn request_with_timeout(timeout: &str) -> http::Request<Body> {
        http::Request::builder().header("grpc-timeout", timeout).body(Body::empty()).unwrap()
    }

    fn detail(response: &http::Response<Body>) -> ErrorDetail {
        ErrorDetail::from_status(&Status::from_header_map(response.headers()).unwrap()).unwrap()
    }
}
