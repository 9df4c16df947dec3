//! What the Rust client does for apps: watches that survive the daemon, and an outbox whose edits count once.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipc_proto::Client;
use ipc_proto::outbox::{Clash, Outbox, OutboxError, Resolution, Shelf};
use ipc_proto::v1::change::Now;
use ipc_proto::v1::value::Kind;
use ipc_proto::v1::{Change, DeleteRecord, ErrorCode, GetRequest, Op, PushRequest, PutRecord, Record, Value, op};
use ipc_proto::watch::Watched;
use rustix::process::Signal;
use tokio::runtime::{Builder, Runtime};

use super::kill::window::connect;
use super::world::World;
use super::{Failed, Programs, expect, same};

/// Generous: it only turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pushes while the daemon is killed again and again.
const PUSHES: u64 = 60;
/// After so many bundles it is ended each time.
const STEP: u64 = 20;

pub(super) fn watched_over_kills(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut a = world.first("a")?;
    let app = App::new()?;
    let client = app.runtime.block_on(connect(&a))?;
    let writer = app.runtime.spawn({
        let client = client.clone();
        async move {
            for number in 1..=PUSHES {
                let request = PushRequest {
                    ops: vec![op(put(number))],
                    source_id: APP.into(),
                    source_bundle_id: number,
                    ..PushRequest::default()
                };
                client.push(request, PATIENCE).await?;
            }
            Ok::<_, ipc_proto::Error>(())
        }
    });
    let open = client.watch(Watched::Records(vec![APP.into()]), Some(0), Some(PATIENCE));
    let mut watch = app.call("watching", open)?;
    for number in 1..=PUSHES {
        let bundle = app.call("watching", watch.next())?;
        let keys: Vec<String> = bundle.changes.into_iter().filter_map(key).collect();
        same("the next bundle", keys, vec![format!("{number:03}")])?;
        same("the cursor", watch.cursor(), bundle.bundle_seq)?;
        if number % STEP == 0 && number < PUSHES {
            let signal = if number == STEP { Signal::KILL } else { Signal::TERM };
            a.signal(signal)?;
            a.ended()?;
            a.start()?;
        }
    }
    app.call("writing", async { writer.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) })
}

pub(super) fn watched_from_now_on(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut a = world.first("a")?;
    a.ok(&["put", APP, "before", "n=1"])?;
    let app = App::new()?;
    let client = app.runtime.block_on(connect(&a))?;
    let mut watch = app.call("watching", client.watch(Watched::Records(Vec::new()), None, Some(Duration::ZERO)))?;
    a.ok(&["put", APP, "after", "n=2"])?;
    let first = app.call("watching", watch.next())?;
    same("the first one", first.changes.into_iter().filter_map(key).collect(), vec!["after".to_owned()])?;
    // Without patience a daemon that is gone is an error, after which the watch goes on where it was.
    a.kill()?;
    let gone = app.runtime.block_on(watch.next());
    expect(gone.is_err_and(|error| error.retryable()), || "an error that passes".into())?;
    a.start()?;
    a.ok(&["put", APP, "later", "n=3"])?;
    let later = app.runtime.block_on(async {
        loop {
            if let Ok(bundle) = watch.next().await {
                return bundle;
            }
        }
    });
    same("the next one", later.changes.into_iter().filter_map(key).collect(), vec!["later".to_owned()])?;
    let beyond = app.runtime.block_on(async {
        client.watch(Watched::Messages(Vec::new()), Some(u64::from(u32::MAX)), None).await?.next().await
    });
    expect(beyond.is_err_and(|error| error.error_code() == ErrorCode::ResyncRequired), || "a refusal".into())
}

