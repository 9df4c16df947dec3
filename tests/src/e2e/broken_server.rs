//! A Redis that is wrong in one of the ways servers are: what people are told, and that nothing is lost.
//!
//! What a command says is kept word for word ([`Transcript`]), with its exit code. What a server withheld arrives when the server is right
//! again; where a person must act first, after they did.

use std::time::Duration;

use super::corpus::{exactly_once, history};
use super::device::Device;
use super::pairing::converged;
use super::transcript::Transcript;
use super::world::World;
use super::{Failed, Programs, expect};
use crate::servers::proxy::Proxy;
use crate::servers::redis_server::{Memory, RedisServer};

/// Who kinfolk logs in as.
const USER: &str = "kin";
const PASSWORD: &str = "first-password";
/// The line of the server's configuration that makes the user.
const MAKES_USER: &str = "user kin on >first-password ~* &* +@all";

pub(super) fn wrong_password(programs: &Programs) -> Result<(), Failed> {
    let house = House::new(programs, &[MAKES_USER])?;
    let House { _world: _, server, a, b, mut said } = house;
    let wrong = server.url_as(USER, "wrong-password");
    said.kin(&a, &["relay", "test", &wrong], 5)?;
    said.kin(&a, &["relay", "add", &wrong], 5)?;
    said.kin(&a, &["relay", "test", &server.url_as("nobody", PASSWORD)], 5)?;
    said.note("the password is changed on the server");
    server.ask(&["ACL", "SETUSER", USER, "resetpass", ">second-password"])?;
    server.ask(&["CLIENT", "KILL", "USER", USER])?;
    a.ok(&["msg", "post", "family", "under the old password", "--id", "m"])?;
    until_broken(&a, "wrong user or password")?;
    said.kin(&a, &["status", "--check"], 7)?;
    said.kin(&a, &["sync", "now"], 5)?;
    said.note("the new password is told to both devices");
    let right = server.url_as(USER, "second-password");
    said.kin(&a, &["relay", "add", &right], 0)?;
    said.kin(&b, &["relay", "add", &right], 0)?;
    converged(&[&a, &b])?;
    arrived(&b, "under the old password")?;
    said.check("wrong_password");
    Ok(())
}

pub(super) fn read_only_user(programs: &Programs) -> Result<(), Failed> {
    let reader = "user reader on >reads ~* &* +@all -@write -@scripting";
    let house = House::new(programs, &[MAKES_USER, reader])?;
    let House { _world: _, server, a, b, mut said } = house;
    let reads = server.url_as("reader", "reads");
    said.kin(&a, &["relay", "test", &reads], 5)?;
    said.kin(&a, &["relay", "add", &reads], 5)?;
    said.note("the right to write is taken away");
    server.ask(&["ACL", "SETUSER", USER, "-@write", "-@scripting"])?;
    a.ok(&["msg", "post", "family", "without the right", "--id", "m"])?;
    until_broken(&a, "lacks rights")?;
    said.kin(&a, &["status", "--check"], 7)?;
    said.note("and given back");
    server.ask(&["ACL", "SETUSER", USER, "+@all"])?;
    said.kin(&a, &["relay", "add", &server.url_as(USER, PASSWORD)], 0)?;
    b.ok(&["relay", "add", &server.url_as(USER, PASSWORD)])?;
    converged(&[&a, &b])?;
    arrived(&b, "without the right")?;
    said.check("read_only_user");
    Ok(())
}

pub(super) fn evicting(programs: &Programs) -> Result<(), Failed> {
    let house = House::new(programs, &[MAKES_USER, "maxmemory 64mb", "maxmemory-policy allkeys-lru"])?;
    let House { _world: _, server, a, b, mut said } = house;
    said.kin(&a, &["relay", "test", &server.url_as(USER, PASSWORD)], 0)?;
    said.kin(&a, &["status"], 0)?;
    said.note("the server evicts all mail while b is away");
    away_while(&[&a], b, |_a| {
        server.ask(&["FLUSHALL"])?;
        Ok(())
    })?;
    said.check("evicting");
    Ok(())
}

pub(super) fn full(programs: &Programs) -> Result<(), Failed> {
    let house = House::new(programs, &[MAKES_USER, "maxmemory-policy noeviction"])?;
    let House { _world: _, server, a, b, mut said } = house;
    server.ask(&["CONFIG", "SET", "maxmemory", "1mb"])?;
    said.kin(&a, &["relay", "test", &server.url_as(USER, PASSWORD)], 6)?;
    let corpus = history(50, 21);
    a.ok_with(&["import", "-"], &corpus)?;
    until_broken(&a, "memory is full")?;
    said.kin(&a, &["status", "--check"], 7)?;
    said.note("the server is given memory");
    server.ask(&["CONFIG", "SET", "maxmemory", "0"])?;
    converged(&[&a, &b])?;
    exactly_once(&corpus, &b.ok(&["export"])?)?;
    until_it_works(&a)?;
    said.kin(&a, &["status", "--check"], 0)?;
    said.check("full");
    Ok(())
}

pub(super) fn emptied(programs: &Programs) -> Result<(), Failed> {
    let house = House::new(programs, &[MAKES_USER])?;
    let House { _world: _, mut server, mut a, b, said: _ } = house;
    // Once with the sender there to see it, once with all devices off.
    let b = away_while(&[&a], b, |_a| Ok(server.restart(Memory::Lost)?))?;
    a.ok(&["msg", "post", "family", "with nobody there", "--id", "m"])?;
    let b = away_while(&[], b, |_| {
        a.stop()?;
        server.restart(Memory::Lost)?;
        a.start()
    })?;
    converged(&[&a, &b])?;
    arrived(&b, "with nobody there")
}

