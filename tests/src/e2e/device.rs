//! One device: a home directory, a daemon in it, and the person's commands.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Failed, Programs};

/// How long a command that waits for something waits, at most. Generous: it only turns a hang into a failure.
pub(super) const PATIENCE: &str = "60s";
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// A device.
#[derive(Debug)]
pub(super) struct Device {
    /// What the person calls it.
    pub(super) name: String,
    /// Its `KINFOLK_HOME`.
    pub(super) home: PathBuf,
    programs: Programs,
    daemon: Option<Child>,
    /// Where commands that are run as an app find its token, and the socket: they see nothing else of the home.
    app: Option<(PathBuf, PathBuf)>,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub(super) struct Done {
    /// The exit code; -1 when a signal ended it.
    pub(super) code: i32,
    /// What it printed.
    pub(super) stdout: String,
    /// What it complained about.
    pub(super) stderr: String,
}

impl Device {
    /// A device that does not run yet.
    pub(super) fn new(name: &str, home: PathBuf, programs: &Programs) -> Self {
        Self { name: name.into(), home, programs: programs.clone(), daemon: None, app: None }
    }

    /// This device as an app in a sandbox sees it: its socket, a token, and a home with nothing in it.
    pub(super) fn in_sandbox(&self, sandbox: PathBuf, token: PathBuf) -> Self {
        let app = Some((self.home.join("run/kinfolk.sock"), token));
        let mut seen = Self::new(&self.name, sandbox, &self.programs);
        seen.app = app;
        seen
    }

    /// Starts the daemon in the foreground of nobody, and waits until it answers.
    pub(super) fn start(&mut self) -> Result<(), Failed> {
        self.daemon = Some(self.spawn_daemon()?);
        self.ok(&["wait", "--for", "ready", "--timeout", PATIENCE]).map(drop)
    }

    /// Starts a daemon in this home; its output goes to `daemon.log` there.
    pub(super) fn spawn_daemon(&self) -> Result<Child, Failed> {
        self.spawn_daemon_by(Command::new(&self.programs.kinfolkd))
    }

    /// The same by another command, which becomes the daemon.
    fn spawn_daemon_by(&self, mut command: Command) -> Result<Child, Failed> {
        std::fs::create_dir_all(&self.home).map_err(Failed::io("making a home"))?;
        let log = File::options().create(true).append(true).open(self.log()).map_err(Failed::io("opening a log"))?;
        let errors = log.try_clone().map_err(Failed::io("opening a log"))?;
        command.env("KINFOLK_HOME", &self.home).stdin(Stdio::null()).stdout(log).stderr(errors);
        command.spawn().map_err(Failed::io("starting kinfolkd"))
    }

    /// Starts the daemon by a command that becomes it, and waits until it answers or has ended.
    pub(super) fn start_by(&mut self, command: Command) -> Result<(), Failed> {
        self.daemon = Some(self.spawn_daemon_by(command)?);
        let mut wait = self.spawn(&["wait", "--for", "ready", "--timeout", PATIENCE])?;
        while wait.try_wait().map_err(Failed::io("waiting for kinfolkd"))?.is_none() {
            if !self.is_alive()? {
                drop(wait.kill());
                return wait.wait().map(drop).map_err(Failed::io("waiting for kinfolkd"));
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        Ok(())
    }

    /// Whether the daemon that was started runs.
    pub(super) fn is_alive(&mut self) -> Result<bool, Failed> {
        let Some(child) = &mut self.daemon else { return Ok(false) };
        Ok(child.try_wait().map_err(Failed::io("looking at kinfolkd"))?.is_none())
    }

    /// The process id of the daemon that was started, until its end was waited for.
    pub(super) fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Child::id)
    }

    /// The programs that it runs.
    pub(super) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Where the daemon's own words go.
    pub(super) fn log(&self) -> PathBuf {
        self.home.join("daemon.log")
    }

    /// Asks the daemon to end, and waits for it.
    pub(super) fn stop(&mut self) -> Result<ExitStatus, Failed> {
        self.signal(Signal::TERM)?;
        self.ended()
    }

    /// Ends the daemon as a power cut would.
    pub(super) fn kill(&mut self) -> Result<(), Failed> {
        self.signal(Signal::KILL)?;
        self.ended().map(drop)
    }

    /// Sends the daemon a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), Failed> {
        let pid = self.daemon.as_ref().and_then(|child| i32::try_from(child.id()).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Failed::Expected(format!("the daemon of {} to run", self.name)))?;
        kill_process(pid, signal).map_err(|error| Failed::io("sending a signal")(error.into()))
    }

