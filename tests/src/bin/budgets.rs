//! `cargo budgets`: builds the daemon in release and measures it (`-- --json` for machines, `-- --rounds N`, `-- --events N`).

use std::process::{Command, ExitCode};

use kinfolk_tests::budgets::BudgetError;
use kinfolk_tests::budgets::device::{Device, program};
use kinfolk_tests::budgets::floor::{fdatasync, percentile};
use kinfolk_tests::budgets::report::Report;
use kinfolk_tests::budgets::work::{Events, import, live};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let json = args.iter().any(|arg| arg == "--json");
    let number = |name: &str, usual: usize| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1)).and_then(|value| value.parse().ok()).unwrap_or(usual)
    };
    let (rounds, events, singles) = (number("--rounds", 3), number("--events", 10_000), number("--live", 200));
    if !build() {
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("budgets: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(measure(rounds, events, singles)) {
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

async fn measure(rounds: usize, events: usize, singles: usize) -> Result<Report, BudgetError> {
    let mut report = Report::new();
    let io = |what: &str| {
        let what = what.to_owned();
        move |source| BudgetError::Io { what, source }
    };
    for round in 0..rounds {
        let home = tempfile::tempdir().map_err(io("no temporary directory"))?;
        let relay = home.path().join("relay");
        let program = program()?;
        let a = Device::start(&program, &home.path().join("a")).await?;
        let b = Device::start(&program, &home.path().join("b")).await?;
        a.init(&format!("file://{}", relay.display())).await?;
        a.pair(&b).await?;
        let syncs = fdatasync(home.path())?;
        report.note("raw fdatasync p50", percentile(&syncs, 0.5));
        report.note("raw fdatasync p99", percentile(&syncs, 0.99));
        let kinds: [(&str, Events, usize); 4] = [
            ("single-op bundles (records)", Events::Records, 1),
            ("records, batched import of 500", Events::Records, 500),
            ("single-op bundles (messages)", Events::Messages, 1),
            ("messages, batched import of 500", Events::Messages, 500),
        ];
        for (name, kind, per_bundle) in kinds {
            let measured = import(&a, &b, kind, round, events, per_bundle).await?;
            report.note(&format!("{events} {name}: import"), measured.import);
            report.note(&format!("{events} {name}: converged on the other device"), measured.converge);
        }
        let times = live(&a, &b, round, singles).await?;
        report.note("live event p50", percentile(&times, 0.5));
        report.note("live event p99", percentile(&times, 0.99));
    }
    report.goal(&format!("{events} single-op bundles (records): converged on the other device"), 600.0);
    report.goal(&format!("{events} single-op bundles (messages): converged on the other device"), 1000.0);
    // The folder's own cost on top of the goal for a relay that pushes: its file and its directory are synced.
    let (p50, p99) = (report.median("raw fdatasync p50"), report.median("raw fdatasync p99"));
    report.goal("live event p50", 1.5 + 4.0 * p50);
    report.goal("live event p99", 4.0 + 4.0 * p99);
    Ok(report)
}

fn build() -> bool {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--release", "--locked", "-p", "kinfolk", "--bin", "kinfolkd"]);
    if !command.status().is_ok_and(|status| status.success()) {
        eprintln!("budgets: the daemon could not be built");
        return false;
    }
    program().is_ok_and(|program| program.exists())
}
