//! Points: which call fails, and how. And the daemon under `strace`, where it happens.
//!
//! `strace` counts the calls of each thread on each of the watched files together, by the name of the call. The `-D` of its command line makes
//! the daemon itself our child, and `strace` somebody beside it: signals and exit codes are the daemon's own.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread::sleep;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rustix::process::Signal;

use super::device::Device;
use super::{Failed, expect};

/// By which calls a file or a directory changes, on any architecture.
const CALLS: &str =
    "write,pwrite64,fsync,fdatasync,ftruncate,?rename,renameat,renameat2,?unlink,unlinkat,?mkdir,mkdirat";
/// What a device keeps, under its home.
const FILES: &[&str] = &[
    "config",
    "config/device.key",
    "config/device.key.new",
    "config/state.token",
    "config/state.token.new",
    "state",
    "state/store",
    "state/store/store.key",
    "state/store/kinfolk.db",
    "state/store/kinfolk.db-wal",
    "state/store.new",
    "state/store.new/store.key",
    "state/store.new/store.key.new",
    "state/store.new/kinfolk.db",
    "state/store.new/kinfolk.db-wal",
    "state/store.new/kinfolk.db.new",
    "state/store.new/kinfolk.db.new-wal",
];

/// What happens in place of a call.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Fault {
    /// The process ends.
    Cut,
    /// The disk fails this once.
    Broken,
    /// The disk is full, from here on.
    Full,
    /// The disk can only be read, from here on.
    ReadOnly,
}

/// Those of a point; a disk that can only be read differs from a full one by its name alone.
const FAULTS: &[Fault] = &[Fault::Cut, Fault::Broken, Fault::Full];

/// A place where a run may fail.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Point {
    pub(super) fault: Fault,
    call: String,
    /// Counted from 1, in each thread.
    nth: usize,
}

impl Point {
    /// From the so many-th write to the database on.
    pub(super) fn of_writes(fault: Fault, nth: usize) -> Self {
        Self { fault, call: "pwrite64".into(), nth }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} {}", self.fault, self.call, self.nth)
    }
}

/// How often each call was made by the thread that made it most.
pub(super) type Calls = BTreeMap<String, usize>;

/// Up to `count` points of a run with these calls. Every fault at every call has its turn before one has another; which of a call's many comes
/// first is drawn.
pub(super) fn points(calls: &Calls, count: usize, dice: &mut StdRng) -> Vec<Point> {
    let mut kinds: Vec<Vec<Point>> = Vec::new();
    for (call, times) in calls {
        for fault in FAULTS {
            let of_kind = (1..=*times).map(|nth| Point { fault: *fault, call: call.clone(), nth });
            let mut of_kind: Vec<Point> = of_kind.collect();
            of_kind.shuffle(dice);
            kinds.push(of_kind);
        }
    }
    kinds.shuffle(dice);
    let mut chosen = Vec::new();
    while chosen.len() < count && kinds.iter().any(|kind| !kind.is_empty()) {
        chosen.extend(kinds.iter_mut().filter_map(Vec::pop));
    }
    chosen.truncate(count);
    chosen
}

/// A daemon of a device, watched.
#[derive(Debug)]
pub(super) struct Watched {
    trace: PathBuf,
    pid: String,
    end: Option<ExitStatus>,
}

impl Watched {
    /// Starts the device's daemon, with a failure at `point`; waits until it answers or has ended.
    pub(super) fn start(device: &mut Device, trace: &Path, point: Option<&Point>) -> Result<Self, Failed> {
        let installed = Command::new("strace").arg("-V").output();
        installed.map_err(Failed::io("starting strace (Debian: apt-get install strace, or run contrib/dev/test)"))?;
        drop(fs::remove_file(trace));
        let mut command = Command::new("strace");
        command.args(["-D", "-f", "-q", "-s", "0", "-e", "signal=none", "-e", &format!("trace={CALLS}"), "-o"]);
        command.arg(trace);
        for file in FILES {
            command.arg("-P").arg(device.home.join(file));
        }
        if let Some(Point { fault, call, nth }) = point {
            let what = match fault {
                Fault::Cut => format!("signal=KILL:when={nth}"),
                Fault::Broken => format!("error=EIO:when={nth}"),
                Fault::Full => format!("error=ENOSPC:when={nth}+"),
                Fault::ReadOnly => format!("error=EROFS:when={nth}+"),
            };
            command.args(["-e", &format!("inject={call}:{what}")]);
        }
        // Without that, strace could not read which files a call is about unless root runs it.
        command.arg(&device.programs().kinfolkd).arg("--debuggable");
        device.start_by(command)?;
        let pid = device.pid().ok_or_else(|| Failed::Expected("a daemon to watch".into()))?;
        Ok(Self { trace: trace.to_owned(), pid: pid.to_string(), end: None })
    }

