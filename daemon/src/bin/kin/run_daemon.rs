//! `kin daemon-run`: this program as the daemon. The only file of `kin` that may enter the library.

use std::path::PathBuf;
use std::process::ExitCode;

use kinfolk::daemon::{self, Args};

/// Be the daemon: what `kin init`, `kin up` and `kin demo` start.
#[derive(Debug, clap::Args)]
pub(crate) struct DaemonRun {
    /// Leave the terminal's session, so that closing it does not end the daemon
    #[arg(long)]
    detach: bool,
}

impl DaemonRun {
    /// Runs until the daemon is told to end.
    pub(crate) fn execute(self, socket: Option<PathBuf>) -> ExitCode {
        if self.detach {
            leave_session();
        }
        daemon::run(&Args { socket, ..Args::default() })
    }
}

/// Begins a session of its own. A process that leads its group already has no terminal to lose.
#[cfg(unix)]
fn leave_session() {
    rustix::process::setsid().ok();
}

/// A process on this system outlives the window it was started from.
#[cfg(not(unix))]
fn leave_session() {}
