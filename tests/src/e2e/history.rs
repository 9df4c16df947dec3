//! History: what one device accepts, all have; and nobody in between can read it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::corpus::history;
use super::device::parse;
use super::pairing::converged;
use super::world::World;
use super::{Failed, Programs, expect, same};

/// Lines of the history: enough for many parcels.
const LINES: u32 = 3_000;

pub(super) fn import_arrives(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b) = world.pair()?;
    let lines = history(LINES, 7);
    let summary = parse(&a.ok_with(&["import", "-", "--json"], &lines)?)?;
    same("new messages", summary["new"].as_u64(), Some(LINES.into()))?;
    let again = parse(&a.ok_with(&["import", "-", "--json"], &lines)?)?;
    same("messages that a second import repeats", again["repeated"].as_u64(), Some(LINES.into()))?;
    converged(&[&a, &b])?;
    let (exported, arrived) = (a.ok(&["export"])?, b.ok(&["export"])?);
    expect(exported == arrived, || "both exports to be the same bytes".into())?;
    let ids = |text: &str| -> Result<BTreeSet<String>, Failed> {
        text.lines().map(|line| Ok(parse(line)?["id"].as_str().unwrap_or_default().to_owned())).collect()
    };
    expect(ids(&arrived)? == ids(&lines)?, || "every imported id to arrive, and no other".into())?;

    let some = parse(lines.lines().nth(LINES as usize / 2).unwrap_or_default())?;
    let (conversation, id) = (text(&some, "conversation"), text(&some, "id"));
    let page = b.json(&["msg", "list", &conversation, "--limit", "5"])?;
    same("messages on a page", page["messages"].as_array().map(Vec::len), Some(5))?;
    let body = text(&some, "body");
    let word = body.split(' ').next().unwrap_or_default().to_owned();
    let found = b.json(&["msg", "search", &word, "--conversation", &conversation, "--limit", "100"])?;
    expect(found.to_string().contains(&id), || format!("to find {id} by {word:?}"))?;
    b.ok(&["store", "verify"]).map(drop)
}

pub(super) fn changes_converge(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b) = world.pair()?;
    a.ok_with(&["import", "-"], &history(50, 8))?;
    a.ok(&["msg", "post", "family", "keep", "--id", "keep"])?;
    a.ok(&["msg", "post", "family", "gone", "--id", "gone"])?;
    a.ok(&["put", "notes", "shopping", "title=milk", "count:int=3"])?;
    a.synced()?;
    b.synced()?;
    b.ok(&["msg", "read", "keep"])?;
    b.ok(&["msg", "rm", "gone", "--yes"])?;
    b.ok(&["put", "notes", "shopping", "title=bread"])?;
    b.ok(&["put", "notes", "other", "x=1"])?;
    b.ok(&["rm", "notes", "other"])?;
    converged(&[&a, &b])?;
    let exported = a.ok(&["export"])?;
    let line = |id: &str| exported.lines().find(|line| line.contains(&format!("\"id\":\"{id}\"")));
    expect(line("keep").is_some_and(|line| line.contains("read_at")), || "the mark `read` on a".into())?;
    same("the deleted message on a", line("gone"), None)?;
    expect(exported.contains("bread") && exported.contains("\"count\":3"), || "b's title beside a's count".into())?;
    a.refuses(&["get", "notes", "other"], 8, "not_found")?;
    let conflicts = a.json(&["status"])?["conflicts"].as_u64();
    same("conflicts after sequential edits", conflicts, Some(0))
}

pub(super) fn older_than_the_pairing(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let a = world.first("a")?;
    a.ok_with(&["import", "-"], &history(300, 9))?;
    let b = world.sibling("b", &a)?;
    converged(&[&a, &b])?;
    expect(a.ok(&["export"])? == b.ok(&["export"])?, || "the same history on both".into())
}

pub(super) fn nothing_in_clear(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b) = world.pair()?;
    let canary = "canary-7f3e9a";
    a.ok(&["msg", "post", canary, canary, "--id", &format!("id-{canary}")])?;
    a.ok(&["put", canary, canary, &format!("{canary}={canary}")])?;
    converged(&[&a, &b])?;
    expect(b.ok(&["export"])?.contains(canary), || "b to have it".into())?;
    for dir in [world.relay(), a.home.clone(), b.home.clone()] {
        let shown = find(&dir, canary.as_bytes())?;
        expect(shown.is_empty(), || format!("no trace of what was written, found it in {shown:?}"))?;
    }
    Ok(())
}

pub(super) fn restart(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (mut a, mut b) = world.pair()?;
    a.ok_with(&["import", "-"], &history(100, 10))?;
    a.ok(&["put", "notes", "n", "title=kept"])?;
    converged(&[&a, &b])?;
    let before = a.ok(&["export"])?;
    a.stop()?;
    b.stop()?;
    b.start()?;
    b.ok(&["msg", "post", "family", "while a was off", "--id", "late"])?;
    a.start()?;
    converged(&[&a, &b])?;
    let after = a.ok(&["export"])?;
    expect(before.lines().all(|line| after.lines().any(|other| other == line)), || "everything from before".into())?;
    expect(after.contains("while a was off"), || "what came meanwhile".into())
}

fn text(line: &serde_json::Value, key: &str) -> String {
    line[key].as_str().unwrap_or_default().to_owned()
}

/// Files under `dir` whose name or content holds `needle`.
fn find(dir: &Path, needle: &[u8]) -> Result<Vec<String>, Failed> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(Failed::io("searching"))? {
        let entry = entry.map_err(Failed::io("searching"))?;
        let path = entry.path();
        let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        let kind = entry.file_type().map_err(Failed::io("searching"))?;
        let content = match kind.is_file() {
            true => holds(&fs::read(&path).unwrap_or_default()),
            false => false,
        };
        if content || holds(entry.file_name().as_encoded_bytes()) {
            found.push(path.display().to_string());
        }
        if kind.is_dir() {
            found.extend(find(&path, needle)?);
        }
    }
    Ok(found)
}
