//! Ways: the same history goes over Redis, over the folder while Redis is dead, and over both; and all six exports are the same bytes. Three
//! devices share one Redis, and one of them is off for a while.
//!
//! `CORPUS` names a file of import lines to use instead of the made-up history.

use std::env;
use std::fs;
use std::time::Instant;

use super::corpus::{exactly_once, history};
use super::device::parse;
use super::pairing::converged;
use super::world::World;
use super::{Failed, Programs, expect, same};
use crate::servers::redis_server::RedisServer;

/// Lines of the made-up history: enough for many parcels.
const LINES: u32 = 2_000;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Redis,
    FolderWhileRedisIsDead,
    Both,
}

pub(super) fn three_ways(programs: &Programs) -> Result<(), Failed> {
    let corpus = match env::var_os("CORPUS") {
        Some(path) => fs::read_to_string(&path).map_err(Failed::io(format!("reading {}", path.display())))?,
        None => history(LINES, 13),
    };
    let mut exports = Vec::new();
    for way in [Way::Redis, Way::FolderWhileRedisIsDead, Way::Both] {
        exports.push(travel(programs, way, &corpus)?);
    }
    exactly_once(&corpus, exports.first().map_or("", String::as_str))?;
    expect(exports.windows(2).all(|pair| pair[0] == pair[1]), || "the same export whichever way it went".into())
}

pub(super) fn three_devices(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let server = RedisServer::start(&[])?;
    let (a, mut b) = world.pair_on(&[server.url()])?;
    a.ok(&["put", "notes", "before", "title=from a"])?;
    let c = world.sibling("c", &b)?;
    converged(&[&a, &b, &c])?;
    b.stop()?;
    a.ok_with(&["import", "-"], &history(100, 14))?;
    c.ok_with(&["import", "-"], &history(100, 15))?;
    b.start()?;
    converged(&[&a, &b, &c])?;
    let exported = b.ok(&["export"])?;
    same("lines on b", exported.lines().count(), 201)?;
    expect(exported == a.ok(&["export"])? && exported == c.ok(&["export"])?, || "the same on all three".into())
}

/// Imports the corpus on one device and gives what both export.
fn travel(programs: &Programs, way: Way, corpus: &str) -> Result<String, Failed> {
    let world = World::new(programs)?;
    let mut server = RedisServer::start(&[])?;
    let relays = match way {
        Way::Redis => vec![server.url()],
        Way::FolderWhileRedisIsDead | Way::Both => vec![server.url(), world.relay_url()],
    };
    let (a, b) = world.pair_on(&relays)?;
    same("relays of b", b.json(&["status"])?["relays"].as_array().map(Vec::len), Some(relays.len()))?;
    if way == Way::FolderWhileRedisIsDead {
        server.kill()?;
    }
    let began = Instant::now();
    let summary = parse(&a.ok_with(&["import", "-", "--json"], corpus)?)?;
    let imported = began.elapsed();
    same("new messages", summary["new"].as_u64(), u64::try_from(corpus.lines().count()).ok())?;
    converged(&[&a, &b])?;
    let synced = began.elapsed();
    let (exported, arrived) = (a.ok(&["export"])?, b.ok(&["export"])?);
    expect(exported == arrived, || format!("both exports to be the same bytes by way of {way:?}"))?;
    println!(
        "        {way:?}: {} lines imported in {:.2} s, in sync after {:.2} s",
        corpus.lines().count(),
        imported.as_secs_f32(),
        synced.as_secs_f32(),
    );
    Ok(exported)
}
