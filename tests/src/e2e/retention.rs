//! Bodies of old messages: gone from one device while another keeps them.

use serde_json::Value;

use super::device::Device;
use super::pairing::converged;
use super::removal::until;
use super::world::World;
use super::{Failed, Programs, expect, same};

/// Messages with a body that is worth letting go of.
const MESSAGES: u32 = 60;

pub(super) fn prunes(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (mut a, b) = world.pair()?;
    a.ok_with(&["import", "-"], &history())?;
    converged(&[&a, &b])?;

    // Alone nobody lets go: the other one is there, but what it keeps is not compacted yet, and then it is.
    let planned = b.json(&["store", "prune", "--older-than", "30d", "--dry-run"])?;
    same("what would go before a compaction", number(&planned, "bodies"), 0)?;
    let went = b.json(&["store", "prune", "--older-than", "30d"])?;
    same("old bodies that went", number(&went, "bodies"), u64::from(MESSAGES))?;
    same("who keeps them", went["devices"].as_array().map(Vec::len), Some(1))?;
    same("what goes after that", number(&b.json(&["store", "prune", "--older-than", "30d"])?, "bodies"), 0)?;
    let refused = a.json(&["store", "prune", "--older-than", "30d"])?;
    same("the keeper", refused["hindrance"].as_str(), Some("needed"))?;

    b.ok(&["store", "verify"])?;
    converged(&[&a, &b])?;
    same("what the keeper finds", found(&a)?, u64::from(MESSAGES))?;
    same("what the other one finds", found(&b)?, 0)?;
    let status = b.json(&["status"])?;
    same("bodies elsewhere", number(&status["retention"], "elsewhere"), u64::from(MESSAGES))?;
    let export = b.ok(&["export"])?;
    expect(export.contains("\"elsewhere\"") && !export.contains("ancient"), || {
        "an export that says what is not here".into()
    })?;
    let lines = export.lines().filter(|line| line.contains("\"elsewhere\"")).collect::<Vec<_>>().join("\n");
    a.refuses_with(&["import", "-"], &lines, 1, "invalid_argument")?;

    // Whoever looks sees them all the same, and has them from then on.
    let local = b.json(&["msg", "list", "family", "--only-here"])?;
    same("bodies that are shown without asking", shown(&local), (0, u64::from(MESSAGES)))?;
    let page = b.json(&["msg", "list", "family", "--limit", "20"])?;
    same("bodies of a page that is looked at", shown(&page), (20, 0))?;
    let status = b.json(&["status"])?;
    same("bodies elsewhere after that", number(&status["retention"], "elsewhere"), u64::from(MESSAGES) - 20)?;
    same("what it finds after that", found(&b)?, 20)?;
    b.ok(&["store", "verify"])?;

    // When nobody can be asked it says so.
    b.ok(&["sync", "mode", "off"])?;
    let page = b.json(&["msg", "list", "family", "--limit", "30"])?;
    same("bodies of a page without others", shown(&page), (20, 10))?;
    let reach = page["messages"][29]["elsewhere"]["reach"].as_str();
    same("why the oldest has none", reach, Some("no_device"))?;
    b.ok(&["sync", "mode", "realtime"])?;
    a.kill()?;
    let page = b.json(&["msg", "list", "family", "--limit", "30"])?;
    let reach = page["messages"][29]["elsewhere"]["reach"].as_str();
    same("why it has none while the other device is down", reach, Some("no_answer"))?;
    a.start()?;

    // Both go on, and so does one that joins over the lean one.
    a.ok(&["msg", "post", "family", "after that", "--id", "later"])?;
    a.kill()?;
    a.start()?;
    let c = world.sibling("c", &b)?;
    converged(&[&a, &b, &c])?;
    for device in [&a, &b, &c] {
        device.ok(&["store", "verify"])?;
    }
    // It asks whoever has them, not only the one that it joined over.
    let page = c.json(&["msg", "list", "family", "--limit", "100"])?;
    same("bodies that the third device shows", shown(&page), (u64::from(MESSAGES) + 1, 0))?;
    c.ok(&["store", "verify"])?;
    converged(&[&a, &b, &c])?;
    brings_back(&a, &b, &c)
}

pub(super) fn joins_for_the_recent(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let a = world.first("a")?;
    a.ok_with(&["import", "-"], &history())?;
    a.ok(&["msg", "post", "family", "just now", "--id", "recent"])?;
    a.ok(&["store", "compact"])?;
    let b = world.blank("b")?;
    a.pair_as(&b, &["--recent", "30d"])?;
    converged(&[&a, &b])?;
    until(|| Ok(elsewhere(&b)? == 0), "what is older has followed")?;
    let log = std::fs::read_to_string(b.log()).map_err(Failed::io("reading a log"))?;
    expect(log.contains("bodies came back"), || "old bodies that came after the rest".into())?;
    same("what is found", found(&b)?, u64::from(MESSAGES))?;
    expect(a.ok(&["export"])? == b.ok(&["export"])?, || "the same export".into())?;
    b.ok(&["store", "verify"])?;
    Ok(())
}

/// What a device should have comes back by itself, and then nobody relies on the keeper any more.
fn brings_back(a: &Device, b: &Device, c: &Device) -> Result<(), Failed> {
    // The third device was never told to do without anything.
    until(|| Ok(elsewhere(c)? == 0), "the third device has all bodies")?;
    expect(elsewhere(b)? > 0, || "what was let go by hand stays away".into())?;
    let archive = b.json(&["export", &b.home.join("archive.ndjson").to_string_lossy()])?;
    same("bodies that are not in an export", number(&archive, "bodies_elsewhere"), elsewhere(b)?)?;
    b.ok(&["store", "retention", "off"])?;
    until(|| Ok(elsewhere(b)? == 0), "the bodies come back")?;
    same("what is found again", found(b)?, u64::from(MESSAGES))?;
    for device in [a, b, c] {
        device.ok(&["store", "verify"])?;
    }
    let is_free = || Ok(a.json(&["status"])?["retention"]["keeps_for"].as_array().is_some_and(Vec::is_empty));
    until(is_free, "nobody relies on the first device any more")?;
    b.ok(&["store", "compare"])?;
    Ok(())
}

/// Lines of an import: messages of years ago, each with words enough.
fn history() -> String {
    let line = |n: u32| {
        let (second, body) = (n % 60, "ancient words ".repeat(30));
        let at = format!("2020-01-01T00:00:{second:02}Z");
        format!(
            "{{\"op\":\"message\",\"conversation\":\"family\",\"id\":\"old{n}\",\"sender\":\"ada\",\"body\":\"{body}\",\"at\":\"{at}\"}}\n"
        )
    };
    (0..MESSAGES).map(line).collect()
}

fn found(device: &Device) -> Result<u64, Failed> {
    let hits = device.json(&["msg", "search", "ancient", "--limit", "100"])?;
    Ok(hits["hits"].as_array().map_or(0, |hits| hits.len() as u64))
}

/// Bodies that are on other devices only.
fn elsewhere(device: &Device) -> Result<u64, Failed> {
    Ok(number(&device.json(&["status"])?["retention"], "elsewhere"))
}

/// How many messages of a page have a body, and how many have not.
fn shown(page: &Value) -> (u64, u64) {
    let messages = page["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let lean = messages.iter().filter(|message| !message["elsewhere"].is_null()).count();
    ((messages.len() - lean) as u64, lean as u64)
}

fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or(u64::MAX)
}
