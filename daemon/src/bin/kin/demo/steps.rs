//! What the demo does with its two devices, all of it through the public API.

use std::path::PathBuf;
use std::time::Duration;

use ipc_proto::Client;
use ipc_proto::v1::{
    Change, Comparison, InitRequest, JoinRequest, KeyStore, ListMessagesRequest, Message, Op, PairConfirmRequest,
    PairShowRequest, PostRequest, PushRequest, PutRecord, StoreCompareRequest, Value, WatchRequest, WatchResponse,
    change::Now, join_event, message::Body, op, pair_event, value, watch_response::Event,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::StreamExt;
use tonic::Streaming;

use crate::failure::Failure;

/// Makes a device the first one, with a folder as its relay.
pub(super) async fn init(device: &Client, folder: PathBuf) -> Result<(), Failure> {
    let url = folder.into_os_string().into_string();
    let url =
        url.map_err(|path| Failure::usage(format!("{} is not UTF-8", path.display()), "set TMPDIR to a path that is"))?;
    let request = InitRequest { device_name: "laptop".into(), relay_urls: vec![url], key_store: KeyStore::File.into() };
    within("setting up the first device", async { Ok(device.admin().init(request).await?) }).await.map(drop)
}

/// Pairs two devices as two people's hands would, and answers the check code.
pub(super) async fn pair(inviter: &Client, joiner: &Client) -> Result<String, Failure> {
    within("pairing", async {
        let mut shown = inviter.admin().pair_show(PairShowRequest {}).await?.into_inner();
        let card = loop {
            match shown.next().await.transpose()?.and_then(|event| event.event) {
                Some(pair_event::Event::Card(card)) => break card.uri,
                Some(pair_event::Event::Failed(detail)) => return Err(detail.into()),
                Some(_other) => {}
                None => return Err(Failure::StreamEnded { before: "a card was shown" }),
            }
        };
        let request =
            JoinRequest { card, device_name: "phone".into(), key_store: KeyStore::File.into(), ..Default::default() };
        let mut joining = joiner.admin().join(request).await?.into_inner();
        let mut code = String::new();
        loop {
            match joining.next().await.transpose()?.and_then(|event| event.event) {
                Some(join_event::Event::CardAccepted(_)) => {}
                Some(join_event::Event::CheckCode(check)) => {
                    code = check.code.clone();
                    inviter.admin().pair_confirm(PairConfirmRequest { code: check.code }).await?;
                }
                Some(join_event::Event::Joined(_)) => return Ok(code),
                None => return Err(Failure::StreamEnded { before: "the second device had joined" }),
            }
        }
    })
    .await
}

/// Waits until both devices report each other as equal, and answers the digest.
pub(super) async fn equal(one: &Client, other: &Client) -> Result<String, Failure> {
    within("comparing both devices", async {
        loop {
            let mut digests = Vec::new();
            for device in [one, other] {
                let report = device.admin().store_compare(StoreCompareRequest::default()).await?.into_inner();
                if report.devices.iter().any(|sibling| sibling.result() == Comparison::Different) {
                    return Err(Failure::Unequal("the devices hold different state"));
                }
                if report.devices.iter().any(|sibling| sibling.result() == Comparison::Equal) {
                    digests.push(report.digest);
                }
            }
            match digests.as_slice() {
                [first, second] if first == second => return Ok(first.clone()),
                _not_yet => sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await
}

/// How long things took from the call on one device to the event on the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Latency {
    pub(super) median: Duration,
    pub(super) p99: Duration,
    pub(super) slowest: Duration,
}

impl Latency {
    fn of(mut spans: Vec<Duration>) -> Self {
        spans.sort_unstable();
        let at = |rank: usize| spans.get(rank.min(spans.len().saturating_sub(1))).copied().unwrap_or_default();
        Self { median: at(spans.len() / 2), p99: at(spans.len() * 99 / 100), slowest: at(spans.len()) }
    }
}

/// One direction: writes here, events there.
pub(super) struct Lane {
    from: Client,
    events: Streaming<WatchResponse>,
}

impl Lane {
    /// Begins to watch `to` for what comes from now on.
    pub(super) async fn open(from: &Client, to: &Client) -> Result<Self, Failure> {
        let mut events = to.records().watch(WatchRequest::default()).await?.into_inner();
        // The first position says that the watch is on.
        within("watching for changes", async {
            while let Some(event) = events.next().await.transpose()? {
                if let Some(Event::Position(_)) = event.event {
                    return Ok(());
                }
            }
            Err(Failure::StreamEnded { before: "it had caught up" })
        })
        .await?;
        Ok(Self { from: from.clone(), events })
    }

    /// Posts messages and does not wait. Answers the id of the last.
    pub(super) async fn post(&mut self, count: u32, word: &str) -> Result<String, Failure> {
        within("posting messages", async {
            let mut id = String::new();
            for number in 0..count {
                let request = post(&format!("{word} {number}"));
                id = self.from.conversations().post(request).await?.into_inner().id;
            }
            Ok(id)
        })
        .await
    }

    /// Posts a message and waits until it is there.
    pub(super) async fn message(&mut self, text: &str) -> Result<Duration, Failure> {
        let request = post(text);
        let begin = Instant::now();
        within("sending a message", async {
            let id = self.from.conversations().post(request).await?.into_inner().id;
            self.wait(|change| matches!(&change.now, Some(Now::Message(message)) if message.id == id)).await
        })
        .await?;
        Ok(begin.elapsed())
    }

    /// Writes a record and waits until it is there.
    pub(super) async fn record(&mut self, word: &str) -> Result<Duration, Failure> {
        let title = Value { kind: Some(value::Kind::String(format!("{word} in a field"))) };
        let put = PutRecord {
            collection: "notes".into(),
            key: word.into(),
            fields: [("title".to_owned(), title)].into(),
            ..PutRecord::default()
        };
        let begin = Instant::now();
        let request = PushRequest { ops: vec![Op { op: Some(op::Op::PutRecord(put)) }], ..PushRequest::default() };
        within("writing a record", async {
            self.from.records().push(request).await?;
            self.wait(|change| matches!(&change.now, Some(Now::Record(record)) if record.key == word)).await
        })
        .await?;
        Ok(begin.elapsed())
    }

    /// Sends messages, each after the one before has arrived.
    pub(super) async fn measure(&mut self, count: u32, word: &str) -> Result<Latency, Failure> {
        let mut spans = Vec::new();
        for number in 0..count {
            spans.push(self.message(&format!("{word} {number}")).await?);
        }
        Ok(Latency::of(spans))
    }

    async fn wait(&mut self, is_it: impl Fn(&Change) -> bool) -> Result<(), Failure> {
        while let Some(event) = self.events.next().await.transpose()? {
            match event.event {
                Some(Event::Bundle(bundle)) if bundle.changes.iter().any(&is_it) => return Ok(()),
                Some(Event::Bundle(_) | Event::Position(_)) | None => {}
            }
        }
        Err(Failure::StreamEnded { before: "it had arrived" })
    }
}

/// Waits until `device` has the message, and answers how long that took.
pub(super) async fn arrival(device: &Client, conversation: &str, id: &str) -> Result<Duration, Failure> {
    let begin = Instant::now();
    within("catching up", async {
        let request = ListMessagesRequest { conversation: conversation.into(), page_size: 10, ..Default::default() };
        loop {
            let page = device.conversations().list_messages(request.clone()).await?.into_inner();
            if page.messages.iter().any(|message| message.id == id) {
                return Ok(begin.elapsed());
            }
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

/// A message whose first word is its conversation too: a relay must not see that either.
fn post(text: &str) -> PostRequest {
    let message = Message {
        conversation: text.split(' ').next().unwrap_or("demo").into(),
        sender: "me".into(),
        outbound: true,
        body: Some(Body::Text(text.into())),
        ..Message::default()
    };
    PostRequest { message: Some(message) }
}

/// Runs a step of the demo and gives its failure a name.
async fn within<T>(step: &'static str, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match timeout(STEP_LIMIT, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(failure)) => Err(Failure::Demo { step, reason: failure.to_string() }),
        Err(_) => Err(Failure::Demo { step, reason: format!("it took more than {} s", STEP_LIMIT.as_secs()) }),
    }
}

/// Far beyond what any step takes on a busy machine.
const STEP_LIMIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_read_off_the_sorted_spans() {
        let spans = (1..=200).rev().map(Duration::from_millis).collect();
        let expected = Latency {
            median: Duration::from_millis(101),
            p99: Duration::from_millis(199),
            slowest: Duration::from_millis(200),
        };
        assert_eq!(Latency::of(spans), expected);
        assert_eq!(Latency::of(vec![Duration::from_millis(7)]).p99, Duration::from_millis(7));
    }
}
