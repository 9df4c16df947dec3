//! `cargo python`: checks the types of the Python package and runs its tests against the real daemon; with words, only the tests
//! whose name holds one of them.

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode};

use kinfolk_tests::e2e::Programs;
use kinfolk_tests::tree::{cargo, root};

/// Where the package is.
const PACKAGE: &str = "contrib/python";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("python: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    succeed(&mut Command::new(root().join("contrib/dev/python")))?;
    let package = root().join(PACKAGE);
    let mut types = python(&package);
    types.args(["-m", "mypy", "--config-file", "pyproject.toml", "--cache-dir"]).arg(root().join("target/mypy"));
    succeed(types.args(["src/kinfolk", "tests", "examples", "generate.py"]))?;

    let programs = Programs::build()?;
    // The example app in Rust is tested as the one in Python.
    succeed(cargo().args(["build", "--quiet", "--workspace", "--example", "todo", "--locked"]).current_dir(root()))?;
    let mut tests = python(&package.join("tests"));
    tests.args(["-m", "unittest", "discover", "--verbose"]);
    for word in env::args().skip(1) {
        tests.args(["-k", &word]);
    }
    tests.env("PYTHONPATH", package.join("src"));
    tests.env("KINFOLK_PROGRAMS", programs.kin.parent().ok_or("a program without a directory")?);
    succeed(&mut tests)
}

/// The interpreter that `contrib/dev/python` made, at work in `directory`, which it leaves as it is.
fn python(directory: &Path) -> Command {
    let mut command = Command::new(root().join("target/python/bin/python"));
    command.current_dir(directory).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn succeed(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}
