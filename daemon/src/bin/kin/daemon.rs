//! `kin up`, `kin down`: the daemon in the background.
//!
//! Starting is: nobody answers → run our own program file as the daemon, in a session of its own, its output in a log
//! file → wait until it answers a call. A process that exists proves nothing; one that has ended before answering is an
//! error at once.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ipc_proto::v1::ShutdownRequest;
use ipc_proto::{Client, Paths};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::context::{Context, connect_to};
use crate::failure::Failure;

/// Start the daemon in the background, if it is not running
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  kin up")]
pub(crate) struct Up {}

/// Stop the daemon
///
/// What is under way is finished and saved. Waits until the daemon has ended.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  kin down")]
pub(crate) struct Down {}

impl Up {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let (client, started) = start(&context.paths).await?;
        let info = client.info();
        let object = json!({
            "started": started, "pid": info.pid, "version": info.version,
            "socket": client.address(), "log": log_file(&context.paths),
        });
        context.output.show("up", object, |style| {
            let what = if started { "started" } else { "was running already" };
            format!("the daemon {} {}", style.good(what), style.dim(&format!("(process {})", info.pid)))
        })
    }
}

impl Down {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let pid = match context.client().await {
            Ok(client) => Some(stop(&client).await?),
            Err(Failure::Api(error)) if error.code() == "daemon_unreachable" => None,
            Err(other) => return Err(other),
        };
        context.output.show("down", json!({ "stopped": pid.is_some(), "pid": pid }), |_| match pid {
            Some(_) => "the daemon has stopped".into(),
            None => "no daemon was running".into(),
        })
    }
}

/// A client of the running daemon, or of one started now; and whether it was started.
pub(crate) async fn start(paths: &Paths) -> Result<(Client, bool), Failure> {
    match Client::connect(&connect_to(paths.clone(), Duration::ZERO)).await {
        Ok(client) => return Ok((client, false)),
        Err(error) if error.code() == "daemon_unreachable" => {}
        Err(error) => return Err(error.into()),
    }
    let daemon = Background::spawn(paths, None)?;
    Ok((daemon.ready(paths).await?.0, true))
}

/// Tells a daemon to end and waits until its process has. Answers its process id.
pub(crate) async fn stop(client: &Client) -> Result<u32, Failure> {
    let pid = client.info().pid;
    client.admin().shutdown(ShutdownRequest {}).await?;
    let begin = Instant::now();
    // The socket closes first; the lock on the state directory goes with the process.
    while client.get_info().await.is_ok() || ipc_proto::endpoint::process_exists(pid) {
        if begin.elapsed() > STOP_LIMIT {
            return Err(Failure::Timeout { waited_for: "the daemon still runs", seconds: STOP_LIMIT.as_secs() });
        }
        sleep(POLL).await;
    }
    Ok(pid)
}

/// A daemon process started here that has not answered yet.
#[derive(Debug)]
pub(crate) struct Background {
    child: Child,
    log: PathBuf,
    /// Where this run's part of the log begins.
    log_begin: u64,
}

impl Background {
    /// Starts this program file as the daemon: detached, for this process's own paths; or, with `home`, as a part of
    /// this command, with everything of it under `home`.
    pub(crate) fn spawn(paths: &Paths, home: Option<&Path>) -> Result<Self, Failure> {
        let log = log_file(paths);
        create_private_dir(&paths.log).map_err(Failure::io(format!("make the directory {}", paths.log.display())))?;
        if fs::metadata(&log).is_ok_and(|log| log.len() > LOG_LIMIT) {
            let older = log.with_extension("log.1");
            fs::rename(&log, &older).map_err(Failure::io(format!("rename {}", log.display())))?;
        }
        let open = || File::options().append(true).create(true).open(&log);
        let out = open().map_err(Failure::io(format!("write {}", log.display())))?;
        let err = out.try_clone().map_err(Failure::io(format!("write {}", log.display())))?;
        let log_begin = out.metadata().map_or(0, |log| log.len());
        let program = std::env::current_exe().map_err(Failure::io("find its own program file"))?;
        let mut command = Command::new(program);
        command.arg("daemon-run").stdin(Stdio::null()).stdout(out).stderr(err);
        match home {
            Some(home) => command.env("KINFOLK_HOME", home).env_remove("KINFOLK_SOCKET"),
            None if paths.socket_is_explicit => command.arg("--detach").env("KINFOLK_SOCKET", &paths.socket),
            None => command.arg("--detach"),
        };
        let child = command.spawn().map_err(Failure::io("start the daemon"))?;
        Ok(Self { child, log, log_begin })
    }

    /// Waits until it answers, and gives the process back for whoever wants to see its end.
    pub(crate) async fn ready(mut self, paths: &Paths) -> Result<(Client, Child), Failure> {
        let begin = Instant::now();
        loop {
            let error = match Client::connect(&connect_to(paths.clone(), POLL)).await {
                Ok(client) => return Ok((client, self.child)),
                Err(error) => error,
            };
            let ended = self.child.try_wait().map_err(Failure::io("watch the daemon"))?;
            if let Some(status) = ended {
                // It may have lost a race against another start; then that one answers.
                return match Client::connect(&connect_to(paths.clone(), Duration::ZERO)).await {
                    Ok(client) => Ok((client, self.child)),
                    Err(_) => Err(Failure::DaemonEnded {
                        reason: self.last_words().unwrap_or_else(|| status.to_string()),
                        bad_config: status.code() == Some(BAD_CONFIG),
                        log: self.log,
                    }),
                };
            }
            if begin.elapsed() > START_LIMIT || error.code() != "daemon_unreachable" {
                return Err(error.into());
            }
        }
    }

    /// The last line that this run wrote.
    fn last_words(&self) -> Option<String> {
        let mut log = File::open(&self.log).ok()?;
        let end = log.metadata().ok()?.len();
        log.seek(SeekFrom::Start(self.log_begin.max(end.saturating_sub(LAST_WORDS)))).ok()?;
        let mut bytes = Vec::new();
        log.take(LAST_WORDS).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(crate::output::printable)
    }
}

/// Where the output of a daemon in the background goes.
pub(crate) fn log_file(paths: &Paths) -> PathBuf {
    paths.log.join("kinfolkd.log")
}

/// Makes a directory, and its parents, for its owner only. One that exists stays as it is.
pub(crate) fn create_private_dir(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// How the daemon ends when its settings cannot be used.
const BAD_CONFIG: i32 = 78;
/// How long a daemon may take to its first answer: a migration of a large database included.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a daemon may take to finish: its own drain takes at most 5 s.
const STOP_LIMIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);
/// From this size on the log begins anew and the old one is kept once, in bytes.
const LOG_LIMIT: u64 = 8 << 20;
/// How much of the end of a log is looked at, in bytes.
const LAST_WORDS: u64 = 4096;
