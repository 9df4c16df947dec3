//! Logs: to standard error, filtered, without anybody's data.
//!
//! Levels: *error* is a bug or a broken machine, *warn* is worth a look, *info* is what a day looks like, *debug* follows a decision,
//! *trace* the code. Bodies, keys and URLs with secrets are never logged, at no level.

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// Starts logging: `filter`, else `KINFOLK_LOG`, else what is `written` in the settings, else `info`. Under a journal, which has its own clock, without times.
pub fn start(filter: Option<&str>, written: Option<&str>) {
    let filter = filter.map(str::to_owned).or_else(|| std::env::var("KINFOLK_LOG").ok());
    let filter = filter.or_else(|| written.map(str::to_owned));
    let usual = || Targets::new().with_default(Level::INFO);
    let filter =
        filter.filter(|filter| !filter.is_empty()).and_then(|filter| filter.parse().ok()).unwrap_or_else(usual);
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let colour = std::env::var_os("NO_COLOR").is_none() && std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(std::io::stderr).with_ansi(colour);
    // A second start in one process (tests) keeps the first.
    if journal {
        builder.without_time().finish().with(filter).try_init().ok();
    } else {
        builder.finish().with(filter).try_init().ok();
    }
}
