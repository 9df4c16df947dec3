//! Frozen vectors: files under `tests/golden/seal/`, one JSON object of hex strings each.
//!
//! A format that siblings have already written must stay readable for ever, so a difference is a broken format, not an
//! old file. `KINFOLK_BLESS=1` writes the files anew; that belongs in a commit that says why the format may change.

use kinfolk_core::ids::Hash;
use rand::{TryCryptoRng, TryRng};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;

/// The environment variable that rewrites the frozen files.
const BLESS: &str = "KINFOLK_BLESS";

/// One file of frozen values.
pub(super) struct Golden {
    path: PathBuf,
    frozen: BTreeMap<String, String>,
    seen: BTreeMap<String, String>,
    bless: bool,
}

impl Golden {
    /// Reads `tests/golden/seal/<name>.json`.
    pub(super) fn open(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/seal").join(format!("{name}.json"));
        let bless = std::env::var_os(BLESS).is_some_and(|value| value == "1");
        let frozen =
            if bless { BTreeMap::new() } else { serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap() };
        Self { path, frozen, seen: BTreeMap::new(), bless }
    }

    /// Says that `name` is `bytes`, and compares.
    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8]) {
        self.text(name, &to_hex(bytes));
    }

    /// Says that `name` is `text`, and compares.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        if !self.bless {
            assert_eq!(self.frozen.get(name).map(String::as_str), Some(text), "{name} in {}", self.path.display());
        }
        self.seen.insert(name.to_owned(), text.to_owned());
    }

    /// The frozen bytes of `name`, or `made` when the file is being written: for bytes that must stay readable, though
    /// today's code may write others.
    pub(super) fn frozen_or(&mut self, name: &str, made: &[u8]) -> Vec<u8> {
        let bytes = match self.frozen.get(name) {
            Some(hex) => from_hex(hex),
            None if self.bless => made.to_vec(),
            None => panic!("{name} is missing in {}", self.path.display()),
        };
        self.seen.insert(name.to_owned(), to_hex(&bytes));
        bytes
    }

    /// Says that nothing else is frozen; writes the file when asked to.
    pub(super) fn finish(self) {
        if self.bless {
            let mut json = serde_json::to_string_pretty(&self.seen).unwrap();
            json.push('\n');
            std::fs::create_dir_all(self.path.parent().unwrap()).unwrap();
            std::fs::write(&self.path, json).unwrap();
        } else {
            assert!(self.frozen.keys().eq(self.seen.keys()), "names in {}", self.path.display());
        }
    }
}

/// Random bytes that are the same on every run and with every version of `rand`: SHA-256 in counter mode.
pub(super) struct SeededRng {
    seed: String,
    counter: u64,
    rest: Vec<u8>,
}

impl SeededRng {
    /// A stream named by `seed`.
    pub(super) fn new(seed: &str) -> Self {
        Self { seed: seed.to_owned(), counter: 0, rest: Vec::new() }
    }
}

impl TryRng for SeededRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            if self.rest.is_empty() {
                self.rest = Hash::of_parts(&[self.seed.as_bytes(), &self.counter.to_be_bytes()]).0.to_vec();
                self.counter += 1;
            }
            *byte = self.rest.remove(0);
        }
        Ok(())
    }
}

impl TryCryptoRng for SeededRng {}

/// Lowercase hex.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads hex; anything else fails the test.
pub(super) fn from_hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "odd hex");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
