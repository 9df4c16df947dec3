//! `kin demo`: the whole of kinfolk in a few seconds, with nothing set up.
//!
//! Two daemons, each with a throwaway home, share a folder. They are set up, paired and used through the public API,
//! exactly as an app would. Everything is removed at the end, also after an error or Ctrl-C.

mod canary;
mod stage;
mod steps;

use std::time::Duration;

use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::stage::Stage;
use self::steps::Latency;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;

/// See two devices sync on this machine, then clean up
///
/// Starts two daemons with throwaway homes over a shared folder, pairs them, sends both ways, shows latency and the
/// proof of equality, looks for plaintext in the folder, and removes everything. Needs nothing installed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kin demo
  kin demo --keep")]
pub(crate) struct Demo {
    /// How many messages to send each way to measure latency
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    messages: u32,
    /// Keep the directory with both homes and the folder
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let interrupted = interrupted()?;
        let mut stage = Stage::new(self.keep)?;
        let outcome = tokio::select! {
            outcome = self.play(context.output, &mut stage) => outcome,
            _signal = interrupted => Err(Failure::Interrupted),
        };
        if matches!(outcome, Err(Failure::Demo { .. })) {
            context.output.note(&stage.last_words());
        }
        stage.clear().await?;
        outcome
    }

    async fn play(&self, output: Output, stage: &mut Stage) -> Result<(), Failure> {
        let story = Story { output, begin: Instant::now() };
        story.tell("Two devices of one person, on this machine, with a shared folder between them.")?;

        let (laptop, phone) = stage.start().await?;
        story.done("a daemon starts for each: \"laptop\" and \"phone\"")?;
        steps::init(&laptop, stage.folder()).await?;
        story.done("laptop becomes the first device; the folder is its relay")?;
        let code = steps::pair(&laptop, &phone).await?;
        story.done(&format!("laptop shows a card, phone answers it; the check code {code} is confirmed: paired"))?;

        let canary = canary::word();
        let mut from_laptop = steps::Lane::open(&laptop, &phone).await?;
        let mut from_phone = steps::Lane::open(&phone, &laptop).await?;
        let there = from_laptop.message(&format!("{canary} is what I would never tell a relay")).await?;
        story.done(&format!("laptop posts a message; phone shows it after {}", milliseconds(there)))?;
        let back = from_phone.message(&format!("{canary} arrived")).await?;
        story.done(&format!("phone answers; laptop shows it after {}", milliseconds(back)))?;
        let record = from_phone.record(&canary).await?;
        story.done(&format!("phone writes a record; laptop shows it after {}", milliseconds(record)))?;

        let up = from_laptop.measure(self.messages, &canary).await?;
        let down = from_phone.measure(self.messages, &canary).await?;
        story.done(&format!(
            "{} messages each way, one after the other: {}; {}",
            self.messages,
            words(up),
            words(down)
        ))?;

        stage.switch_off_phone().await?;
        let last = from_laptop.post(WHILE_OFF, &canary).await?;
        story.done(&format!("phone is switched off; laptop posts {WHILE_OFF} messages: they wait in the folder"))?;
        let folder = canary::search(stage.folder(), &canary)?;
        if let Some(place) = folder.found {
            return Err(Failure::Demo { step: "looking for plaintext", reason: format!("it is in {place}") });
        }
        if folder.bytes < SEALED_MESSAGE {
            return Err(Failure::Demo { step: "looking for plaintext", reason: "the folder is empty".into() });
        }
        story.done(&format!(
            "the folder now holds {} files, {} KiB; what was said is in none of them, nor in any name",
            folder.files,
            folder.bytes / 1024
        ))?;
        let phone = stage.switch_on_phone().await?;
        let back = steps::arrival(&phone, &canary, &last).await?;
        story.done(&format!("phone is switched on again and has all of it {} later", milliseconds(back)))?;

        let digest = steps::equal(&laptop, &phone).await?;
        let short = digest.get(..16).unwrap_or(&digest);
        story.done(&format!("both hold equal state, proven by one digest: {short}…"))?;

        let object = json!({
            "ok": true,
            "digest": digest,
            "laptop_to_phone": latency_json(up),
            "phone_to_laptop": latency_json(down),
            "relay": { "files": folder.files, "bytes": folder.bytes, "plaintext_found": false },
            "took_ms": millis(story.begin.elapsed()),
            "kept": self.keep.then(|| stage.directory()),
        });
        output.show("demo", object, |style| {
            let next = "Next: `kin init` on your first device.";
            let end = if self.keep {
                format!("Everything is kept in {}.", stage.directory().display())
            } else {
                "Everything is removed again.".into()
            };
            format!("{} {end} {next}", style.good("It works."))
        })
    }
}

/// Tells a person what happened, line by line.
struct Story {
    output: Output,
    begin: Instant,
}

impl Story {
    fn tell(&self, line: &str) -> Result<(), Failure> {
        if self.output.json { Ok(()) } else { self.output.text(line) }
    }

    fn done(&self, line: &str) -> Result<(), Failure> {
        let style = self.output.style();
        let elapsed = format!("{:5.1} s", self.begin.elapsed().as_secs_f64());
        self.tell(&format!("{} {line}", style.dim(&elapsed)))
    }
}

/// Completes with the first signal that asks this process to end.
fn interrupted() -> Result<oneshot::Receiver<i32>, Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Failure::io("listen for signals"))?;
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let signal = signals.forever().next();
        // The demo may be over by then.
        signal.map(|signal| sender.send(signal))
    });
    Ok(receiver)
}

/// Messages that pile up for a device that is off.
const WHILE_OFF: u32 = 20;
/// No sealed envelope is smaller, in bytes: padding sees to it.
const SEALED_MESSAGE: u64 = 1024;

fn words(latency: Latency) -> String {
    format!("median {}, slowest {}", milliseconds(latency.median), milliseconds(latency.slowest))
}

fn latency_json(latency: Latency) -> serde_json::Value {
    json!({
        "median_ms": latency.median.as_secs_f64() * 1e3,
        "p99_ms": latency.p99.as_secs_f64() * 1e3,
        "slowest_ms": latency.slowest.as_secs_f64() * 1e3,
    })
}

fn milliseconds(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1e3)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
