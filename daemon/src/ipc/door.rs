//! The door: who calls, and may they make this call?
//!
//! ```text
//! path ──▶ methods: what does it need?  no such call ─▶ unimplemented
//! authorization: Bearer … ──▶ the owner's credential? an app's token?  ─▶ Caller and its Share, in the request's extensions
//! ```
//!
//! Default deny: a call that is not in the table is answered to nobody, and a caller that shows nothing makes only the calls that need
//! nothing. The socket and the kernel have said already that it is a program of the owner's user ([`super::listener`]).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tower::Layer;

use super::caller::{Caller, unknown};
use super::error;
use super::line::Line;
use super::methods::{Needs, needs};
use super::room::{Share, Shares};
use crate::daemon::{Daemon, Setup};
use crate::driver::wall_clock;
use crate::seal::{Bearer, Role};

/// The layer around all services.
#[derive(Clone)]
pub(super) struct Door {
    daemon: Arc<Daemon>,
    shares: Arc<Shares>,
}

impl Door {
    /// The door of this daemon.
    pub(super) fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon, shares: Arc::new(Shares::new()) }
    }

    /// Who makes this call, if they may, and what they may take.
    fn admit(&self, path: &str, headers: &http::HeaderMap, line: Option<&Line>) -> Result<(Caller, Share), Status> {
        let needs = needs(path).ok_or_else(|| Status::unimplemented("there is no such call"))?;
        let caller = match self.identify(headers) {
            Ok(caller) => caller,
            // It asks for nothing: a token that is out of date does not matter.
            Err(_) if needs == Needs::Nothing => Caller::Nobody,
            Err(refused) => return Err(refused),
        };
        caller.may(needs)?;
        let share = self.shares.of(&caller);
        if let Some(line) = line {
            line.belongs_to(&caller, &share)?;
        }
        Ok((caller, share))
    }

    /// Whose token came with the call.
    fn identify(&self, headers: &http::HeaderMap) -> Result<Caller, Status> {
        let mut shown = headers.get_all(http::header::AUTHORIZATION).iter();
        let Some(first) = shown.next() else { return Ok(Caller::Nobody) };
        let text = first.to_str().ok().filter(|_| shown.next().is_none()).and_then(bearer);
        let token =
            text.and_then(Bearer::parse).ok_or_else(|| unknown("the `authorization` of this call is no token"))?;
        match token.role() {
            Role::Admin if self.daemon.is_owner(&token) => Ok(Caller::Owner),
            Role::Admin => Err(unknown("the token of this call is not the owner's").into()),
            Role::App => self.app(&token),
        }
    }

    fn app(&self, token: &Bearer) -> Result<Caller, Status> {
        let node = match self.daemon.setup() {
            Setup::Ready(node) => node,
            Setup::NotSetUp => return Err(error::not_set_up().into()),
            Setup::Locked(why) => return Err(error::locked(&why).into()),
        };
        let app = node.apps.find(token).ok_or_else(|| unknown("the token of this call is unknown or was revoked"))?;
        if app.uses(wall_clock()) {
            let app = Arc::clone(&app);
            tokio::spawn(async move {
                if let Err(fault) = app.note_use(&node.driver).await {
                    tracing::warn!(app = app.name, error = %fault, "the last use of an app is not written down");
                }
            });
        }
        Ok(Caller::App(app))
    }
}

impl<S> Layer<S> for Door {
    type Service = Behind<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Behind { inner, door: self.clone() }
    }
}

/// The services behind the door.
#[derive(Clone)]
pub(super) struct Behind<S> {
    inner: S,
    door: Door,
}

impl<S> Service<http::Request<Body>> for Behind<S>
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
        match self.door.admit(request.uri().path(), request.headers(), line.as_ref()) {
            Ok((caller, share)) => {
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(share);
                Box::pin(self.inner.call(request))
            }
            Err(refused) => Box::pin(std::future::ready(Ok(refused.into_http()))),
        }
    }
}

/// The token in the value of `authorization`; the name of the scheme is read in any case (RFC 9110 §11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_bearer_in_any_case_and_no_other() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc"), Some("abc"));
        for other in ["", "abc", "Bearer", "Basic abc", "Bearerabc", "bearer\tabc"] {
            assert_eq!(bearer(other), None, "{other}");
        }
    }
}
