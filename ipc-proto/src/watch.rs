//! Watches: complete bundles in this device's order of apply, live, across restarts of the daemon.
//!
//! A watch is a cursor and a stream. The stream may break at any time (the daemon restarts, or found us too slow to read); then another is opened after
//! the cursor, which moves only when a bundle is handed out or nothing before it matched. So nothing is skipped and nothing repeated for as long as the
//! [`Watch`] lives. To go on in the next run of the program, keep the `bundle_seq` of the last bundle that was dealt with and [`Watch::order`], together
//! with what was made of it, and begin after it, [`Watch::in_order`].

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::{Status, Streaming};

use crate::client::Client;
use crate::error::Error;
use crate::push::{FIRST_PAUSE, LAST_PAUSE};
use crate::v1::{Bundle, WatchMessagesRequest, WatchRequest, WatchResponse, watch_response::Event};

/// What a watch is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Watched {
    /// The records of these collections; of none, all records and all messages.
    Records(Vec<String>),
    /// The messages of these conversations; of none, all messages.
    Messages(Vec<String>),
}

/// An endless stream of bundles.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    watched: Watched,
    /// `None` until the place of a watch "from now on" is known.
    cursor: Option<u64>,
    /// The order that the cursor is a place of; empty until the daemon has told it.
    order: String,
    stream: Option<Streaming<WatchResponse>>,
    /// What came before the place was known.
    ready: Option<Bundle>,
    patience: Option<Duration>,
    broken: Option<Broken>,
}

/// A connection that does not come back.
#[derive(Debug)]
struct Broken {
    since: Instant,
    pause: Duration,
}

impl Client {
    /// Watches what is applied after the place `after`, then live, without end; 0 is the beginning, `None` means everything that is applied once this
    /// call has returned. Reconnects when the daemon restarts; an error comes out when that takes longer than `patience` (`None`: never).
    ///
    /// ```no_run
    /// # async fn example(client: ipc_proto::Client) -> Result<(), ipc_proto::Error> {
    /// use ipc_proto::watch::Watched;
    ///
    /// let notes = Watched::Records(vec!["notes".into()]);
    /// let mut watch = client.watch(notes, Some(0), None).await?;
    /// loop {
    ///     let bundle = watch.next().await?;
    ///     println!("{}: {} changes", bundle.bundle_seq, bundle.changes.len());
    /// }
    /// # }
    /// ```
    pub async fn watch(
        &self,
        watched: Watched,
        after: Option<u64>,
        patience: Option<Duration>,
    ) -> Result<Watch, Error> {
        let client = self.clone();
        let order = String::new();
        let mut watch =
            Watch { client, watched, cursor: after, order, stream: None, ready: None, patience, broken: None };
        while watch.cursor.is_none() {
            match watch.event().await {
                Ok(Some(bundle)) => {
                    watch.cursor = Some(bundle.bundle_seq);
                    watch.ready = Some(bundle);
                }
                Ok(None) => {}
                Err(error) => watch.rest(error).await?,
            }
        }
        Ok(watch)
    }
}

impl Watch {
    /// The next bundle; waits for it. May be dropped while it waits and called again: nothing is lost, also after an error.
    ///
    /// Errors: what the daemon refuses, and [`Error::Failed`] when the connection stays broken for longer than the watch is patient.
    pub async fn next(&mut self) -> Result<Bundle, Error> {
        if let Some(bundle) = self.ready.take() {
            return Ok(bundle);
        }
        loop {
            match self.event().await {
                Ok(Some(bundle)) => {
                    self.cursor = Some(bundle.bundle_seq);
                    return Ok(bundle);
                }
                Ok(None) => {}
                Err(error) => self.rest(error).await?,
            }
        }
    }

    /// The place up to which everything has been handed out: where another watch goes on.
    pub fn cursor(&self) -> u64 {
        let ready = self.ready.as_ref().map(|bundle| bundle.bundle_seq.saturating_sub(1));
        ready.or(self.cursor).unwrap_or_default()
    }

    /// The order that the cursor is a place of; empty until the first event has come.
    pub fn order(&self) -> &str {
        &self.order
    }

    /// Holds the place that the watch began with against its order, in which an earlier run of the program kept it: a device that was put back since is
    /// noticed ([`ErrorCode::ResyncRequired`](crate::v1::ErrorCode::ResyncRequired)) although the place is there again.
    #[must_use]
    pub fn in_order(mut self, order: String) -> Self {
        self.order = order;
        self.stream = None;
        self
    }

    /// One event of the stream, which is opened when there is none: a bundle, or `None` for a position.
    async fn event(&mut self) -> Result<Option<Bundle>, Error> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(open(&self.client, &self.watched, self.cursor, &self.order).await?),
        };
        let ended = || Error::from(Status::unavailable("the daemon ended the stream"));
        let event = stream.message().await?.ok_or_else(ended)?;
        self.broken = None;
        self.order = event.order_id;
        match event.event {
            Some(Event::Bundle(bundle)) => Ok(Some(bundle)),
            Some(Event::Position(position)) => {
                self.cursor = self.cursor.max(Some(position.bundle_seq));
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Rests before the next attempt; gives the error back when there is to be none.
    async fn rest(&mut self, error: Error) -> Result<(), Error> {
        self.stream = None;
        if !error.retryable() {
            return Err(error);
        }
        let now = Instant::now();
        let broken = self.broken.get_or_insert(Broken { since: now, pause: FIRST_PAUSE });
        let pause = broken.pause;
        if self.patience.is_some_and(|patience| now - broken.since + pause > patience) {
            self.broken = None;
            return Err(error);
        }
        broken.pause = (pause * 2).min(LAST_PAUSE);
        sleep(pause).await;
        Ok(())
    }
}

async fn open(
    client: &Client,
    watched: &Watched,
    after: Option<u64>,
    order: &str,
) -> Result<Streaming<WatchResponse>, Error> {
    let (after_bundle_seq, order_id) = (after, order.to_owned());
    let answer = match watched.clone() {
        Watched::Records(collections) => {
            let request = WatchRequest { after_bundle_seq, collections, consumer: String::new(), order_id };
            client.records().watch(request).await
        }
        Watched::Messages(conversations) => {
            let request = WatchMessagesRequest { after_bundle_seq, conversations, order_id };
            client.conversations().watch(request).await
        }
    };
    Ok(answer?.into_inner())
}
