//! A conflict between two devices, from its beginning to its end.

use super::device::Device;
use super::pairing::converged;
use super::world::World;
use super::{Failed, Programs, expect, same};

pub(super) fn settled(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b) = world.pair()?;
    a.ok(&["put", "todo", "milk", "title=milk", "shop=corner"])?;
    converged(&[&a, &b])?;
    apart(&[&a, &b], || {
        a.ok(&["put", "todo", "milk", "title=oat milk"])?;
        b.ok(&["put", "todo", "milk", "title=soy milk"])
    })?;
    for (device, mine) in [(&a, "oat milk"), (&b, "soy milk")] {
        let conflict = device.json(&["conflicts", "show", "todo", "milk"])?["conflict"].clone();
        let field = &conflict["fields"][0];
        same("the field", field["field"].as_str(), Some("title"))?;
        same("what it was before", field["base"]["value"].as_str(), Some("milk"))?;
        let versions = field["versions"].as_array().cloned().unwrap_or_default();
        let own = versions.iter().find(|version| version["mine"] == true);
        same("what this device wrote", own.and_then(|own| own["value"].as_str()), Some(mine))?;
        same("values", versions.len(), 2)?;
        same("conflicts", open(device)?, 1)?;
    }
    // A resolution of what was not looked at, and one that leaves the field open, settle nothing.
    b.refuses(&["conflicts", "resolve", "todo", "milk", "--take", "mine", "--base", "1"], 11, "conflict")?;
    b.refuses(&["conflicts", "resolve", "todo", "milk", "--set", "shop=x"], 1, "invalid_argument")?;
    b.ok(&["conflicts", "resolve", "todo", "milk", "--take", "theirs"])?;
    converged(&[&a, &b])?;
    for device in [&a, &b] {
        same("conflicts", open(device)?, 0)?;
        let record = device.json(&["get", "todo", "milk"])?["record"].clone();
        same("the title", record["fields"]["title"].as_str(), Some("oat milk"))?;
        same("the field that nobody disagreed about", record["fields"]["shop"].as_str(), Some("corner"))?;
    }
    a.ok(&["conflicts", "policy", "todo", "lww"])?;
    converged(&[&a, &b])?;
    apart(&[&a, &b], || {
        a.ok(&["put", "todo", "milk", "shop=market"])?;
        b.ok(&["put", "todo", "milk", "shop=station"])
    })?;
    let status = b.json(&["status"])?;
    let counts = (status["conflicts"].as_u64(), status["conflicts_settled"].as_u64());
    same("where the last write wins", counts, (Some(0), Some(1)))?;
    expect(b.json(&["conflicts", "list"])?["conflicts"].as_array().is_some_and(Vec::is_empty), || "none listed".into())
}

/// Lets devices do something while they hear nothing of each other.
fn apart<T>(devices: &[&Device], act: impl FnOnce() -> Result<T, Failed>) -> Result<(), Failed> {
    for device in devices {
        device.ok(&["sync", "mode", "off"])?;
    }
    act()?;
    for device in devices {
        device.ok(&["sync", "mode", "realtime"])?;
    }
    converged(devices)
}

fn open(device: &Device) -> Result<u64, Failed> {
    Ok(device.json(&["status"])?["conflicts"].as_u64().unwrap_or_default())
}
