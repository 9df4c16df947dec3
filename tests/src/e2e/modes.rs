//! Sync modes and relay tests, as a person meets them: words, exit codes, and nothing lost.

use std::path::Path;

use super::pairing::converged;
use super::world::World;
use super::{Failed, Programs, expect, same};

pub(super) fn all_modes(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, mut b) = world.pair()?;
    converged(&[&a, &b])?;
    b.ok(&["sync", "mode", "manual"])?;
    a.ok(&["msg", "post", "family", "while manual", "--id", "m1"])?;
    a.refuses(&["wait", "--for", "synced", "--timeout", "1s"], 6, "timeout")?;
    b.stop()?;
    expect(!holds_a_log(&b.home)?, || "a clean end to leave no write-ahead log".into())?;
    b.start()?;
    same("the mode after a restart", b.json(&["sync", "status"])?["mode"].as_str(), Some("manual"))?;
    b.ok(&["sync", "pull"])?;
    expect(b.ok(&["export"])?.contains("while manual"), || "a pull to bring the message".into())?;
    b.ok(&["sync", "push"])?;
    a.synced()?;

    b.ok(&["sync", "mode", "off"])?;
    b.refuses(&["sync", "now"], 6, "sync_off")?;
    b.refuses(&["relay", "test", "--all"], 6, "sync_off")?;
    b.refuses(&["pair", "show"], 6, "sync_off")?;
    b.ok(&["status", "--check"])?;
    b.ok(&["msg", "post", "family", "while off", "--id", "m2"])?;

    let periodic = b.json(&["sync", "mode", "periodic", "--every", "1h"])?;
    expect(periodic["next_pass"].is_string(), || format!("a next pass: {periodic}"))?;
    b.refuses(&["sync", "mode", "periodic", "--every", "1s"], 1, "invalid_argument")?;
    b.ok(&["sync", "mode", "realtime"])?;
    converged(&[&a, &b])?;
    expect(a.ok(&["export"])?.contains("while off"), || "what was written while off on a".into())
}

pub(super) fn relay_tests(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let a = world.first("a")?;
    for which in [world.relay_url().as_str(), "--all"] {
        let tested = a.json(&["relay", "test", which])?;
        for stage in ["connect", "put", "hint", "fetch", "delete"] {
            expect(tested["stages_us"][stage].is_u64(), || format!("the time of {stage}: {tested}"))?;
        }
    }
    let away = format!("file://{}", world.path("away").display());
    a.refuses(&["relay", "test", &away], 6, "relay_unreachable")?;
    a.refuses(&["relay", "test", "gopher://x"], 78, "relay_config")?;
    expect(!world.path("away").exists(), || "a test to make nothing".into())
}

/// Whether a write-ahead log lies anywhere in the directory.
fn holds_a_log(dir: &Path) -> Result<bool, Failed> {
    for entry in std::fs::read_dir(dir).map_err(Failed::io("looking into a home"))? {
        let path = entry.map_err(Failed::io("looking into a home"))?.path();
        if path.to_string_lossy().ends_with("-wal") || path.is_dir() && holds_a_log(&path)? {
            return Ok(true);
        }
    }
    Ok(false)
}