pub(super) fn answer_lost(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let a = world.first("a")?;
    let app = App::new()?;
    let client = app.runtime.block_on(connect(&a))?;
    let shelf = Remembering::default();
    let mut outbox = opened(&shelf)?;
    kept(outbox.keep(put(1), None))?;
    kept(outbox.keep(put(2), None))?;
    kept(app.runtime.block_on(outbox.flush(&client, |_| None)))?;
    let seen = app.record(&client, "001")?;
    kept(outbox.keep(titled(&seen, "edited"), Some(&seen)))?;
    kept(outbox.keep(DeleteRecord { collection: APP.into(), key: "002".into(), base_row_version: None }, None))?;
    kept(app.runtime.block_on(outbox.flush(&client, |_| None)))?;
    let before = a.json(&["status"])?["bundle_seq"].as_u64();
    let shown = a.ok(&["export"])?;

    // The program ended after its bundle was committed and before it knew: the next one finds the bundle on the shelf, frozen.
    let mut lost = 0;
    for moment in shelf.moments() {
        let mut outbox = opened(&Remembering::holding(moment))?;
        let Some(first) = outbox.edits().first().map(|edit| edit.number) else { continue };
        if kept(outbox.abandon(first))? {
            continue;
        }
        lost += 1;
        same("committed", kept(app.runtime.block_on(outbox.flush(&client, |_| None)))?, 2)?;
        same("what waits", outbox.edits().len(), 0)?;
    }
    same("bundles that were sent again", lost, 2)?;
    same("what everybody sees", a.ok(&["export"])?, shown)?;
    same("bundles", a.json(&["status"])?["bundle_seq"].as_u64(), before)
}

pub(super) fn clashes(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let a = world.first("a")?;
    let app = App::new()?;
    let client = app.runtime.block_on(connect(&a))?;
    let mut outbox = opened(&Remembering::default())?;

    // Mine, on what somebody else made of it meanwhile.
    let seen = app.clashing(&client, &mut outbox)?;
    let mut asked = 0;
    let resolve = |clash: Clash<'_>| {
        asked += 1;
        let was =
            (clash.mine.seen.as_ref() == Some(&seen)) && clash.theirs.is_some_and(|theirs| title(theirs) == "theirs");
        was.then_some(Resolution::Mine)
    };
    same("committed", kept(app.runtime.block_on(outbox.flush(&client, resolve)))?, 1)?;
    same("asked", asked, 1)?;
    same("the title", title(&app.record(&client, "001")?), "mine")?;

    // Theirs.
    app.clashing(&client, &mut outbox)?;
    same("committed", kept(app.runtime.block_on(outbox.flush(&client, |_| Some(Resolution::Theirs))))?, 0)?;
    same("the title", title(&app.record(&client, "001")?), "theirs")?;

    // Nobody decides: nothing is pushed, everything stays; then a merged record is written whole.
    app.clashing(&client, &mut outbox)?;
    kept(outbox.keep(put(2), None))?;
    let refused = app.runtime.block_on(outbox.flush(&client, |_| None));
    expect(matches!(&refused, Err(OutboxError::Call(error)) if error.error_code() == ErrorCode::Conflict), || {
        format!("a conflict, got {refused:?}")
    })?;
    same("what waits", outbox.edits().len(), 2)?;
    expect(app.record(&client, "002").is_err(), || "nothing of the bundle to be there".into())?;
    let whole = || Resolution::Merged(BTreeMap::from([("title".to_owned(), text("merged"))]));
    same("committed", kept(app.runtime.block_on(outbox.flush(&client, |_| Some(whole()))))?, 2)?;
    let merged = app.record(&client, "001")?;
    same("the fields", merged.fields.keys().map(String::as_str).collect(), vec!["title"])?;

    // Somebody is faster each time: two resolutions, then the edit stays and can be pushed later.
    app.clashing(&client, &mut outbox)?;
    let mut asked = 0;
    let beaten = app.runtime.block_on(outbox.flush(&client, |_| {
        asked += 1;
        // Another program, so that the runtime of this one is not entered twice.
        a.ok(&["put", APP, "001", &format!("title=faster {asked}")]).ok().map(|_| Resolution::Mine)
    }));
    expect(matches!(beaten, Err(OutboxError::Call(_))), || format!("a conflict, got {beaten:?}"))?;
    same("asked", asked, 2)?;
    same("committed", kept(app.runtime.block_on(outbox.flush(&client, |_| Some(Resolution::Mine))))?, 1)?;

    // An edit of what was deleted cannot be kept, and stays until it is dropped.
    app.clashing(&client, &mut outbox)?;
    a.ok(&["rm", APP, "001"])?;
    let wrong = app.runtime.block_on(outbox.flush(&client, |_| Some(Resolution::Mine)));
    expect(matches!(wrong, Err(OutboxError::Resolution { .. })), || format!("no such resolution, got {wrong:?}"))?;
    same("what waits", outbox.edits().len(), 1)?;
    same("committed", kept(app.runtime.block_on(outbox.flush(&client, |_| Some(Resolution::Theirs))))?, 0)
}

