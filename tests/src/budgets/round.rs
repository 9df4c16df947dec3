//! One round: the floors, two devices over Redis, the same over a folder, and a device that joins.
//!
//! Each part begins with fresh homes and a relay without mail, so that the first import finds empty stores and what is idle holds
//! exactly the events of that import.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ipc_proto::v1::AddRelayRequest;
use kinfolk::hops::TARGET;

use super::BudgetError;
use super::device::{Device, program};
use super::floor::{fdatasync, percentile, rows, sealing};
use super::idle::usage;
use super::report::{Report, Unit};
use super::trace;
use super::wire::{Counted, Wire};
use super::work::{Events, Import, alone, import, join, live, quiet};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many rounds.
    pub rounds: usize,
    /// Events of an import.
    pub events: usize,
    /// Single live events.
    pub singles: usize,
    /// How long the idle daemons are looked at.
    pub idle: Duration,
    /// Whether to note where the time of live events goes, which costs a little of it.
    pub trace: bool,
    /// The relays to measure over.
    pub ways: Vec<Way>,
}

/// A kind of relay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// A Redis server of our own.
    Redis,
    /// A folder that both devices see.
    Folder,
}

impl Way {
    /// What figures over it are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Folder => "folder",
        }
    }
}

/// A relay that runs as long as this lives.
enum Relay {
    Redis(Counted),
    Folder(PathBuf),
}

impl Relay {
    fn start(way: Way, home: &Path) -> Result<Self, BudgetError> {
        match way {
            Way::Redis => Counted::start().map(Self::Redis),
            Way::Folder => Ok(Self::Folder(home.join("relay"))),
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Redis(server) => server.url(),
            Self::Folder(path) => format!("file://{}", path.display()),
        }
    }

    /// Bytes so far; `None` where nobody counts them.
    fn wire(&mut self) -> Result<Option<Wire>, BudgetError> {
        match self {
            Self::Redis(server) => server.wire().map(Some),
            Self::Folder(_) => Ok(None),
        }
    }
}

/// Measures one round into `report`.
///
/// # Errors
/// When a program is missing or something does not happen.
pub async fn measure(report: &mut Report, plan: &Plan, round: usize) -> Result<(), BudgetError> {
    floors(report, plan)?;
    for way in &plan.ways {
        between_two(report, plan, round, *way).await?;
    }
    let first = plan.ways.first().copied().unwrap_or(Way::Redis);
    alone_and_joined(report, plan, first).await
}

fn floors(report: &mut Report, plan: &Plan) -> Result<(), BudgetError> {
    let home = home()?;
    let syncs = fdatasync(home.path())?;
    note_time(report, "floor: fdatasync of 4 KiB, p50", percentile(&syncs, 0.5));
    note_time(report, "floor: fdatasync of 4 KiB, p99", percentile(&syncs, 0.99));
    let rows = rows(home.path())?;
    report.note("floor: SQLite FULL, rows in transactions of 1,000", Unit::PerSecond, rows.batched);
    report.note("floor: SQLite FULL, rows one by one", Unit::PerSecond, rows.single);
    let sealing = sealing()?;
    note_time(report, "floor: sealing one live event", sealing.seal);
    note_time(report, "floor: opening it", sealing.open);
    if plan.ways.contains(&Way::Redis) {
        let trips = Counted::start()?.trips()?;
        note_time(report, "floor: Redis PING, p50", trips.ping);
        report.note("floor: Redis ZADD of 400 B, 100 a write", Unit::PerSecond, trips.added);
    }
    for name in ["kinfolkd", "kin"] {
        let path = program(name)?;
        let size = std::fs::metadata(&path).map_err(BudgetError::io(format!("cannot see {}", path.display())))?.len();
        report.note(&format!("{name}: size of the program"), Unit::Megabytes, number(size) / 1e6);
    }
    Ok(())
}

async fn between_two(report: &mut Report, plan: &Plan, round: usize, way: Way) -> Result<(), BudgetError> {
    let home = home()?;
    let mut relay = Relay::start(way, home.path())?;
    let (program, filter) = (program("kinfolkd")?, plan.filter());
    let a = Device::start(&program, &home.path().join("a"), &filter).await?;
    let b = Device::start(&program, &home.path().join("b"), &filter).await?;
    a.init(&[relay.url()]).await?;
    a.pair(&b).await?;
    quiet(&a).await?;

    let (name, events) = (way.name(), plan.events);
    let before = relay.wire()?;
    import_noted(report, &format!("{name}: {events} single records"), (&a, &b), (Events::Records, round, events, 1))
        .await?;
    if let Some(before) = before {
        quiet(&a).await?;
        let after = relay.wire()?.unwrap_or_default();
        report.note(&format!("{name}: wire, {events} events, up"), Unit::Megabytes, (after.up - before.up) / 1e6);
        report.note(&format!("{name}: wire, {events} events, down"), Unit::Megabytes, (after.down - before.down) / 1e6);
    }
    if !plan.idle.is_zero() {
        idle(report, name, &mut relay, &[&a, &b], plan.idle).await?;
    }
    import_noted(
        report,
        &format!("{name}: {events} records, 500 a bundle"),
        (&a, &b),
        (Events::Records, round, events, 500),
    )
    .await?;
    import_noted(report, &format!("{name}: {events} single messages"), (&a, &b), (Events::Messages, round, events, 1))
        .await?;
    quiet(&a).await?;

    let before = relay.wire()?;
    let live = live(&a, &b, round, plan.singles).await?;
    for (what, times) in [("pushed", &live.pushed), ("seen", &live.times)] {
        note_time(report, &format!("{name}: live event {what}, p50"), percentile(times, 0.5));
        note_time(report, &format!("{name}: live event {what}, p99"), percentile(times, 0.99));
    }
    if let Some(before) = before {
        quiet(&a).await?;
        let each = (relay.wire()?.unwrap_or_default().both() - before.both()) / number(plan.singles);
        report.note(&format!("{name}: wire, one live event, up and down"), Unit::Bytes, each);
    }
    if plan.trace {
        trace::note(report, name, &live.windows, &a.log, &b.log)?;
    }
    Ok(())
}

