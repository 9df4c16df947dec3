//! What a server or a connection said, sorted by what follows from it.
//!
//! A server that answers with an error has done nothing, since each script checks before it writes. A connection that broke or fell silent after
//! something was sent leaves it open: then a put is ambiguous, and everything else may simply be done again.

use std::io;

use redis::{ErrorKind, RedisError};

use crate::relay::error::{ConfigError, Reason, RelayError};

/// What a call may have done when its answer is missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    /// Nothing that matters: done again, it does the same.
    Repeatable,
    /// It may have left mail.
    Mail,
}

/// A call that got no answer.
pub(super) fn unanswered(place: &str, effect: Effect, reason: Reason) -> RelayError {
    let place = place.to_owned();
    match effect {
        Effect::Repeatable => RelayError::Transient { place, reason, after: None },
        Effect::Mail => RelayError::Ambiguous { place, reason },
    }
}

/// Sorts what the client library says.
pub(super) fn sort(place: &str, effect: Effect, error: &RedisError) -> RelayError {
    if error.code().is_some() {
        return refused(place, error);
    }
    if error.kind() == ErrorKind::AuthenticationFailed {
        return denied(place, Reason::WrongPassword);
    }
    if error.kind() == ErrorKind::RESP3NotSupported {
        return unsuited(place, TOO_OLD);
    }
    let words = error.to_string();
    let reason = if error.is_connection_dropped() {
        Reason::Disconnected
    } else {
        Reason::Io { doing: "talking with the server", source: io::Error::other(printable(&words)) }
    };
    unanswered(place, effect, reason)
}

/// Sorts what went wrong before anything was said.
pub(super) fn unconnected(place: &str, source: io::Error) -> RelayError {
    let tls = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::InvalidCertificate(_)) = tls {
        return RelayError::Config(ConfigError::Untrusted { place: place.to_owned() });
    }
    let reason = if source.kind() == io::ErrorKind::ConnectionRefused {
        Reason::Unreachable
    } else {
        Reason::Io { doing: "connecting", source: io::Error::other(printable(&source.to_string())) }
    };
    unanswered(place, Effect::Repeatable, reason)
}

/// Sorts an answer that is an error.
fn refused(place: &str, error: &RedisError) -> RelayError {
    let words = error.detail().unwrap_or_default();
    let reason = match error.code().unwrap_or_default() {
        "LOADING" => Reason::Loading,
        "BUSY" | "TRYAGAIN" => Reason::Busy,
        "OOM" => Reason::OutOfMemory,
        "READONLY" => Reason::Replica,
        "NOPERM" => return denied(place, Reason::NoRight),
        "NOAUTH" => return denied(place, Reason::NoPassword),
        "WRONGPASS" => return denied(place, Reason::WrongPassword),
        "MOVED" | "ASK" | "CROSSSLOT" => return unsuited(place, CLUSTER),
        "WRONGTYPE" => return unsuited(place, FOREIGN),
        // Inside a script, and while a connection is made, there is no code.
        _ if words.contains("executing the script can't") || words.contains("has no permissions") => {
            return denied(place, Reason::NoRight);
        }
        _ if words.contains("DB index is out of range") => return unsuited(place, NO_DATABASE),
        _ if words.contains("max number of clients") => Reason::Busy,
        _ if words.contains("unknown command") || words.contains("Unknown Redis command") => {
            return unsuited(place, TOO_OLD);
        }
        code => Reason::Said(printable(&format!("{code} {words}"))),
    };
    RelayError::Transient { place: place.to_owned(), reason, after: None }
}

/// Whether an answer says that the user may not do this one thing.
pub(super) fn is_denied(error: &RedisError) -> bool {
    matches!(refused("", error), RelayError::Denied { .. })
}

fn denied(place: &str, reason: Reason) -> RelayError {
    RelayError::Denied { place: place.to_owned(), reason }
}

pub(super) fn unsuited(place: &str, why: &'static str) -> RelayError {
    RelayError::Config(ConfigError::Unsuited { place: place.to_owned(), why })
}

/// A server's words, short and without what a terminal would obey.
fn printable(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect()
}

/// Characters of a server's own words that are shown.
const MAX_WORDS: usize = 160;
const TOO_OLD: &str = "kinfolk needs Redis 6.2 or later, with scripts";
const NO_DATABASE: &str = "it has no database of that number; name another one, as in redis://host/0";
const CLUSTER: &str = "it is part of a cluster, and kinfolk speaks with single servers";
/// Also for a marker that is none.
pub(super) const FOREIGN: &str =
    "another program keeps its data under the names that kinfolk uses; name another database, as in redis://host/1";

#[cfg(test)]
mod tests {
    use redis::make_extension_error;

    use super::*;

    fn said(code: &str, words: &str) -> RelayError {
        sort("redis://relay.example", Effect::Mail, &make_extension_error(code.into(), Some(words.into())))
    }

    #[test]
    fn what_passes_by_itself_is_transient() {
        for (code, words, shown) in [
            ("LOADING", "Redis is loading the dataset in memory", "loading"),
            ("BUSY", "Redis is busy running a script", "busy"),
            ("OOM", "command not allowed when used memory > 'maxmemory'.", "maxmemory"),
            ("MASTERDOWN", "Link with MASTER is down", "MASTERDOWN"),
            ("READONLY", "You can't write against a read only replica.", "replica"),
            ("MISCONF", "Redis is configured to save RDB snapshots", "MISCONF"),
            ("ERR", "max number of clients reached", "busy"),
        ] {
            let error = said(code, words);
            assert!(matches!(error, RelayError::Transient { .. }), "{code}: {error:?}");
            assert!(error.to_string().contains(shown), "{error}");
        }
    }

    #[test]
    fn what_only_a_person_can_mend_says_what_to_do() {
        for (code, words, shown) in [
            ("NOPERM", "this user has no permissions", "rights"),
            ("ERR", "The user executing the script can't run this command or subcommand", "rights"),
            ("NOAUTH", "Authentication required.", "password"),
            ("WRONGPASS", "invalid username-password pair", "password"),
        ] {
            let error = said(code, words);
            assert!(matches!(error, RelayError::Denied { .. }), "{code}: {error:?}");
            assert!(error.to_string().contains(shown), "{error}");
        }
        for (code, shown) in [("MOVED", "cluster"), ("WRONGTYPE", "database")] {
            let error = said(code, "3999 127.0.0.1:6381");
            assert!(matches!(error, RelayError::Config(_)), "{code}: {error:?}");
            assert!(error.to_string().contains(shown), "{error}");
        }
    }

    #[test]
    fn a_servers_words_cannot_move_the_cursor_or_fill_the_screen() {
        let words = said("ERR", &format!("\u{1b}[2J{}", "x".repeat(9999))).to_string();
        assert!(!words.contains('\u{1b}') && words.len() < 400, "{words}");
    }
}
