//! A daemon in a home of its own, and how two of them become siblings.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ipc_proto::Credential;
use ipc_proto::client::{Client, Connect};
use ipc_proto::paths::Paths;
use ipc_proto::v1::{InitRequest, JoinRequest, KeyStore, PairConfirmRequest, PairShowRequest, join_event, pair_event};
use tokio_stream::StreamExt;

use super::BudgetError;

/// A running daemon; ended by its own pid when dropped.
#[derive(Debug)]
pub struct Device {
    child: Child,
    /// A connection to it.
    pub client: Client,
    /// What it has logged.
    pub log: PathBuf,
}

impl Device {
    /// Starts `program` in `home` and waits until it answers. `log` is what it logs, beside its home's other files.
    ///
    /// # Errors
    /// When it cannot be started or does not answer.
    pub async fn start(program: &Path, home: &Path, filter: &str) -> Result<Self, BudgetError> {
        let log = home.join("log");
        let made = std::fs::create_dir_all(home).and_then(|()| std::fs::File::create(&log));
        let file = made.map_err(BudgetError::io(format!("cannot write {}", log.display())))?;
        let mut command = Command::new(program);
        command.env("KINFOLK_HOME", home).env("KINFOLK_LOG", filter).env_remove("KINFOLK_SOCKET");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn();
        let child = child.map_err(BudgetError::io(format!("cannot start {}", program.display())))?;
        let paths = Paths {
            config: home.join("config"),
            state: home.join("state"),
            log: home.join("state/log"),
            socket: home.join("run/kinfolk.sock"),
            socket_is_explicit: true,
        };
        let connect =
            Connect { paths, client: "budgets".into(), wait: Duration::from_secs(20), credential: Credential::Owner };
        let client = Client::connect(&connect).await?;
        Ok(Self { child, client, log })
    }

    /// The daemon's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Makes it the first device, with these relays.
    ///
    /// # Errors
    /// What the daemon says.
    pub async fn init(&self, relays: &[String]) -> Result<(), BudgetError> {
        let request =
            InitRequest { device_name: "a".into(), relay_urls: relays.to_vec(), key_store: KeyStore::File.into() };
        self.client.admin().init(request).await?;
        Ok(())
    }

    /// Makes `other` a sibling of this one, as a person would: card, check code. Answers when the code was typed in.
    ///
    /// # Errors
    /// What the daemons say.
    pub async fn pair(&self, other: &Self) -> Result<Instant, BudgetError> {
        let mut shown = self.client.admin().pair_show(PairShowRequest {}).await?.into_inner();
        let uri = loop {
            let event = shown.next().await.ok_or_else(|| BudgetError::Unexpected("the invitation ended".into()))??;
            if let Some(pair_event::Event::Card(card)) = event.event {
                break card.uri;
            }
        };
        let request = JoinRequest {
            card: uri,
            device_name: "b".into(),
            key_store: KeyStore::File.into(),
            ..JoinRequest::default()
        };
        let mut confirmed = Instant::now();
        let mut joining = other.client.admin().join(request).await?.into_inner();
        while let Some(event) = joining.next().await {
            if let Some(join_event::Event::CheckCode(code)) = event?.event {
                confirmed = Instant::now();
                self.client.admin().pair_confirm(PairConfirmRequest { code: code.code }).await?;
            }
        }
        Ok(confirmed)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A program that was built beside this one.
///
/// # Errors
/// When this program does not know where it lies.
pub fn program(name: &str) -> Result<PathBuf, BudgetError> {
    let here = std::env::current_exe();
    let here = here.map_err(BudgetError::io("this program does not know its place".into()))?;
    Ok(here.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}
