//! A real server for a test: on a free loopback port, in a directory of its own, keeping nothing on disk, gone with the test.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Cmd, Connection, FromRedisValue, Value};
use tempfile::TempDir;

use crate::relay::RelayUrl;

/// A server that does not answer by then never will.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Server {
    directory: TempDir,
    child: Child,
    settings: Vec<String>,
    pub(super) port: u16,
}

impl Server {
    /// Starts one with further lines of configuration.
    pub(super) fn start(settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let child = spawn(&directory, port, &settings);
        let mut server = Self { directory, child, settings, port };
        server.wait();
        server
    }

    /// Where it is, for a relay.
    pub(super) fn url(&self) -> RelayUrl {
        self.url_as("", "")
    }

    /// The same, logged in with `user:password@`, and with a `/database`.
    pub(super) fn url_as(&self, login: &str, database: &str) -> RelayUrl {
        RelayUrl::parse(&format!("redis://{login}127.0.0.1:{}{database}", self.port)).unwrap()
    }

    /// Kills it and starts it again, with what it kept on disk: nothing, unless its settings say so.
    pub(super) fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.directory, self.port, &self.settings);
        self.wait();
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Runs a command on a connection of its own.
    pub(super) fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        command.query(&mut self.connection()).unwrap()
    }

    /// The same, whatever the answer.
    pub(super) fn run(&self, command: &Cmd) {
        let _: Value = self.ask(command);
    }

    /// The server's clock as a score.
    pub(super) fn micros(&self) -> u64 {
        let (seconds, micros): (u64, u64) = self.ask(&redis::cmd("TIME"));
        seconds * 1_000_000 + micros
    }

    pub(super) fn connection(&self) -> Connection {
        redis::Client::open(("127.0.0.1", self.port)).unwrap().get_connection().unwrap()
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let client = redis::Client::open(("127.0.0.1", self.port)).unwrap();
        // One that wants a password answers, too.
        while !std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok_and(|_| client.get_connection().is_ok()) {
            let log = || fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(self.child.try_wait().unwrap().is_none(), "redis-server ended: {}", log());
            assert!(Instant::now() < deadline, "redis-server does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(directory: &TempDir, port: u16, settings: &[String]) -> Child {
    let mut text = format!("bind 127.0.0.1\nport {port}\ndir {}\nlogfile log\nsave \"\"\n", directory.path().display());
    settings.iter().for_each(|line| text.extend([line, "\n"]));
    let file = directory.path().join("redis.conf");
    fs::write(&file, text).unwrap();
    let spawned = Command::new("redis-server").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    spawned.unwrap_or_else(|error| panic!("redis-server cannot be started ({error}): apt-get install redis-server"))
}
