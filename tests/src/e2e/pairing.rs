//! Pairing: with the right code it joins all devices, with anything else it changes nothing.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::device::{Answer, Device, Invitation};
use super::world::World;
use super::{Failed, Programs, expect, same};

pub(super) fn two_devices(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b) = world.pair()?;
    same("the devices of a", names(&a)?, vec!["a".into(), "b".into()])?;
    same("the devices of b", names(&b)?, vec!["a".into(), "b".into()])?;
    a.ok(&["msg", "post", "family", "from a", "--id", "m-a"])?;
    b.ok(&["msg", "post", "family", "from b", "--id", "m-b"])?;
    converged(&[&a, &b])?;
    same("the messages on both", messages(&a, "family")?, messages(&b, "family")?)?;
    same("the number of messages", messages(&a, "family")?.len(), 2)
}

pub(super) fn three_devices(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b) = world.pair()?;
    a.ok(&["put", "notes", "before", "title=from a"])?;
    let c = world.sibling("c", &b)?;
    c.ok(&["put", "notes", "after", "title=from c"])?;
    converged(&[&a, &b, &c])?;
    for device in [&a, &b, &c] {
        same("the devices", names(device)?, vec!["a".into(), "b".into(), "c".into()])?;
        let exported = device.ok(&["export"])?;
        expect(exported.contains("from a") && exported.contains("from c"), || {
            format!("all records on {}", device.name)
        })?;
    }
    Ok(())
}

pub(super) fn wrong_codes(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b) = (world.first("a")?, world.blank("b")?);
    let mut invitation = Invitation::open(&a)?;
    let mut answer = Answer::give(&b, &invitation.card)?;
    let code = answer.check_code()?;
    let wrong = if code == "000000" { "111111" } else { "000000" };
    a.refuses(&["pair", "confirm", wrong, "--yes"], 1, "wrong_code")?;
    a.refuses(&["pair", "confirm", wrong, "--yes"], 1, "wrong_code")?;
    a.refuses(&["pair", "confirm", wrong, "--yes"], 1, "card_burnt")?;
    same("how the invitation ended", invitation.failed()?, "card_burnt".into())?;
    same("what the new device is told", answer.failed()?, "card_burnt".into())?;
    a.refuses(&["pair", "confirm", &code, "--yes"], 1, "no_pairing")?;
    same("the devices of a", names(&a)?, vec!["a".into()])?;
    b.refuses(&["devices", "list"], 4, "not_set_up")?;
    a.pair_with(&b)?;
    same("the devices after a new card", names(&b)?, vec!["a".into(), "b".into()])
}

pub(super) fn bad_cards(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b) = (world.first("a")?, world.blank("b")?);
    let invitation = Invitation::open(&a)?;
    let card = invitation.card.clone();
    b.refuses_with(&["join", "-"], "no card at all\n", 2, "usage")?;
    b.refuses_with(&["join", "-"], "kinfolk:\n", 1, "bad_card")?;
    b.refuses_with(&["join", "-"], "kinfolk:AAAA\n", 1, "bad_card")?;
    b.refuses_with(&["join", "-"], &format!("{}\n", &card[..card.len() / 2]), 1, "bad_card")?;
    same("the devices of a", names(&a)?, vec!["a".into()])?;
    b.refuses(&["devices", "list"], 4, "not_set_up")?;
    drop(invitation);
    a.pair_with(&b)?;
    a.refuses_with(&["join", "-"], &format!("{card}\n"), 1, "already_set_up").map(drop)
}

pub(super) fn used_twice(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b, c) = (world.first("a")?, world.blank("b")?, world.blank("c")?);
    let mut invitation = Invitation::open(&a)?;
    let mut first = Answer::give(&b, &invitation.card)?;
    let code = first.check_code()?;
    a.ok(&["pair", "confirm", &code, "--yes"])?;
    first.joined()?;
    invitation.paired()?;
    let mut second = Answer::give(&c, &invitation.card)?;
    same("why the second use fails", second.failed()?, "no_pairing".into())?;
    same("the devices of a", names(&a)?, vec!["a".into(), "b".into()])?;
    c.refuses(&["devices", "list"], 4, "not_set_up").map(drop)
}

pub(super) fn demo(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let temporary = world.path("tmp");
    fs::create_dir(&temporary).map_err(Failed::io("making a directory"))?;
    let mut demo = Command::new(&programs.kin);
    let output = demo.arg("demo").env("TMPDIR", &temporary).output().map_err(Failed::io("running the demo"))?;
    let story = String::from_utf8_lossy(&output.stdout).into_owned();
    expect(output.status.success(), || {
        format!("the demo to end well: {story}\n{}", String::from_utf8_lossy(&output.stderr))
    })?;
    let mut left = fs::read_dir(&temporary).map_err(Failed::io("looking for what it left"))?;
    expect(left.next().is_none(), || "the demo to clean up".into())
}

/// Waits until all of them hold the same and each has heard so from all others, and proves it.
pub(super) fn converged(devices: &[&Device]) -> Result<(), Failed> {
    devices.iter().try_for_each(|device| device.synced())?;
    for device in devices {
        device.ok(&["store", "compare"])?;
    }
    let digests: Vec<Value> =
        devices.iter().map(|device| Ok(device.json(&["status"])?["digest"].take())).collect::<Result<_, Failed>>()?;
    let equal = digests.windows(2).all(|pair| pair[0] == pair[1] && pair[0].is_string());
    expect(equal, || format!("equal digests: {digests:?}"))
}

/// Names of the devices, in order.
pub(super) fn names(device: &Device) -> Result<Vec<String>, Failed> {
    let list = device.json(&["devices", "list"])?;
    let devices = list["devices"].as_array().into_iter().flatten();
    let mut names: Vec<String> = devices.filter_map(|entry| entry["name"].as_str().map(str::to_owned)).collect();
    names.sort();
    Ok(names)
}

/// Ids of a conversation's messages, newest first.
pub(super) fn messages(device: &Device, conversation: &str) -> Result<Vec<String>, Failed> {
    let list = device.json(&["msg", "list", conversation])?;
    let messages = list["messages"].as_array().into_iter().flatten();
    Ok(messages.filter_map(|message| message["id"].as_str().map(str::to_owned)).collect())
}
