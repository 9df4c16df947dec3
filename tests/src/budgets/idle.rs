//! What a daemon costs while nothing happens: memory, processor time and wake-ups, as the kernel counts them.

use std::fs;

use super::BudgetError;

/// What the kernel has counted for a process so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Resident memory now, in bytes.
    pub resident: f64,
    /// The part of it that no file backs: heap and stacks.
    pub anonymous: f64,
    /// Processor time of all its threads, in milliseconds.
    pub processor_ms: f64,
    /// How often its threads went to sleep by themselves: each is a wake-up.
    pub sleeps: f64,
    /// Threads now.
    pub threads: f64,
}

/// Reads `/proc` for a process.
///
/// # Errors
/// When the process is gone, or this is no Linux.
pub fn usage(pid: u32) -> Result<Usage, BudgetError> {
    let read = |path: String| fs::read_to_string(&path).map_err(BudgetError::io(format!("cannot read {path}")));
    let status = read(format!("/proc/{pid}/status"))?;
    let kib = |name| field(&status, name) * 1024.0;
    let mut usage = Usage { resident: kib("VmRSS:"), anonymous: kib("RssAnon:"), ..Usage::default() };
    let tasks = format!("/proc/{pid}/task");
    let listed = fs::read_dir(&tasks).map_err(BudgetError::io(format!("cannot list {tasks}")))?;
    for task in listed.flatten() {
        let path = task.path();
        // A thread that ended between listing and reading has no part in a rate any more.
        let (Ok(scheduled), Ok(status)) =
            (fs::read_to_string(path.join("schedstat")), fs::read_to_string(path.join("status")))
        else {
            continue;
        };
        let on_processor_ns: f64 =
            scheduled.split_ascii_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or_default();
        usage.processor_ms += on_processor_ns / 1e6;
        usage.sleeps += field(&status, "voluntary_ctxt_switches:");
        usage.threads += 1.0;
    }
    Ok(usage)
}

/// The number behind a name at the beginning of a line.
fn field(status: &str, name: &str) -> f64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    value
        .and_then(|value| value.split_ascii_whitespace().next())
        .and_then(|value| value.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_threads_and_its_numbers_do_not_shrink() {
        let before = usage(std::process::id()).unwrap();
        let after = usage(std::process::id()).unwrap();
        assert!(before.resident > 100_000.0 && before.anonymous > 0.0 && before.threads >= 1.0, "{before:?}");
        assert!(after.processor_ms >= 0.0 && before.processor_ms > 0.0);
        assert_eq!(field("Name:\tx\nVmRSS:\t   42 kB\nnonvoluntary_ctxt_switches:\t9\n", "VmRSS:"), 42.0);
        assert_eq!(field("nonvoluntary_ctxt_switches:\t9\n", "voluntary_ctxt_switches:"), 0.0);
    }
}
