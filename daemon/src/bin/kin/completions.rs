//! Shell completions and manual pages, both from the definition of the command line.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::Cli;
use crate::context::Context;
use crate::daemon::create_private_dir;
use crate::failure::Failure;

/// Write shell completions to stdout
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kin completions bash > ~/.local/share/bash-completion/completions/kin
  kin completions fish > ~/.config/fish/completions/kin.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Write the manual pages into a directory
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The directory; made if it is not there
    directory: PathBuf,
}

impl Completions {
    pub(crate) fn execute(self, context: &Context) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "kin", &mut script);
        context.output.text(&String::from_utf8_lossy(&script))
    }
}

impl Man {
    pub(crate) fn execute(self, context: &Context) -> Result<(), Failure> {
        let failed = || Failure::io(format!("write manual pages into {}", self.directory.display()));
        create_private_dir(&self.directory).map_err(failed())?;
        clap_mangen::generate_to(Cli::command(), &self.directory).map_err(failed())?;
        context.output.note(&format!("manual pages are in {}", self.directory.display()));
        Ok(())
    }
}
