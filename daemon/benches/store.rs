//! What the store costs: `cargo bench -p kinfolk --bench store [-- EVENTS]`.
//!
//! Prints wall and CPU time of committing EVENTS (10,000 unless told) single-op bundles, as records and as searchable
//! messages, in one and in several transactions, and what pages and searches take afterwards. Nothing here passes or
//! fails; absolute numbers belong to the disk and its neighbours, so the cost of one sync is printed beside them.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinfolk::store::{DbKey, NewDevice, Range, Reader, Sought, Store};
use kinfolk_core::bundle::{Birth, Body, Bundle};
use kinfolk_core::clock::Stamp;
use kinfolk_core::ids::{DeviceId, Dot, Hash, Millis, Seq, SourceId};
use kinfolk_core::op::{MessageBody, Op};
use kinfolk_core::prekey::KeptPrekey;
use kinfolk_core::roster::Prekey;
use kinfolk_core::step::{Append, Change};
use kinfolk_core::value::Value;
use kinfolk_core::vector::{Head, VersionVector};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    // Cargo itself passes `--bench`.
    let events = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(10_000_u64);
    println!("one fdatasync of 4 KiB: {:?} (median of 50)", sync_cost()?);
    for group in [events, 500, 50] {
        let (mut store, dir) = new_store()?;
        let bundles = chain(events, record);
        let cost = commit(&mut store, &bundles, group)?;
        println!("{events} records, {group} a transaction: {cost}");
        drop(store);
        drop(dir);
    }
    let (mut store, dir) = new_store()?;
    let bundles = chain(events, record);
    commit(&mut store, &bundles, 500)?;
    let again = Cost::of(|| bundles.iter().try_for_each(|bundle| store.facts(bundle.ops()).map(drop)))?;
    println!("facts about {events} records: {again}");

    for group in [events, 500] {
        let (mut store, dir) = new_store()?;
        let bundles = chain(events, message);
        let cost = commit(&mut store, &bundles, group)?;
        println!("{events} messages, {group} a transaction: {cost}");
        if group == 500 {
            reads(&Reader::open(dir.path(), &key())?, events)?;
        }
    }
    drop(dir);
    Ok(())
}

/// Pages and searches over `events` messages.
fn reads(reader: &Reader, events: u64) -> Outcome<()> {
    let mut times = Times::default();
    for n in 0..400 {
        let before = i64::try_from(events - n * (events / 400))?;
        let page = times
            .of(|| reader.messages("conversation 3", &Range::default().behind((before * 1_000, String::new())), 50))?;
        assert!(page.len() <= 50);
    }
    println!("page of 50: {times}");
    for (what, query) in
        [("a rare word", "w4999"), ("a common word", "common"), ("two words", "common w77"), ("a beginning", "w12*")]
    {
        let sought = Sought { typed: query.to_owned(), ..Sought::default() };
        let inside = Sought { conversation: Some("conversation 3".to_owned()), ..sought.clone() };
        let mut times = Times::default();
        for _ in 0..50 {
            times.of(|| reader.search(&sought, None, 20))?;
        }
        let mut within = Times::default();
        for _ in 0..50 {
            within.of(|| reader.search(&inside, None, 20))?;
        }
        println!("search for {what}: {times}; in one conversation: {within}");
    }
    let whole = Cost::of(|| reader.verify().map(drop))?;
    println!("verify: {whole}");
    Ok(())
}

fn record(n: u64) -> Op {
    let value = Hash::of(&n.to_be_bytes()).to_string().repeat(4);
    Op::record_put(
        "history",
        &Hash::of(&n.to_le_bytes()).to_string()[..32],
        vec![("command".into(), Some(Value::text(value)))],
    )
}

/// About 260 characters in words of a vocabulary of 5,000, one of them in every message.
fn message(n: u64) -> Op {
    let words = (0..40).map(|k| format!("w{}", (n * 7_919 + k * k * 104_729) % 5_000));
    let body = MessageBody {
        conversation: format!("conversation {}", n % 20),
        sender: format!("person {}", n % 7),
        text: words.chain(["common".to_owned()]).collect::<Vec<_>>().join(" "),
        created_us: Some(i64::try_from(n * 1_000).unwrap_or(i64::MAX)),
        ..MessageBody::default()
    };
    Op::message_post(&Hash::of(&n.to_le_bytes()).to_string()[..40], &body)
}

const DEVICE: DeviceId = DeviceId([1; 16]);
const SOURCE: SourceId = SourceId([1; 16]);

fn chain(events: u64, op: fn(u64) -> Op) -> Vec<Bundle> {
    let mut head = Head::default();
    (1..=events)
        .filter_map(|n| {
            let birth = (n == 1).then_some(Birth { device: DEVICE, generation: 1 });
            let body = Body { stamp: Stamp(n << 16), birth, context: Vec::new(), ops: vec![op(n)], origin: None };
            let bundle = Bundle::write(Dot { source: SOURCE, seq: Seq(n) }, head.hash, body).ok()?;
            head = bundle.head();
            Some(bundle)
        })
        .collect()
}

fn key() -> DbKey {
    DbKey::new([7; 32])
}

fn new_store() -> Outcome<(Store, tempfile::TempDir)> {
    let dir = tempfile::TempDir::new()?;
    let device = NewDevice {
        me: DEVICE,
        source: SOURCE,
        generation: 1,
        roster: Hash::default(),
        records: Vec::new(),
        epochs: Vec::new(),
        prekey: KeptPrekey { prekey: Prekey::default(), made: Millis(0), kept: Default::default() },
        announced: Vec::new(),
    };
    Ok((Store::create(dir.path(), &key(), &device)?, dir))
}

fn commit(store: &mut Store, bundles: &[Bundle], group: u64) -> Outcome<Cost> {
    let context = Arc::new(VersionVector::default());
    Cost::of(|| {
        for group in bundles.chunks(usize::try_from(group).unwrap_or(usize::MAX)) {
            store.begin()?;
            for bundle in group {
                let (bundle_seq, context) = (store.bundle_seq().next(), Arc::clone(&context));
                let bundle = bundle.clone();
                let append = Append { bundle, device: DEVICE, bundle_seq, context, at: Millis(1), app: None };
                store.apply(&Change::Append(append))?;
            }
            store.commit()?;
        }
        Ok::<_, kinfolk::store::StoreError>(())
    })
}

fn sync_cost() -> Outcome<Duration> {
    let mut file = tempfile::tempfile()?;
    let mut times = Times::default();
    for _ in 0..50 {
        file.write_all(&[0; 4_096])?;
        times.of(|| file.sync_data())?;
    }
    Ok(times.at(50))
}

/// Wall and CPU time of something done once.
struct Cost {
    wall: Duration,
    cpu: Duration,
}

impl Cost {
    fn of<E: Error + 'static>(work: impl FnOnce() -> Result<(), E>) -> Outcome<Self> {
        let (start, cpu) = (Instant::now(), cpu_time());
        work()?;
        Ok(Self { wall: start.elapsed(), cpu: cpu_time().saturating_sub(cpu) })
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} s wall, {:.3} s CPU", self.wall.as_secs_f64(), self.cpu.as_secs_f64())
    }
}

/// CPU time of this process so far, from `/proc` in hundredths of a second; zero where there is none.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Wall times of something done many times.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn of<T, E: Error + 'static>(&mut self, work: impl FnOnce() -> Result<T, E>) -> Outcome<T> {
        let start = Instant::now();
        let result = work()?;
        self.0.push(start.elapsed());
        Ok(result)
    }

    fn at(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p50 {:?}, p99 {:?}", self.at(50), self.at(99))
    }
}
