//! Signals: the daemon ends cleanly when asked, and at once when asked twice.

use rustix::process::Signal;

use super::world::World;
use super::{Failed, Programs, expect, same};

pub(super) fn clean_end(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut a = world.first("a")?;
    a.ok(&["put", "notes", "n", "title=kept"])?;
    for signal in [Signal::TERM, Signal::INT] {
        a.signal(signal)?;
        let status = a.ended()?;
        same("the exit code after a signal", status.code(), Some(0))?;
        a.refuses(&["status"], 3, "daemon_unreachable")?;
        a.start()?;
    }
    a.ok(&["store", "verify"])?;
    expect(a.ok(&["get", "notes", "n"])?.contains("kept"), || "the record after both".into())
}

pub(super) fn hard_end(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut a = world.first("a")?;
    a.ok(&["put", "notes", "n", "title=kept"])?;
    // Both wait while the daemon is stopped, and reach it together.
    a.signal(Signal::STOP)?;
    a.signal(Signal::TERM)?;
    a.signal(Signal::INT)?;
    a.signal(Signal::CONT)?;
    let status = a.ended()?;
    expect(status.code().is_some(), || format!("the daemon to end by itself: {status}"))?;
    a.start()?;
    a.ok(&["store", "verify"])?;
    expect(a.ok(&["get", "notes", "n"])?.contains("kept"), || "nothing to be lost".into())
}

pub(super) fn up_and_down(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut a = world.first("a")?;
    a.stop()?;
    a.ok(&["up"])?;
    let up = a.ok(&["put", "notes", "n", "title=kept"]);
    a.ok(&["down"])?;
    up?;
    a.refuses(&["status"], 3, "daemon_unreachable")?;
    same("the code of a second down", a.kin(&["down"])?.code, 0)
}
