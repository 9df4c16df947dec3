//! What is measured: imports of 10,000 events, and single live events.

use std::time::{Duration, Instant};

use ipc_proto::v1::{
    GetStatusRequest, Message, Op, PushRequest, PutRecord, Value, WatchRequest, WatchStatusRequest, message, op, value,
    watch_response,
};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;

use super::BudgetError;
use super::device::Device;

/// What kind of events an import writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Events {
    /// Records with one field of 256 hex digits.
    Records,
    /// Searchable messages with a body of 256 hex digits.
    Messages,
}

/// An import and its way to the other device.
#[derive(Clone, Copy, Debug)]
pub struct Import {
    /// Until the last push was answered: durable here.
    pub import: Duration,
    /// Until all of it was applied there: durable, merged, searchable.
    pub converge: Duration,
}

/// Pushes `count` events in bundles of `per_bundle` on one device, [`IN_FLIGHT`] pushes at a time, and waits until the other holds them.
///
/// # Errors
/// When a push is refused or the other device does not catch up in two minutes.
pub async fn import(
    a: &Device,
    b: &Device,
    events: Events,
    round: usize,
    count: usize,
    per_bundle: usize,
) -> Result<Import, BudgetError> {
    let before = bundle_seq(b).await?;
    let mut requests = Vec::with_capacity(count / per_bundle);
    for first in (0..count).step_by(per_bundle) {
        let ops = (first..count.min(first + per_bundle)).map(|at| event(events, round, per_bundle, at)).collect();
        requests.push(PushRequest { ops, ..PushRequest::default() });
    }
    let wanted = before + u64::try_from(requests.len()).unwrap_or(u64::MAX);
    let mut arrived = b.client.admin().watch_status(WatchStatusRequest {}).await?.into_inner();
    let begin = Instant::now();
    let mut pushes: JoinSet<Result<(), tonic::Status>> = JoinSet::new();
    for request in requests {
        if pushes.len() >= IN_FLIGHT
            && let Some(done) = pushes.join_next().await
        {
            done.map_err(|error| BudgetError::Unexpected(error.to_string()))??;
        }
        let mut records = a.client.records();
        pushes.spawn(async move { records.push(request).await.map(drop) });
    }
    while let Some(done) = pushes.join_next().await {
        done.map_err(|error| BudgetError::Unexpected(error.to_string()))??;
    }
    let import = begin.elapsed();
    let caught_up = async {
        while let Some(status) = arrived.next().await {
            if status?.bundle_seq >= wanted {
                return Ok(());
            }
        }
        Err(BudgetError::Unexpected("the status watch ended".into()))
    };
    match tokio::time::timeout(PATIENCE, caught_up).await {
        Ok(done) => done?,
        Err(_) => return Err(BudgetError::Unexpected("the other device did not catch up".into())),
    }
    Ok(Import { import, converge: begin.elapsed() })
}

/// Pushes single events 50 ms apart and times each from just before the push until the other device's watch delivers it; sorted.
///
/// # Errors
/// When a push is refused or an event does not arrive in two minutes.
pub async fn live(a: &Device, b: &Device, round: usize, count: usize) -> Result<Vec<Duration>, BudgetError> {
    let request = WatchRequest { after_bundle_seq: None, collections: vec![LIVE.into()] };
    let mut watch = b.client.records().watch(request).await?.into_inner();
    // The first event is a position: from here on nothing is missed.
    watch.next().await.ok_or_else(|| BudgetError::Unexpected("the watch ended".into()))??;
    let mut times = Vec::with_capacity(count);
    for at in 0..count {
        tokio::time::sleep(APART).await;
        let key = format!("{round}-{at}");
        let request = PushRequest { ops: vec![put(LIVE, &key, digits(at))], ..PushRequest::default() };
        let begin = Instant::now();
        a.client.records().push(request).await?;
        let arrival = async {
            while let Some(event) = watch.next().await {
                if let Some(watch_response::Event::Bundle(_)) = event?.event {
                    return Ok(());
                }
            }
            Err(BudgetError::Unexpected("the watch ended".into()))
        };
        match tokio::time::timeout(PATIENCE, arrival).await {
            Ok(done) => done?,
            Err(_) => return Err(BudgetError::Unexpected("a live event did not arrive".into())),
        }
        times.push(begin.elapsed());
    }
    times.sort();
    Ok(times)
}

async fn bundle_seq(device: &Device) -> Result<u64, BudgetError> {
    Ok(device.client.admin().get_status(GetStatusRequest {}).await?.into_inner().bundle_seq)
}

fn event(events: Events, round: usize, per_bundle: usize, at: usize) -> Op {
    let name = format!("{round}-{per_bundle}-{at}");
    match events {
        Events::Records => put("bench", &name, digits(at + round * 1_000_003)),
        Events::Messages => {
            let message = Message {
                conversation: format!("c{}", at % 20),
                id: name,
                sender: "bench".into(),
                body: Some(message::Body::Text(digits(at + round * 1_000_003))),
                ..Message::default()
            };
            Op { op: Some(op::Op::PostMessage(message)) }
        }
    }
}

fn put(collection: &str, key: &str, text: String) -> Op {
    let value = Value { kind: Some(value::Kind::String(text)) };
    let put = PutRecord {
        collection: collection.into(),
        key: key.into(),
        fields: [("value".to_owned(), value)].into(),
        clear_fields: Vec::new(),
    };
    Op { op: Some(op::Op::PutRecord(put)) }
}

/// 256 pseudo-random hex digits: they compress at best two to one.
fn digits(seed: usize) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(256);
    let mut state = u64::try_from(seed).unwrap_or_default().wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for _ in 0..16 {
        // Xorshift (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        write!(text, "{state:016x}").ok();
    }
    text
}

/// Pushes under way at one time.
pub const IN_FLIGHT: usize = 64;
const APART: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(120);
const LIVE: &str = "live";
