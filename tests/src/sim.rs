//! The simulation: whole worlds of devices in virtual time, each out of one seed.
//!
//! The engines are real, and so are parcels' bytes; for some seeds so is the database, compared with a [model] at every commit.
//! Relays, disks, apps and clocks are not: they do their worst, and repeat it for the same seed. Rules are sentences; the first
//! that does not hold ends the world and names its seed.
//!
//! **Is it able to fail?** [`sabotage`] breaks one rule at a time in the harness; each must be noticed.
//!
//! **What it cannot show**: anything inside seal, relays and the real driver. The conformance suites and `cargo e2e` do.

pub mod broken;
mod device;
pub mod dice;
pub mod disk;
pub mod model;
mod people;
mod post;
pub mod sabotage;
pub mod tally;
mod work;
pub mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use self::broken::Broken;
use self::tally::Tally;
use self::world::{Rules, World};

/// A world that broke a rule.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What it broke.
    pub broken: Broken,
}

/// Whether the world of `seed` has real databases beside the model: one in four of the first thousand, one in sixteen of the others. They
/// take ten times as long, and what happens in a world does not depend on them.
pub fn is_real(seed: u64) -> bool {
    seed.is_multiple_of(if seed < 1_000 { 4 } else { 16 })
}

/// Lives through the worlds of `seeds`, as many at a time as there are processors. Ends at the first failure, the one of the
/// lowest seed that was reached.
///
/// # Errors
/// The failure.
pub fn run(seeds: std::ops::Range<u64>, rules: impl Fn(u64) -> Rules + Sync) -> Result<Tally, Failure> {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut tally = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return Ok(tally);
            }
            match World::run(seed, rules(seed)) {
                Ok(lived) => tally += lived,
                Err(broken) => {
                    next.store(seeds.end, Ordering::Relaxed);
                    return Err(Failure { seed, broken });
                }
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<Result<Tally, Failure>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
    });
    let mut total = Tally::default();
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(tally) => total += tally,
            Err(failure) => failures.push(failure),
        }
    }
    match failures.into_iter().min_by_key(|failure| failure.seed) {
        Some(failure) => Err(failure),
        None => Ok(total),
    }
}

#[cfg(test)]
mod tests;
