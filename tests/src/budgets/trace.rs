//! Where the time of one live event goes, hop by hop, out of the logs of both devices.
//!
//! The daemons stamp their lines with the same clock as this program, so an event's way is the first line of each [`Hop`] in turn after
//! its push, each after the one before it. Events are 50 ms apart: whatever else happens, receipts above all, falls outside most
//! of their windows, and medians forget the rest.

use std::path::Path;
use std::time::Duration;

use kinfolk::hops::{Hop, TARGET};

use super::BudgetError;
use super::floor::percentile;
use super::report::{Report, Unit};
use super::work::Window;

/// The way of an event: which device, and which place.
const WAY: [(Device, Hop); 16] = [
    (Device::Writer, Hop::Asked),
    (Device::Writer, Hop::Taken),
    (Device::Writer, Hop::Applied),
    (Device::Writer, Hop::Durable),
    (Device::Writer, Hop::Handed),
    (Device::Writer, Hop::Sealed),
    (Device::Writer, Hop::Put),
    (Device::Reader, Hop::Hinted),
    (Device::Reader, Hop::Fetched),
    (Device::Reader, Hop::Opened),
    (Device::Reader, Hop::Taken),
    (Device::Reader, Hop::Applied),
    (Device::Reader, Hop::Durable),
    (Device::Reader, Hop::Rung),
    (Device::Reader, Hop::Read),
    (Device::App, Hop::Read),
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Device {
    /// Where the event is pushed.
    Writer,
    /// Where it is watched for.
    Reader,
    /// This program, which sees it arrive.
    App,
}

/// Lines of one device, in order: microseconds of the day, and the place.
type Lines = Vec<(u64, String)>;

/// Reads what both devices logged and notes the median of each hop.
///
/// # Errors
/// When a log cannot be read or shows no whole way.
pub fn note(report: &mut Report, section: &str, windows: &[Window], a: &Path, b: &Path) -> Result<(), BudgetError> {
    let (writer, reader) = (lines(a)?, lines(b)?);
    let mut hops: [Vec<Duration>; WAY.len()] = Default::default();
    for window in windows {
        let Some(way) = way(*window, &writer, &reader) else { continue };
        let mut before = window.pushed_us;
        for ((times, at), (_, hop)) in hops.iter_mut().zip(way).zip(WAY) {
            times.push(Duration::from_micros(at.saturating_sub(before)));
            // The answer to a put and the sibling's way run side by side: both begin when the parcel leaves.
            before = if hop == Hop::Put { before } else { at };
        }
    }
    if hops.iter().any(Vec::is_empty) {
        return Err(BudgetError::Unexpected("no event left a whole trace".into()));
    }
    for ((device, hop), times) in WAY.iter().zip(&mut hops) {
        times.sort();
        let what = match device {
            Device::Writer if *hop == Hop::Put => format!("{section}: trace, beside it on A until {}", hop.name()),
            Device::Writer => format!("{section}: trace, on A until {}", hop.name()),
            Device::Reader => format!("{section}: trace, on B until {}", hop.name()),
            Device::App => format!("{section}: trace, until the app has it"),
        };
        report.note(&what, Unit::Millis, percentile(times, 0.5).as_secs_f64() * 1000.0);
    }
    Ok(())
}

/// When an event passed each place; `None` when a place is missing.
fn way(window: Window, writer: &Lines, reader: &Lines) -> Option<[u64; WAY.len()]> {
    let mut at = [0; WAY.len()];
    let (mut on_a, mut on_b) = (window.pushed_us, window.pushed_us);
    for (at, (device, hop)) in at.iter_mut().zip(WAY) {
        *at = match device {
            Device::Writer => {
                on_a = next(writer, hop, on_a, window.seen_us)?;
                // The reader's way begins when the parcel is on its way, not when the writer has heard that it arrived.
                on_b = if hop == Hop::Sealed { on_a } else { on_b };
                on_a
            }
            Device::Reader => {
                on_b = next(reader, hop, on_b, window.seen_us)?;
                on_b
            }
            Device::App => window.seen_us,
        };
    }
    Some(at)
}

fn next(lines: &Lines, hop: Hop, after: u64, until: u64) -> Option<u64> {
    let from = lines.partition_point(|(at, _)| *at < after);
    let rest = lines.get(from..)?.iter().take_while(|(at, _)| *at <= until);
    rest.filter(|(_, name)| name == hop.name()).map(|(at, _)| *at).next()
}

fn lines(log: &Path) -> Result<Lines, BudgetError> {
    let text = std::fs::read_to_string(log).map_err(BudgetError::io(format!("cannot read {}", log.display())))?;
    Ok(text.lines().filter_map(line).collect())
}

/// `2026-11-21T14:13:07.123456Z TRACE kinfolk::live: asked`
fn line(line: &str) -> Option<(u64, String)> {
    let (head, name) = line.split_once(&format!("{TARGET}: "))?;
    let (_, time) = head.split_once('T')?;
    let (time, _) = time.split_once('Z')?;
    let mut parts = time.split([':', '.']).map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds, micros) = (parts.next()??, parts.next()??, parts.next()??, parts.next()??);
    Some((((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros, name.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_its_microseconds_of_the_day_and_its_place() {
        let found = line("2026-11-21T14:13:07.123456Z TRACE kinfolk::live: asked");
        assert_eq!(found, Some((((14 * 60 + 13) * 60 + 7) * 1_000_000 + 123_456, "asked".into())));
        assert_eq!(line("2026-11-21T14:13:07.123456Z  WARN kinfolk::relay: a relay is out of reach"), None);
    }

    #[test]
    fn a_way_takes_each_hop_in_turn_and_is_none_when_one_is_missing() {
        let lines = |hops: &[(u64, Hop)]| hops.iter().map(|(at, hop)| (*at, hop.name().to_owned())).collect::<Lines>();
        // A round of another kind comes first on both.
        let writer = lines(&[
            (90, Hop::Taken),
            (101, Hop::Asked),
            (102, Hop::Taken),
            (103, Hop::Applied),
            (104, Hop::Durable),
            (105, Hop::Handed),
            (106, Hop::Sealed),
            (130, Hop::Put),
        ]);
        let reader = lines(&[
            (95, Hop::Taken),
            (108, Hop::Hinted),
            (109, Hop::Fetched),
            (110, Hop::Opened),
            (111, Hop::Taken),
            (112, Hop::Applied),
            (113, Hop::Durable),
            (114, Hop::Rung),
            (115, Hop::Read),
        ]);
        let window = Window { pushed_us: 100, seen_us: 140 };
        let found = way(window, &writer, &reader).unwrap();
        assert_eq!(found, [101, 102, 103, 104, 105, 106, 130, 108, 109, 110, 111, 112, 113, 114, 115, 140]);
        assert_eq!(way(Window { seen_us: 112, ..window }, &writer, &reader), None);
    }
}
