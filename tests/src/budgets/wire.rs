//! A Redis server of our own, and what it counts.
//!
//! It keeps nothing on disk, so that what it costs is memory and wire alone. Bytes are counted by the server itself (`INFO stats`), for all of
//! its clients: up is what it read, down what it wrote. What a question for them costs is found by asking twice, and taken off.

use std::time::{Duration, Instant};

use super::BudgetError;
use super::floor::percentile;
use crate::servers::ServerError;
use crate::servers::redis_server::RedisServer;

/// A running server; ended when dropped.
#[derive(Debug)]
pub struct Counted {
    server: RedisServer,
    /// What one look at the counters itself costs.
    look: Wire,
    looks: f64,
}

/// Bytes that a server has counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wire {
    /// From clients to the server.
    pub up: f64,
    /// From the server to clients.
    pub down: f64,
}

/// What the server alone asks for.
#[derive(Clone, Copy, Debug)]
pub struct Trips {
    /// A question and its answer, median.
    pub ping: Duration,
    /// Members added in a second, 100 in one write.
    pub added: f64,
}

impl Wire {
    /// Both ways.
    pub fn both(self) -> f64 {
        self.up + self.down
    }
}

impl Counted {
    /// Starts `redis-server`.
    ///
    /// # Errors
    /// When it is not installed or does not answer.
    pub fn start() -> Result<Self, BudgetError> {
        let server = RedisServer::start(&[])?;
        let (first, second) = (counters(&server)?, counters(&server)?);
        let look = Wire { up: second.up - first.up, down: second.down - first.down };
        Ok(Self { server, look, looks: 0.0 })
    }

    /// As `kin relay add` takes it.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Bytes so far without such looks: the difference of two is what others sent and got between them.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn wire(&mut self) -> Result<Wire, BudgetError> {
        let Wire { up, down } = counters(&self.server)?;
        let wire = Wire { up: up - self.look.up * self.looks, down: down - self.look.down * self.looks };
        self.looks += 1.0;
        Ok(wire)
    }

    /// Measures round trips, with a key of its own that is gone afterwards.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn trips(&self) -> Result<Trips, BudgetError> {
        let mut connection = self.server.connect()?;
        let mut times = Vec::with_capacity(PINGS);
        for _ in 0..PINGS {
            let begin = Instant::now();
            connection.ask(&["PING"]).map_err(gone)?.map_err(refused)?;
            times.push(begin.elapsed());
        }
        times.sort();
        let mut took = Duration::ZERO;
        for first in (0..ADDITIONS).step_by(PIPELINED) {
            let members: Vec<String> = (first..first + PIPELINED).map(|at| format!("{at:0400}")).collect();
            let commands: Vec<[&str; 4]> = members.iter().map(|member| ["ZADD", "floor", "1", member]).collect();
            let begin = Instant::now();
            connection.ask_all(&commands).map_err(gone)?.map_err(refused)?;
            took += begin.elapsed();
        }
        connection.ask(&["DEL", "floor"]).map_err(gone)?.map_err(refused)?;
        let added = f64::from(u32::try_from(ADDITIONS).unwrap_or_default()) / took.as_secs_f64();
        Ok(Trips { ping: percentile(&times, 0.5), added })
    }
}

fn counters(server: &RedisServer) -> Result<Wire, BudgetError> {
    let stats = server.ask(&["INFO", "stats"])?;
    let number = |name: &str| {
        let value = stats.lines().find_map(|line| line.strip_prefix(name));
        let value = value.and_then(|value| value.trim().parse::<f64>().ok());
        value.ok_or_else(|| BudgetError::Unexpected(format!("redis-server does not say {name}")))
    };
    Ok(Wire { up: number("total_net_input_bytes:")?, down: number("total_net_output_bytes:")? })
}

fn gone(source: std::io::Error) -> BudgetError {
    BudgetError::Io { what: "redis-server is gone".into(), source }
}

fn refused(reply: String) -> BudgetError {
    ServerError::Refused { command: "measuring".into(), reply }.into()
}

const PINGS: usize = 500;
const ADDITIONS: usize = 20_000;
const PIPELINED: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_at_the_counters_is_not_counted_and_everything_else_is() {
        let mut counted = Counted::start().unwrap();
        let (first, second) = (counted.wire().unwrap(), counted.wire().unwrap());
        // The counters themselves grow by a digit now and then.
        assert!((second.both() - first.both()).abs() < 64.0, "{first:?} {second:?}");
        let mut connection = counted.server.connect().unwrap();
        let before = counted.wire().unwrap();
        connection.ask(&["SET", "k", &"v".repeat(10_000)]).unwrap().unwrap();
        let moved = counted.wire().unwrap().up - before.up;
        assert!((10_000.0..10_200.0).contains(&moved), "{moved}");
    }
}
