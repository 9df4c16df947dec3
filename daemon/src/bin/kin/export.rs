//! `kin export`: everything apps see, as NDJSON.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ipc_proto::Client;
use ipc_proto::v1::ExportRequest;
use ipc_proto::v1::export_item::Item;
use serde_json::json;
use tokio_stream::StreamExt;

use crate::context::Context;
use crate::failure::Failure;
use crate::{line, progress};

/// Write all messages and records as NDJSON
///
/// Messages by conversation, time and id; then records by collection and key: two devices in sync write the same bytes.
/// `kin import` reads it. Bodies that only other devices keep are not in it; their lines say so.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kin export > archive.ndjson
  kin export archive.ndjson --json")]
pub(crate) struct Export {
    /// The file; it is there when it is complete, and not before [default: stdout]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Export {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client().await?;
        let Some(file) = self.file.filter(|file| file.as_os_str() != "-") else {
            let copied = copy(&client, BufWriter::new(io::stdout()), Failure::stdout, || {}).await?;
            context.output.note(&copied.lean_note());
            return Ok(());
        };
        let mut partial = file.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let bar = progress::counter(context.output.json);
        let written = write_file(&client, &partial, || bar.inc(1)).await;
        bar.finish_and_clear();
        let copied = match written {
            Ok(copied) => copied,
            Err(failure) => {
                // The failure is what counts; a leftover carries its name.
                let _leftover = fs::remove_file(&partial);
                return Err(failure);
            }
        };
        fs::rename(&partial, &file).map_err(Failure::io(format!("rename {}", partial.display())))?;
        context.output.note(&copied.lean_note());
        let Copied { lines, lean } = copied;
        let object = json!({ "file": file, "lines": lines, "bodies_elsewhere": lean });
        context.output.show("export", object, |_| format!("{lines} lines in {}", file.display()))
    }
}

async fn write_file(client: &Client, partial: &Path, tick: impl FnMut()) -> Result<Copied, Failure> {
    let failed = || Failure::io(format!("write {}", partial.display()));
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    // What was private stays private.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let out = options.open(partial).map_err(failed())?;
    let syncing = out.try_clone().map_err(failed())?;
    let copied = copy(client, BufWriter::new(out), |error| failed()(error), tick).await?;
    syncing.sync_all().map_err(failed())?;
    Ok(copied)
}

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
struct Copied {
    lines: u64,
    /// Messages whose bodies are on other devices only.
    lean: u64,
}

impl Copied {
    /// What whoever relies on the file must know; nothing when it has everything.
    fn lean_note(self) -> String {
        match self.lean {
            0 => String::new(),
            lean => format!(
                "the bodies of {lean} messages are not in it: they are on other devices. Export there, or bring them here with `kin store retention off`"
            ),
        }
    }
}

/// Writes every item as a line.
async fn copy(
    client: &Client,
    mut out: impl Write,
    failed: impl Fn(io::Error) -> Failure,
    mut tick: impl FnMut(),
) -> Result<Copied, Failure> {
    let mut copied = Copied::default();
    let mut parts = client.admin().export(ExportRequest {}).await?.into_inner();
    while let Some(part) = parts.next().await {
        for item in part?.items {
            // An item of a kind that this version does not know would be lost in silence.
            let line = line::write(&item).ok_or(Failure::Newer("an exported item"))?;
            writeln!(out, "{line}").map_err(&failed)?;
            copied.lines += 1;
            let is_lean = matches!(&item.item, Some(Item::Message(message)) if message.elsewhere.is_some());
            copied.lean += u64::from(is_lean);
            tick();
        }
    }
    out.flush().map_err(&failed)?;
    Ok(copied)
}
