//! The source tree as the tidy rules see it: every text file by its path from the root, and what cargo says of the packages.
//!
//! A rule is a function of this value, so a test can hand it a small tree that breaks the rule.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use serde_json::Value;

/// All text files, and the resolved packages.
#[derive(Debug, Default)]
pub struct Tree {
    /// Path from the root, with `/` between parts → content.
    pub files: BTreeMap<String, String>,
    /// `cargo metadata` of the workspace, for all platforms.
    pub metadata: Value,
}

/// Why the tree could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A file or directory.
    #[error("reading {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `cargo metadata` did not answer.
    #[error("cargo metadata --locked failed (is Cargo.lock up to date, and were all packages fetched once?): {0}")]
    Metadata(String),
}

impl Tree {
    /// Reads the workspace that this package belongs to.
    pub fn read() -> Result<Self, TreeError> {
        let mut tree = Self { metadata: metadata()?, ..Self::default() };
        tree.collect(&root(), "")?;
        Ok(tree)
    }

    /// A tree of these files only.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
        Self { files, metadata: Value::Null }
    }

    /// The file at `path`; the empty text when there is none.
    pub fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", String::as_str)
    }

    /// Files whose path ends with `suffix`, in order of path.
    pub fn ending<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files.iter().filter(move |(path, _)| path.ends_with(suffix)).map(|(p, t)| (p.as_str(), t.as_str()))
    }

    /// Rust files written by hand.
    pub fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ending(".rs").filter(|(path, _)| !is_generated(path))
    }

    fn collect(&mut self, dir: &Path, prefix: &str) -> Result<(), TreeError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| TreeError::Read { path, source }
        };
        for entry in fs::read_dir(dir).map_err(failed(dir))? {
            let entry = entry.map_err(failed(dir))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(failed(&entry.path()))?;
            if kind.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    self.collect(&entry.path(), &format!("{path}/"))?;
                }
            } else if kind.is_file()
                && let Ok(text) = String::from_utf8(fs::read(entry.path()).map_err(failed(&entry.path()))?)
            {
                self.files.insert(path, text);
            }
        }
        Ok(())
    }
}

/// The workspace root.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// Whether a program wrote the file.
pub fn is_generated(path: &str) -> bool {
    path.starts_with("ipc-proto/src/generated")
}

/// Cargo, to be run by a program that cargo runs.
///
/// It is told nothing of the package of that program: a build script that looks at such variables (the one of `ring` does) would
/// run again, and half of the workspace be built anew, each time a task and its caller take turns.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let of_a_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(of_a_package) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Directories that hold nothing that is kept.
const SKIPPED: &[&str] = &[".git", "target", "corpus", "artifacts", "coverage"];

fn metadata() -> Result<Value, TreeError> {
    let output = cargo()
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(root())
        .output()
        .map_err(|error| TreeError::Metadata(error.to_string()))?;
    if !output.status.success() {
        return Err(TreeError::Metadata(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| TreeError::Metadata(error.to_string()))
}
