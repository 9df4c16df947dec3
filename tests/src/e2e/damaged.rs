//! Disks that spoil files, fill up, or can only be read: what people are told, that nothing is made anew over what may come back, and that nothing
//! accepted is lost.
//!
//! What a command says is kept word for word ([`Transcript`]), with its exit code.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::corpus::history;

use super::image::Image;
use super::pairing::{converged, messages};
use super::points::{Fault, Point, Watched};
use super::transcript::Transcript;
use super::world::World;
use super::{Failed, Programs, expect, same};

/// A page of the database, in bytes.
const PAGE: u64 = 4_096;
/// A frame of the write-ahead log: a page and its header.
const FRAME: u64 = 24 + PAGE;
/// What stands before the first.
const LOG_HEADER: u64 = 32;

/// Does something to the files of a device, whose home is given.
type Damage = fn(&Path) -> Result<(), Failed>;

/// What may happen to files, and how it is told in the transcript.
const DAMAGES: &[(&str, Damage)] = &[
    ("the key is gone", |home| remove(&home.join("config/device.key"))),
    ("the key is cut short", |home| cut(&home.join("config/device.key"), 7)),
    ("the key is another one", |home| garble(&home.join("config/device.key"), 0, 32)),
    ("the wrapped key of the store is gone", |home| remove(&home.join("state/store/store.key"))),
    ("the wrapped key of the store is damaged", |home| garble(&home.join("state/store/store.key"), 20, 4)),
    ("the database is gone", |home| remove(&home.join(DATABASE))),
    ("the database is empty", |home| cut(&home.join(DATABASE), 0)),
    ("the database is cut in half", |home| cut(&home.join(DATABASE), length(&home.join(DATABASE))? / 2)),
    ("the first page of the database is damaged", |home| garble(&home.join(DATABASE), 100, 100)),
    ("every second page of the database is damaged", |home| {
        let pages = length(&home.join(DATABASE))? / PAGE;
        (1..pages).step_by(2).try_for_each(|page| garble(&home.join(DATABASE), page * PAGE, 100))
    }),
    ("the store is gone", |home| {
        fs::remove_dir_all(home.join("state/store")).map_err(Failed::io("removing the store"))
    }),
];

const DATABASE: &str = "state/store/kinfolk.db";
const LOG: &str = "state/store/kinfolk.db-wal";

pub(super) fn files(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut a = world.first("a")?;
    a.ok(&["put", "notes", "n", "title=kept"])?;
    let device = a.json(&["status"])?["device"].clone();
    a.stop()?;
    let image = Image::take(&[a.home.clone()], &world.path("image"))?;
    let mut said = Transcript::new(&world);
    for (what, damage) in DAMAGES {
        damage(&a.home)?;
        said.note(what);
        a.start()?;
        said.kin(&a, &["get", "notes", "n"], 4)?;
        a.refuses(&["put", "notes", "n", "title=new"], 4, "locked")?;
        a.refuses(&["store", "verify"], 4, "locked")?;
        a.refuses(&["init", "--name", "other"], 1, "already_set_up")?;
        a.stop()?;
        image.put_back()?;
        a.start()?;
        same("the device when the files are back", a.json(&["status"])?["device"].clone(), device.clone())?;
        expect(a.ok(&["get", "notes", "n"])?.contains("kept"), || format!("the record after {what}"))?;
        a.stop()?;
        // Started once, it has moved on.
        image.put_back()?;
    }
    said.check("damaged");
    Ok(())
}

pub(super) fn one_page(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut a = world.first("a")?;
    a.ok_with(&["import", "-"], &history(600, 31))?;
    a.stop()?;
    let database = a.home.join(DATABASE);
    // Most pages hold old messages, which nobody reads at a start.
    garble(&database, length(&database)? / PAGE / 2 * PAGE, 100)?;
    a.start()?;
    let done = a.kin(&["store", "verify"])?;
    expect(done.code == 1 && done.stdout.contains("the file is damaged"), || format!("verify to tell: {done:?}"))?;
    // Whoever needs the page is told; the daemon lives on, and ends cleanly.
    let exported = a.kin(&["export"])?;
    expect(exported.code == 0 || exported.stderr.contains("is damaged"), || format!("a reason: {}", exported.stderr))?;
    same("the code of the daemon's end", a.stop()?.code(), Some(0))
}