/// The collection and the writer.
const APP: &str = "app";

struct App {
    runtime: Runtime,
}

impl App {
    fn new() -> Result<Self, Failed> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Ok(Self { runtime: runtime.map_err(Failed::io("starting a runtime"))? })
    }

    fn call<T>(&self, doing: &str, call: impl Future<Output = Result<T, ipc_proto::Error>>) -> Result<T, Failed> {
        self.runtime.block_on(call).map_err(|error| Failed::Expected(format!("{doing} to go on: {error}")))
    }

    fn record(&self, client: &Client, key: &str) -> Result<Record, Failed> {
        let request = GetRequest { collection: APP.into(), key: key.into() };
        let answer = self.call("reading", async { Ok(client.records().get(request).await?.into_inner()) })?;
        answer.record.ok_or_else(|| Failed::Expected("a record".into()))
    }

    /// Lets an edit wait that was made from a record that has changed since; gives the record as it was.
    fn clashing(&self, client: &Client, outbox: &mut Outbox<Remembering>) -> Result<Record, Failed> {
        let push = |write: PutRecord| {
            let request = PushRequest { ops: vec![op(write)], ..PushRequest::default() };
            self.call("writing", client.push(request, Duration::ZERO))
        };
        push(put(1))?;
        let seen = self.record(client, "001")?;
        push(titled(&seen, "theirs"))?;
        kept(outbox.keep(titled(&seen, "mine"), Some(&seen)))?;
        Ok(seen)
    }
}

/// A shelf that remembers everything that ever lay on it.
#[derive(Clone, Debug, Default)]
struct Remembering(Arc<Mutex<Vec<Vec<u8>>>>);

impl Remembering {
    fn holding(moment: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(vec![moment])))
    }

    fn moments(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shelf for Remembering {
    fn load(&mut self, _: usize) -> io::Result<Option<Vec<u8>>> {
        Ok(self.moments().pop())
    }

    fn store(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(bytes.to_vec());
        Ok(())
    }
}

fn opened(shelf: &Remembering) -> Result<Outbox<Remembering>, Failed> {
    kept(Outbox::open(shelf.clone()))
}

fn kept<T>(done: Result<T, OutboxError>) -> Result<T, Failed> {
    done.map_err(|error| Failed::Expected(format!("the outbox to work: {error}")))
}

fn op(put: PutRecord) -> Op {
    Op { op: Some(op::Op::PutRecord(put)) }
}

fn put(number: u64) -> PutRecord {
    let fields = BTreeMap::from([("title".to_owned(), text("first")), ("shop".to_owned(), text("market"))]);
    PutRecord { collection: APP.into(), key: format!("{number:03}"), fields, ..PutRecord::default() }
}

fn titled(record: &Record, title: &str) -> PutRecord {
    let fields = BTreeMap::from([("title".to_owned(), text(title))]);
    PutRecord { collection: record.collection.clone(), key: record.key.clone(), fields, ..PutRecord::default() }
}

fn text(text: &str) -> Value {
    Value { kind: Some(Kind::String(text.into())) }
}

fn title(record: &Record) -> &str {
    match record.fields.get("title").and_then(|value| value.kind.as_ref()) {
        Some(Kind::String(title)) => title,
        Some(_) | None => "",
    }
}

fn key(change: Change) -> Option<String> {
    match change.now? {
        Now::Record(record) => Some(record.key),
        Now::RecordGone(_) | Now::Message(_) | Now::MessageGone(_) | Now::Conversation(_) => None,
    }
}
