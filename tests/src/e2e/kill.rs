//! Kills: daemons and relay die at random moments while mail is on its way, and nothing is lost.
//!
//! A person imports a history line by line; whenever their daemon dies they run the same import again, until it ends well ([`person`]). Meanwhile
//! a victim, drawn from a seed, is ended as by a power cut, stays away for a moment, and is started again. Each kill waits for the window
//! that matters: events that were accepted here and that the sibling has not confirmed ([`window`]). In the end both devices hold each event exactly
//! once, word for word.
//!
//! Over Redis, the server is a victim too: one that keeps its mail on disk, and one that comes back empty, as after a move to a new machine.
//!
//! `KILLS`, `EVENTS` and `SEED` make it longer, larger and different; a run that fails prints its seed.

mod person;
pub(super) mod window;

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use self::person::{Person, Valve};
use self::window::Window;
use super::corpus::{exactly_once, history};
use super::device::Device;
use super::pairing::converged;
use super::world::World;
use super::{Failed, Programs, number, same};
use crate::servers::redis_server::{Memory, RedisServer};

/// Kills of a run, unless `KILLS` says otherwise: each of three victims twice.
const KILLS: usize = 6;
/// Events of a run, unless `EVENTS` says otherwise: 200 for each kill, as 10,000 for 50.
const EVENTS_A_KILL: usize = 200;
/// Longest pause before a look into the window, and longest absence of a victim, in milliseconds: a restart's order of magnitude.
const LONGEST_PAUSE: u64 = 150;

pub(super) fn over_a_folder(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let relays = [world.relay_url()];
    Storm::drawn("a folder", &[Victim::A, Victim::B], 1)?.rage(&world, &relays, None)
}

pub(super) fn over_a_folder_while_both_write(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let relays = [world.relay_url()];
    Storm::drawn("a folder, both writing", &[Victim::A, Victim::B], 2)?.rage(&world, &relays, None)
}

pub(super) fn over_redis_that_keeps(programs: &Programs) -> Result<(), Failed> {
    let server = RedisServer::start(&["appendonly yes", "appendfsync everysec"])?;
    over_redis(programs, Storm::drawn("Redis with an append-only file", EVERYBODY, 1)?, server, Memory::Kept)
}

pub(super) fn over_redis_that_forgets(programs: &Programs) -> Result<(), Failed> {
    over_redis(programs, Storm::drawn("Redis in memory", EVERYBODY, 1)?, RedisServer::start(&[])?, Memory::Lost)
}

pub(super) fn over_redis_while_both_write(programs: &Programs) -> Result<(), Failed> {
    let storm = Storm::drawn("Redis in memory, both writing", EVERYBODY, 2)?;
    over_redis(programs, storm, RedisServer::start(&[])?, Memory::Lost)
}

fn over_redis(programs: &Programs, storm: Storm, server: RedisServer, memory: Memory) -> Result<(), Failed> {
    let relays = [server.url()];
    storm.rage(&World::new(programs)?, &relays, Some((server, memory)))
}

const EVERYBODY: &[Victim] = &[Victim::A, Victim::B, Victim::Relay];

/// Who dies.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Victim {
    A,
    B,
    Relay,
}

/// What will happen, drawn from a seed.
#[derive(Debug)]
struct Storm {
    over: &'static str,
    seed: u64,
    dice: StdRng,
    victims: Vec<Victim>,
    events: usize,
    /// How many of the devices are written on.
    writers: usize,
}

impl Storm {
    fn drawn(over: &'static str, kinds: &[Victim], writers: usize) -> Result<Self, Failed> {
        let kills = number("KILLS")?.unwrap_or(KILLS);
        let events = number("EVENTS")?.unwrap_or(kills * EVENTS_A_KILL);
        let seed = number("SEED")?.map_or_else(rand::random, |seed| seed as u64);
        let mut dice = StdRng::seed_from_u64(seed);
        // As many of each kind as of any other, in a random order.
        let mut victims: Vec<Victim> = kinds.iter().copied().cycle().take(kills).collect();
        victims.shuffle(&mut dice);
        Ok(Self { over, seed, dice, victims, events, writers })
    }

    fn rage(mut self, world: &World, relays: &[String], server: Option<(RedisServer, Memory)>) -> Result<(), Failed> {
        let (over, seed) = (self.over, self.seed);
        self.run(world, relays, server).inspect_err(|_| println!("the storm over {over} had SEED={seed}"))
    }

    fn run(
        &mut self,
        world: &World,
        relays: &[String],
        mut server: Option<(RedisServer, Memory)>,
    ) -> Result<(), Failed> {
        let (mut a, mut b) = world.pair_on(relays)?;
        converged(&[&a, &b])?;
        let each = self.events / self.writers;
        let corpora: Vec<String> = (0..self.writers).map(|writer| self.corpus(each, writer)).collect();
        let valve = Valve::default();
        let writers = ["a", "b"].into_iter().zip(&corpora);
        let persons: Vec<Person> =
            writers.map(|(name, corpus)| Person::import(world.client(name), corpus, &valve)).collect();
        let mut window = Window::of([&a, &b].into_iter().take(self.writers))?;
        let began = Instant::now();
        let (mut kills, mut smallest) = (BTreeMap::new(), u64::MAX);
        let share = each / self.victims.len();
        for (index, victim) in self.victims.clone().into_iter().enumerate() {
            // The second half of a share is kept for an import that must catch up before anything is on its way.
            valve.open_to(index * share + self.dice.random_range(1..=share.div_ceil(2)));
            sleep(self.pause());
            smallest = smallest.min(window.waits(|| valve.drip())?);
            let away = self.pause();
            *kills.entry(victim).or_insert(0) += 1;
            match (victim, &mut server) {
                (Victim::A, _) => power_cut(&mut a, away)?,
                (Victim::B, _) => power_cut(&mut b, away)?,
                (Victim::Relay, Some((server, memory))) => {
                    server.kill()?;
                    sleep(away);
                    server.restart(*memory)?;
                }
                (Victim::Relay, None) => return Err(Failed::Expected("a server to kill".into())),
            }
        }
        valve.open_to(each);
        let begun = persons.into_iter().map(|person| Ok(person.done()?.begun)).sum::<Result<u32, Failed>>()?;
        let stormy = began.elapsed();
        converged(&[&a, &b])?;
        let calm = began.elapsed() - stormy;
        for device in [&a, &b] {
            device.ok(&["store", "verify"])?;
            exactly_once(&corpora.concat(), &device.ok(&["export"])?)?;
            // An event is a bundle of its own: one that was written or applied twice would be counted twice.
            let bundles = device.json(&["status"])?["bundle_seq"].as_u64();
            same("bundles", bundles, u64::try_from(each * self.writers).ok())?;
        }
        println!(
            "        {} events over {}: {} kills {kills:?}, each while mail waited ({smallest} events or more); \
             imports begun {begun} times; {:.1} s, in sync {:.1} s later; SEED={}",
            each * self.writers,
            self.over,
            self.victims.len(),
            stormy.as_secs_f32(),
            calm.as_secs_f32(),
            self.seed,
        );
        Ok(())
    }

    fn corpus(&self, events: usize, writer: usize) -> String {
        history(u32::try_from(events).unwrap_or(u32::MAX), self.seed.wrapping_add(writer as u64))
    }

    fn pause(&mut self) -> Duration {
        Duration::from_millis(self.dice.random_range(0..=LONGEST_PAUSE))
    }
}

fn power_cut(device: &mut Device, away: Duration) -> Result<(), Failed> {
    device.kill()?;
    sleep(away);
    device.start()
}
