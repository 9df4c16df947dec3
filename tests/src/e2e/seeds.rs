//! What the projects that kinfolk learnt from asked of their own sync: the acceptance list of one, the edge cases of another, as far as it takes real
//! programs to show it. `docs/acceptance.md` names the test of each.

use std::io::{BufRead, BufReader};

use ipc_proto::v1::error_detail::Payload;
use ipc_proto::v1::{ErrorDetail, Op, PushRequest, PushResponse, PutRecord, Value, op, value};
use tokio::runtime::{Builder, Runtime};

use super::device::Device;
use super::kill::window::connect;
use super::pairing::{converged, messages};
use super::world::World;
use super::{Failed, Programs, expect, same};
use crate::servers::redis_server::RedisServer;

/// What the app calls its stream of pushes.
const APP: &str = "music";
/// Pushes of a run.
const PUSHES: u64 = 20;

pub(super) fn live_edits(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let server = RedisServer::start(&[])?;
    let (a, b) = world.pair_on(&[server.url()])?;
    converged(&[&a, &b])?;
    for (writer, reader) in [(&a, &b), (&b, &a)] {
        let mut watch = reader.spawn(&["watch", "--json", "--collection", "playlists", "--after", "0"])?;
        let lines = watch.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        let mut lines = lines.ok_or_else(|| Failed::Expected("a pipe".into()))?;
        let title = format!("by {}", writer.name);
        writer.ok(&["put", "playlists", "summer", &format!("title={title}")])?;
        // The watch ends by itself only when the daemon does.
        let seen = lines.any(|line| line.is_ok_and(|line| line.contains(&title)));
        drop(watch.kill());
        drop(watch.wait());
        expect(seen, || format!("{} to see {title:?} without asking", reader.name))?;
    }
    Ok(())
}

pub(super) fn pushed_again(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (mut a, b) = world.pair()?;
    converged(&[&a, &b])?;
    let before = a.json(&["status"])?["bundle_seq"].as_u64().unwrap_or_default();
    let app = App::new()?;
    for number in 1..=PUSHES / 2 {
        expect(!app.push(&a, number)?.already_committed, || format!("push {number} to be new"))?;
    }
    // The next one is under way when the power goes; whether it is in nobody knows.
    let cut_off = std::thread::scope(|scope| {
        let pushing = scope.spawn(|| App::new()?.push_through(&world.client("a"), PUSHES / 2 + 1));
        let killed = a.kill();
        (pushing.join(), killed)
    });
    cut_off.1?;
    a.start()?;
    for number in 1..=PUSHES {
        let answer = app.push(&a, number)?;
        let known = number <= PUSHES / 2;
        expect(answer.already_committed || !known, || format!("push {number} to be known: {answer:?}"))?;
    }
    let after = a.json(&["status"])?["bundle_seq"].as_u64().unwrap_or_default();
    same("bundles", after - before, PUSHES)?;
    converged(&[&a, &b])?;
    for device in [&a, &b] {
        let listed = device.json(&["list", "tracks"])?;
        same("records", listed["records"].as_array().map(Vec::len), usize::try_from(PUSHES).ok())?;
    }
    Ok(())
}

pub(super) fn offline_edit(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, mut b) = world.pair()?;
    a.ok(&["put", "playlists", "summer", "title=first", "color=red"])?;
    converged(&[&a, &b])?;
    b.ok(&["sync", "mode", "off"])?;
    b.ok(&["put", "playlists", "summer", "title=offline"])?;
    a.ok(&["put", "playlists", "summer", "color=blue"])?;
    // The edit outlives a restart in between.
    b.stop()?;
    b.start()?;
    expect(!a.ok(&["get", "playlists", "summer"])?.contains("offline"), || "nothing to arrive before".into())?;
    b.ok(&["sync", "mode", "realtime"])?;
    converged(&[&a, &b])?;
    for device in [&a, &b] {
        let shown = device.ok(&["get", "playlists", "summer"])?;
        expect(shown.contains("offline") && shown.contains("blue"), || format!("both edits: {shown}"))?;
    }
    same("conflicts between edits of different fields", a.json(&["status"])?["conflicts"].as_u64(), Some(0))
}

