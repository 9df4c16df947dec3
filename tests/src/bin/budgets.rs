//! `cargo budgets`: builds the programs in release, measures them, and prints every figure beside its floor and its goal.
//!
//! `-- --json` for machines; `--trace` shows where the time of a live event goes; `--relay redis` or `--relay folder` leaves the other
//! out; `--rounds N`, `--events N`, `--live N`, `--idle SECONDS` (0 leaves it out). A goal that is missed is printed, never an error:
//! whether it counts is for who knows what else the machine was doing.

use std::process::ExitCode;
use std::time::Duration;

use kinfolk_tests::budgets::device::program;
use kinfolk_tests::budgets::report::Report;
use kinfolk_tests::budgets::round::{Plan, Way, measure};
use kinfolk_tests::budgets::{BudgetError, goals};
use kinfolk_tests::tree::cargo;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let json = args.iter().any(|arg| arg == "--json");
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let number = |name: &str, usual: usize| value(name).and_then(|value| value.parse().ok()).unwrap_or(usual);
    let ways = [Way::Redis, Way::Folder].into_iter();
    let ways = ways.filter(|way| value("--relay").is_none_or(|name| name == way.name())).collect();
    let plan = Plan {
        rounds: number("--rounds", 3),
        events: number("--events", 10_000),
        singles: number("--live", 200),
        idle: Duration::from_secs(u64::try_from(number("--idle", 60)).unwrap_or_default()),
        trace: args.iter().any(|arg| arg == "--trace"),
        ways,
    };
    if !build() {
        return ExitCode::FAILURE;
    }
    // One thread, so that what is measured is the daemons and not how threads of this program wake each other.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("budgets: {error}");
            return ExitCode::FAILURE;
        }
    };
    let measured = runtime.block_on(async {
        let mut report = Report::new();
        for round in 0..plan.rounds {
            measure(&mut report, &plan, round).await?;
            eprintln!("round {} of {} is done:", round + 1, plan.rounds);
            report.print_last();
        }
        goals::state(&mut report, &plan);
        Ok::<_, BudgetError>(report)
    });
    match measured {
        Ok(report) if json => match serde_json::to_string_pretty(&report) {
            Ok(text) => {
                println!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("budgets: {error}");
                ExitCode::FAILURE
            }
        },
        Ok(report) => {
            report.print();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("budgets: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> bool {
    let mut command = cargo();
    command.args(["build", "--quiet", "--release", "--locked", "-p", "kinfolk", "--bins"]);
    if !command.status().is_ok_and(|status| status.success()) {
        eprintln!("budgets: the programs could not be built");
        return false;
    }
    ["kinfolkd", "kin"].iter().all(|name| program(name).is_ok_and(|program| program.exists()))
}
