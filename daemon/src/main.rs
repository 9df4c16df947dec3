//! `kinfolkd`: the daemon, in the foreground.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use kinfolk::daemon::{self, Args};

/// Keeps one person's own devices on the same history. Runs in the foreground; `kin up` runs it in the background.
#[derive(Debug, Parser)]
#[command(name = "kinfolkd", version, after_help = "EXAMPLES:\n  kinfolkd\n  KINFOLK_HOME=/tmp/a kinfolkd --log debug")]
struct Options {
    /// Listen here instead of the usual place (see `kin paths`)
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or a filter such as `kinfolk::relay=debug`
    #[arg(long, value_name = "FILTER", env = "KINFOLK_LOG")]
    log: Option<String>,
    /// Let debuggers and core dumps see this process, which holds keys
    #[arg(long)]
    debuggable: bool,
}

fn main() -> ExitCode {
    let Options { socket, log, debuggable } = Options::parse();
    daemon::run(&Args { socket, log, debuggable })
}
