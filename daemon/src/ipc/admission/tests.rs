use std::convert::Infallible;

use tower::{ServiceExt, service_fn};

use super::*;
use crate::ipc::caller::Caller;
use crate::ipc::room::{APP, CONNECTION_CALLS, Shares};

#[tokio::test]
async fn a_call_beyond_the_limit_is_told_busy_and_a_finished_one_frees_its_place() {
    let never = service_fn(|_: http::Request<Body>| std::future::pending::<Result<_, Infallible>>());
    let layer = Admission::new(one());
    let mut first = layer.layer(never);
    let waiting = first.call(http::Request::new(Body::empty()));
    let refused = first.clone().oneshot(http::Request::new(Body::empty())).await.unwrap();
    assert_eq!(detail(&refused).code, "busy");
    drop(waiting);
    let answer = service_fn(|_: http::Request<Body>| async { Ok::<_, Infallible>(http::Response::new(Body::empty())) });
    let admitted = layer.layer(answer).oneshot(http::Request::new(Body::empty())).await.unwrap();
    assert!(Status::from_header_map(admitted.headers()).is_none());
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_a_quick_one_does_not_notice() {
    let never = service_fn(|request: http::Request<Body>| async move {
        assert!(request.extensions().get::<Deadline>().is_some());
        std::future::pending::<Result<_, Infallible>>().await
    });
    let late = Admission::new(one()).layer(never).oneshot(request_with_timeout("5m")).await.unwrap();
    assert_eq!(Status::from_header_map(late.headers()).unwrap().code(), Code::DeadlineExceeded);
    let quick = service_fn(|_: http::Request<Body>| async { Ok::<_, Infallible>(http::Response::new(Body::empty())) });
    let in_time = Admission::new(one()).layer(quick).oneshot(request_with_timeout("1H")).await.unwrap();
    assert!(Status::from_header_map(in_time.headers()).is_none());
}

#[tokio::test]
async fn a_call_keeps_its_place_until_its_reply_is_taken_and_its_connection_owes_it() {
    let reply = service_fn(|_: http::Request<Body>| async { Ok::<_, Infallible>(http::Response::new(whole("hello"))) });
    let (room, line) = (one(), Line::new());
    let mut request = http::Request::new(Body::empty());
    request.extensions_mut().insert(line.clone());
    let response = Admission::new(room.clone()).layer(reply).oneshot(request).await.unwrap();
    let waker = std::task::Waker::noop();
    assert_eq!(room.taken(Kind::Call), 1);
    assert!(line.owes_since(&Context::from_waker(waker)).is_some());
    drop(response);
    assert_eq!(room.taken(Kind::Call), 0);
    assert!(line.owes_since(&Context::from_waker(waker)).is_none());
}

#[tokio::test]
async fn a_stream_gives_the_place_of_its_call_back_when_it_has_begun() {
    let begin = service_fn(|_: http::Request<Body>| async {
        let mut response = http::Response::new(whole("an event"));
        response.extensions_mut().insert(Begun);
        Ok::<_, Infallible>(response)
    });
    let room = one();
    let stream = Admission::new(room.clone()).layer(begin).oneshot(http::Request::new(Body::empty())).await.unwrap();
    assert_eq!(room.taken(Kind::Call), 0);
    drop(stream);
}

#[tokio::test]
async fn a_connection_and_a_caller_meet_their_own_limits_before_the_daemons() {
    let never = service_fn(|_: http::Request<Body>| std::future::pending::<Result<_, Infallible>>());
    let room = Room::new("the daemon", [1_000, 0, 0]);
    let mut service = Admission::new(room.clone()).layer(never);
    let line = Line::new();
    let mut on_the_line = || {
        let mut request = http::Request::new(Body::empty());
        request.extensions_mut().insert(line.clone());
        service.call(request)
    };
    let waiting: Vec<_> = (0..CONNECTION_CALLS).map(|_| on_the_line()).collect();
    let refused = detail(&on_the_line().await.unwrap());
    assert_eq!(refused.message, "128 calls under way are the most for one connection");

    let share = Shares::new().of(&Caller::Nobody);
    let mut of_nobody = || {
        let mut request = http::Request::new(Body::empty());
        request.extensions_mut().insert(share.clone());
        service.call(request)
    };
    let anonymous: Vec<_> = (0..APP[0]).map(|_| of_nobody()).collect();
    let refused = detail(&of_nobody().await.unwrap());
    assert_eq!(refused.message, "64 calls under way are the most for all callers without a token");
    assert_eq!(room.taken(Kind::Call), CONNECTION_CALLS + APP[0]);
    drop((waiting, anonymous));
    assert_eq!(room.taken(Kind::Call), 0);
}

#[tokio::test]
async fn a_message_that_was_refused_unread_gets_a_code_and_both_numbers() {
    let refuse = service_fn(|_: http::Request<Body>| async {
        Ok::<_, Infallible>(Status::out_of_range("found 3000000 bytes").into_http())
    });
    let response = Admission::new(one()).layer(refuse).oneshot(http::Request::new(Body::empty())).await.unwrap();
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

/// A reply of these bytes.
fn whole(text: &'static str) -> Body {
    Body::new(Whole(Some(text)))
}

struct Whole(Option<&'static str>);

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.take().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }
}

/// Room for one call.
fn one() -> Room {
    Room::new("the daemon", [1, 1, 1])
}

fn request_with_timeout(timeout: &str) -> http::Request<Body> {
    http::Request::builder().header("grpc-timeout", timeout).body(Body::empty()).unwrap()
}

fn detail(response: &http::Response<Body>) -> ErrorDetail {
    ErrorDetail::from_status(&Status::from_header_map(response.headers()).unwrap()).unwrap()
}
