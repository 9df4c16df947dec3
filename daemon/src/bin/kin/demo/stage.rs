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
    /// In order of their start: the phone's is the last.
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
        Ok((self.start_daemon(LAPTOP).await?, self.start_daemon(PHONE).await?))
    }

    /// Ends the phone's daemon, as a person would.
    pub(super) async fn switch_off_phone(&mut self) -> Result<(), Failure> {
        let Some((client, mut child)) = self.daemons.pop() else { return Ok(()) };
        client.admin().shutdown(ShutdownRequest {}).await?;
        ended([&mut child]).await;
        // Fails only for a process that has ended.
        let _ended = child.kill();
        child.wait().map(drop).map_err(Failure::io("wait for a daemon"))
    }

    /// Starts the phone's daemon again.
    pub(super) async fn switch_on_phone(&mut self) -> Result<Client, Failure> {
        self.start_daemon(PHONE).await
    }

    async fn start_daemon(&mut self, name: &str) -> Result<Client, Failure> {
        let home = self.directory.join(name);
        let paths = Paths::in_home(&home)?;
        let (client, child) = Background::spawn(&paths, Some(&home))?.ready(&paths).await?;
        self.daemons.push((client.clone(), child));
        Ok(client)
    }

    /// The end of each daemon's log, for whoever wants to know why the demo failed.
    pub(super) fn last_words(&self) -> String {
        let mut out = String::new();
        for name in [LAPTOP, PHONE] {
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
        ended(self.daemons.iter_mut().map(|(_, child)| child)).await;
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

/// Waits until all have ended, or long enough.
async fn ended<'a>(children: impl IntoIterator<Item = &'a mut Child>) {
    let begin = Instant::now();
    for child in children {
        while matches!(child.try_wait(), Ok(None)) && begin.elapsed() < STOP_LIMIT {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

const LAPTOP: &str = "laptop";
const PHONE: &str = "phone";
const STOP_LIMIT: Duration = Duration::from_secs(10);
const LAST_LINES: usize = 8;
