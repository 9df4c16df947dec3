//! The demo's throwaway directory: two homes, the shared folder, and the daemons that live there.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use ipc_proto::v1::ShutdownRequest;
use ipc_proto::{Client, Paths};
use tokio::time::{Instant, sleep, timeout};

use super::canary;
use crate::daemon::{Background, create_private_dir, log_file};
use crate::failure::Failure;

/// Removes itself when dropped, whatever happened.
#[derive(Debug)]
pub(super) struct Stage {
    directory: PathBuf,
    keep: bool,
    daemons: Vec<(Client, Child)>,
}

impl Stage {
    /// Makes the directory.
    pub(super) fn new(keep: bool) -> Result<Self, Failure> {
        // Short, because a socket path may have only some 100 bytes.
        let directory = std::env::temp_dir().join(canary::name("kin-demo"));
        let failed = || Failure::io(format!("make the directory {}", directory.display()));
        if directory.exists() {
            return Err(failed()(std::io::ErrorKind::AlreadyExists.into()));
        }
        create_private_dir(&directory).map_err(failed())?;
        Ok(Self { directory, keep, daemons: Vec::new() })
    }

    /// The whole of it.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What both devices share.
    pub(super) fn folder(&self) -> PathBuf {
        self.directory.join("folder")
    }

    /// Starts both daemons.
    pub(super) async fn start(&mut self) -> Result<(Client, Client), Failure> {
        let starting = NAMES.map(|name| {
            let home = self.directory.join(name);
            let paths = Paths::in_home(&home)?;
            Ok::<_, Failure>((Background::spawn(&paths, Some(&home))?, paths))
        });
        for background in starting {
            let (background, paths) = background?;
            self.daemons.push(background.ready(&paths).await?);
        }
        match self.daemons.as_slice() {
            [(laptop, _), (phone, _)] => Ok((laptop.clone(), phone.clone())),
            _other => Err(Failure::Demo { step: "starting", reason: "two daemons were expected".into() }),
        }
    }

    /// The end of each daemon's log, for whoever wants to know why the demo failed.
    pub(super) fn last_words(&self) -> String {
        let mut out = String::new();
        for name in NAMES {
            let log = Paths::in_home(&self.directory.join(name)).map(|paths| log_file(&paths));
            let text = log.ok().and_then(|log| std::fs::read_to_string(log).ok()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(LAST_LINES)) {
                out.push_str(&format!("{name}: {line}\n"));
            }
        }
        out
    }

    /// Ends the daemons and removes everything.
    pub(super) async fn clear(mut self) -> Result<(), Failure> {
        for (client, _) in &self.daemons {
            // One that does not answer is ended below.
            let _answer = timeout(STOP_LIMIT, client.admin().shutdown(ShutdownRequest {})).await;
        }
        let begin = Instant::now();
        while begin.elapsed() < STOP_LIMIT
            && self.daemons.iter_mut().any(|(_, child)| matches!(child.try_wait(), Ok(None)))
        {
            sleep(Duration::from_millis(10)).await;
        }
        self.end_daemons();
        if self.keep {
            return Ok(());
        }
        std::fs::remove_dir_all(&self.directory).map_err(Failure::io(format!("remove {}", self.directory.display())))
    }

    /// Kills what still runs, and collects what has ended.
    fn end_daemons(&mut self) {
        for (_, mut child) in self.daemons.drain(..) {
            // Fails only for a process that has ended.
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.end_daemons();
        if !self.keep {
            // After `clear` there is nothing left; otherwise there is nobody to tell.
            let _removed = std::fs::remove_dir_all(&self.directory);
        }
    }
}

const NAMES: [&str; 2] = ["laptop", "phone"];
const STOP_LIMIT: Duration = Duration::from_secs(10);
const LAST_LINES: usize = 8;
