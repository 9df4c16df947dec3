//! Bodies of old messages: gone from one device while another keeps them.

use serde_json::Value;

use super::device::Device;
use super::pairing::converged;
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

    // Both go on, and so does one that joins over the lean one.
    a.ok(&["msg", "post", "family", "after that", "--id", "later"])?;
    a.kill()?;
    a.start()?;
    let c = world.sibling("c", &b)?;
    converged(&[&a, &b, &c])?;
    for device in [&a, &b, &c] {
        device.ok(&["store", "verify"])?;
    }
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

fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or(u64::MAX)
}
