//! `cargo sim`: simulated worlds, thousands of them if you like.
//!
//! `SEEDS=n` how many (1,000), `SEED_START=n` from where (0), `SEED=n` one of them, told event by event; `BREAK=rule` with a
//! rule broken on purpose; `-- --prove-red` breaks each rule in turn and succeeds when each is noticed.

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
    let settings = || -> Result<_, String> {
        let sabotage = match env::var("BREAK") {
            Ok(name) => Some(Sabotage::from_name(&name).ok_or_else(|| unknown(&name))?),
            Err(_) => None,
        };
        Ok((number("SEED")?, number("SEED_START")?.unwrap_or(0), number("SEEDS")?.unwrap_or(SEEDS), sabotage))
    };
    let (one, start, count, sabotage) = match settings() {
        Ok(settings) => settings,
        Err(reason) => {
            eprintln!("sim: {reason}");
            return ExitCode::from(2);
        }
    };
    if let Some(seed) = one {
        return match World::run(seed, Rules { real: is_real(seed), sabotage, trace: true }) {
            Ok(tally) => {
                println!("seed {seed} came to rest\n{tally}");
                ExitCode::SUCCESS
            }
            Err(broken) => told(&Failure { seed, broken }, sabotage),
        };
    }
    let begun = Instant::now();
    match run(start..start.saturating_add(count), |seed| Rules { real: is_real(seed), sabotage, trace: false }) {
        Ok(tally) => {
            println!("{count} worlds came to rest in {} s\n{tally}", begun.elapsed().as_secs());
            let missed = tally.missed();
            if missed.is_empty() {
                return ExitCode::SUCCESS;
            }
            println!("never reached: {}: more seeds would, or the simulation is too tame", missed.join(", "));
            ExitCode::FAILURE
        }
        Err(failure) => told(&failure, sabotage),
    }
}

fn told(failure: &Failure, sabotage: Option<Sabotage>) -> ExitCode {
    let broken = sabotage.map_or(String::new(), |sabotage| format!("BREAK={sabotage} "));
    println!("seed {} broke a rule: {}", failure.seed, failure.broken);
    println!("replay it: {broken}SEED={} cargo sim", failure.seed);
    ExitCode::FAILURE
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
const SEEDS: u64 = 1_000;
/// Worlds in which a broken rule must be noticed: a removal or an old image must meet the one it hides from.
const RED_SEEDS: u64 = 400;
