//! Generates the Rust code of the local API from its `.proto` files, without `protoc`.
//!
//! ```text
//! ipc-proto/proto/kinfolk/v1/*.proto ──protox──▶ descriptors ──tonic-prost-build──▶ ipc-proto/src/generated/kinfolk.v1.rs
//!                                                     └───────────────────────────▶ ipc-proto/src/generated/kinfolk.v1.bin
//! ```
//!
//! What is generated is committed, so that building kinfolk needs none of this. `--check` writes nothing and fails when
//! the committed files are not what the `.proto` files give.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let check = std::env::args().skip(1).any(|argument| argument == "--check");
    match run(check) {
        Ok(stale) if stale.is_empty() => ExitCode::SUCCESS,
        Ok(stale) => {
            for file in stale {
                eprintln!(
                    "{} is not what its .proto files give; run `cargo run -p kinfolk-tests --bin gen-protos`",
                    file.display()
                );
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
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ipc-proto").canonicalize()?;
    let include = package.join("proto");
    let mut protos: Vec<PathBuf> = fs::read_dir(include.join("kinfolk/v1"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    protos.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    protos.sort();

    let mut compiler = protox::Compiler::new([&include])?;
    compiler.include_imports(true).include_source_info(true).open_files(&protos)?;
    let scratch = tempfile::tempdir()?;
    tonic_prost_build::configure()
        .build_transport(false)
        .btree_map(".")
        .out_dir(scratch.path())
        .compile_fds(compiler.file_descriptor_set())?;
    compiler.include_source_info(false);
    fs::write(scratch.path().join("kinfolk.v1.bin"), compiler.encode_file_descriptor_set())?;

    let generated = package.join("src/generated");
    let mut stale = Vec::new();
    for name in ["kinfolk.v1.rs", "kinfolk.v1.bin"] {
        let fresh = fs::read(scratch.path().join(name))?;
        let committed = generated.join(name);
        if check {
            if !fs::read(&committed).is_ok_and(|bytes| bytes == fresh) {
                stale.push(committed);
            }
        } else {
            fs::write(committed, fresh)?;
        }
    }
    Ok(stale)
}