    /// Waits until the daemon has ended.
    pub(super) fn ended(&mut self) -> Result<ExitStatus, Failed> {
        let mut child =
            self.daemon.take().ok_or_else(|| Failed::Expected(format!("the daemon of {} to run", self.name)))?;
        child.wait().map_err(Failed::io("waiting for kinfolkd"))
    }

    /// Runs `kin` with these arguments.
    pub(super) fn kin(&self, args: &[&str]) -> Result<Done, Failed> {
        self.feed(args, "")
    }

    /// Runs `kin` with these arguments and this input.
    pub(super) fn feed(&self, args: &[&str], input: &str) -> Result<Done, Failed> {
        let mut child = self.spawn(args)?;
        let mut stdin = child.stdin.take();
        let input = input.to_owned();
        // Written beside the reading, or two full pipes would wait for each other. A command that ends early closes its input.
        let writer = std::thread::spawn(move || stdin.as_mut().map(|stdin| stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().map_err(Failed::io("running kin"))?;
        drop(writer.join());
        Ok(Done {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command that must succeed; gives its output.
    pub(super) fn ok(&self, args: &[&str]) -> Result<String, Failed> {
        let done = self.kin(args)?;
        if done.code == 0 { Ok(done.stdout) } else { Err(self.unexpected(args, 0, &done)) }
    }

    /// Runs a command that must succeed with this input.
    pub(super) fn ok_with(&self, args: &[&str], input: &str) -> Result<String, Failed> {
        let done = self.feed(args, input)?;
        if done.code == 0 { Ok(done.stdout) } else { Err(self.unexpected(args, 0, &done)) }
    }

    /// Runs a command with `--json` that must succeed; gives its object.
    pub(super) fn json(&self, args: &[&str]) -> Result<Value, Failed> {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        parse(&self.ok(&args)?)
    }

    /// Runs a command with `--json` that must fail with this exit code and error code; gives the error.
    pub(super) fn refuses(&self, args: &[&str], exit: i32, code: &str) -> Result<Value, Failed> {
        self.refuses_with(args, "", exit, code)
    }

    /// The same with input.
    pub(super) fn refuses_with(&self, args: &[&str], input: &str, exit: i32, code: &str) -> Result<Value, Failed> {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let done = self.feed(&args, input)?;
        let error = done.stderr.lines().last().map_or(Ok(Value::Null), parse)?;
        if done.code != exit || error["code"] != code || error["message"].as_str().is_none_or(str::is_empty) {
            return Err(Failed::Expected(format!(
                "code {code} and a message: {}",
                self.unexpected(&args, exit, &done)
            )));
        }
        Ok(error)
    }

    /// Starts `kin` with pipes, to talk with it.
    pub(super) fn spawn(&self, args: &[&str]) -> Result<Child, Failed> {
        let mut command = Command::new(&self.programs.kin);
        command.args(args).env("KINFOLK_HOME", &self.home).env_remove("KINFOLK_SOCKET").env_remove("KINFOLK_OUTPUT");
        command.env_remove("KINFOLK_TOKEN_FILE");
        if let Some((socket, token)) = &self.app {
            command.env("KINFOLK_SOCKET", socket).env("KINFOLK_TOKEN_FILE", token);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(Failed::io("starting kin"))
    }

    /// Waits until everything is in sync.
    pub(super) fn synced(&self) -> Result<(), Failed> {
        self.ok(&["wait", "--for", "synced", "--timeout", PATIENCE]).map(drop)
    }

    /// Adds `other` to this device's siblings, as a person with both in front of them.
    pub(super) fn pair_with(&self, other: &Self) -> Result<(), Failed> {
        self.pair_as(other, &[])
    }

    /// The same; the other one joins with these options.
    pub(super) fn pair_as(&self, other: &Self, options: &[&str]) -> Result<(), Failed> {
        let mut invitation = Invitation::open(self)?;
        let mut answer = Answer::give_as(other, &invitation.card, options)?;
        let code = answer.check_code()?;
        self.ok(&["pair", "confirm", &code, "--yes"])?;
        answer.joined()?;
        invitation.paired()
    }

    fn unexpected(&self, args: &[&str], wanted: i32, done: &Done) -> Failed {
        let command = format!("kin {} on {}", args.join(" "), self.name);
        let Done { code, stdout, stderr } = done.clone();
        Failed::Command { command, wanted, code, stdout, stderr }
    }
}

impl Drop for Device {
    /// Whatever happened, no daemon outlives its scenario.
    fn drop(&mut self) {
        if let Some(child) = &mut self.daemon {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// `kin pair show`, running.
#[derive(Debug)]
pub(super) struct Invitation {
    /// The card it shows.
    pub(super) card: String,
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Invitation {
    /// Shows a card on `device`.
    pub(super) fn open(device: &Device) -> Result<Self, Failed> {
        let mut child = device.spawn(&["pair", "show", "--json"])?;
        let mut lines = reader(&mut child)?;
        let card = until(&mut lines, "card", None)?;
        Ok(Self { card, child, lines })
    }

    /// Waits until the card has done its work.
    pub(super) fn paired(&mut self) -> Result<(), Failed> {
        until(&mut self.lines, "event", Some("paired"))?;
        success(&mut self.child, "kin pair show")
    }

    /// Waits until the card came to nothing; gives the error's code.
    pub(super) fn failed(&mut self) -> Result<String, Failed> {
        refusal(&mut self.child, "kin pair show")
    }
}

impl Drop for Invitation {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `kin join`, running.
#[derive(Debug)]
pub(super) struct Answer {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Answer {
    /// Gives `device` the card.
    pub(super) fn give(device: &Device, card: &str) -> Result<Self, Failed> {
        Self::give_as(device, card, &[])
    }

    fn give_as(device: &Device, card: &str, options: &[&str]) -> Result<Self, Failed> {
        let mut child = device.spawn(&[&["join", "-", "--name", &device.name, "--json"], options].concat())?;
        let lines = reader(&mut child)?;
        let mut stdin = child.stdin.take().ok_or_else(|| Failed::Expected("a pipe".into()))?;
        writeln!(stdin, "{card}").map_err(Failed::io("giving kin join the card"))?;
        Ok(Self { child, lines })
    }

    /// Waits for the code that it shows once it knows who invited it.
    pub(super) fn check_code(&mut self) -> Result<String, Failed> {
        until(&mut self.lines, "check_code", None)
    }

    /// Waits until it is a sibling.
    pub(super) fn joined(&mut self) -> Result<(), Failed> {
        success(&mut self.child, "kin join")
    }

    /// Waits until it gave up; gives the error's code.
    pub(super) fn failed(&mut self) -> Result<String, Failed> {
        refusal(&mut self.child, "kin join")
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads one JSON text.
pub(super) fn parse(text: &str) -> Result<Value, Failed> {
    serde_json::from_str(text).map_err(|source| Failed::Json { text: text.into(), source })
}

fn reader(child: &mut Child) -> Result<BufReader<ChildStdout>, Failed> {
    child.stdout.take().map(BufReader::new).ok_or_else(|| Failed::Expected("a pipe".into()))
}

/// Reads up to the first line whose `key` is `wanted`, or any text; gives that text.
fn until(lines: &mut BufReader<ChildStdout>, key: &str, wanted: Option<&str>) -> Result<String, Failed> {
    for line in lines.lines() {
        let line = parse(&line.map_err(Failed::io("reading from kin"))?)?;
        match line[key].as_str() {
            Some(found) if wanted.is_none_or(|wanted| wanted == found) => return Ok(found.to_owned()),
            Some(_) | None => {}
        }
    }
    Err(Failed::Expected(format!("a line with {key:?} {}", wanted.unwrap_or_default())))
}

fn success(child: &mut Child, command: &str) -> Result<(), Failed> {
    let status = child.wait().map_err(Failed::io("waiting for kin"))?;
    if status.success() {
        return Ok(());
    }
    Err(Failed::Expected(format!("{command} to succeed, it ended with {status}: {}", errors(child))))
}

fn refusal(child: &mut Child, command: &str) -> Result<String, Failed> {
    let status = child.wait().map_err(Failed::io("waiting for kin"))?;
    let errors = errors(child);
    if status.success() {
        return Err(Failed::Expected(format!("{command} to fail")));
    }
    let last = errors.lines().last().unwrap_or_default();
    Ok(parse(last)?["code"].as_str().unwrap_or_default().to_owned())
}

fn errors(child: &mut Child) -> String {
    let lines = child.stderr.take().map(|stderr| BufReader::new(stderr).lines());
    lines.into_iter().flatten().map_while(Result::ok).collect::<Vec<_>>().join("\n")
}
