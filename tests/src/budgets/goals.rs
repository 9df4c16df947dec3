//! What the figures should be, each beside its floor.
//!
//! Absolute goals hold on a quiet machine. What waits for the disk is granted the disk of the same round on top.

use super::report::{Bound, Report};
use super::round::{Plan, Way};

/// States the goals that belong to what was measured.
pub fn state(report: &mut Report, plan: &Plan) {
    let events = plan.events;
    let scale = f64::from(u32::try_from(events).unwrap_or(u32::MAX)) / 10_000.0;
    let sync_p50 = report.median(SYNC_P50).unwrap_or_default();
    let sync_p99 = report.median(SYNC_P99).unwrap_or_default();
    for way in &plan.ways {
        let name = way.name();
        let mut at_most = |what: String, goal: f64, floor: Option<&str>| report.goal(&what, Bound::AtMost, goal, floor);
        at_most(format!("{name}: {events} single records, converged"), 600.0 * scale, Some(ROWS));
        at_most(format!("{name}: {events} single messages, converged"), 1_000.0 * scale, Some(ROWS));
        // A folder is a disk as well: its file and its directory are synced on the way.
        let syncs = match way {
            Way::Redis => 2.0,
            Way::Folder => 4.0,
        };
        at_most(format!("{name}: live event seen, p50"), 1.5 + syncs * sync_p50, Some(SYNC_P50));
        at_most(format!("{name}: live event seen, p99"), 4.0 + syncs * sync_p99, Some(SYNC_P99));
        at_most(format!("{name}: a new device holds {events} events"), 400.0 * scale, Some(ROWS));
        at_most(format!("{name}: wire, {events} events, up"), 1.7 * scale, None);
        at_most(format!("{name}: wire, one live event, up and down"), 4_800.0, None);
        at_most(format!("{name}: idle, resident memory"), 14.0, None);
        at_most(format!("{name}: idle, processor time"), 0.5, None);
        // A timer may go off once a second; it takes the thread it is for, and perhaps one more.
        at_most(format!("{name}: idle, wake-ups"), 2.0, None);
        at_most(format!("{name}: idle, bytes each daemon moves"), 50.0, None);
    }
    report.goal("durable single pushes, of what SQLite alone writes", Bound::AtLeast, 50.0, Some(ROWS));
    report.goal("kinfolkd: size of the program", Bound::AtMost, 15.0, None);
}

const SYNC_P50: &str = "floor: fdatasync of 4 KiB, p50";
const SYNC_P99: &str = "floor: fdatasync of 4 KiB, p99";
const ROWS: &str = "floor: SQLite FULL, rows in transactions of 1,000";
