//! Hints of new mail, pushed over the connection that also fetches.
//!
//! ```text
//!         ┌─────────────── the connection broke ───────────────┐
//!         ▼                                                    │
//! listen: connect ─▶ subscribe, track ─▶ Gap ─▶ wait for bell ─┤─▶ Ready, Gap
//!         │ failed: Down, once an outage                       │
//!         └─▶ wait, longer each time ─▶ listen                 ┘
//! ```
//! The server has confirmed both before the gap is said, so a fetch after the gap misses nothing. A server that allows neither is looked at every
//! [`LOOK`]. Bells are heard when the stream is polled: there is no task between the connection and the listener. Connecting is a task of its own:
//! whoever connects keeps all others from it, and a listener that goes to fetch does not poll this stream until it has fetched.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::{Instant, sleep_until};

use super::bells::Bell;
use super::link::{Hints, Link};
use crate::relay::error::RelayError;
use crate::relay::mail::Mailbox;
use crate::relay::{WatchEvent, WatchStream, backoff};

/// How often a server is asked that may not tell: 5 s.
const LOOK: Duration = Duration::from_secs(5);
/// The pause after the first failure to connect, doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause while a server is away: 5 s; and while a person must act first: 60 s.
const AWAY: Duration = Duration::from_secs(5);
const RESTING: Duration = Duration::from_secs(60);

/// Starts to watch.
pub(super) fn start(link: Arc<Link>, mailboxes: Vec<Mailbox>) -> WatchStream {
    let bell = link.bells.hang(&mailboxes);
    let watch = Watch {
        link,
        mailboxes,
        bell,
        standing: None,
        waiting: BTreeSet::new(),
        failures: 0,
        next_try: Instant::now(),
    };
    Box::pin(Events { next: Box::pin(watch.next()) })
}

/// A watch as a stream.
struct Events {
    next: Pin<Box<dyn Future<Output = (Watch, WatchEvent)> + Send>>,
}

impl Stream for Events {
    type Item = WatchEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<WatchEvent>> {
        let (watch, event) = ready!(self.next.as_mut().poll(cx));
        self.next = Box::pin(watch.next());
        Poll::Ready(Some(event))
    }
}

/// A watch between two events.
struct Watch {
    link: Arc<Link>,
    mailboxes: Vec<Mailbox>,
    bell: Arc<Bell>,
    /// What the server tells, while it is listened to.
    standing: Option<Hints>,
    /// Hints that were heard and not passed on yet.
    waiting: BTreeSet<Mailbox>,
    failures: u32,
    next_try: Instant,
}

impl Watch {
    async fn next(mut self) -> (Self, WatchEvent) {
        loop {
            if let Some(mailbox) = self.waiting.pop_first() {
                return (self, WatchEvent::Ready(mailbox));
            }
            let event = match self.standing {
                Some(hints) => self.hear(hints).await,
                None => self.listen().await,
            };
            if let Some(event) = event {
                return (self, event);
            }
        }
    }

    /// Waits for the bell.
    async fn hear(&mut self, hints: Hints) -> Option<WatchEvent> {
        let deaf = !hints.messages && !hints.changes;
        let look_at = Instant::now() + LOOK;
        let rung = tokio::select! {
            rung = self.bell.rung() => rung,
            () = sleep_until(look_at), if deaf => {
                self.waiting.extend(&self.mailboxes);
                return None;
            }
        };
        if rung.broken {
            self.standing = None;
            self.next_try = Instant::now();
            return None;
        }
        if rung.gap {
            return Some(WatchEvent::Gap);
        }
        self.waiting = rung.ready;
        None
    }

    async fn listen(&mut self) -> Option<WatchEvent> {
        sleep_until(self.next_try).await;
        let (link, mailboxes) = (Arc::clone(&self.link), self.mailboxes.clone());
        let listening = tokio::spawn(async move { link.listen(&mailboxes).await });
        // It fails only when the runtime ends, and everything with it.
        let Ok(listened) = listening.await else {
            self.next_try = Instant::now() + AWAY;
            return None;
        };
        match listened {
            Ok(hints) => {
                self.standing = Some(hints);
                self.failures = 0;
                Some(WatchEvent::Gap)
            }
            Err(error) => {
                let longest = match error {
                    RelayError::Transient { .. } | RelayError::Ambiguous { .. } => AWAY,
                    RelayError::Denied { .. } | RelayError::Config(_) => RESTING,
                };
                let pause = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
                self.next_try = Instant::now() + backoff::jittered(pause.min(longest), rand::random());
                self.failures = self.failures.saturating_add(1);
                // Once per outage.
                (self.failures == 1).then_some(WatchEvent::Down(error))
            }
        }
    }
}
