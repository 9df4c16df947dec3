//! Failures between the daemon and its disk: at every write, sync, truncation, rename and removal of a run in turn.
//!
//! A first run under `strace` counts the calls that change the files of a device ([`mod@super::points`]). Then the run is made again for each *point*, that is
//! a call and what happens in its place:
//!
//! | fault | as if |
//! |---|---|
//! | `Cut` | the process is killed before the call |
//! | `Broken` | the disk fails this call, once (`EIO`) |
//! | `Full` | the disk is full, for this call and all others of its name that follow (`ENOSPC`) |
//!
//! Afterwards the daemon starts without failures, and must be as if every command that it confirmed had happened once, and each other
//! one once or not at all.
//!
//! `POINTS` and `SEED` say how many points are taken, and which. What a kill cannot show is a sync that is missing, since the system
//! keeps what a dead process has written; syncs are counted where commits are tested, in the store.

mod work;

use std::path::PathBuf;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;

use self::work::Work;
use super::device::{Answer, Device, Invitation, parse};
use super::image::Image;
use super::pairing::{converged, names};
use super::points::{Fault, Point, Watched, points};
use super::world::World;
use super::{Failed, Programs, expect, number, same};

/// Points of a run, unless `POINTS` says otherwise: one to three seconds each.
const POINTS: usize = 10;

pub(super) fn set_up(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut device = world.client("a");
    let relay = world.relay_url();
    let init = ["init", "--name", "a", "--relay", relay.as_str()];
    let clean = |device: &Device| -> Result<(), Failed> {
        for dir in ["config", "state", "run"].map(|dir| device.home.join(dir)) {
            if dir.exists() {
                std::fs::remove_dir_all(dir).map_err(Failed::io("removing a home"))?;
            }
        }
        Ok(())
    };
    let run = |device: &mut Device, point: Option<&Point>, trace: &PathBuf| -> Result<(Watched, bool), Failed> {
        clean(device)?;
        let mut watched = Watched::start(device, trace, point)?;
        // Without a daemon `kin init` would start one that nobody watches.
        let mut accepted = device.is_alive()? && device.kin(&init)?.code == 0;
        if !accepted && device.is_alive()? && point.is_some_and(|point| point.fault == Fault::Broken) {
            // Whoever is told that it failed tries again.
            let again = device.kin(&init)?;
            let told = again.code == 0 || again.stderr.contains("set up already");
            expect(told, || format!("a second attempt to come to something: {}", again.stderr))?;
            device.ok(&["status"])?;
            accepted = true;
        }
        if accepted && device.is_alive()? {
            device.kin(&["put", "notes", "n", "title=kept"])?;
        }
        watched.end(device)?;
        Ok((watched, accepted))
    };
    storm(&world, &mut device, run, |device, accepted| {
        device.start()?;
        let status = device.kin(&["status", "--json"])?;
        if accepted || status.code == 0 {
            same("the devices", names(device)?, vec!["a".into()])?;
            same("its relays", parse(&status.stdout)?["relays"].as_array().map(Vec::len), Some(1))?;
        } else {
            device.refuses(&["status"], 4, "not_set_up")?;
            device.ok(&init)?;
        }
        device.ok(&["put", "notes", "n", "title=kept"])?;
        let before = device.json(&["status"])?["device"].clone();
        device.stop()?;
        device.start()?;
        same("the device after a restart", device.json(&["status"])?["device"].clone(), before)?;
        expect(device.ok(&["get", "notes", "n"])?.contains("kept"), || "the record".into())?;
        device.ok(&["store", "verify"])?;
        end(device)
    })
}

pub(super) fn join(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut a = world.first("a")?;
    a.ok(&["put", "notes", "n", "title=kept"])?;
    a.stop()?;
    let mut b = world.client("b");
    let image = Image::take(&[a.home.clone(), world.relay()], &world.path("image"))?;
    let inviter = std::cell::RefCell::new(a);
    let run = |b: &mut Device, point: Option<&Point>, trace: &PathBuf| -> Result<(Watched, bool), Failed> {
        let mut a = inviter.borrow_mut();
        end(&mut a)?;
        image.put_back()?;
        if b.home.exists() {
            std::fs::remove_dir_all(&b.home).map_err(Failed::io("removing a home"))?;
        }
        a.start()?;
        let mut watched = Watched::start(b, trace, point)?;
        // Without a daemon `kin join` would start one that nobody watches.
        let joined = b.is_alive()? && attempt(&a, b).is_ok();
        if joined {
            b.kin(&["put", "notes", "m", "title=by b"])?;
        }
        watched.end(b)?;
        Ok((watched, joined))
    };
    storm(&world, &mut b, run, |b, joined| {
        let mut a = inviter.borrow_mut();
        b.start()?;
        let status = b.kin(&["status", "--json"])?;
        if !joined && status.code != 0 {
            b.refuses(&["status"], 4, "not_set_up")?;
            // The card that came to nothing is thrown away; a new one works.
            a.pair_with(b)?;
        }
        // A device that was let in and lost its keys before they were whole stays on the list until it is removed.
        let device = b.json(&["status"])?["device"].clone();
        for ghost in others(&a, &device)? {
            a.ok(&["devices", "revoke", &ghost, "--yes"])?;
        }
        converged(&[&a, b])?;
        expect(b.ok(&["get", "notes", "n"])?.contains("kept"), || "what the other had before".into())?;
        b.ok(&["store", "verify"])?;
        end(b)?;
        end(&mut a)
    })
}

