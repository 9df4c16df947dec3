//! `cargo ci`: what continuous integration runs, as a program anyone can run. It stops at the first step that fails and ends with one
//! line, `N passed, N failed`, that counts steps.
//!
//! All steps share one profile, one target directory and one set of features, so that little is built twice.

use std::process::ExitCode;
use std::time::Instant;

use kinfolk_tests::tree::{cargo, root};

/// One step: a headline, what to run with cargo, and with which environment.
struct Step {
    name: &'static str,
    cargo: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
}

/// Cheap and telling first.
const STEPS: &[Step] = &[
    step("formatting", &["fmt", "--all", "--check"]),
    step("rules of the house", &["tidy"]),
    step("generated code is what the .proto files say", &["gen-protos", "--check"]),
    step("lints", &["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]),
    step("tests", &["test", "--workspace", "--locked"]),
    step("five thousand simulated worlds come to rest", &["sim"]),
    step("each rule broken on purpose is noticed", &["sim", "--prove-red"]),
    step("the real programs, end to end", &["e2e"]),
    step("the Python package, against the real daemon", &["python"]),
    step(
        "the build without SQLCipher",
        &["check", "-p", "kinfolk", "--locked", "--no-default-features", "--features", "plain-db"],
    ),
    Step {
        env: &[("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private_intra_doc_links")],
        ..step("documentation", &["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"])
    },
];

const fn step(name: &'static str, cargo: &'static [&'static str]) -> Step {
    Step { name, cargo, env: &[] }
}

fn main() -> ExitCode {
    let begin = Instant::now();
    let mut passed = 0;
    for (index, step) in STEPS.iter().enumerate() {
        println!("\n=== {}/{} {}: cargo {}", index + 1, STEPS.len(), step.name, step.cargo.join(" "));
        let started = Instant::now();
        match step.run() {
            Ok(()) => println!("=== ok after {} s", started.elapsed().as_secs()),
            Err(reason) => {
                println!("=== FAILED after {} s: {}: {reason}", started.elapsed().as_secs(), step.name);
                println!("{} steps were not run", STEPS.len() - index - 1);
                println!("{passed} passed, 1 failed");
                return ExitCode::FAILURE;
            }
        }
        passed += 1;
    }
    println!("\nall steps took {} s", begin.elapsed().as_secs());
    println!("{passed} passed, 0 failed");
    ExitCode::SUCCESS
}

impl Step {
    fn run(&self) -> Result<(), String> {
        let status = cargo().args(self.cargo).envs(self.env.iter().copied()).current_dir(root()).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(status.to_string()),
            Err(error) => Err(format!("cargo could not be started: {error}")),
        }
    }
}
