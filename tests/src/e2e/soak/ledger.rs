//! What was accepted, and what an export must therefore show.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::e2e::device::parse;
use crate::e2e::{Failed, expect};

/// What all writers together were told is done.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Id → text of all messages.
    messages: BTreeMap<String, String>,
    /// Messages that were deleted.
    deleted: BTreeSet<String>,
    /// Messages that somebody tried to delete and was not told whether it is done.
    doubtful: BTreeSet<String>,
    /// Key → last title, of records that one device alone writes; `None` for one that was deleted.
    own: BTreeMap<String, Option<String>>,
    /// Key → all titles ever, of records that all write.
    shared: BTreeMap<String, BTreeSet<String>>,
    commands: u64,
    repeated: u64,
}

impl Ledger {
    pub(super) fn posted(&mut self, id: &str, text: &str) {
        self.messages.insert(id.into(), text.into());
    }

    pub(super) fn deleted(&mut self, id: &str, told: bool) {
        if told { &mut self.deleted } else { &mut self.doubtful }.insert(id.into());
    }

    pub(super) fn put_own(&mut self, key: &str, title: Option<&str>) {
        self.own.insert(key.into(), title.map(str::to_owned));
    }

    /// Noted before it is tried: a title that is shown must be one of those.
    pub(super) fn puts_shared(&mut self, key: &str, title: &str) {
        self.shared.entry(key.into()).or_default().insert(title.into());
    }

    pub(super) fn command(&mut self, tries: u64) {
        self.commands += 1;
        self.repeated += tries - 1;
    }

    /// The id of a message that was posted, by anyone: the one at or after `from`.
    pub(super) fn some_message(&self, from: &str) -> Option<String> {
        let after = self.messages.range(from.to_owned()..).next();
        after.or_else(|| self.messages.first_key_value()).map(|(id, _)| id.clone())
    }

    /// Fails unless an export shows what was accepted, each once, word for word, and nothing else. Gives the number of its lines.
    pub(super) fn balance(&self, exported: &str) -> Result<Held, Failed> {
        let (mut messages, mut own, mut shared) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for line in exported.lines() {
            let line = parse(line)?;
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            let title = || line["fields"]["title"].as_str().unwrap_or_default().to_owned();
            let before = match (line["op"].as_str(), line["collection"].as_str()) {
                (Some("message"), _) => messages.insert(text("id"), text("body")),
                (_, Some("own")) => own.insert(text("key"), title()),
                (_, Some("shared")) => shared.insert(text("key"), title()),
                (_, _) => Some(String::new()),
            };
            expect(before.is_none(), || format!("each thing once and nothing else: {line}"))?;
        }
        for (id, text) in &self.messages {
            match messages.remove(id) {
                Some(got) => {
                    expect(got == *text, || format!("{id} word for word: {got:?}"))?;
                    expect(!self.deleted.contains(id), || format!("{id} to stay deleted"))?;
                }
                None => {
                    let gone = self.deleted.contains(id) || self.doubtful.contains(id);
                    expect(gone, || format!("{id}, which was accepted"))?;
                }
            }
        }
        expect(messages.is_empty(), || format!("no message that nobody posted: {:?}", messages.first_key_value()))?;
        for (key, title) in &self.own {
            let got = own.remove(key);
            expect(got == *title, || format!("the last title of {key}, {title:?}: {got:?}"))?;
        }
        expect(own.is_empty(), || format!("no record that nobody wrote: {:?}", own.first_key_value()))?;
        for (key, titles) in &self.shared {
            let got = shared.remove(key);
            let known = got.as_ref().is_some_and(|got| titles.contains(got));
            expect(known, || format!("one of the titles of {key}: {got:?}"))?;
        }
        expect(shared.is_empty(), || format!("no record that nobody wrote: {:?}", shared.first_key_value()))?;
        Ok(Held(exported.lines().count()))
    }
}

/// Messages and records in an export.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held(usize);

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages and records", self.0)
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} commands, {} repetitions, {} messages posted and {} deleted, {} records of one writer and {} of all",
            self.commands,
            self.repeated,
            self.messages.len(),
            self.deleted.len(),
            self.own.len(),
            self.shared.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, body: &str) -> String {
        format!("{{\"op\":\"message\",\"id\":\"{id}\",\"body\":\"{body}\"}}\n")
    }

    #[test]
    fn what_is_lost_doubled_changed_or_back_is_noticed() {
        let mut ledger = Ledger::default();
        ledger.posted("m", "text");
        ledger.posted("gone", "text");
        ledger.deleted("gone", true);
        ledger.posted("perhaps", "text");
        ledger.deleted("perhaps", false);
        let right = message("m", "text");
        ledger.balance(&right).unwrap();
        ledger.balance(&(right.clone() + &message("perhaps", "text"))).unwrap();
        let wrong = [
            String::new(),
            message("m", "other"),
            right.clone() + &right,
            right.clone() + &message("gone", "text"),
            right + &message("foreign", "text"),
        ];
        for wrong in wrong {
            ledger.balance(&wrong).unwrap_err();
        }
    }

    #[test]
    fn a_record_of_one_writer_shows_the_last_title_and_one_of_all_any() {
        let record = |collection: &str, title: &str| {
            format!(
                "{{\"op\":\"put\",\"collection\":\"{collection}\",\"key\":\"k\",\"fields\":{{\"title\":\"{title}\"}}}}\n"
            )
        };
        let mut ledger = Ledger::default();
        for title in ["first", "second"] {
            ledger.put_own("k", Some(title));
            ledger.puts_shared("k", title);
        }
        ledger.balance(&(record("own", "second") + &record("shared", "first"))).unwrap();
        ledger.balance(&(record("own", "first") + &record("shared", "first"))).unwrap_err();
        ledger.balance(&(record("own", "second") + &record("shared", "third"))).unwrap_err();
        ledger.balance(&record("own", "second")).unwrap_err();
    }
}
