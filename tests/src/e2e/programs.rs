//! The programs under test: built once with the features of the whole workspace, and run from where cargo put them.

use std::path::PathBuf;
use std::{env, fs};

use super::Failed;
use crate::tree::{cargo, root};

/// Where the programs lie.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The client.
    pub kin: PathBuf,
    /// The daemon.
    pub kinfolkd: PathBuf,
}

impl Programs {
    /// Builds them, together with all other programs of the workspace: the same features, so nothing is built twice.
    pub fn build() -> Result<Self, Failed> {
        let mut build = cargo();
        build.args(["build", "--quiet", "--workspace", "--bins", "--locked"]).current_dir(root());
        let status = build.status().map_err(Failed::io("starting cargo"))?;
        if !status.success() {
            return Err(Failed::Expected(format!("cargo build to succeed, it ended with {status}")));
        }
        Self::find()
    }

    /// Finds them beside this program.
    pub fn find() -> Result<Self, Failed> {
        let own = env::current_exe().map_err(Failed::io("finding this program"))?;
        let beside = |name: &str| own.with_file_name(format!("{name}{}", env::consts::EXE_SUFFIX));
        let programs = Self { kin: beside("kin"), kinfolkd: beside("kinfolkd") };
        for path in [&programs.kin, &programs.kinfolkd] {
            fs::metadata(path).map_err(Failed::io(format!("finding {}", path.display())))?;
        }
        Ok(programs)
    }
}
