//! What is measured: imports of 10,000 events, single live events, and a device that joins.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ipc_proto::v1::{
    GetStatusRequest, Message, Op, PushRequest, PutRecord, Status, Value, WatchRequest, WatchStatusRequest, message,
    op, value, watch_response,
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
    let requests = requests(events, round, count, per_bundle);
    let wanted = bundle_seq(b).await? + u64::try_from(requests.len()).unwrap_or(u64::MAX);
    let mut arrived = b.client.admin().watch_status(WatchStatusRequest {}).await?.into_inner();
    let begin = Instant::now();
    push_all(a, requests).await?;
    let import = begin.elapsed();
    until(&mut arrived, "the other device caught up", |status| status.bundle_seq >= wanted).await?;
    Ok(Import { import, converge: begin.elapsed() })
}

/// Pushes `count` records, one a bundle, [`IN_FLIGHT`] at a time, on a device that has nobody to tell; how long that takes.
///
/// # Errors
/// When a push is refused.
pub async fn alone(device: &Device, count: usize) -> Result<Duration, BudgetError> {
    let requests = requests(Events::Records, 0, count, 1);
    let begin = Instant::now();
    push_all(device, requests).await?;
    Ok(begin.elapsed())
}

/// How long a new device takes from the check code until it holds all that the other one does.
///
/// # Errors
/// When they cannot pair, or it does not catch up in two minutes.
pub async fn join(old: &Device, new: &Device) -> Result<Duration, BudgetError> {
    let wanted = bundle_seq(old).await?;
    let confirmed = old.pair(new).await?;
    let mut arrived = new.client.admin().watch_status(WatchStatusRequest {}).await?.into_inner();
    until(&mut arrived, "the new device holds everything", |status| status.bundle_seq >= wanted).await?;
    Ok(confirmed.elapsed())
}

/// Waits until a device and its siblings have told each other everything, and [`RECEIPTS`] more for the last receipts.
///
/// # Errors
/// When that takes more than two minutes.
pub async fn quiet(device: &Device) -> Result<(), BudgetError> {
    let mut status = device.client.admin().watch_status(WatchStatusRequest {}).await?.into_inner();
    until(&mut status, "everything was receipted", |status| status.synced).await?;
    tokio::time::sleep(RECEIPTS).await;
    Ok(())
}

async fn until(
    statuses: &mut tonic::Streaming<Status>,
    what: &str,
    is_so: impl Fn(&Status) -> bool,
) -> Result<(), BudgetError> {
    let waiting = async {
        while let Some(response) = statuses.next().await {
            if is_so(&response?) {
                return Ok(());
            }
        }
        Err(BudgetError::Unexpected("the status watch ended".into()))
    };
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(done) => done,
        Err(_) => Err(BudgetError::Unexpected(format!("waited in vain until {what}"))),
    }
}

async fn push_all(a: &Device, requests: Vec<PushRequest>) -> Result<(), BudgetError> {
    let mut callers: JoinSet<Result<(), tonic::Status>> = JoinSet::new();
    let requests = Arc::new(Mutex::new(requests.into_iter()));
    for _ in 0..IN_FLIGHT {
        let (mut records, requests) = (a.client.records(), Arc::clone(&requests));
        callers.spawn(async move {
            loop {
                let next = requests.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(request) = next else { return Ok(()) };
                records.push(request).await?;
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.map_err(|error| BudgetError::Unexpected(error.to_string()))??;
    }
    Ok(())
}

/// Single events, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Until the push was answered: durable here; sorted.
    pub pushed: Vec<Duration>,
    /// Until the other device's watch delivered it; sorted.
    pub times: Vec<Duration>,
    /// When each was under way, in the order of the pushes.
    pub windows: Vec<Window>,
}

/// A stretch of time, in microseconds of the day (UTC), as the daemons' logs write it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// Just before the push.
    pub pushed_us: u64,
    /// Just after the event arrived.
    pub seen_us: u64,
}

/// Pushes single events 50 ms apart and times each from just before the push until the other device's watch delivers it.
///
/// # Errors
/// When a push is refused or an event does not arrive in two minutes.
pub async fn live(a: &Device, b: &Device, round: usize, count: usize) -> Result<Live, BudgetError> {
    let request = WatchRequest { collections: vec![LIVE.into()], ..WatchRequest::default() };
    let mut watch = b.client.records().watch(request).await?.into_inner();
    // The first event is a position: from here on nothing is missed.
    watch.next().await.ok_or_else(|| BudgetError::Unexpected("the watch ended".into()))??;
    let mut live = Live::default();
    for at in 0..count {
        tokio::time::sleep(APART).await;
        let key = format!("{round}-{at}");
        let request = PushRequest { ops: vec![put(LIVE, &key, digits(at))], ..PushRequest::default() };
        let (begin, pushed_us) = (Instant::now(), micros_of_day());
        a.client.records().push(request).await?;
        live.pushed.push(begin.elapsed());
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
        live.times.push(begin.elapsed());
        live.windows.push(Window { pushed_us, seen_us: micros_of_day() });
    }
    live.pushed.sort();
    live.times.sort();
    Ok(live)
}

async fn bundle_seq(device: &Device) -> Result<u64, BudgetError> {
    Ok(device.client.admin().get_status(GetStatusRequest {}).await?.into_inner().bundle_seq)
}

fn micros_of_day() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    u64::try_from(since % (24 * 3600 * 1_000_000)).unwrap_or_default()
}

fn requests(events: Events, round: usize, count: usize, per_bundle: usize) -> Vec<PushRequest> {
    let bundle = |first: usize| {
        let ops = (first..count.min(first + per_bundle)).map(|at| event(events, round, per_bundle, at)).collect();
        PushRequest { ops, ..PushRequest::default() }
    };
    (0..count).step_by(per_bundle).map(bundle).collect()
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
        ..PutRecord::default()
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
/// A receipt for a few events may wait for more of them: 5 s, and one to spare.
const RECEIPTS: Duration = Duration::from_secs(6);
const LIVE: &str = "live";