/// The ids of `a`'s siblings other than `device`.
fn others(a: &Device, device: &serde_json::Value) -> Result<Vec<String>, Failed> {
    let own = a.json(&["status"])?["device"].clone();
    let listed = a.json(&["devices", "list"])?;
    let ids = listed["devices"].as_array().into_iter().flatten().map(|entry| entry["id"].clone());
    let others = ids.filter(|id| *id != own["id"] && *id != device["id"]);
    Ok(others.filter_map(|id| id.as_str().map(str::to_owned)).collect())
}

/// Pairs them, one of whom may end on the way.
fn attempt(a: &Device, b: &Device) -> Result<(), Failed> {
    let mut invitation = Invitation::open(a)?;
    let mut answer = Answer::give(b, &invitation.card)?;
    let code = answer.check_code()?;
    a.ok(&["pair", "confirm", &code, "--yes"])?;
    answer.joined()?;
    invitation.paired()
}

pub(super) fn at_work(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (mut a, b) = work::prepare(&world)?;
    let image = Image::take(&[a.home.clone(), b.home.clone(), world.relay()], &world.path("image"))?;
    let sibling = std::cell::RefCell::new(b);
    let run = |a: &mut Device, point: Option<&Point>, trace: &PathBuf| -> Result<(Watched, Work), Failed> {
        image.put_back()?;
        let mut watched = Watched::start(a, trace, point)?;
        let mut work = Work::default();
        work.day(a, point.is_some_and(|point| point.fault == Fault::Broken))?;
        watched.end(a)?;
        Ok((watched, work))
    };
    storm(&world, &mut a, run, |a, work| {
        let mut b = sibling.borrow_mut();
        a.start()?;
        a.ok(&["store", "verify"])?;
        work.is_kept(&a.ok(&["export"])?)?;
        b.start()?;
        converged(&[a, &b])?;
        let exported = a.ok(&["export"])?;
        work.is_kept(&exported)?;
        work::came_from_b(&exported)?;
        expect(exported == b.ok(&["export"])?, || "the same on both".into())?;
        a.ok(&["store", "verify"])?;
        b.ok(&["store", "verify"])?;
        end(a)?;
        end(&mut b)
    })
}

/// Ends the daemon if it runs, as a person would.
fn end(device: &mut Device) -> Result<(), Failed> {
    if device.is_alive()? {
        device.stop()?;
    } else if device.pid().is_some() {
        device.ended()?;
    }
    Ok(())
}

/// Makes the run once whole, then once for each point, and looks at what is left after each.
fn storm<T>(
    world: &World,
    device: &mut Device,
    run: impl Fn(&mut Device, Option<&Point>, &PathBuf) -> Result<(Watched, T), Failed>,
    holds: impl Fn(&mut Device, T) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let began = Instant::now();
    let trace = world.path("trace");
    let (watched, outcome) = run(device, None, &trace)?;
    let calls = watched.calls()?;
    holds(device, outcome)?;
    let seed = number("SEED")?.map_or_else(rand::random, |seed| seed as u64);
    let chosen = points(&calls, number("POINTS")?.unwrap_or(POINTS), &mut StdRng::seed_from_u64(seed));
    let mut struck = 0;
    for point in &chosen {
        let mut at_point = || -> Result<bool, Failed> {
            let (watched, outcome) = run(device, Some(point), &trace)?;
            let struck = watched.struck(point.fault)?;
            holds(device, outcome)?;
            Ok(struck)
        };
        let one =
            at_point().map_err(|error| Failed::Expected(format!("all well after {point} (SEED={seed}): {error}")));
        struck += usize::from(one?);
    }
    let all: usize = calls.values().sum();
    println!(
        "        {} of {} points over {all} calls, {struck} came to pass; {:.1} s; SEED={seed}; {calls:?}",
        chosen.len(),
        3 * all,
        began.elapsed().as_secs_f32(),
    );
    // Threads share work differently from run to run, so a late call may be made by another one or not at all.
    expect(struck * 4 >= chosen.len() * 3, || format!("most failures to come to pass: {struck} of {}", chosen.len()))
}
