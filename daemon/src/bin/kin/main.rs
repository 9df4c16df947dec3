//! `kin`: the command line of kinfolk.
//!
//! It talks to the daemon through its public API only (`ipc_proto`), as any app does. The one exception is
//! [`run_daemon`], by which `kin` alone can also *be* the daemon: `kin init`, `kin up` and `kin demo` start their own
//! program file that way.
//!
//! One file a group of commands; [`failure`] maps what goes wrong to exit codes, [`output`] prints words or JSON.

mod apps;
mod catching;
mod completions;
mod condition;
mod conflicts;
mod context;
mod conv;
mod daemon;
mod demo;
mod devices;
mod explain;
mod export;
mod failure;
mod history;
mod import;
mod init;
mod instant;
mod join;
mod line;
mod msg;
mod output;
mod pair;
mod paths;
mod place;
mod progress;
mod quarantine;
mod records;
mod relay;
mod retention;
mod run_daemon;
mod size;
mod status;
mod store;
mod sync;
mod terminal;
mod typed;
mod view;
mod wait;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;

/// Keeps your devices on the same history, over storage you need not trust.
#[derive(Debug, Parser)]
#[command(name = "kin", version, propagate_version = true, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    /// Print JSON: one object, or one a line for streams; errors too, on stderr. KINFOLK_OUTPUT=json does the same
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    json: bool,
    /// The daemon's socket, if it is not where `kin paths` says
    #[arg(long, global = true, value_name = "PATH", help_heading = EVERYWHERE)]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

/// What each does is said at its own definition, where its long help is.
#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Up(daemon::Up),
    Down(daemon::Down),
    Demo(demo::Demo),
    Status(status::StatusCommand),
    #[command(subcommand)]
    Pair(pair::Pair),
    Join(join::Join),
    #[command(subcommand)]
    Devices(devices::Devices),
    #[command(subcommand)]
    Relay(relay::RelayCommand),
    #[command(subcommand)]
    Apps(apps::Apps),
    Put(records::Put),
    Get(records::Get),
    List(records::List),
    Rm(records::Rm),
    History(history::History),
    Undo(history::Undo),
    #[command(subcommand)]
    Conflicts(conflicts::Conflicts),
    #[command(subcommand)]
    Msg(msg::Msg),
    #[command(subcommand)]
    Conv(conv::Conv),
    Watch(watch::Watch),
    #[command(subcommand)]
    Sync(sync::Sync),
    Wait(wait::Wait),
    Import(import::Import),
    Export(export::Export),
    Explain(explain::Explain),
    #[command(subcommand)]
    Quarantine(quarantine::Quarantine),
    #[command(subcommand)]
    Store(store::Store),
    Paths(paths::PathsCommand),
    Completions(completions::Completions),
    #[command(hide = true)]
    Man(completions::Man),
    #[command(hide = true)]
    DaemonRun(run_daemon::DaemonRun),
}

const EVERYWHERE: &str = "Options of every command";

const EXAMPLES: &str = "\
Examples:
  kin demo                                  see it work; needs nothing
  kin init --relay file:///media/nas/kin    make this your first device
  kin pair show                             invite the second one
  kin join -                                on the second one: paste the card
  kin status                                is everything in sync?

Exit codes: 0 ok, 1 failure, 2 usage, 3 daemon unreachable, 4 not set up or locked, 5 permission,
6 relay unreachable or timeout, 7 attention needed, 8 not found, 9 resync required,
10 version mismatch, 11 conflict, 78 bad configuration, 130 interrupted";

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let json = cli.json || std::env::var_os("KINFOLK_OUTPUT").is_some_and(|format| format == "json");
    if let Command::DaemonRun(run) = cli.command {
        return run.execute(cli.socket);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::io("start")(error).report(json),
    };
    let result = Context::new(Output::new(json), cli.socket.as_deref())
        .and_then(|context| runtime.block_on(execute(cli.command, &context)));
    // A thread may still wait for a line of stdin that nobody will type.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

async fn execute(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Init(init) => init.execute(context).await,
        Command::Up(up) => up.execute(context).await,
        Command::Down(down) => down.execute(context).await,
        Command::Demo(demo) => demo.execute(context).await,
        Command::Status(status) => status.execute(context).await,
        Command::Pair(pair) => pair.execute(context).await,
        Command::Join(join) => join.execute(context).await,
        Command::Devices(devices) => devices.execute(context).await,
        Command::Relay(relay) => relay.execute(context).await,
        Command::Apps(apps) => apps.execute(context).await,
        Command::Put(put) => put.execute(context).await,
        Command::Get(get) => get.execute(context).await,
        Command::List(list) => list.execute(context).await,
        Command::Rm(rm) => rm.execute(context).await,
        Command::History(history) => history.execute(context).await,
        Command::Undo(undo) => undo.execute(context).await,
        Command::Conflicts(conflicts) => conflicts.execute(context).await,
        Command::Msg(msg) => msg.execute(context).await,
        Command::Conv(conv) => conv.execute(context).await,
        Command::Watch(watch) => watch.execute(context).await,
        Command::Sync(sync) => sync.execute(context).await,
        Command::Wait(wait) => wait.execute(context).await,
        Command::Import(import) => import.execute(context).await,
        Command::Export(export) => export.execute(context).await,
        Command::Explain(explain) => explain.execute(context).await,
        Command::Quarantine(quarantine) => quarantine.execute(context).await,
        Command::Store(store) => store.execute(context).await,
        Command::Paths(paths) => paths.execute(context),
        Command::Completions(completions) => completions.execute(context),
        Command::Man(man) => man.execute(context),
        // `main` has dealt with it before there was a runtime.
        Command::DaemonRun(_) => Ok(()),
    }
}

/// Help and version on stdout; a wrong command line on stderr, as JSON when that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        return Failure::usage(message, "`kin help` shows the commands").report(true);
    }
    // What cannot be printed to a closed pipe needs no second attempt.
    let _closed = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_in_its_help() {
        fn leaves(command: &clap::Command, path: &str, out: &mut Vec<(String, clap::Command)>) {
            for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
                let path = format!("{path} {}", sub.get_name());
                match sub.has_subcommands() {
                    true => leaves(sub, &path, out),
                    false => out.push((path, sub.clone())),
                }
            }
        }
        let mut commands = Vec::new();
        leaves(&Cli::command(), "kin", &mut commands);
        assert!(commands.len() > 25, "{}", commands.len());
        for (path, mut command) in commands {
            let help = command.render_help().to_string();
            assert!(help.contains("Example"), "`{path} --help` shows no example");
            assert!(help.contains(&format!("  {path}")), "the example of `{path} --help` does not use it:\n{help}");
        }
    }
}