pub(super) fn slow(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let server = RedisServer::start(&[])?;
    let proxy = Proxy::start(server.port())?;
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    let (a, b) = world.pair_on(std::slice::from_ref(&url))?;
    converged(&[&a, &b])?;
    let mut said = Transcript::new(&world);
    said.port(proxy.port(), ":PROXY");
    proxy.delay_answers(Duration::from_secs(10));
    said.note("every answer takes 10 s");
    said.kin(&a, &["relay", "test", &url], 6)?;
    a.ok(&["msg", "post", "family", "slowly", "--id", "m"])?;
    until_broken(&a, "no answer within")?;
    said.kin(&a, &["status", "--check"], 7)?;
    said.note("answers come at once again");
    proxy.delay_answers(Duration::ZERO);
    converged(&[&a, &b])?;
    arrived(&b, "slowly")?;
    said.check("slow");
    Ok(())
}

pub(super) fn cut(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let server = RedisServer::start(&[])?;
    let proxy = Proxy::start(server.port())?;
    let (a, b) = world.pair_on(&[format!("redis://127.0.0.1:{}", proxy.port())])?;
    converged(&[&a, &b])?;
    let corpus = history(400, 22);
    let lines: Vec<&str> = corpus.lines().collect();
    for (at, chunk) in lines.chunks(lines.len() / CUTS).enumerate() {
        // Ever later in what is sent: in a command's head, in an envelope, between two commands.
        proxy.cut_after(u32::try_from(at * at * 97).unwrap_or(0));
        a.ok_with(&["import", "-"], &chunk.join("\n"))?;
    }
    proxy.cut();
    converged(&[&a, &b])?;
    exactly_once(&corpus, &a.ok(&["export"])?)?;
    exactly_once(&corpus, &b.ok(&["export"])?)
}

pub(super) fn loading(programs: &Programs) -> Result<(), Failed> {
    // An event after every KiB that is loaded, or it would answer nobody until it is done.
    let house = House::new(programs, &[MAKES_USER, "loading-process-events-interval-bytes 1024"])?;
    let House { _world: _, mut server, a, b, mut said } = house;
    let fill = "for i = 1, 3000 do redis.call('SET', 'ballast' .. i, string.rep(tostring(i), 1000)) end";
    server.ask(&["EVAL", fill, "0"])?;
    server.ask(&["SAVE"])?;
    // A minute in all, and an answer every 20 ms.
    server.configure(&["key-load-delay 20000"]);
    server.restart_loading(Memory::Kept)?;
    said.note("the server loads its data");
    said.kin(&a, &["relay", "test", &server.url_as(USER, PASSWORD)], 6)?;
    a.ok(&["msg", "post", "family", "while it loads", "--id", "m"])?;
    until_broken(&a, "loading its data")?;
    said.kin(&a, &["status", "--check"], 7)?;
    server.ask(&["CONFIG", "SET", "key-load-delay", "0"])?;
    converged(&[&a, &b])?;
    arrived(&b, "while it loads")?;
    said.check("loading");
    Ok(())
}

/// How often a connection is cut.
const CUTS: usize = 20;
/// 60 s in all. Generous: they only turn a hang into a failure.
const LOOKS: u32 = 1_200;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Two devices in sync over a server with a password.
struct House {
    /// Its directories go when this does.
    _world: World,
    server: RedisServer,
    a: Device,
    b: Device,
    said: Transcript,
}

impl House {
    fn new(programs: &Programs, config: &[&str]) -> Result<Self, Failed> {
        let world = World::new(programs)?;
        let server = RedisServer::start(config)?;
        let (a, b) = world.pair_on(&[server.url_as(USER, PASSWORD)])?;
        converged(&[&a, &b])?;
        let mut said = Transcript::new(&world);
        said.port(server.port(), ":PORT");
        Ok(Self { _world: world, server, a, b, said })
    }
}

/// Something happens to the relay while `b` is off and mail for it lies there; afterwards it has all of it.
fn away_while(
    writers: &[&Device],
    mut b: Device,
    happens: impl FnOnce(&[&Device]) -> Result<(), Failed>,
) -> Result<Device, Failed> {
    b.stop()?;
    for writer in writers {
        writer.ok(&["msg", "post", "family", "while b was away", "--id", "away"])?;
        until(writer, "mail on the relay", |status| status["last_up"].is_string())?;
        writer.ok(&["sync", "now"])?;
    }
    happens(writers)?;
    b.start()?;
    for writer in writers {
        converged(&[writer, &b])?;
        arrived(&b, "while b was away")?;
    }
    Ok(b)
}

fn arrived(device: &Device, words: &str) -> Result<(), Failed> {
    expect(device.ok(&["export"])?.contains(words), || format!("{words:?} on {}", device.name))
}

/// Waits until the relay is known not to work, for the reason that these words are part of.
fn until_broken(device: &Device, reason: &str) -> Result<(), Failed> {
    until(device, &format!("a relay that fails with {reason:?}"), |status| {
        let relay = &status["relays"][0];
        relay["ok"] == false && relay["reason"].as_str().is_some_and(|words| words.contains(reason))
    })
}

fn until_it_works(device: &Device) -> Result<(), Failed> {
    until(device, "a relay that works", |status| status["relays"][0]["ok"] == true)
}

fn until(device: &Device, what: &str, holds: impl Fn(&serde_json::Value) -> bool) -> Result<(), Failed> {
    let mut status = serde_json::Value::Null;
    for _ in 0..LOOKS {
        status = device.json(&["status"])?;
        if holds(&status) {
            return Ok(());
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    Err(Failed::Expected(format!("{what} on {}: {status}", device.name)))
}
