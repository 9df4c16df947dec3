//! `kin paths`.

use serde_json::json;

use crate::context::Context;
use crate::daemon::log_file;
use crate::failure::Failure;
use crate::output::table;

/// Show where everything lies
///
/// KINFOLK_HOME puts all of it under one directory.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kin paths\n  kin paths --json | jq -r .socket")]
pub(crate) struct PathsCommand {}

impl PathsCommand {
    pub(crate) fn execute(self, context: &Context) -> Result<(), Failure> {
        let paths = &context.paths;
        let object = json!({
            "socket": paths.socket, "config": paths.config, "config_file": paths.config_file(), "state": paths.state, "log": paths.log,
            "log_file": log_file(paths), "endpoint": paths.endpoint_file(),
        });
        context.output.show("paths", object, |style| {
            let row = |name: &str, path: &std::path::Path| vec![style.strong(name), path.display().to_string()];
            table(&[
                row("config", &paths.config_file()),
                row("state", &paths.state),
                row("log", &log_file(paths)),
                row("socket", &paths.socket),
            ])
        })
    }
}
