//! Faults: crashes, relays that go away, relays that hold garbage or lose everything.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kinfolk::relay::{self, Envelope, Mailbox, RelayUrl};
use kinfolk_core::ids::EnvelopeId;

use super::corpus::history;
use super::device::{PATIENCE, parse};
use super::pairing::converged;
use super::world::World;
use super::{Failed, Programs, expect, same};

pub(super) fn killed_import(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (mut a, b) = world.pair()?;
    let lines = history(4_000, 12);
    // The watch tells that the import is under way; then the daemon dies in the middle of it.
    let mut watch = a.spawn(&["watch", "--json"])?;
    let mut import = a.spawn(&["import", "-", "--json"])?;
    let mut stdin = import.stdin.take();
    let input = lines.clone();
    let writer = std::thread::spawn(move || stdin.as_mut().map(|stdin| stdin.write_all(input.as_bytes())));
    let events = watch.stdout.take().ok_or_else(|| Failed::Expected("a pipe".into()))?;
    let seen = BufReader::new(events).lines().next();
    a.kill()?;
    let failed = import.wait().map_err(Failed::io("waiting for the import"))?;
    drop(writer.join());
    drop(watch.kill());
    drop(watch.wait());
    expect(seen.is_some_and(|line| line.is_ok()), || "the watch to see the import begin".into())?;
    expect(!failed.success(), || "the import to say that the daemon is gone".into())?;

    a.start()?;
    a.ok(&["store", "verify"])?;
    let kept = a.ok(&["export"])?;
    let known: std::collections::BTreeSet<String> = ids(&lines)?.into_iter().collect();
    expect(ids(&kept)?.iter().all(|id| known.contains(id)), || "only imported messages".into())?;
    let summary = parse(&a.ok_with(&["import", "-", "--json"], &lines)?)?;
    same("lines that were there already", summary["repeated"].as_u64(), Some(kept.lines().count() as u64))?;
    converged(&[&a, &b])?;
    same("messages on b", ids(&b.ok(&["export"])?)?.len(), known.len())
}

pub(super) fn unreachable_relay(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b) = world.pair()?;
    converged(&[&a, &b])?;
    let away = world.path("unmounted");
    fs::rename(world.relay(), &away).map_err(Failed::io("taking the relay folder away"))?;
    a.ok(&["msg", "post", "family", "while away", "--id", "queued"])?;
    same("the code of sync now", a.kin(&["sync", "now"])?.code, 6)?;
    let status = a.json(&["status"])?;
    let relay = &status["relays"][0];
    same("the relay's health", relay["ok"].as_bool(), Some(false))?;
    expect(relay["reason"].as_str().is_some_and(|reason| !reason.is_empty()), || format!("a reason: {relay}"))?;
    expect(status["pending_up"].as_u64() >= Some(1), || format!("a message that waits: {status}"))?;
    same("the code of status --check", a.kin(&["status", "--check"])?.code, 7)?;
    expect(!world.relay().exists(), || "nobody to make a folder where a disk is not mounted".into())?;
    fs::rename(&away, world.relay()).map_err(Failed::io("bringing the relay folder back"))?;
    a.ok(&["sync", "now"])?;
    b.ok(&["sync", "now"])?;
    converged(&[&a, &b])?;
    expect(b.ok(&["export"])?.contains("while away"), || "the queued message on b".into())
}