pub(super) fn out_of_order(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let a = world.first("a")?;
    let app = App::new()?;
    app.push(&a, 1)?;
    let refused = match app.try_push(&a, 5)? {
        Ok(answer) => return Err(Failed::Expected(format!("push 5 to be refused, got {answer:?}"))),
        Err(refused) => refused,
    };
    same("the code", refused.code.as_str(), "out_of_order")?;
    let Some(Payload::Sequence(sequence)) = refused.payload else {
        return Err(Failed::Expected(format!("the expected number: {refused:?}")));
    };
    same("what came and what was expected", (sequence.actual, sequence.expected), (5, 2))?;
    let answer = app.push(&a, sequence.expected)?;
    expect(!answer.already_committed, || "the expected number to be accepted".into())
}

pub(super) fn same_text(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b) = world.pair()?;
    converged(&[&a, &b])?;
    for device in [&a, &b] {
        device.ok(&["msg", "post", "family", "Hello", "--at", "2025-10-16T12:00:00Z"])?;
    }
    converged(&[&a, &b])?;
    same("messages", messages(&a, "family")?.len(), 2)?;
    same("messages on both", messages(&a, "family")?, messages(&b, "family")?)
}

pub(super) fn deleted_meanwhile(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, mut b) = world.pair()?;
    for id in ["gone", "stays"] {
        a.ok(&["msg", "post", "family", "text", "--id", id])?;
    }
    converged(&[&a, &b])?;
    b.stop()?;
    a.ok(&["msg", "rm", "gone", "--yes"])?;
    b.start()?;
    converged(&[&a, &b])?;
    for device in [&a, &b] {
        same("messages", messages(device, "family")?, vec!["stays".into()])?;
        same("findings", device.json(&["msg", "search", "text"])?["hits"].as_array().map(Vec::len), Some(1))?;
    }
    Ok(())
}

/// An app that numbers its pushes.
#[derive(Debug)]
struct App(Runtime);

impl App {
    fn new() -> Result<Self, Failed> {
        Ok(Self(Builder::new_current_thread().enable_all().build().map_err(Failed::io("starting a runtime"))?))
    }

    /// A push that must be accepted.
    fn push(&self, device: &Device, number: u64) -> Result<PushResponse, Failed> {
        let refused = |error: ErrorDetail| Failed::Expected(format!("push {number} to be accepted: {error:?}"));
        self.try_push(device, number)?.map_err(refused)
    }

    fn try_push(&self, device: &Device, number: u64) -> Result<Result<PushResponse, ErrorDetail>, Failed> {
        match self.0.block_on(ask(device, number))? {
            Ok(answer) => Ok(Ok(answer)),
            Err(status) => {
                let lost = || Failed::Expected(format!("a reason in {status}"));
                Ok(Err(ErrorDetail::from_status(&status).ok_or_else(lost)?))
            }
        }
    }

    /// A push of which nobody knows whether it is accepted.
    fn push_through(&self, device: &Device, number: u64) -> Result<(), Failed> {
        drop(self.0.block_on(ask(device, number))?);
        Ok(())
    }
}

async fn ask(device: &Device, number: u64) -> Result<Result<PushResponse, tonic::Status>, Failed> {
    let title = Value { kind: Some(value::Kind::String(format!("track {number}"))) };
    let put = PutRecord {
        collection: "tracks".into(),
        key: number.to_string(),
        fields: [("title".to_owned(), title)].into(),
        ..PutRecord::default()
    };
    let ops = vec![Op { op: Some(op::Op::PutRecord(put)) }];
    let request = PushRequest { ops, source_id: APP.into(), source_bundle_id: number, ..PushRequest::default() };
    Ok(connect(device).await?.records().push(request).await.map(tonic::Response::into_inner))
}
