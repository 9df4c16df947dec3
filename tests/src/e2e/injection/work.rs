//! A day's work on a device whose disk may fail: writing, importing, reading, deleting, and mail from a sibling that has removed a third device
//! meanwhile, so that some of what came from there is undone.
//!
//! Every command touches something of its own, so that each can be looked for alone afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::e2e::device::{Device, parse};
use crate::e2e::pairing::converged;
use crate::e2e::world::World;
use crate::e2e::{Failed, expect};

/// Messages of an import: more than a page of the database.
const IMPORTED: u32 = 40;
/// Messages of the sibling that wait.
const WAITING: u32 = 12;
/// How often a person repeats a command that failed.
const TRIES: u32 = 300;
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// Three devices: `a`, of whose day this is; `b`, which has removed `c` and written to `a`; and `c`, of whose last words only `a` has
/// heard. None of them runs.
pub(super) fn prepare(world: &World) -> Result<(Device, Device), Failed> {
    let (mut a, mut b) = world.pair()?;
    let mut c = world.sibling("c", &a)?;
    for number in 0..4 {
        a.ok(&["msg", "post", "old", "of old", "--id", &format!("old-{number}")])?;
        a.ok(&["put", "old", &format!("record-{number}"), "x=1"])?;
    }
    c.ok(&["msg", "post", "old", "known to all", "--id", "of-c"])?;
    converged(&[&a, &b, &c])?;
    b.stop()?;
    for number in 0..4 {
        c.ok(&["msg", "post", "old", "known to a alone", "--id", &format!("late-{number}")])?;
    }
    c.ok(&["put", "old", "record-0", "x=by c"])?;
    c.ok(&["sync", "push"])?;
    a.ok(&["sync", "pull"])?;
    expect(a.ok(&["export"])?.contains("known to a alone"), || "a to hear of it".into())?;
    c.stop()?;
    a.stop()?;
    lose_mail(&world.relay())?;
    b.start()?;
    b.ok(&["devices", "revoke", "c", "--yes"])?;
    for number in 0..WAITING {
        b.ok(&["msg", "post", "new", "from b", "--id", &format!("from-b-{number}")])?;
    }
    b.ok(&["sync", "push"])?;
    b.stop()?;
    Ok((a, b))
}

/// Removes all mail from the folder.
fn lose_mail(folder: &std::path::Path) -> Result<(), Failed> {
    for path in crate::e2e::faults::files(folder)? {
        std::fs::remove_file(path).map_err(Failed::io("losing mail"))?;
    }
    Ok(())
}

/// What was done, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Work {
    done: Vec<(Effect, Verdict)>,
}

/// What a command does.
#[derive(Clone, Debug)]
enum Effect {
    /// These messages are there, with these texts.
    Messages(Vec<(String, String)>),
    /// This record is there, with this title.
    Record(String, String),
    /// No message has this id.
    NoMessage(String),
    /// No record has this key.
    NoRecord(String),
    /// Nothing that could be looked for.
    Nothing,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Accepted,
    InDoubt,
}

impl Work {
    /// A day on `device`. With `stubborn`, a command that fails while the daemon lives is repeated, and must come to be accepted.
    pub(super) fn day(&mut self, device: &mut Device, stubborn: bool) -> Result<(), Failed> {
        for (args, input, effect) in commands() {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut said = device.feed(&args, &input)?;
            for _ in 0..TRIES {
                if said.code == 0 || !stubborn || !device.is_alive()? {
                    break;
                }
                sleep(BETWEEN_TRIES);
                said = device.feed(&args, &input)?;
            }
            let alive = device.is_alive()?;
            expect(said.code == 0 || !stubborn || !alive, || {
                format!("a daemon that lives to come to itself: kin {}: {}", args.join(" "), said.stderr)
            })?;
            self.done.push((effect, if said.code == 0 { Verdict::Accepted } else { Verdict::InDoubt }));
            if !alive {
                break;
            }
        }
        Ok(())
    }

