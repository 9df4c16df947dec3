//! Counts the syncs of a commit for real: killing a process cannot show whether they happen, only a power cut could.
//!
//! The test starts itself again under `strace`, which writes down every `fsync` and `fdatasync` of a child that only commits.

use std::process::Command;

use super::*;
use kinfolk_core::op::Op;

/// `commits bundles`: makes this process the child, which commits so often so many bundles each.
const CHILD: &str = "KINFOLK_TEST_COMMITS";
const NAME: &str = "store::tests::syncs::every_commit_syncs_exactly_once_however_much_it_holds";

#[test]
fn every_commit_syncs_exactly_once_however_much_it_holds() {
    if let Ok(work) = std::env::var(CHILD) {
        return commit(&work);
    }
    let few = syncs("20 1");
    assert_eq!(syncs("120 1") - few, 100);
    assert_eq!(syncs("20 30"), few, "a group of changes costs one sync");
    assert!(few >= 20);
}

fn commit(work: &str) {
    let (commits, bundles) = work.split_once(' ').unwrap();
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    for _ in 0..commits.parse().unwrap() {
        let group: Vec<Written> =
            (0..bundles.parse().unwrap()).map(|_| a.write(vec![Op::record_put("n", "k", Vec::new())])).collect();
        home.take(&group.iter().collect::<Vec<_>>());
    }
}

/// How many syncs the child makes.
fn syncs(work: &str) -> usize {
    let dir = TempDir::new().unwrap();
    let trace = dir.path().join("trace");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME])
        .env(CHILD, work)
        .output()
        .expect("this test counts syncs with strace: install it (apt-get install strace)");
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let trace = std::fs::read_to_string(trace).unwrap();
    trace.lines().filter(|line| line.contains("sync(") && !line.contains("resumed")).count()
}
