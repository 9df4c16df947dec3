//! The settings file, as a person meets it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::device::Device;
use super::pairing::converged;
use super::world::World;
use super::{Failed, Programs, expect, same};

/// Generous: it only turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

pub(super) fn refused(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut a = world.first("a")?;
    a.ok(&["msg", "post", "family", "kept", "--id", "m"])?;
    a.stop()?;
    let file = settings(&a)?;
    write(&file, "[devices]\nstale-after = \"2 weeks\"\n")?;
    let ended = a.spawn_daemon()?.wait().map_err(Failed::io("waiting for kinfolkd"))?;
    same("the exit code of kinfolkd", ended.code(), Some(78))?;
    let up = a.kin(&["up"])?;
    same("the exit code of kin up", up.code, 78)?;
    let reason = "a device may be counted as gone while mail for it still lies on relays";
    expect(up.stderr.contains(reason) && up.stderr.contains(&file), || format!("the reason: {}", up.stderr))?;

    write(&file, "[devices]\nstale-after = \"6 months\"\n")?;
    expect(a.kin(&["up"])?.stderr.contains("is not a time span"), || "a month, which has no length, refused".into())?;
    write(&file, "log = \"warn\"\n[devices]\nstale-after = \"180d\"\n")?;
    a.start()?;
    expect(a.ok(&["export"])?.contains("kept"), || "the message".into())
}

pub(super) fn short_rotation(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (mut a, mut b) = world.pair()?;
    converged(&[&a, &b])?;
    let begun = slot(&a, "a")?;
    b.stop()?;
    a.stop()?;
    write(&settings(&a)?, "[keys]\nrekey-after = \"1ms\"\n")?;
    // What b wrote to the prekey that it knew is read after the next one was made, too.
    b.start()?;
    b.ok(&["msg", "post", "family", "sealed to the old one", "--id", "old"])?;
    b.stop()?;
    a.start()?;
    until_slot(&a, begun + 1)?;
    expect(a.ok(&["export"])?.contains("sealed to the old one"), || "mail to an older prekey on a".into())?;
    // One is made once everything was fetched since it was due: at each start, at least.
    a.stop()?;
    a.start()?;
    until_slot(&a, begun + 2)?;
    b.start()?;
    until_slot(&b, begun + 2)?;
    b.ok(&["msg", "post", "family", "sealed to a new one", "--id", "new"])?;
    converged(&[&a, &b])?;
    expect(a.ok(&["export"])?.contains("sealed to a new one"), || "mail to a newer prekey on a".into())
}

/// Waits until `seen` knows a's prekey in this slot, or a later one.
fn until_slot(seen: &Device, wanted: u64) -> Result<(), Failed> {
    let begin = Instant::now();
    while slot(seen, "a")? < wanted {
        expect(begin.elapsed() < PATIENCE, || format!("the prekey of a in slot {wanted} on {}", seen.name))?;
        thread::sleep(BETWEEN_LOOKS);
    }
    Ok(())
}

/// The slot of the prekey of the device called `name`, as `seen` by one.
fn slot(seen: &Device, name: &str) -> Result<u64, Failed> {
    let listed = seen.json(&["devices", "list"])?;
    let mut devices = listed["devices"].as_array().into_iter().flatten();
    let slot = devices.find(|device| device["name"] == name).and_then(|device| device["prekey_slot"].as_u64());
    slot.ok_or_else(|| Failed::Expected(format!("the prekey of {name}: {listed}")))
}

/// Where its settings are read.
fn settings(device: &Device) -> Result<String, Failed> {
    let paths = device.json(&["paths"])?;
    let file = paths["config_file"].as_str().map(str::to_owned);
    file.ok_or_else(|| Failed::Expected(format!("the settings file in {paths}")))
}

fn write(file: &str, text: &str) -> Result<(), Failed> {
    fs::write(Path::new(file), text).map_err(Failed::io("writing the settings"))
}
