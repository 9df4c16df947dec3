//! `cargo sim`: simulated worlds, thousands of them if you like.
//!
//! `SEEDS=n` how many (5,000), `SEED_START=n` from where (0), `SEED=n` one of them, told event by event; `BREAK=rule` with a
//! rule broken on purpose; `REAL=n` with real databases beside every nth world (0: none); `-- --prove-red` breaks each rule in turn
//! and succeeds when each is noticed.

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use kinfolk_tests::sim::sabotage::Sabotage;
use kinfolk_tests::sim::world::{Rules, World};
use kinfolk_tests::sim::{Failure, is_real, run};

fn main() -> ExitCode {
    if env::args().any(|argument| argument == "--prove-red") {
        return prove_red();
    }
    let settings = match Settings::read() {
        Ok(settings) => settings,
        Err(reason) => {
            eprintln!("sim: {reason}");
            return ExitCode::from(2);
        }
    };
    match settings.one {
        Some(seed) => settings.replay(seed),
        None => settings.run(),
    }
}

/// What the environment asks for.
struct Settings {
    one: Option<u64>,
    start: u64,
    count: u64,
    sabotage: Option<Sabotage>,
    real: Option<u64>,
}

impl Settings {
    fn read() -> Result<Self, String> {
        let sabotage = match env::var("BREAK") {
            Ok(name) => Some(Sabotage::from_name(&name).ok_or_else(|| unknown(&name))?),
            Err(_) => None,
        };
        Ok(Self {
            one: number("SEED")?,
            start: number("SEED_START")?.unwrap_or(0),
            count: number("SEEDS")?.unwrap_or(SEEDS),
            sabotage,
            real: number("REAL")?,
        })
    }

    fn rules(&self, seed: u64) -> Rules {
        let real = match self.real {
            Some(every) => every > 0 && seed.is_multiple_of(every),
            None => is_real(seed),
        };
        Rules { real, sabotage: self.sabotage, trace: self.one.is_some() }
    }

    fn replay(&self, seed: u64) -> ExitCode {
        match World::run(seed, self.rules(seed)) {
            Ok(tally) => {
                println!("seed {seed} came to rest\n{tally}");
                ExitCode::SUCCESS
            }
            Err(broken) => self.told(&Failure { seed, broken }),
        }
    }

    fn run(&self) -> ExitCode {
        let begun = Instant::now();
        match run(self.start..self.start.saturating_add(self.count), |seed| self.rules(seed)) {
            Ok(tally) => {
                let took = begun.elapsed().as_millis().max(1);
                let each_second = u128::from(self.count) * 1_000 / took;
                println!("{} worlds came to rest in {} s, {each_second} a second\n{tally}", self.count, took / 1_000);
                let missed = tally.missed();
                if missed.is_empty() {
                    return ExitCode::SUCCESS;
                }
                println!("never reached: {}: more seeds would, or the simulation is too tame", missed.join(", "));
                ExitCode::FAILURE
            }
            Err(failure) => self.told(&failure),
        }
    }

    fn told(&self, failure: &Failure) -> ExitCode {
        let broken = self.sabotage.map_or(String::new(), |sabotage| format!("BREAK={sabotage} "));
        let real = self.real.map_or(String::new(), |every| format!("REAL={every} "));
        println!("seed {} broke a rule: {}", failure.seed, failure.broken);
        println!("replay it: {broken}{real}SEED={} cargo sim", failure.seed);
        ExitCode::FAILURE
    }
}

fn prove_red() -> ExitCode {
    let mut green = 0;
    for sabotage in Sabotage::ALL {
        // Without the database: what is broken in the model alone would differ from it at once, and say nothing of the rules.
        let rules = |_| Rules { real: false, sabotage: Some(sabotage), trace: false };
        match run(0..RED_SEEDS, rules) {
            Ok(_) => {
                println!("{sabotage}: NOT noticed in {RED_SEEDS} worlds");
                green += 1;
            }
            Err(failure) => println!("{sabotage}: noticed in seed {}: {}", failure.seed, failure.broken.rule),
        }
    }
    if green == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn number(name: &str) -> Result<Option<u64>, String> {
    let Ok(text) = env::var(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("{name}={text} is not a number"))
}

fn unknown(name: &str) -> String {
    let known: Vec<&str> = Sabotage::ALL.into_iter().map(Sabotage::name).collect();
    format!("BREAK={name} is no rule that can be broken: {}", known.join(", "))
}

/// Worlds in a run.
const SEEDS: u64 = 5_000;
/// Worlds in which a broken rule must be noticed: a removal or an old image must meet the one it hides from.
const RED_SEEDS: u64 = 400;
