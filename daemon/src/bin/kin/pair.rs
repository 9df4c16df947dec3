//! `kin pair`: inviting another device.
//!
//! `show` streams what becomes of the card. On a terminal it also asks for the check code; elsewhere `kin pair confirm`
//! is called beside it.

use ipc_proto::Client;
use ipc_proto::v1::{Device, PairConfirmRequest, PairConfirmResponse, PairShowRequest, pair_event::Event};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::json;
use tokio_stream::StreamExt;

use crate::context::Context;
use crate::failure::Failure;
use crate::{instant, terminal, view};

/// Invite another device
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Pair {
    /// Show a card for the new device, and wait until it is paired
    ///
    /// The card holds a secret: only the new device may see it. It is void after ten minutes, after it was used, and
    /// when this command ends.
    #[command(after_help = "Examples:
  kin pair show
  kin pair show --json | tee events.ndjson")]
    Show {},
    /// Type the check code that the new device shows
    #[command(after_help = "Example:\n  kin pair confirm 123456")]
    Confirm {
        /// The six digits that the new device shows
        code: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

impl Pair {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client().await?;
        match self {
            Self::Show {} => show(context, &client).await,
            Self::Confirm { code, yes } => {
                if !terminal::confirm("Does your own new device show this code?", yes).await? {
                    return Err(Failure::usage("nothing was confirmed", "compare the codes and try again"));
                }
                let device = confirm(&client, code).await?;
                let object = json!({ "device": view::device(&device) });
                context.output.show("pair.confirm", object, |style| {
                    format!("{} {}", style.strong(&device.name), style.good("is paired"))
                })
            }
        }
    }
}

/// Gives the code to the daemon.
pub(crate) async fn confirm(client: &Client, code: String) -> Result<Device, Failure> {
    let code = code.chars().filter(|character| !character.is_whitespace() && *character != '-').collect();
    let PairConfirmResponse { device } = client.admin().pair_confirm(PairConfirmRequest { code }).await?.into_inner();
    Ok(device.unwrap_or_default())
}

async fn show(context: &Context, client: &Client) -> Result<(), Failure> {
    let ask = !context.output.json && terminal::is_interactive();
    let mut events = client.admin().pair_show(PairShowRequest {}).await?.into_inner();
    let mut asking = None;
    loop {
        let event = match asking.as_mut() {
            None => events.next().await,
            Some(answer) => tokio::select! {
                event = events.next() => event,
                answer = answer => {
                    asking = None;
                    confirm_answer(context, client, answer).await;
                    continue;
                }
            },
        };
        let Some(event) = event else {
            return Err(Failure::StreamEnded { before: "the other device was paired" });
        };
        let Some(event) = event?.event else { continue };
        if let Event::Failed(detail) = event {
            return Err(detail.into());
        }
        print(context, &event, ask)?;
        match event {
            Event::Paired(_) => return Ok(()),
            Event::CodeNeeded(_) if ask => asking = Some(Box::pin(terminal::ask("check code that it shows:"))),
            Event::CodeNeeded(_) | Event::Card(_) | Event::Waiting(_) | Event::Answered(_) | Event::Failed(_) => {}
        }
    }
}

/// Confirms what was typed. What is wrong with it is said; the stream tells whether there is another try.
async fn confirm_answer(context: &Context, client: &Client, answer: Result<Option<String>, Failure>) {
    match answer {
        Ok(Some(code)) => {
            if let Err(failure) = confirm(client, code).await {
                context.output.note(&failure.to_string());
            }
        }
        Ok(None) => context.output.note("no code was typed; `kin pair confirm CODE` does it from elsewhere"),
        Err(failure) => context.output.note(&failure.to_string()),
    }
}

fn print(context: &Context, event: &Event, asks: bool) -> Result<(), Failure> {
    let object = match event {
        Event::Card(card) => {
            json!({ "event": "card", "card": card.uri, "expires_at": instant::from_millis(card.expires_at_ms) })
        }
        Event::Waiting(waiting) => json!({ "event": "waiting", "relays": waiting.relay_urls }),
        Event::Answered(answered) => json!({ "event": "answered", "device_name": answered.device_name }),
        Event::CodeNeeded(code) => json!({ "event": "code_needed", "tries_left": code.tries_left }),
        Event::Paired(done) => json!({ "event": "paired", "device": done.device.as_ref().map(view::device) }),
        Event::Failed(detail) => json!({ "event": "failed", "code": detail.code, "message": detail.message }),
    };
    context.output.show("pair.show", object, |style| match event {
        Event::Card(card) => format!(
            "{}\n{}\n\nOn the new device: `kin join -`, then paste this line or scan the code.\nIt is a secret between \
             the two devices, good for one use until {}.",
            qr(&card.uri),
            style.strong(&card.uri),
            instant::from_millis(card.expires_at_ms)
        ),
        Event::Waiting(_) => style.dim("waiting for the new device …"),
        Event::Answered(answered) => {
            format!(
                "a device that calls itself {} answered",
                style.strong(&crate::output::printable(&answered.device_name))
            )
        }
        Event::CodeNeeded(code) if asks => style.dim(&format!("({} tries)", code.tries_left)),
        Event::CodeNeeded(_) => "it shows a check code: `kin pair confirm CODE`".into(),
        Event::Paired(done) => {
            let name = done.device.clone().unwrap_or_default().name;
            format!("{} {}", style.strong(&name), style.good("is paired"))
        }
        Event::Failed(detail) => detail.message.clone(),
    })
}

/// A QR code for dark and light terminals alike; empty when the card is too long for one.
fn qr(card: &str) -> String {
    match QrCode::with_error_correction_level(card, qrcode::EcLevel::L) {
        // Blocks are drawn where the code is light, so that it is right on the usual dark ground.
        Ok(code) => code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_fits_into_a_code_and_an_endless_one_into_none() {
        assert!(qr(&format!("kinfolk:{}", "x".repeat(300))).lines().count() > 20);
        assert_eq!(qr(&"x".repeat(10_000)), "");
    }
}