    /// Waits for the daemon's end; one that lives is asked to end, as a person would.
    pub(super) fn end(&mut self, device: &mut Device) -> Result<(), Failed> {
        self.end = Some(if device.is_alive()? { device.stop()? } else { device.ended()? });
        Ok(())
    }

    /// The calls it made until its end.
    pub(super) fn calls(&self) -> Result<Calls, Failed> {
        let calls = counted(&self.whole_trace()?);
        expect(!calls.is_empty(), || "strace to see calls of the daemon".into())?;
        Ok(calls)
    }

    /// Whether the failure came before its end.
    pub(super) fn struck(&self, fault: Fault) -> Result<bool, Failed> {
        match fault {
            Fault::Cut => Ok(self.end.is_some_and(|end| end.signal() == Some(Signal::KILL.as_raw()))),
            Fault::Broken | Fault::Full | Fault::ReadOnly => Ok(self.whole_trace()?.contains("(INJECTED)")),
        }
    }

    /// What strace wrote, once it has seen the end.
    fn whole_trace(&self) -> Result<String, Failed> {
        for _ in 0..LOOKS {
            let trace = fs::read_to_string(&self.trace).unwrap_or_default();
            let ends = |line: &str| line.split_whitespace().next() == Some(&self.pid) && line.contains(" +++ ");
            if trace.lines().any(ends) {
                return Ok(trace);
            }
            sleep(BETWEEN_LOOKS);
        }
        Err(Failed::Expected(format!("strace to tell of the daemon's end in {}", self.trace.display())))
    }
}

/// 20 s in all. Generous: they only turn a hang into a failure.
const LOOKS: u32 = 2_000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Counts calls by thread and name.
fn counted(trace: &str) -> Calls {
    let mut threads: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        // The second half of a call that another thread's line came between begins with `<...`.
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        if call.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            *threads.entry((thread, call)).or_default() += 1;
        }
    }
    let mut calls = Calls::new();
    for ((_, call), times) in threads {
        let most = calls.entry(call.to_owned()).or_default();
        *most = times.max(*most);
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const TRACE: &str = "\
7  pwrite64(5, ..., 24, 0) = 24
8  fsync(3 <unfinished ...>
7  pwrite64(5, ..., 4096, 24) = 4096
8  <... fsync resumed>) = 0
9  pwrite64(5, ..., 4096, 24) = -1 EIO (Input/output error) (INJECTED)
7  +++ exited with 0 +++
";

    #[test]
    fn calls_are_counted_by_the_thread_that_makes_most() {
        assert_eq!(counted(TRACE), Calls::from([("fsync".into(), 1), ("pwrite64".into(), 2)]));
    }

    #[test]
    fn every_kind_has_its_turn_and_all_points_are_there_once() {
        let calls = counted(TRACE);
        let mut dice = StdRng::seed_from_u64(1);
        let kinds = |points: &[Point]| {
            points.iter().map(|point| (point.fault, point.call.clone())).collect::<std::collections::BTreeSet<_>>()
        };
        let some = points(&calls, 6, &mut dice);
        assert_eq!((some.len(), kinds(&some).len()), (6, 6));
        let all = points(&calls, 1_000, &mut dice);
        let names: std::collections::BTreeSet<String> = all.iter().map(Point::to_string).collect();
        assert_eq!((all.len(), names.len()), (9, 9));
    }
}
