//! What every command needs: how to print, where things lie, how to reach the daemon.

use std::path::Path;
use std::time::Duration;

use ipc_proto::{Client, Connect, Credential, Paths};

use crate::failure::Failure;
use crate::output::Output;

/// The surroundings of one command.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Where results go.
    pub(crate) output: Output,
    /// Where the daemon and its files are.
    pub(crate) paths: Paths,
}

impl Context {
    /// Reads the environment. `socket` is the value of `--socket`.
    pub(crate) fn new(output: Output, socket: Option<&Path>) -> Result<Self, Failure> {
        Ok(Self { output, paths: Paths::discover(socket)? })
    }

    /// Connects to a daemon that runs or is just starting.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        self.client_within(Duration::ZERO).await
    }

    /// Connects, and waits for a daemon to come up.
    pub(crate) async fn client_within(&self, wait: Duration) -> Result<Client, Failure> {
        Ok(Client::connect(&connect_to(self.paths.clone(), wait)).await?)
    }
}

/// How this program connects.
pub(crate) fn connect_to(paths: Paths, wait: Duration) -> Connect {
    let client = concat!("kin/", env!("CARGO_PKG_VERSION")).into();
    Connect { paths, client, wait, credential: Credential::of_environment() }
}
