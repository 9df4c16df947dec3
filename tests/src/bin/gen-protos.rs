//! Generates the Rust and Python code of the local API from its `.proto` files.
//!
//! ```text
//! ipc-proto/proto/kinfolk/v1/*.proto ──protox──▶ descriptors ──tonic-prost-build──▶ ipc-proto/src/generated/kinfolk.v1.rs
//!         │                                           └───────────────────────────▶ ipc-proto/src/generated/kinfolk.v1.bin
//!         └──────contrib/python/generate.py (grpcio-tools, mypy-protobuf)─────────▶ contrib/python/src/kinfolk/v1/*_pb2*
//! ```
//!
//! What is generated is committed, so that building kinfolk and installing the Python package need none of this. `--check` writes
//! nothing and fails when the committed files are not what the `.proto` files give. The Rust comes from Rust alone; for the Python,
//! `contrib/dev/python` installs the pinned generators in `target/python` once.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use kinfolk_tests::tree::root;

fn main() -> ExitCode {
    let check = std::env::args().skip(1).any(|argument| argument == "--check");
    match run(check) {
        Ok(stale) if stale.is_empty() => ExitCode::SUCCESS,
        Ok(stale) => {
            for file in stale {
                eprintln!("{} is not what its .proto files give; run `cargo gen-protos`", file.display());
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("gen-protos: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Generates, and writes or compares. Answers the files that differ (only with `check`).
fn run(check: bool) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let (rust, python) = (scratch.path().join("rust"), scratch.path().join("python"));
    fs::create_dir(&rust)?;
    fs::create_dir(&python)?;
    let mut stale = Vec::new();
    generate_rust(&rust)?;
    stale.extend(keep(&rust, &root().join("ipc-proto/src/generated"), |_| true, check)?);
    generate_python(&python)?;
    let stub = |name: &str| name.contains("_pb2");
    stale.extend(keep(&python.join("kinfolk/v1"), &root().join("contrib/python/src/kinfolk/v1"), stub, check)?);
    Ok(stale)
}

fn generate_rust(directory: &Path) -> Result<(), Box<dyn Error>> {
    let include = root().join("ipc-proto/proto");
    let mut protos: Vec<PathBuf> = fs::read_dir(include.join("kinfolk/v1"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    protos.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    protos.sort();

    let mut compiler = protox::Compiler::new([&include])?;
    compiler.include_imports(true).include_source_info(true).open_files(&protos)?;
    tonic_prost_build::configure()
        .build_transport(false)
        .btree_map(".")
        .out_dir(directory)
        .compile_fds(compiler.file_descriptor_set())?;
    compiler.include_source_info(false);
    fs::write(directory.join("kinfolk.v1.bin"), compiler.encode_file_descriptor_set())?;
    Ok(())
}

fn generate_python(directory: &Path) -> Result<(), Box<dyn Error>> {
    succeed(&mut Command::new(root().join("contrib/dev/python")))?;
    let script = root().join("contrib/python/generate.py");
    succeed(Command::new(root().join("target/python/bin/python")).arg(script).arg(directory))
}

fn succeed(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

/// Makes the generated files of `committed` what they are in `fresh`, or with `check` names those that are not.
fn keep(fresh: &Path, committed: &Path, generated: fn(&str) -> bool, check: bool) -> io::Result<Vec<PathBuf>> {
    let mut names = file_names(fresh)?;
    names.extend(file_names(committed)?.into_iter().filter(|name| generated(name)));
    let mut stale = Vec::new();
    for name in names {
        let (new, old) = (fs::read(fresh.join(&name)).ok(), fs::read(committed.join(&name)).ok());
        if new == old {
            continue;
        }
        let path = committed.join(name);
        match new {
            _ if check => stale.push(path),
            Some(bytes) => fs::write(path, bytes)?,
            None => fs::remove_file(path)?,
        }
    }
    Ok(stale)
}

fn file_names(directory: &Path) -> io::Result<BTreeSet<String>> {
    let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}
