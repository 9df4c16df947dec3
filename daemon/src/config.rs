//! `config.toml`: what a person may set for this device, read once at start.
//!
//! ```toml
//! log = "info"              # what to log; `--log` and KINFOLK_LOG come before it
//!
//! [devices]
//! stale-after = "90d"       # a device that was silent for so long is not waited for
//!
//! [keys]
//! rekey-after = "7d"        # how long other devices seal to one prekey before the next is announced
//! ```
//!
//! Everything has a default, and there need be no file. A file with a name that is not known, or a value that cannot be, is refused as a
//! whole: a setting that is silently not followed is worse than a daemon that says what is wrong. What is changed while the device
//! works (relays, the sync mode, retention) is no setting of this file: `kin` changes it, and the store keeps it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::{Span, SpanRelativeTo, Unit};
use kinfolk_core::engine;
use kinfolk_core::ids::Millis;
use serde::Deserialize;
use tracing_subscriber::filter::Targets;

use crate::relay::RETENTION;

/// What a person has set, with the defaults where nothing was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Spans {
    /// A device that was silent for so long is not waited for.
    pub stale_after: Millis,
    /// How long a prekey is announced before the next one is made.
    pub rekey_after: Millis,
}

/// The settings of one start.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// What to log, as a `tracing` filter.
    pub log: Option<String>,
    /// The engine's.
    pub spans: Spans,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there and cannot be read.
    #[error("cannot read the settings in {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It says something that is not understood.
    #[error("the settings in {} cannot be used: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and why, in words.
        reason: String,
    },
}

impl Default for Spans {
    fn default() -> Self {
        let engine::Config { stale_after, rekey_after, .. } = engine::Config::default();
        Self { stale_after, rekey_after }
    }
}

impl Spans {
    /// Whether they fit together, and with how long relays keep mail.
    fn check(self) -> Result<(), String> {
        let kept = Millis(u64::try_from(RETENTION.as_millis()).unwrap_or(u64::MAX));
        let config = self.into_engine(0, [0; 16]);
        let least = config.retention.plus(config.slack).0 / 86_400_000;
        let refused = config.check(kept);
        refused.map_err(|error| format!("{error} (stale-after is at least {least}d, rekey-after more than nothing)"))
    }

    /// The engine's settings with these, for one start.
    pub fn into_engine(self, seed: u64, entropy: [u8; 16]) -> engine::Config {
        let Self { stale_after, rekey_after } = self;
        engine::Config { stale_after, rekey_after, seed, entropy, ..engine::Config::default() }
    }
}

impl Settings {
    /// Reads the settings in `path`. Without a file there are the defaults.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let invalid = |reason| ConfigError::Invalid { path: path.to_owned(), reason };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut text = String::new();
        file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_BYTES {
            return Err(invalid(format!("it has more than {MAX_BYTES} bytes")));
        }
        Self::parse(&text).map_err(invalid)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let Written { log, devices, keys } = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            format!("line {}: {}", before.matches('\n').count() + 1, error.message())
        })?;
        if let Some(filter) = &log {
            let filter: Result<Targets, _> = filter.parse();
            filter.map_err(|error| format!("log: {error}"))?;
        }
        let mut spans = Spans::default();
        if let Some(stale_after) = devices.stale_after {
            spans.stale_after = millis("devices.stale-after", &stale_after)?;
        }
        if let Some(rekey_after) = keys.rekey_after {
            spans.rekey_after = millis("keys.rekey-after", &rekey_after)?;
        }
        spans.check()?;
        Ok(Self { log, spans })
    }
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    log: Option<String>,
    devices: Devices,
    keys: Keys,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Devices {
    stale_after: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Keys {
    rekey_after: Option<String>,
}

/// The span that `text` names, such as `90d`, `12h` or `1h 30m`; days have 24 hours.
fn millis(name: &str, text: &str) -> Result<Millis, String> {
    let span: Option<Span> = text.parse().ok();
    let millis = span.and_then(|span| span.total((Unit::Millisecond, SpanRelativeTo::days_are_24_hours())).ok());
    match millis {
        // Within what a span can be, a float is exact to the millisecond.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the bounds were checked")]
        Some(millis) if (0.0..=LONGEST).contains(&millis) => Ok(Millis(millis as u64)),
        Some(_) | None => Err(format!("{name}: `{text}` is not a time span such as 90d, 12h or 30m")),
    }
}

/// The longest span that is understood: 1,000 years.
const LONGEST: f64 = 1_000.0 * 366.0 * 86_400_000.0;
/// How large the file may be: 64 KiB.
const MAX_BYTES: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    fn written(text: &str) -> Result<Settings, String> {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        Settings::load(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn without_a_file_everything_has_its_default() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(Settings::load(&home.path().join("config.toml")).unwrap(), Settings::default());
        assert_eq!(written("").unwrap(), Settings::default());
        assert_eq!(Spans::default(), Spans { stale_after: Millis(90 * DAY), rekey_after: Millis(7 * DAY) });
    }

    #[test]
    fn what_is_written_counts_and_the_rest_has_its_default() {
        let settings = written("log = 'kinfolk=debug'\n[devices]\nstale-after = '45d'").unwrap();
        assert_eq!(settings.log.as_deref(), Some("kinfolk=debug"));
        assert_eq!(settings.spans, Spans { stale_after: Millis(45 * DAY), ..Spans::default() });
        let settings = written("[keys]\nrekey-after = '1d 12h'").unwrap();
        assert_eq!(settings.spans.rekey_after, Millis(DAY + DAY / 2));
    }

    fn refused(text: &str) -> String {
        let said = written(text).unwrap_err();
        said.strip_prefix("the settings in FILE cannot be used: ").unwrap().to_owned()
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        assert_eq!(
            refused("# mine\nlag = 'info'"),
            "line 2: unknown field `lag`, expected one of `log`, `devices`, `keys`"
        );
        assert_eq!(refused("[devices]\nstale-after = 90"), "line 2: invalid type: integer `90`, expected a string");
        assert_eq!(
            refused("[devices]\nstale-after = 'soon'"),
            "devices.stale-after: `soon` is not a time span such as 90d, 12h or 30m"
        );
        assert_eq!(
            refused("[keys]\nrekey-after = '-7d'"),
            "keys.rekey-after: `-7d` is not a time span such as 90d, 12h or 30m"
        );
        assert_eq!(
            refused("log = 'kinfolk=loud'"),
            "log: error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5"
        );
    }

    #[test]
    fn spans_that_do_not_fit_together_are_refused() {
        assert!(refused("[devices]\nstale-after = '30d'").contains("stale-after is at least 31d"));
        assert!(refused("[keys]\nrekey-after = '0s'").contains("a prekey must be used for some time"));
        assert!(written("[devices]\nstale-after = '31d'\n[keys]\nrekey-after = '1ms'").is_ok());
    }

    #[test]
    fn a_file_that_is_too_large_or_no_text_is_refused() {
        let large = "#".repeat(usize::try_from(MAX_BYTES).unwrap() + 1);
        assert!(written(&large).unwrap_err().contains("more than 65536 bytes"));
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.toml");
        std::fs::write(&path, [0xFF, 0xFE]).unwrap();
        assert!(matches!(Settings::load(&path), Err(ConfigError::Unreadable { .. })));
        assert!(matches!(Settings::load(home.path()), Err(ConfigError::Unreadable { .. })));
    }
}
