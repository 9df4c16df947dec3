//! `kin join`: this device becomes a sibling.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipc_proto::v1::{JoinRequest, KeyStore, join_event::Event};
use serde_json::json;
use tokio_stream::StreamExt;

use crate::catching;
use crate::context::Context;
use crate::daemon;
use crate::failure::Failure;
use crate::init::KeyStoreChoice;
use crate::instant;
use crate::terminal;
use crate::view;

/// Make this device a sibling of one that shows a card
///
/// Reads the card from stdin (`-`) or a file, never from the command line: others on this machine could see it there.
/// Shows a check code that is to be typed on the other device, and ends when this one has joined.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kin join -                        then paste the card
  kin join - --name phone < card.txt
  kin join - --recent 30d           what is older follows in the background
  kin join - --relay file:///mnt/nas/kin    the shared folder is mounted elsewhere here")]
pub(crate) struct Join {
    /// `-` for stdin, or a file that holds the card
    #[arg(value_name = "-|FILE")]
    card: PathBuf,
    /// What you call this device [default: the host name]
    #[arg(long)]
    name: Option<String>,
    /// Where this device reaches the shared storage, if elsewhere than the other one; may be given several times
    #[arg(long, value_name = "URL")]
    relay: Vec<String>,
    /// Bodies of older messages may come after all the rest, in the background: 12h, 30d. They are fetched at once when they are looked at
    #[arg(long, value_parser = instant::span, value_name = "TIME")]
    recent: Option<Duration>,
    /// What protects the keys of this device
    #[arg(long, value_enum, default_value_t = KeyStoreChoice::Auto)]
    keystore: KeyStoreChoice,
}

impl Join {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let card = read_card(&self.card)?;
        let (client, _) = daemon::start(&context.paths).await?;
        let request = JoinRequest {
            card,
            device_name: self.name.unwrap_or_default(),
            key_store: KeyStore::from(self.keystore).into(),
            relay_urls: self.relay,
            recent_ms: self.recent.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        };
        let mut events = client.admin().join(request).await?.into_inner();
        while let Some(event) = events.next().await {
            let Some(event) = event?.event else { continue };
            let done = matches!(event, Event::Joined(_));
            show(context, &event)?;
            if done {
                if !context.output.json {
                    catching::follow(&client).await;
                }
                return Ok(());
            }
        }
        Err(Failure::StreamEnded { before: "this device had joined" })
    }
}

fn show(context: &Context, event: &Event) -> Result<(), Failure> {
    match event {
        Event::CardAccepted(accepted) => {
            let object = json!({
                "event": "card_accepted",
                "relays": accepted.relay_urls,
                "expires_at": instant::from_millis(accepted.expires_at_ms),
            });
            context.output.show("join", object, |_| "the card is good; waiting for the other device".into())
        }
        Event::CheckCode(check) => {
            let object = json!({ "event": "check_code", "check_code": check.code });
            context.output.show("join", object, |style| {
                format!("check code: {}\ntype it on the other device", style.strong(&check.code))
            })
        }
        Event::Joined(joined) => {
            let object = json!({
                "event": "joined",
                "device": joined.device.as_ref().map(view::device),
                "siblings": joined.siblings.iter().map(view::device).collect::<Vec<_>>(),
                "keys": joined.keys.as_ref().map(view::keys),
            });
            context.output.show("join", object, |style| {
                let name = joined.device.clone().unwrap_or_default().name;
                let siblings: Vec<&str> = joined.siblings.iter().map(|sibling| sibling.name.as_str()).collect();
                format!(
                    "{} {}: {}\nhistory follows by itself; `kin wait --for synced` waits for it",
                    style.strong(&name),
                    style.good("has joined"),
                    siblings.join(", ")
                )
            })
        }
    }
}

fn read_card(source: &Path) -> Result<String, Failure> {
    if source.to_string_lossy().starts_with("kinfolk:") {
        return Err(Failure::usage(
            "a card is a secret and does not belong on the command line",
            "pipe it: `kin join -`",
        ));
    }
    let mut text = String::new();
    if source == Path::new("-") {
        if terminal::is_interactive() {
            terminal::say("paste the card that the other device shows, then press Enter:");
            std::io::stdin().read_line(&mut text).map_err(Failure::io("read the card"))?;
        } else {
            std::io::stdin().take(MAX_CARD).read_to_string(&mut text).map_err(Failure::io("read the card"))?;
        }
    } else {
        let failed = || Failure::io(format!("read the card from {}", source.display()));
        let file = std::fs::File::open(source).map_err(failed())?;
        file.take(MAX_CARD).read_to_string(&mut text).map_err(failed())?;
    }
    find_card(&text).ok_or_else(|| {
        Failure::usage("there is no card in what was read; a card begins with `kinfolk:`", "`kin pair show` shows one")
    })
}

/// The card in a text: the bare card, or the first line of `kin pair show --json`.
fn find_card(text: &str) -> Option<String> {
    text.split(|character: char| character.is_whitespace() || character == '"')
        .find(|word| word.starts_with("kinfolk:"))
        .map(str::to_owned)
}

/// A card has a few hundred bytes; the relays' URLs take most of it.
const MAX_CARD: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_found_bare_and_in_json() {
        assert_eq!(find_card("\n kinfolk:AbC_- \n").as_deref(), Some("kinfolk:AbC_-"));
        assert_eq!(find_card(r#"{"schema":"x","card":"kinfolk:AbC"}"#).as_deref(), Some("kinfolk:AbC"));
        assert_eq!(find_card("nothing here"), None);
    }

    #[test]
    fn a_card_on_the_command_line_is_refused() {
        let failure = read_card(Path::new("kinfolk:AbC")).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
    }
}
