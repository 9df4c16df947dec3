//! `kin daemon-run`: this program as the daemon. The only file of `kin` that may enter the library.

use std::path::Path;
use std::process::ExitCode;

/// Be the daemon: what `kin init`, `kin up` and `kin demo` start in the background.
#[derive(Debug, clap::Args)]
pub(crate) struct DaemonRun {
    /// Leave the terminal's session, so that closing it does not end the daemon
    #[arg(long)]
    detach: bool,
}

impl DaemonRun {
    /// Runs until the daemon is told to end.
    pub(crate) fn execute(self, socket: Option<&Path>) -> ExitCode {
        let _ = (socket, self.detach);
        eprintln!("this build has no daemon");
        ExitCode::FAILURE
    }
}
