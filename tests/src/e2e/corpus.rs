//! Input like that of a real project's history: a conversation a month, names of 40 hex digits, bodies from one line to several KiB, dates
//! in many zones that now and then step back. Made from a seed, so every run has the same.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::device::parse;
use super::{Failed, expect};

/// `count` import lines, oldest first.
pub(super) fn history(count: u32, seed: u64) -> String {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut lines = String::new();
    // 2021-01-01 00:00 UTC.
    let mut at: i64 = 1_609_459_200;
    for _ in 0..count {
        at += rng.random_range(-7_200..36_000);
        let id: String = (0..40).map(|_| char::from(HEX[rng.random_range(0..16)])).collect();
        let line = json!({
            "op": "message",
            "conversation": month(at),
            "id": id,
            "sender": format!("author-{}", rng.random_range(1..40)),
            "at": written(at, ZONES[rng.random_range(0..ZONES.len())]),
            "body": body(&mut rng),
        });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    lines
}

/// Fails unless an export holds each message of `corpus` exactly once, word for word, and nothing else.
pub(super) fn exactly_once(corpus: &str, exported: &str) -> Result<(), Failed> {
    let mut missing: BTreeMap<String, Value> = BTreeMap::new();
    for line in corpus.lines() {
        let line = parse(line)?;
        let id = line["id"].as_str().unwrap_or_default().to_owned();
        expect(missing.insert(id.clone(), line).is_none(), || format!("{id} to be in the corpus once"))?;
    }
    for line in exported.lines() {
        let line = parse(line)?;
        let id = line["id"].as_str().unwrap_or_default();
        let wanted = missing.remove(id);
        expect(wanted.is_some(), || format!("{id} once, and only what was imported: {line}"))?;
        expect(wanted.as_ref() == Some(&line), || format!("{id} as it was imported: {wanted:?}, got {line}"))?;
    }
    let count = missing.len();
    expect(missing.is_empty(), || format!("every message, {count} are missing: {:?}", missing.keys().next()))
}

const HEX: &[u8; 16] = b"0123456789abcdef";
/// Minutes east of UTC.
const ZONES: &[i64] = &[-480, -420, -300, 0, 60, 120, 330, 540];
const WORDS: &[&str] = &[
    "tests",
    "revset",
    "commit",
    "working",
    "copy",
    "store",
    "fix",
    "add",
    "remove",
    "naïve",
    "merge",
    "conflict",
    "日本語",
    "template",
    "cli",
    "docs",
    "🦀",
    "bookmark",
    "index",
    "operation",
];

fn body(rng: &mut StdRng) -> String {
    let words = |rng: &mut StdRng, count: usize| {
        (0..count).map(|_| WORDS[rng.random_range(0..WORDS.len())]).collect::<Vec<_>>().join(" ")
    };
    let length = rng.random_range(3..9);
    let mut body = words(rng, length);
    // One in four has an explanation, one in fifty a long one.
    let paragraphs = match rng.random_range(0..100) {
        0..2 => 40,
        2..27 => rng.random_range(1..5),
        _ => 0,
    };
    for _ in 0..paragraphs {
        body.push_str("\n\n");
        body.push_str(&words(rng, 16));
    }
    body
}

fn month(at: i64) -> String {
    let (year, month, _) = date(at.div_euclid(86_400));
    format!("{year:04}-{month:02}")
}

/// RFC 3339 in a zone.
fn written(at: i64, zone: i64) -> String {
    let local = at + zone * 60;
    let (year, month, day) = date(local.div_euclid(86_400));
    let second = local.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let sign = if zone < 0 { '-' } else { '+' };
    let (east, minutes) = (zone.abs() / 60, zone.abs() % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{east:02}:{minutes:02}")
}

/// The civil date of a day counted from 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn date(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil_dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(18_628), (2021, 1, 1));
        assert_eq!(date(19_782), (2024, 2, 29));
        assert_eq!(written(1_609_459_200, -480), "2020-12-31T16:00:00-08:00");
        assert_eq!(written(1_609_459_200, 330), "2021-01-01T05:30:00+05:30");
    }

    #[test]
    fn a_lost_a_doubled_and_a_changed_message_are_noticed() {
        let lines = history(3, 1);
        let [first, second, third] = lines.lines().collect::<Vec<_>>()[..] else { panic!("three lines") };
        exactly_once(&lines, &format!("{third}\n{first}\n{second}\n")).unwrap();
        for wrong in [
            format!("{first}\n{second}"),
            format!("{first}\n{second}\n{third}\n{first}"),
            lines.replacen("author-", "another-", 1),
        ] {
            exactly_once(&lines, &wrong).unwrap_err();
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_history_and_it_is_like_a_real_one() {
        let lines = history(300, 1);
        assert_eq!(lines, history(300, 1));
        assert_ne!(lines, history(300, 2));
        assert!(lines.lines().any(|line| line.len() > 3_000));
        assert!(lines.lines().any(|line| line.contains(r"\n\n")));
    }
}
