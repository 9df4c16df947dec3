//! Real servers that tests start on free ports of this machine, kill, and start again; and a proxy that stands between.
//!
//! Each runs in a directory of its own and ends with the value that stands for it. A server that is not installed is an error that says what
//! to install, never a reason to leave a test out.

pub mod proxy;
pub mod redis_server;
mod resp;

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use rand::RngExt;

/// Why a server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It is not installed.
    #[error(
        "{program} cannot be started: {source}; install it (Debian: apt-get install {package}), or run contrib/dev/test"
    )]
    NotInstalled {
        /// The program.
        program: &'static str,
        /// Where it comes from.
        package: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The machine refused something.
    #[error("{doing}: {source}")]
    Io {
        /// What.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It ended, or never answered.
    #[error("{what}; its last words:\n{words}")]
    Silent {
        /// What happened.
        what: String,
        /// The end of its log.
        words: String,
    },
    /// It answered a command with an error.
    #[error("{command}: {reply}")]
    Refused {
        /// The command.
        command: String,
        /// What it said.
        reply: String,
    },
}

impl ServerError {
    fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

/// Ports to choose from: below those that the system gives to outgoing connections. A client that keeps trying a port of that range while
/// nobody listens there is in the end given the very same port, talks to itself, and the server cannot have it back.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How many ports are tried.
const TRIES: u32 = 100;

/// A port that nobody listens on.
fn free_port() -> Result<u16, ServerError> {
    let mut refused = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES {
        let port = rand::rng().random_range(PORTS);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_listener) => return Ok(port),
            Err(error) => refused = error,
        }
    }
    Err(ServerError::Io { doing: "finding a free port", source: refused })
}
