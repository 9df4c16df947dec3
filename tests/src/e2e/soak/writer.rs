//! A person at a device, who writes at random and does not give up: what was not accepted because the daemon is away is tried again until it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::ledger::Ledger;
use super::nap;
use crate::e2e::Failed;
use crate::e2e::device::{Device, Done};

/// What a person waits between two commands, at most, in milliseconds.
const LONGEST_PAUSE: u64 = 600;
/// What a person waits before they try again, in milliseconds.
const AGAIN: u64 = 60;
/// How often they try: 10 min in all. Generous: it only turns a hang into a failure.
const TRIES: u64 = 10_000;
/// Lines of the longest import.
const IMPORT: u32 = 60;
/// Records that all write, and records of each writer.
const RECORDS: u32 = 20;
/// Exit codes of a command that lost its daemon: it was not there, or went away.
const DAEMON_GONE: i32 = 3;
const NOT_FOUND: i32 = 8;

/// A person.
#[derive(Debug)]
pub(super) struct Writer {
    device: Device,
    dice: StdRng,
    ledger: Arc<Mutex<Ledger>>,
    written: u32,
}

impl Writer {
    pub(super) fn new(device: Device, seed: u64, ledger: Arc<Mutex<Ledger>>) -> Self {
        Self { device, dice: StdRng::seed_from_u64(seed), ledger, written: 0 }
    }

    /// One command, and a pause.
    pub(super) fn act(&mut self) -> Result<(), Failed> {
        match self.dice.random_range(0..100) {
            0..40 => self.post()?,
            40..60 => self.put_own()?,
            60..80 => self.put_shared()?,
            80..88 => self.delete()?,
            88..94 => self.read()?,
            _ => self.import()?,
        }
        nap(self.dice.random_range(0..LONGEST_PAUSE));
        Ok(())
    }

    fn post(&mut self) -> Result<(), Failed> {
        let (id, text) = (self.fresh("m"), self.text());
        self.insist(&["msg", "post", "family", &text, "--id", &id], "", &[])?;
        self.ledger().posted(&id, &text);
        Ok(())
    }

    fn import(&mut self) -> Result<(), Failed> {
        let count = self.dice.random_range(1..=IMPORT);
        let lines: Vec<(String, String)> = (0..count).map(|_| (self.fresh("i"), self.text())).collect();
        let line = |(id, body): &(String, String)| {
            json!({ "op": "message", "conversation": "imported", "id": id, "body": body }).to_string()
        };
        let input: Vec<String> = lines.iter().map(line).collect();
        self.insist(&["import", "-"], &input.join("\n"), &[])?;
        let mut ledger = self.ledger();
        lines.iter().for_each(|(id, text)| ledger.posted(id, text));
        Ok(())
    }

    fn put_own(&mut self) -> Result<(), Failed> {
        let key = format!("{}-{}", self.device.name, self.dice.random_range(0..RECORDS));
        if self.dice.random_range(0..6) == 0 {
            // Of one that is not there nothing is left either.
            self.insist(&["rm", "own", &key], "", &[NOT_FOUND])?;
            self.ledger().put_own(&key, None);
            return Ok(());
        }
        let title = self.fresh("own");
        self.insist(&["put", "own", &key, &format!("title={title}")], "", &[])?;
        self.ledger().put_own(&key, Some(&title));
        Ok(())
    }

    fn put_shared(&mut self) -> Result<(), Failed> {
        let (key, title) = (self.dice.random_range(0..RECORDS).to_string(), self.fresh("shared"));
        self.ledger().puts_shared(&key, &title);
        self.insist(&["put", "shared", &key, &format!("title={title}")], "", &[]).map(drop)
    }

    fn delete(&mut self) -> Result<(), Failed> {
        let Some(id) = self.somebodys() else { return Ok(()) };
        let (code, tries) = self.insist(&["msg", "rm", &id, "--yes"], "", &[NOT_FOUND])?;
        // Not found at once: it has not come here yet. Later: a try before may have done it.
        if code == 0 || tries > 1 {
            self.ledger().deleted(&id, code == 0);
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), Failed> {
        let Some(id) = self.somebodys() else { return Ok(()) };
        self.insist(&["msg", "status", &id, "delivered"], "", &[NOT_FOUND]).map(drop)
    }

    /// Runs a command until it is accepted or ends with one of these codes; gives the code and how often it was tried.
    fn insist(&mut self, args: &[&str], input: &str, codes: &[i32]) -> Result<(i32, u64), Failed> {
        let mut last = Done { code: -1, stdout: String::new(), stderr: String::new() };
        for tries in 1..=TRIES {
            last = self.device.feed(args, input)?;
            if last.code == 0 || codes.contains(&last.code) {
                self.ledger().command(tries);
                return Ok((last.code, tries));
            }
            if last.code != DAEMON_GONE {
                break;
            }
            nap(AGAIN);
        }
        let (command, Done { code, stdout, stderr }) =
            (format!("kin {} on {}", args.join(" "), self.device.name), last);
        Err(Failed::Command { command, wanted: 0, code, stdout, stderr })
    }

    /// The id of a message that some device has posted.
    fn somebodys(&mut self) -> Option<String> {
        let names = super::NAMES;
        let name = names[self.dice.random_range(0..names.len())];
        let from = format!("m-{name}-{:06}", self.dice.random_range(0..=self.written));
        self.ledger().some_message(&from)
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.written += 1;
        format!("{kind}-{}-{:06}", self.device.name, self.written)
    }

    fn text(&mut self) -> String {
        // One in ten is long enough to fill pages and parcels.
        let words = if self.dice.random_range(0..10) == 0 { 400 } else { 6 };
        format!("{} of {}", "word ".repeat(words), self.device.name)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
