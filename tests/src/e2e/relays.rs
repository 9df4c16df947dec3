//! Relays that not all devices share, that come and go while mail is under way, and that are put back to an older state.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::device::Device;
use super::pairing::converged;
use super::world::World;
use super::{Failed, Programs, expect, same};
use crate::servers::redis_server::{Memory, RedisServer};

pub(super) fn partly_shared(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut server = RedisServer::start(&[])?;
    let a = world.first_on("a", &[server.url()])?;
    let b = world.sibling("b", &a)?;
    b.ok(&["relay", "add", &world.relay_url()])?;
    let c = world.sibling("c", &b)?;
    converged(&[&a, &b, &c])?;
    c.ok(&["relay", "rm", &server.url()])?;
    same("relays of c", c.json(&["relay", "list"])?["relays"].as_array().map(Vec::len), Some(1))?;
    a.ok(&["msg", "post", "family", "over Redis and on", "--id", "m1"])?;
    c.ok(&["msg", "post", "family", "over the folder and on", "--id", "m2"])?;
    agree(&[&a, &b, &c], &["over Redis and on", "over the folder and on"])?;

    server.kill()?;
    a.ok(&["msg", "post", "family", "while Redis was dead", "--id", "m3"])?;
    c.ok(&["msg", "post", "family", "all the same", "--id", "m4"])?;
    until(&b, "what came over the folder", |export, _| export.contains("all the same"))?;
    server.restart(Memory::Lost)?;
    agree(&[&a, &b, &c], &["while Redis was dead", "all the same"])?;
    [&a, &b, &c].iter().try_for_each(|device| device.ok(&["store", "verify"]).map(drop))
}

pub(super) fn moved(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let server = RedisServer::start(&[])?;
    let (a, mut b) = world.pair()?;
    converged(&[&a, &b])?;
    b.stop()?;
    a.ok(&["msg", "post", "family", "before the move", "--id", "m1"])?;
    a.ok(&["sync", "now"])?;
    a.ok(&["relay", "add", &server.url()])?;
    a.ok(&["relay", "rm", &world.relay_url()])?;
    a.ok(&["msg", "post", "family", "after the move", "--id", "m2"])?;
    b.start()?;
    until(&b, "what lay in the folder", |export, _| export.contains("before the move"))?;
    b.ok(&["relay", "add", &server.url()])?;
    converged(&[&a, &b])?;
    b.ok(&["relay", "rm", &world.relay_url()])?;
    b.ok(&["msg", "post", "family", "in the new place", "--id", "m3"])?;
    converged(&[&a, &b])?;
    agree(&[&a, &b], &["before the move", "after the move", "in the new place"])
}

pub(super) fn redis_put_back(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut server = RedisServer::start(&[])?;
    let (a, mut b) = world.pair_on(&[server.url()])?;
    converged(&[&a, &b])?;
    left_for(&a, &mut b, "old")?;
    server.ask(&["SAVE"])?;
    b.start()?;
    converged(&[&a, &b])?;
    left_for(&a, &mut b, "new")?;
    server.restart(Memory::Kept)?;
    b.start()?;
    nothing_twice(&a, &b)
}

pub(super) fn folder_put_back(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, mut b) = world.pair()?;
    converged(&[&a, &b])?;
    left_for(&a, &mut b, "old")?;
    let image = world.path("image");
    copy(&world.relay(), &image)?;
    b.start()?;
    converged(&[&a, &b])?;
    left_for(&a, &mut b, "new")?;
    let aside = world.path("aside");
    fs::rename(world.relay(), &aside).map_err(Failed::io("taking the folder away"))?;
    fs::rename(&image, world.relay()).map_err(Failed::io("putting the older one there"))?;
    b.start()?;
    a.ok(&["wait", "--for", "synced", "--timeout", PUT_BACK_PATIENCE])?;
    nothing_twice(&a, &b)
}

/// That another folder took the place of the first is noticed at once, and what nobody has confirmed is put there again some seconds later. Generous:
/// where nothing is notified it takes a minute.
const PUT_BACK_PATIENCE: &str = "150s";

/// Stops `b` and leaves a message for it on the relay.
fn left_for(a: &Device, b: &mut Device, id: &str) -> Result<(), Failed> {
    b.stop()?;
    a.ok(&["msg", "post", "family", id, "--id", id])?;
    a.ok(&["sync", "now"]).map(drop)
}

fn nothing_twice(a: &Device, b: &Device) -> Result<(), Failed> {
    converged(&[a, b])?;
    for device in [a, b] {
        same("messages", device.ok(&["export"])?.lines().count(), 2)?;
        same("bundles", device.json(&["status"])?["bundle_seq"].as_u64(), Some(2))?;
        same("what is set aside", device.json(&["status"])?["quarantine"].as_u64(), Some(0))?;
        device.ok(&["store", "verify"])?;
    }
    Ok(())
}

/// Waits until all devices hold all of these texts and have equal state, and each knows that all others do: who shares no relay with another hears of
/// its receipts from those between them.
fn agree(devices: &[&Device], texts: &[&str]) -> Result<(), Failed> {
    let first = devices.first().ok_or_else(|| Failed::Expected("devices".into()))?;
    for device in devices {
        until(device, "all texts, and the state of the others", |export, status| {
            let other = first.json(&["status"]).unwrap_or_default();
            texts.iter().all(|text| export.contains(text)) && status["digest"] == other["digest"]
        })?;
    }
    devices.iter().try_for_each(|device| device.synced())
}

fn until(device: &Device, what: &str, holds: impl Fn(&str, &serde_json::Value) -> bool) -> Result<(), Failed> {
    for _ in 0..LOOKS {
        if holds(&device.ok(&["export"])?, &device.json(&["status"])?) {
            return Ok(());
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    Err(Failed::Expected(format!("{what} on {}: {}", device.name, device.json(&["status"])?)))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failed> {
    fs::create_dir_all(to).map_err(Failed::io("copying the folder"))?;
    for entry in fs::read_dir(from).map_err(Failed::io("copying the folder"))? {
        let path = entry.map_err(Failed::io("copying the folder"))?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(Failed::io("copying the folder"))?;
        }
    }
    expect(to.is_dir(), || "a copy of the folder".into())
}

/// 60 s in all, and what the commands take. Generous: they only turn a hang into a failure.
const LOOKS: u32 = 600;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
