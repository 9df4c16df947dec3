//! Compaction: what counts no more leaves the log, and who lacks the rest catches up with what counts.

use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::corpus::history;
use super::device::Device;
use super::pairing::converged;
use super::world::World;
use super::{Failed, Programs, expect, same};

/// Messages in the log: several chunks of a snapshot.
const LINES: u32 = 4_000;
/// How often each of the records is written.
const WRITES: u32 = 12;
const RECORDS: u32 = 4;
/// How often the device that catches up is killed, each time somewhat later.
const KILLS: u32 = 6;

pub(super) fn joins_later(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (mut a, b) = world.pair()?;
    grown(&a, &b)?;
    let before = a.ok(&["export"])?;

    let planned = a.json(&["store", "compact", "--dry-run"])?;
    let again = a.json(&["store", "compact", "--dry-run"])?;
    same("what would go, asked twice", went(&planned), went(&again))?;
    // All writes of a record but the last one, and the message that was deleted; its deletion stays for good.
    expect(went(&planned) > u64::from(RECORDS * (WRITES - 1)), || format!("replaced writes to go: {planned}"))?;
    let done = a.json(&["store", "compact"])?;
    same("what went", went(&done), went(&planned))?;
    same("what goes after that", went(&a.json(&["store", "compact"])?), 0)?;
    expect(a.ok(&["export"])? == before, || "an export as before".into())?;
    a.ok(&["store", "verify"])?;
    a.kill()?;
    a.start()?;
    a.ok(&["store", "verify"])?;
    converged(&[&a, &b])?;

    // The other one has compacted nothing: either can take in a third.
    let c = world.sibling("c", &a)?;
    converged(&[&a, &b, &c])?;
    b.json(&["store", "compact"])?;
    let d = world.sibling("d", &b)?;
    c.ok(&["msg", "post", "family", "from one that caught up", "--id", "late"])?;
    converged(&[&a, &b, &c, &d])?;
    let whole = a.ok(&["export"])?;
    expect(whole.contains("from one that caught up") && !whole.contains("\"id\":\"gone\""), || "what counts".into())?;
    for device in [&b, &c, &d] {
        expect(device.ok(&["export"])? == whole, || format!("the same export on {}", device.name))?;
        device.ok(&["store", "verify"])?;
    }
    Ok(())
}

pub(super) fn killed_while_catching_up(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b) = world.pair()?;
    grown(&a, &b)?;
    expect(went(&a.json(&["store", "compact"])?) > 0, || "something to go".into())?;
    expect(went(&b.json(&["store", "compact"])?) > 0, || "something to go".into())?;
    let mut c = world.sibling("c", &a)?;
    c.ok(&["msg", "post", "family", "its own", "--id", "own"])?;
    for kill in 0..KILLS {
        sleep(Duration::from_millis(u64::from(kill * 15)));
        c.kill()?;
        c.start()?;
    }
    converged(&[&a, &b, &c])?;
    let whole = a.ok(&["export"])?;
    expect(whole.contains("its own"), || "what the new device wrote meanwhile".into())?;
    for device in [&b, &c] {
        expect(device.ok(&["export"])? == whole, || format!("the same export on {}", device.name))?;
        device.ok(&["store", "verify"])?;
    }
    Ok(())
}

/// A history with much that counts no more, whole on both.
fn grown(a: &Device, b: &Device) -> Result<(), Failed> {
    a.ok_with(&["import", "-"], &history(LINES, 11))?;
    for write in 1..=WRITES {
        for record in 1..=RECORDS {
            a.ok(&["put", "notes", &format!("n{record}"), &format!("title=write {write}")])?;
        }
    }
    a.ok(&["msg", "post", "family", "soon gone", "--id", "gone"])?;
    converged(&[a, b])?;
    b.ok(&["msg", "rm", "gone", "--yes"])?;
    converged(&[a, b])
}

/// How many ops a compaction takes out.
fn went(report: &Value) -> u64 {
    report["ops"].as_u64().unwrap_or_default()
}
