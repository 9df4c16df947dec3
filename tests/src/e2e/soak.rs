//! A soak: five devices, a Redis server and a shared folder, everybody writes at random, and everything goes wrong again and again; then it stops, and
//! all devices must hold the same, and exactly what was accepted.
//!
//! [`writer`] is a person at each device, who keeps a [`ledger`] of what was accepted and repeats what was not. [`weather`] is what goes wrong:
//! devices are killed and stopped, cut off from the server or put to silence, the server is killed, comes back empty or loses its mail while it
//! runs, the folder goes away, comes back, or loses all mail.
//!
//! `MINUTES` and `SEED` make it longer and different. A seed gives the same weather and the same work; how they meet depends on the machine.

mod ledger;
mod weather;
mod writer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use self::ledger::Ledger;
use self::weather::{Place, Weather};
use self::writer::Writer;
use super::device::Device;
use super::pairing::converged;
use super::world::World;
use super::{Failed, Programs, expect, number};
use crate::servers::proxy::Proxy;
use crate::servers::redis_server::RedisServer;

/// The devices; those in [`WITHOUT_FOLDER`] have the server alone.
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const WITHOUT_FOLDER: [&str; 2] = ["d", "e"];
/// How long it lasts, unless `MINUTES` says otherwise: 15 s.
const SHORT: Duration = Duration::from_secs(15);
/// How long devices may take to come to rest afterwards, each. Generous: it only turns a hang into a failure.
const REST: &str = "10m";

pub(super) fn five_devices(programs: &Programs) -> Result<(), Failed> {
    let seed = number("SEED")?.map_or_else(rand::random, |seed| seed as u64);
    let lasts = number("MINUTES")?.map_or(SHORT, |minutes| Duration::from_secs(60 * minutes as u64));
    soak(programs, seed, lasts).inspect_err(|_| println!("the soak had SEED={seed}"))
}

fn soak(programs: &Programs, seed: u64, lasts: Duration) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let server = RedisServer::start(&["appendonly yes", "appendfsync everysec"])?;
    let proxies = NAMES.iter().map(|_| Proxy::start(server.port())).collect::<Result<Vec<_>, _>>()?;
    let devices = family(&world, &proxies)?;
    let mut place = Place { devices, server, proxies, folder: world.relay(), away: world.path("unmounted") };

    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let evening = Arc::new(AtomicBool::new(false));
    let writers: Vec<JoinHandle<Result<(), Failed>>> = NAMES
        .iter()
        .zip(1..)
        .map(|(name, number)| {
            let (ledger, evening) = (Arc::clone(&ledger), Arc::clone(&evening));
            let mut writer = Writer::new(world.client(name), seed.wrapping_add(number), ledger);
            spawn(move || {
                while !evening.load(Ordering::SeqCst) {
                    writer.act()?;
                }
                Ok(())
            })
        })
        .collect();
    let mut weather = Weather::new(StdRng::seed_from_u64(seed));
    let until = Instant::now() + lasts;
    let mut stormy = Ok(());
    while Instant::now() < until && stormy.is_ok() && !writers.iter().any(JoinHandle::is_finished) {
        stormy = weather.turn(&mut place);
    }
    // Writers wait for devices that are away, so the sky clears first.
    let cleared = weather.clear(&mut place);
    evening.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.join().unwrap_or_else(|_| Err(Failed::Expected("no writer to panic".into())))?;
    }
    stormy.and(cleared)?;

    let calm = Instant::now();
    let devices: Vec<&Device> = place.devices.iter().collect();
    for device in &devices {
        device.ok(&["wait", "--for", "synced", "--timeout", REST])?;
    }
    converged(&devices)?;
    let synced = calm.elapsed();
    let exports: Vec<String> = devices.iter().map(|device| device.ok(&["export"])).collect::<Result<_, _>>()?;
    expect(exports.windows(2).all(|pair| pair[0] == pair[1]), || "the same export on all five".into())?;
    let ledger = ledger.lock().map_err(|_| Failed::Expected("no writer to panic".into()))?;
    let held = ledger.balance(exports.first().map_or("", String::as_str))?;
    for device in &devices {
        device.ok(&["store", "verify"])?;
        device.ok(&["msg", "post", "evening", "still here", "--id", &format!("evening-{}", device.name)])?;
    }
    converged(&devices)?;
    println!(
        "        {} s: {ledger}; {weather}; {held} in the end, the same on five devices; in sync {:.1} s after the last; SEED={seed}",
        lasts.as_secs(),
        synced.as_secs_f32(),
    );
    Ok(())
}

/// Five devices, paired one with the next, each with its own way to the server.
fn family(world: &World, proxies: &[Proxy]) -> Result<Vec<Device>, Failed> {
    let url = |proxy: &Proxy| format!("redis://127.0.0.1:{}", proxy.port());
    let mut devices: Vec<Device> = Vec::new();
    for (name, proxy) in NAMES.iter().zip(proxies) {
        let device = match devices.last() {
            None => world.first_on(name, &[url(proxy), world.relay_url()])?,
            Some(inviter) => world.sibling(name, inviter)?,
        };
        // The server that the inviter named is the same by this way.
        device.ok(&["relay", "add", &url(proxy)])?;
        devices.push(device);
    }
    for device in devices.iter().filter(|device| WITHOUT_FOLDER.contains(&device.name.as_str())) {
        device.ok(&["relay", "rm", &world.relay_url()])?;
    }
    let all: Vec<&Device> = devices.iter().collect();
    converged(&all)?;
    Ok(devices)
}

/// A while of up to so many milliseconds.
fn nap(millis: u64) {
    sleep(Duration::from_millis(millis));
}
