//! `cargo e2e`: runs the end-to-end scenarios; with words, only those whose name holds one of them.
//!
//! Each scenario is a process of its own and leads its own process group, so that a scenario that hangs can be ended with all it started.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, io};

use kinfolk_tests::e2e::{Failed, Programs, SCENARIOS, Scenario, limit};
use rustix::process::{Pid, Signal, kill_process_group};

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// Says which scenario this process is.
const ONE: &str = "--scenario";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [flag, name] = words.as_slice()
        && flag == ONE
    {
        return one(name);
    }
    if let Err(error) = Programs::build() {
        println!("{error}");
        return ExitCode::FAILURE;
    }
    let chosen =
        |scenario: &&Scenario| words.is_empty() || words.iter().any(|word| scenario.name.contains(word.as_str()));
    let (mut passed, mut failed) = (0, 0);
    for scenario in SCENARIOS.iter().filter(chosen) {
        let started = Instant::now();
        let outcome = apart(scenario);
        let took = started.elapsed().as_secs_f32();
        match outcome {
            Ok(()) => {
                passed += 1;
                println!("ok      {took:5.1} s  {}", scenario.name);
            }
            Err(reason) => {
                failed += 1;
                println!("FAILED  {took:5.1} s  {}: {reason}", scenario.name);
            }
        }
    }
    println!("{passed} scenarios passed, {failed} failed");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a scenario in this process.
fn one(name: &str) -> ExitCode {
    // Its input is a pipe that nobody writes to: it ends when the parent does, whatever ended that, and then so does the group.
    thread::spawn(|| {
        io::copy(&mut io::stdin(), &mut io::sink()).ok();
        kill_process_group(rustix::process::getpgrp(), Signal::KILL)
    });
    let Some(scenario) = SCENARIOS.iter().find(|scenario| scenario.name == name) else {
        println!("there is no scenario `{name}`");
        return ExitCode::FAILURE;
    };
    match Programs::find().and_then(|programs| (scenario.run)(&programs)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a scenario in a process of its own.
fn apart(scenario: &Scenario) -> Result<(), Failed> {
    let failed = |source: io::Error| Failed::Io { doing: "running a scenario".into(), source };
    let own = env::current_exe().map_err(failed)?;
    let mut child =
        Command::new(own).args([ONE, scenario.name]).process_group(0).stdin(Stdio::piped()).spawn().map_err(failed)?;
    let _held_open = child.stdin.take();
    let limit = limit()?;
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Failed::Expected(format!("it to hold; see above ({status})"))),
            None if Instant::now() > deadline => {
                end(&mut child).map_err(failed)?;
                return Err(Failed::Expected(format!("it to end within {} s", limit.as_secs())));
            }
            None => thread::sleep(BETWEEN_LOOKS),
        }
    }
}

fn end(child: &mut Child) -> io::Result<()> {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        kill_process_group(group, Signal::KILL)?;
    }
    child.wait().map(drop)
}