    /// Fails unless an export shows what was accepted, and of the rest each thing whole or not at all, and nothing twice.
    pub(super) fn is_kept(&self, exported: &str) -> Result<(), Failed> {
        let (mut messages, mut records) = (BTreeMap::new(), BTreeMap::new());
        for line in exported.lines() {
            let line = parse(line)?;
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            let twice = match line["op"].as_str() {
                Some("message") => messages.insert(text("id"), text("body")).is_some(),
                Some(_) | None => {
                    let title = line["fields"]["title"].as_str().unwrap_or_default().to_owned();
                    records.insert((text("collection"), text("key")), title).is_some()
                }
            };
            expect(!twice, || format!("everything once: {line}"))?;
        }
        for (effect, verdict) in &self.done {
            let accepted = *verdict == Verdict::Accepted;
            let holds = match effect {
                Effect::Messages(wanted) => {
                    let there: BTreeSet<bool> = wanted.iter().map(|(id, _)| messages.contains_key(id)).collect();
                    let true_to_word = wanted.iter().all(|(id, body)| messages.get(id).is_none_or(|got| got == body));
                    true_to_word && (!accepted || there == BTreeSet::from([true]))
                }
                Effect::Record(key, title) => match records.get(&("new".to_owned(), key.clone())) {
                    Some(got) => got == title,
                    None => !accepted,
                },
                Effect::NoMessage(id) => !accepted || !messages.contains_key(id),
                Effect::NoRecord(key) => !accepted || !records.contains_key(&("old".to_owned(), key.clone())),
                Effect::Nothing => true,
            };
            expect(holds, || format!("{effect:?}, which was {verdict:?}, in {exported}"))?;
        }
        Ok(())
    }
}

/// Fails unless an export shows what `b` wrote, and nothing of what `c` wrote beyond its end.
pub(super) fn came_from_b(exported: &str) -> Result<(), Failed> {
    let all = (0..WAITING).all(|number| exported.contains(&format!("\"from-b-{number}\"")));
    expect(all, || format!("all that b wrote in {exported}"))?;
    let undone = !exported.contains("known to a alone") && !exported.contains("by c");
    expect(undone && exported.contains("known to all"), || format!("c to end where b had heard of it: {exported}"))
}

type Command = (Vec<String>, String, Effect);

fn commands() -> Vec<Command> {
    let mut commands = Vec::new();
    let mut command = |args: &[&str], input: String, effect: Effect| {
        commands.push((args.iter().map(|arg| (*arg).to_owned()).collect(), input, effect));
    };
    let message = |id: &str| Effect::Messages(vec![(id.to_owned(), "new".to_owned())]);
    for id in ["new-0", "new-1"] {
        command(&["msg", "post", "new", "new", "--id", id], String::new(), message(id));
    }
    let imported: Vec<(String, String)> = (0..IMPORTED)
        .map(|number| (format!("imported-{number}"), format!("body {number} {}", "x".repeat(300))))
        .collect();
    let line = |(id, body): &(String, String)| {
        json!({ "op": "message", "conversation": "imported", "id": id, "body": body }).to_string()
    };
    let lines: Vec<String> = imported.iter().map(line).collect();
    command(&["import", "-"], lines.join("\n"), Effect::Messages(imported));
    for key in ["one", "two"] {
        let put = ["put", "new", key, &format!("title={key}")];
        command(&put, String::new(), Effect::Record(key.into(), key.into()));
    }
    command(&["msg", "rm", "old-1", "--yes"], String::new(), Effect::NoMessage("old-1".into()));
    command(&["rm", "old", "record-1"], String::new(), Effect::NoRecord("record-1".into()));
    command(&["msg", "read", "old-2"], String::new(), Effect::Nothing);
    command(&["sync", "now"], String::new(), Effect::Nothing);
    command(&["msg", "post", "new", "new", "--id", "new-2"], String::new(), message("new-2"));
    command(&["put", "old", "record-2", "x=2"], String::new(), Effect::Nothing);
    commands
}
