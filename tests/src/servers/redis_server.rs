//! A real `redis-server`: on a free loopback port, in a directory of its own, killed as a power cut would and started again on the same port
//! with what it kept, or with nothing.
//!
//! Whatever the configuration does to the user that kinfolk logs in as, the user [`KEEPER`] may do everything: the test looks into the server
//! and changes it while it runs.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::resp::Connection;
use super::{ServerError, free_port};

/// User and password of the one who may do everything.
const KEEPER: &str = "keeper";
/// How long a server may take until it answers. Generous: it only turns a hang into an error.
const PATIENCE: Duration = Duration::from_secs(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// Lines of the log that are shown when it does not serve.
const LAST_WORDS: usize = 12;

/// A server, running or killed.
#[derive(Debug)]
pub struct RedisServer {
    dir: TempDir,
    port: u16,
    lines: Vec<String>,
    child: Option<Child>,
}

/// What a server has when it starts again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Memory {
    /// What it wrote to its disk.
    Kept,
    /// Nothing: as after a move to a new machine.
    Lost,
}

impl RedisServer {
    /// Starts one with these lines in its configuration, and waits until it answers. It keeps nothing on disk unless they say so.
    ///
    /// # Errors
    /// When it is not installed, or does not answer.
    pub fn start(lines: &[&str]) -> Result<Self, ServerError> {
        let dir = tempfile::Builder::new().prefix("redis").tempdir().map_err(ServerError::io("making a directory"))?;
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        let mut server = Self { dir, port: free_port()?, lines, child: None };
        server.run()?;
        server.wait(true)?;
        Ok(server)
    }

    /// Where it listens, on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL as a relay, without a user.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its URL as a relay, for a user.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// Ends it as a power cut would. Nothing happens if it does not run.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<(), ServerError> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().map_err(ServerError::io("killing redis-server"))?;
        child.wait().map(drop).map_err(ServerError::io("waiting for redis-server"))
    }

    /// Kills it if it runs, starts it on the same port, and waits until it serves.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn restart(&mut self, memory: Memory) -> Result<(), ServerError> {
        self.restart_loading(memory)?;
        self.wait(true)
    }

    /// The same, and waits only until it answers at all: it may say that it is loading.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn restart_loading(&mut self, memory: Memory) -> Result<(), ServerError> {
        self.kill()?;
        if memory == Memory::Lost {
            for entry in fs::read_dir(self.dir.path()).map_err(ServerError::io("looking at its files"))? {
                let path = entry.map_err(ServerError::io("looking at its files"))?.path();
                let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                removed.map_err(ServerError::io("removing its files"))?;
            }
        }
        self.run()?;
        self.wait(false)
    }

    /// Adds lines to its configuration; they hold from the next start.
    pub fn configure(&mut self, lines: &[&str]) {
        self.lines.extend(lines.iter().map(|line| (*line).to_owned()));
    }

    /// Runs a command as [`KEEPER`], and gives the reply as text; an array's items stand on lines.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub fn ask(&self, command: &[&str]) -> Result<String, ServerError> {
        let refused = |reply| ServerError::Refused { command: command.join(" "), reply };
        let mut connection = self.connect()?;
        for command in [&["AUTH", KEEPER, KEEPER], command] {
            let reply = connection.ask(command).map_err(ServerError::io("talking with redis-server"))?;
            let reply = reply.map_err(refused)?;
            if command.first() != Some(&"AUTH") {
                return Ok(reply);
            }
        }
        Err(refused("AUTH is done by itself".into()))
    }

    /// A connection of the user that nobody has to name.
    pub(crate) fn connect(&self) -> Result<Connection, ServerError> {
        Connection::open(self.port).map_err(ServerError::io("connecting to redis-server"))
    }

    fn run(&mut self) -> Result<(), ServerError> {
        let mut config = format!("bind 127.0.0.1\nport {}\ndir {}\nsave \"\"\n", self.port, self.dir.path().display());
        config.push_str(&format!("user {KEEPER} on >{KEEPER} ~* &* +@all\n"));
        for line in &self.lines {
            config.push_str(line);
            config.push('\n');
        }
        let path = self.dir.path().join("redis.conf");
        fs::write(&path, config).map_err(ServerError::io("writing redis.conf"))?;
        let log = fs::File::options().create(true).append(true).open(self.dir.path().join("log"));
        let log = log.map_err(ServerError::io("opening its log"))?;
        let errors = log.try_clone().map_err(ServerError::io("opening its log"))?;
        let mut command = Command::new("redis-server");
        let child =
            command.arg(&path).stdin(Stdio::null()).stdout(log).stderr(errors).spawn().map_err(|source| {
                ServerError::NotInstalled { program: "redis-server", package: "redis-server", source }
            })?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until it answers; with `serving`, until it has loaded its data as well.
    fn wait(&mut self, serving: bool) -> Result<(), ServerError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = match &mut self.child {
                Some(child) => child.try_wait().map_err(ServerError::io("waiting for redis-server"))?,
                None => return Err(self.silent("redis-server was not started".into())),
            };
            if let Some(status) = ended {
                return Err(self.silent(format!("redis-server ended with {status}")));
            }
            match self.ask(&["PING"]) {
                Ok(_pong) => return Ok(()),
                Err(ServerError::Refused { reply, .. }) if reply.starts_with("LOADING") && !serving => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(self.silent(format!("redis-server did not answer: {error}")));
                }
                Err(_not_yet) => sleep(BETWEEN_LOOKS),
            }
        }
    }

    fn silent(&self, what: String) -> ServerError {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let words = lines.get(lines.len().saturating_sub(LAST_WORDS)..).unwrap_or_default().join("\n");
        ServerError::Silent { what, words }
    }
}

impl Drop for RedisServer {
    /// No server outlives its test.
    fn drop(&mut self) {
        drop(self.kill());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_keeps_what_it_is_told_to_keep() {
        let mut server = RedisServer::start(&["appendonly yes"]).unwrap();
        server.ask(&["SET", "k", "v"]).unwrap();
        server.restart(Memory::Kept).unwrap();
        assert_eq!(server.ask(&["GET", "k"]).unwrap(), "v");
        server.restart(Memory::Lost).unwrap();
        assert_eq!(server.ask(&["GET", "k"]).unwrap(), "");
    }

    #[test]
    fn a_server_that_does_not_start_says_why() {
        let error = RedisServer::start(&["no-such-setting yes"]).unwrap_err().to_string();
        assert!(error.contains("no-such-setting"), "{error}");
    }
}