pub(super) fn garbage(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (mut a, b) = world.pair()?;
    converged(&[&a, &b])?;
    a.stop()?;
    let before = files(&world.relay())?;
    b.ok(&["msg", "post", "family", "under garbage", "--id", "m"])?;
    // Whoever may write to the folder may leave anything in a mailbox: a damaged twin of real mail, whole envelopes
    // of noise, and files that only look like mail.
    let mut planted = 0;
    for (index, path) in new_mail(&world.relay(), &before)?.iter().enumerate() {
        let bytes = fs::read(path).map_err(Failed::io("reading mail"))?;
        let (mailbox, sealed) = mailbox_and_sealed(path, &bytes)?;
        let mut damaged = sealed.to_vec();
        damaged[sealed.len() / 2] ^= 1;
        let noise = vec![0x5A; sealed.len()];
        for (kind, garbage) in [damaged, noise, vec![1]].into_iter().enumerate() {
            let id = EnvelopeId([u8::try_from(index * 8 + kind).unwrap_or(u8::MAX); 16]);
            put(&world, mailbox, Envelope { id, sealed: garbage.into() })?;
            planted += 1;
        }
        let dir = path.parent().unwrap_or(path);
        let torn = dir.join(format!("{}-4096-0123456789abcdef.mail", "ab".repeat(16)));
        fs::write(torn, &bytes[..bytes.len() / 2]).map_err(Failed::io("planting a torn copy"))?;
        fs::write(dir.join("notes.txt"), "a stray file").map_err(Failed::io("planting a stray file"))?;
    }
    a.start()?;
    a.ok(&["sync", "now"])?;
    converged(&[&a, &b])?;
    expect(a.ok(&["export"])?.contains("under garbage"), || "the good mail to arrive".into())?;
    let quarantined = a.json(&["status"])?["quarantine"].as_u64();
    same("what is set aside", quarantined, Some(planted))
}

/// Leaves an envelope in a mailbox, as anybody can who may write to the folder.
fn put(world: &World, mailbox: Mailbox, envelope: Envelope) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failed::io("starting a runtime"))?;
    let words = |error: &dyn std::fmt::Display| Failed::Expected(format!("the relay to take garbage: {error}"));
    let url = RelayUrl::parse(&world.relay_url()).map_err(|error| words(&error))?;
    runtime.block_on(async {
        let relay = relay::connect(&url).await.map_err(|error| words(&error))?;
        relay.put(&[(mailbox, envelope)]).await.map(drop).map_err(|error| words(&error))
    })
}

/// Which mailbox a file of mail lies in, and the sealed bytes in it.
fn mailbox_and_sealed<'a>(path: &Path, file: &'a [u8]) -> Result<(Mailbox, &'a [u8]), Failed> {
    let dir = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let mailbox = Mailbox::from_hex(&dir).ok_or_else(|| Failed::Expected(format!("a mailbox, got {dir}")))?;
    let sealed = file.get(MAIL_HEADER..).ok_or_else(|| Failed::Expected("a whole file of mail".into()))?;
    Ok((mailbox, sealed))
}

/// Bytes before the sealed ones in a file of mail.
const MAIL_HEADER: usize = 64;

pub(super) fn emptied_relay(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (mut a, b) = world.pair()?;
    converged(&[&a, &b])?;
    a.stop()?;
    let before = files(&world.relay())?;
    b.ok(&["msg", "post", "family", "lost on the way", "--id", "m"])?;
    for path in new_mail(&world.relay(), &before)? {
        fs::remove_file(&path).map_err(Failed::io("losing mail"))?;
    }
    a.start()?;
    b.ok(&["sync", "now"])?;
    a.ok(&["wait", "--for", "synced", "--timeout", PATIENCE])?;
    converged(&[&a, &b])?;
    expect(a.ok(&["export"])?.contains("lost on the way"), || "lost mail to be sent again".into())
}

fn ids(lines: &str) -> Result<Vec<String>, Failed> {
    lines.lines().map(|line| Ok(parse(line)?["id"].as_str().unwrap_or_default().to_owned())).collect()
}

/// 60 s in all; a folder has nobody to wait for it.
const LOOKS: u32 = 1_200;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Waits until there is mail in the folder that was not there before; gives it.
fn new_mail(folder: &Path, before: &[PathBuf]) -> Result<Vec<PathBuf>, Failed> {
    for _ in 0..LOOKS {
        let fresh: Vec<PathBuf> = files(folder)?.into_iter().filter(|path| !before.contains(path)).collect();
        if !fresh.is_empty() {
            return Ok(fresh);
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    Err(Failed::Expected("mail in the folder".into()))
}

/// All files of mail in the folder.
pub(super) fn files(dir: &Path) -> Result<Vec<PathBuf>, Failed> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(Failed::io("looking for mail"))? {
        let path = entry.map_err(Failed::io("looking for mail"))?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "mail") {
            found.push(path);
        }
    }
    Ok(found)
}