pub(super) fn write_ahead_log(programs: &Programs) -> Result<(), Failed> {
    // At its beginning lies the state token of this start: what lost it is known to be an older image, and writes under a fresh source
    // at once. What lost less learns from its sibling that there was more.
    let damages: &[(&str, bool, Damage)] = &[
        ("gone", true, |home| remove(&home.join(LOG))),
        ("empty", true, |home| cut(&home.join(LOG), 0)),
        ("damaged at its beginning", true, |home| garble(&home.join(LOG), LOG_HEADER, 100)),
        ("cut at its end", false, |home| cut(&home.join(LOG), length(&home.join(LOG))? - FRAME * 3 / 2)),
        ("cut in the middle", false, |home| cut(&home.join(LOG), length(&home.join(LOG))? / 2)),
        ("damaged in the middle", false, |home| garble(&home.join(LOG), length(&home.join(LOG))? / 2, 100)),
    ];
    let world = World::new(programs)?;
    let (mut a, mut b) = world.pair()?;
    let mut ids = Vec::new();
    for (index, (what, is_noticed, damage)) in damages.iter().enumerate() {
        // What the log holds is what was written since the start.
        a.stop()?;
        a.start()?;
        for number in 0..6 {
            let id = format!("before-{index}-{number}");
            a.ok(&["msg", "post", "family", "accepted", "--id", &id])?;
            ids.push(id);
        }
        converged(&[&a, &b])?;
        b.stop()?;
        a.kill()?;
        damage(&a.home)?;
        a.start()?;
        if !is_noticed {
            b.start()?;
            converged(&[&a, &b])?;
        }
        let id = format!("after-{index}");
        a.ok(&["msg", "post", "family", "written afterwards", "--id", &id])?;
        ids.push(id);
        if *is_noticed {
            b.start()?;
        }
        converged(&[&a, &b]).map_err(|error| Failed::Expected(format!("both to agree after a log {what}: {error}")))?;
        for device in [&a, &b] {
            let exported = device.ok(&["export"])?;
            let missing: Vec<&String> = ids.iter().filter(|id| !exported.contains(&format!("\"{id}\""))).collect();
            expect(missing.is_empty(), || format!("{} to hold {missing:?} after a log {what}", device.name))?;
            same("lines of the export", exported.lines().count(), ids.len())?;
            device.ok(&["store", "verify"])?;
        }
    }
    Ok(())
}

/// How many posts fit before the disk fails, at most.
const POSTS: usize = 100;

pub(super) fn full(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut a = world.first("a")?;
    a.ok(&["put", "notes", "n", "title=kept"])?;
    // Nothing but the commands writes.
    a.ok(&["sync", "mode", "off"])?;
    a.stop()?;
    let trace = world.path("trace");
    let mut said = Transcript::new(&world);
    let mut accepted = Vec::new();
    for (what, fault) in [("the disk is full", Fault::Full), ("the disk can only be read", Fault::ReadOnly)] {
        let mut quiet = Watched::start(&mut a, &trace, None)?;
        quiet.end(&mut a)?;
        let start_and_end = quiet.calls()?.get("pwrite64").copied().unwrap_or_default();
        let mut watched = Watched::start(&mut a, &trace, Some(&Point::of_writes(fault, start_and_end + 1)))?;
        let mut refused = false;
        while !refused && accepted.len() < POSTS {
            let id = format!("m{}", accepted.len());
            refused = a.kin(&["msg", "post", "family", "text", "--id", &id])?.code != 0;
            if !refused {
                accepted.push(id);
            }
        }
        expect(refused, || format!("a refusal when {what}"))?;
        said.note(what);
        said.kin(&a, &["msg", "post", "family", "text", "--id", "refused"], 1)?;
        said.kin(&a, &["put", "notes", "n", "title=new"], 1)?;
        said.kin(&a, &["get", "notes", "n"], 0)?;
        said.kin(&a, &["status", "--check"], 7)?;
        said.kin(&a, &["init", "--name", "other"], 1)?;
        same("messages", messages(&a, "family")?.len(), accepted.len())?;
        a.ok(&["store", "verify"])?;
        watched.end(&mut a)?;
        expect(watched.struck(fault)?, || format!("{what} to come to pass"))?;
        a.start()?;
        a.ok(&["store", "verify"])?;
        let mut kept = messages(&a, "family")?;
        kept.retain(|id| accepted.contains(id));
        same("what was accepted", kept.len(), accepted.len())?;
        let id = format!("m{}", accepted.len());
        a.ok(&["msg", "post", "family", "text", "--id", &id])?;
        accepted.push(id);
        expect(a.ok(&["get", "notes", "n"])?.contains("kept"), || "the record as it was".into())?;
        a.stop()?;
    }
    said.check("full_disk");
    Ok(())
}

fn remove(path: &Path) -> Result<(), Failed> {
    fs::remove_file(path).map_err(Failed::io("removing a file"))
}

fn cut(path: &Path, length: u64) -> Result<(), Failed> {
    open(path)?.set_len(length).map_err(Failed::io("cutting a file"))
}

/// Turns the bits of so many bytes.
fn garble(path: &Path, at: u64, count: usize) -> Result<(), Failed> {
    let (file, mut bytes) = (open(path)?, vec![0; count]);
    file.read_exact_at(&mut bytes, at).map_err(Failed::io("damaging a file"))?;
    bytes.iter_mut().for_each(|byte| *byte ^= 0xA5);
    file.write_all_at(&bytes, at).map_err(Failed::io("damaging a file"))
}

fn length(path: &Path) -> Result<u64, Failed> {
    Ok(open(path)?.metadata().map_err(Failed::io("looking at a file"))?.len())
}

fn open(path: &Path) -> Result<File, Failed> {
    let opened = File::options().read(true).write(true).open(path);
    opened.map_err(Failed::io(format!("opening {}", path.display())))
}