/// Looks at daemons that have nothing to do; the worst of them counts.
async fn idle(
    report: &mut Report,
    name: &str,
    relay: &mut Relay,
    daemons: &[&Device],
    span: Duration,
) -> Result<(), BudgetError> {
    let wire = relay.wire()?;
    let mut before = Vec::with_capacity(daemons.len());
    for daemon in daemons {
        before.push(usage(daemon.pid())?);
    }
    let begin = Instant::now();
    tokio::time::sleep(span).await;
    let seconds = begin.elapsed().as_secs_f64();
    let mut worst: [(&str, Unit, f64); 5] = [
        ("resident memory", Unit::Megabytes, 0.0),
        ("heap and stacks of it", Unit::Megabytes, 0.0),
        ("processor time", Unit::Load, 0.0),
        ("wake-ups", Unit::PerSecond, 0.0),
        ("threads", Unit::Count, 0.0),
    ];
    for (daemon, before) in daemons.iter().zip(before) {
        let now = usage(daemon.pid())?;
        let values = [
            now.resident / 1e6,
            now.anonymous / 1e6,
            (now.processor_ms - before.processor_ms) / seconds,
            (now.sleeps - before.sleeps) / seconds,
            now.threads,
        ];
        for ((_, _, worst), value) in worst.iter_mut().zip(values) {
            *worst = value.max(*worst);
        }
    }
    for (what, unit, value) in worst {
        report.note(&format!("{name}: idle, {what}"), unit, value);
    }
    if let Some(before) = wire {
        let moved = relay.wire()?.unwrap_or_default().both() - before.both();
        let each = moved / seconds / number(daemons.len());
        report.note(&format!("{name}: idle, bytes each daemon moves"), Unit::BytesPerSecond, each);
    }
    Ok(())
}

/// What one device writes when it has nobody to tell, and how soon a new device holds all of it.
async fn alone_and_joined(report: &mut Report, plan: &Plan, way: Way) -> Result<(), BudgetError> {
    let home = home()?;
    let relay = Relay::start(way, home.path())?;
    let program = program("kinfolkd")?;
    let old = Device::start(&program, &home.path().join("old"), "warn").await?;
    let new = Device::start(&program, &home.path().join("new"), "warn").await?;
    old.init(&[]).await?;
    let took = alone(&old, plan.events).await?;
    let rate = number(plan.events) / took.as_secs_f64();
    report.note("durable single pushes of 64 callers", Unit::PerSecond, rate);
    if let Some(raw) = report.last("floor: SQLite FULL, rows in transactions of 1,000") {
        report.note("durable single pushes, of what SQLite alone writes", Unit::Percent, rate / raw * 100.0);
    }
    old.client.admin().add_relay(AddRelayRequest { url: relay.url() }).await?;
    let took = join(&old, &new).await?;
    note_time(report, &format!("{}: a new device holds {} events", way.name(), plan.events), took);
    Ok(())
}

impl Plan {
    fn filter(&self) -> String {
        if self.trace { format!("warn,{TARGET}=trace") } else { "warn".into() }
    }
}

/// An import with what it costs both daemons: of all figures the one that neighbours on the machine change least.
async fn import_noted(
    report: &mut Report,
    what: &str,
    (a, b): (&Device, &Device),
    (kind, round, events, per_bundle): (Events, usize, usize, usize),
) -> Result<(), BudgetError> {
    let spent = || Ok::<_, BudgetError>(usage(a.pid())?.processor_ms + usage(b.pid())?.processor_ms);
    let before = spent()?;
    let Import { import, converge } = import(a, b, kind, round, events, per_bundle).await?;
    note_time(report, &format!("{what}, imported"), import);
    note_time(report, &format!("{what}, converged"), converge);
    report.note(&format!("{what}, processor time of both"), Unit::Millis, spent()? - before);
    Ok(())
}

fn note_time(report: &mut Report, name: &str, value: Duration) {
    report.note(name, Unit::Millis, value.as_secs_f64() * 1000.0);
}

fn home() -> Result<tempfile::TempDir, BudgetError> {
    tempfile::tempdir().map_err(BudgetError::io("no temporary directory".into()))
}

#[expect(clippy::cast_precision_loss, reason = "counts and sizes far below 2⁵³")]
fn number(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or_default() as f64
}
