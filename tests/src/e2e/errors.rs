//! Errors: each says what is wrong, and nothing is lost.

use std::fs;

use super::corpus::history;
use super::device::Device;
use super::world::World;
use super::{Failed, Programs, expect, same};

pub(super) fn exit_codes(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut a = Device::new("a", world.path("a"), programs);
    a.refuses(&["status"], 3, "daemon_unreachable")?;
    a.start()?;
    a.refuses(&["status"], 4, "not_set_up")?;
    a.refuses(&["put", "notes", "n", "x=1"], 4, "not_set_up")?;
    same("the code of nonsense", a.kin(&["no-such-command"])?.code, 2)?;
    let nowhere = format!("file://{}", world.path("no/such/folder").display());
    a.refuses(&["init", "--name", "a", "--relay", &nowhere], 6, "relay_unreachable")?;
    a.refuses(&["init", "--name", "a", "--relay", "gopher://x"], 78, "relay_config")?;
    a.refuses(&["status"], 4, "not_set_up")?;
    a.ok(&["init", "--name", "a", "--relay", &world.relay_url()])?;
    a.refuses(&["get", "notes", "none"], 8, "not_found")?;
    a.ok(&["msg", "post", "family", "one", "--id", "m"])?;
    a.refuses(&["msg", "post", "family", "two", "--id", "m"], 11, "message_differs")?;
    a.ok(&["msg", "post", "family", "one", "--id", "m"]).map(drop)
}

pub(super) fn bad_line(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let a = world.first("a")?;
    let mut lines: Vec<String> = history(20, 11).lines().map(str::to_owned).collect();
    lines[16] = "{\"op\":\"message\",".into();
    let done = a.feed(&["import", "-", "--json"], &lines.join("\n"))?;
    expect(done.code != 0 && done.stderr.contains("line 17"), || format!("the number of the bad line: {done:?}"))?;
    let kept = a.ok(&["export"])?.lines().count();
    expect(kept <= 16, || format!("nothing from the bad line on, got {kept} messages"))?;
    lines.remove(16);
    a.ok_with(&["import", "-"], &lines.join("\n"))?;
    same("messages after the mended import", a.ok(&["export"])?.lines().count(), 19)?;
    a.ok(&["store", "verify"]).map(drop)
}

pub(super) fn too_large(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b) = world.pair()?;
    let huge = "x".repeat(2 << 20);
    let line =
        format!("{{\"op\":\"message\",\"conversation\":\"c\",\"id\":\"huge\",\"sender\":\"s\",\"body\":\"{huge}\"}}\n");
    let done = a.feed(&["import", "-", "--json"], &line)?;
    expect(done.code != 0 && done.stderr.contains("too_large"), || format!("a refusal by size: {}", done.stderr))?;
    a.ok(&["msg", "post", "c", "small", "--id", "small"])?;
    super::pairing::converged(&[&a, &b])?;
    same("messages on b", super::pairing::messages(&b, "c")?, vec!["small".into()])
}

pub(super) fn second_daemon(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let a = world.first("a")?;
    let mut second = a.spawn_daemon()?;
    let status = second.wait().map_err(Failed::io("waiting for the second daemon"))?;
    expect(!status.success(), || "the second daemon to be refused".into())?;
    let words = fs::read_to_string(a.log()).map_err(Failed::io("reading its words"))?;
    expect(words.contains("already"), || format!("the second daemon to say why it ends: {words}"))?;
    a.ok(&["put", "notes", "n", "x=1"]).map(drop)
}

pub(super) fn set_up_once(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let a = world.first("a")?;
    let before = a.json(&["status"])?["device"].clone();
    a.refuses(&["init", "--name", "other"], 1, "already_set_up")?;
    same("the device", a.json(&["status"])?["device"].clone(), before)
}

pub(super) fn lost_key(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut a = world.first("a")?;
    a.ok(&["put", "notes", "n", "title=kept"])?;
    let config = a.json(&["paths"])?["config"].as_str().map(std::path::PathBuf::from);
    let config = config.ok_or_else(|| Failed::Expected("a config directory".into()))?;
    let key = config.join("device.key");
    a.stop()?;
    let aside = world.path("device.key");
    fs::rename(&key, &aside).map_err(Failed::io("hiding the key file"))?;
    a.start()?;
    a.refuses(&["get", "notes", "n"], 4, "locked")?;
    let refused = a.kin(&["init", "--name", "other", "--json"])?;
    expect(refused.code != 0, || "init to refuse to make a new identity".into())?;
    expect(!key.exists(), || "no new key file".into())?;
    a.stop()?;
    fs::rename(&aside, &key).map_err(Failed::io("giving the key file back"))?;
    a.start()?;
    expect(a.ok(&["get", "notes", "n"])?.contains("kept"), || "everything as before".into())
}
