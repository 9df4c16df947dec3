//! A person who imports a history and does not give up: when the import fails because the daemon is gone, they run it again from the first line.
//!
//! The import reads from a pipe, and a valve says how far its lines may flow: so the storm decides where in the history it strikes.

use std::io::Write;
use std::process::{Child, ChildStdin};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use crate::e2e::device::{Device, parse};
use crate::e2e::{Failed, same};

/// What a person waits before they try again.
const PAUSE: Duration = Duration::from_millis(50);
/// Exit codes of an import that lost its daemon: it went away, or was not there.
const DAEMON_GONE: [i32; 1] = [3];

/// A person at work.
#[derive(Debug)]
pub(super) struct Person(JoinHandle<Result<Imported, Failed>>);

/// How an import ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Imported {
    /// How often it was begun.
    pub(super) begun: u32,
}

impl Person {
    /// Begins to import `corpus` on `device`, as far as the valve is open.
    pub(super) fn import(device: Device, corpus: &str, valve: &Valve) -> Self {
        let (corpus, valve) = (corpus.to_owned(), valve.clone());
        Self(spawn(move || {
            let mut begun = 0;
            loop {
                begun += 1;
                if try_once(&device, &corpus, &valve)? {
                    return Ok(Imported { begun });
                }
                sleep(PAUSE);
            }
        }))
    }

    /// Waits until an import has ended well.
    pub(super) fn done(self) -> Result<Imported, Failed> {
        self.0.join().unwrap_or_else(|_| Err(Failed::Expected("the import not to panic".into())))
    }
}

/// One import from the first line. Says whether it came to its end.
fn try_once(device: &Device, corpus: &str, valve: &Valve) -> Result<bool, Failed> {
    let mut import = device.spawn(&["import", "-", "--single", "--json"])?;
    let pipe = import.stdin.take();
    feed(pipe, corpus, valve, &mut import)?;
    let output = import.wait_with_output().map_err(Failed::io("waiting for the import"))?;
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(0) => {
            let lines = parse(&said)?["lines"].as_u64();
            same("lines of the import", lines, u64::try_from(corpus.lines().count()).ok())?;
            Ok(true)
        }
        Some(code) if DAEMON_GONE.contains(&code) => Ok(false),
        other => Err(Failed::Expected(format!("the import to end well or to miss its daemon: {other:?} {complaint}"))),
    }
}

/// Writes lines as the valve lets them through, until all are written or the import is gone.
fn feed(pipe: Option<ChildStdin>, corpus: &str, valve: &Valve, import: &mut Child) -> Result<(), Failed> {
    let mut pipe = pipe.ok_or_else(|| Failed::Expected("a pipe".into()))?;
    for (index, line) in corpus.lines().enumerate() {
        while !valve.lets_through(index) {
            if import.try_wait().map_err(Failed::io("looking at the import"))?.is_some() {
                return Ok(());
            }
        }
        // An import that ended has closed its end; its exit code says why.
        if writeln!(pipe, "{line}").is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// How many lines may flow.
#[derive(Clone, Debug, Default)]
pub(super) struct Valve(Arc<(Mutex<Flow>, Condvar)>);

#[derive(Debug, Default)]
struct Flow {
    open: usize,
    /// Whether an import has had all lines that were let through.
    dry: bool,
}

impl Valve {
    /// Lets so many lines through in all, or more if it is open further already.
    pub(super) fn open_to(&self, lines: usize) {
        let mut flow = self.lock();
        flow.open = lines.max(flow.open);
        self.0.1.notify_all();
    }

    /// Lets one more line through, if an import waits for it.
    pub(super) fn drip(&self) {
        let mut flow = self.lock();
        if std::mem::take(&mut flow.dry) {
            flow.open += 1;
            self.0.1.notify_all();
        }
    }

    /// Whether line `index` may flow; waits a moment for it.
    fn lets_through(&self, index: usize) -> bool {
        let mut flow = self.lock();
        if flow.open > index {
            return true;
        }
        flow.dry = true;
        let (flow, _timed_out) = self.0.1.wait_timeout(flow, PAUSE).unwrap_or_else(PoisonError::into_inner);
        flow.open > index
    }

    fn lock(&self) -> MutexGuard<'_, Flow> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
