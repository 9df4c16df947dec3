//! Disks that fill up, refuse, break at the worst moment, or never answer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};

use super::*;

/// What a put did to the disk, in order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Write,
    SyncFile,
    Name,
    SyncDirectory,
}

/// A disk that keeps a list and fails on order.
#[derive(Debug, Default)]
struct BrokenDisk {
    steps: Mutex<Vec<Step>>,
    /// Fails the nth of these steps from now (0: the next one), once.
    fail: Mutex<Option<(Step, usize, ErrorKind)>>,
    /// Calls that reached the hold.
    held: AtomicUsize,
    hold: AtomicBool,
}

impl BrokenDisk {
    fn step(&self, step: Step) -> io::Result<()> {
        self.steps.lock().unwrap().push(step);
        let mut fail = self.fail.lock().unwrap();
        match *fail {
            Some((when, 0, kind)) if when == step => {
                *fail = None;
                Err(kind.into())
            }
            Some((when, left, kind)) if when == step => {
                *fail = Some((when, left - 1, kind));
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    fn fail(&self, step: Step, nth: usize, kind: ErrorKind) {
        *self.fail.lock().unwrap() = Some((step, nth, kind));
    }

    fn take_steps(&self) -> Vec<Step> {
        std::mem::take(&mut self.steps.lock().unwrap())
    }
}

impl Disk for BrokenDisk {
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        self.held.fetch_add(1, Ordering::SeqCst);
        while self.hold.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        self.step(Step::Write)?;
        LocalDisk.write(file, bytes)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.step(Step::SyncFile)?;
        LocalDisk.sync_file(file)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.step(Step::SyncDirectory)?;
        LocalDisk.sync_directory(directory)
    }

    fn rename_exclusive(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Step::Name)?;
        LocalDisk.rename_exclusive(from, to)
    }
}

async fn broken() -> (Arc<BrokenDisk>, InFolder, FolderRelay) {
    let disk = Arc::new(BrokenDisk::default());
    let bed = InFolder::on(Arc::clone(&disk) as Arc<dyn Disk>);
    let relay = bed.open().await;
    // The mailboxes exist: what follows is about mail.
    relay.put(&[(mailbox(1), envelope(0, 10)), (mailbox(2), envelope(0, 10))]).await.unwrap();
    disk.take_steps();
    (disk, bed, relay)
}

#[tokio::test]
async fn mail_is_synced_before_it_is_named_and_its_name_before_the_answer() {
    use Step::{Name, SyncDirectory, SyncFile, Write};
    let (disk, _bed, relay) = broken().await;
    let letter = [(mailbox(1), envelope(1, 10))];
    relay.put(&letter).await.unwrap();
    assert_eq!(disk.take_steps(), [Write, Write, SyncFile, Name, SyncDirectory]);
    // The put before may have died between naming and syncing, so this one must not trust it.
    relay.put(&letter).await.unwrap();
    assert_eq!(disk.take_steps(), [SyncDirectory]);
    let batch: Vec<_> = (2..5).map(|number| (mailbox(1), envelope(number, 10))).collect();
    relay.put(&batch).await.unwrap();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for step in disk.take_steps() {
        let name = match step {
            Write => "write",
            SyncFile => "sync file",
            Name => "name",
            SyncDirectory => "sync directory",
        };
        *counts.entry(name).or_default() += 1;
    }
    let expected = [("name", 3), ("sync directory", 1), ("sync file", 3), ("write", 6)];
    assert_eq!(counts, BTreeMap::from(expected), "one batch syncs its directory once");
}

#[tokio::test]
async fn a_new_mailbox_is_synced_all_the_way_up() {
    use Step::{Name, SyncDirectory, SyncFile, Write};
    let (disk, _bed, relay) = broken().await;
    relay.put(&[(mailbox(3), envelope(1, 10))]).await.unwrap();
    let expected = [SyncDirectory, SyncDirectory, Write, Write, SyncFile, Name, SyncDirectory];
    assert_eq!(disk.take_steps(), expected, "shard, mailbox, and then as usual");
}

#[tokio::test]
async fn a_full_disk_is_transient_and_leaves_nothing_behind() {
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
        for (step, nth) in [(Step::Write, 0), (Step::Write, 1), (Step::SyncFile, 0), (Step::Name, 0)] {
            let (disk, bed, relay) = broken().await;
            let before = bed.names(1);
            disk.fail(step, nth, kind);
            let letter = [(mailbox(1), envelope(1, 100))];
            let error = relay.put(&letter).await.unwrap_err();
            let is_full = matches!(&error, RelayError::Transient { reason: Reason::Full, .. });
            assert!(is_full && error.to_string().contains("no space left"), "{step:?} {kind:?}: {error:?}");
            assert_eq!(bed.names(1), before, "{step:?}");
            assert_eq!(relay.put(&letter).await.unwrap(), [PutOutcome::Stored], "room again");
        }
    }
}

#[tokio::test]
async fn an_error_after_some_mail_arrived_is_ambiguous_and_a_retry_completes_it() {
    let (disk, _bed, relay) = broken().await;
    let batch = [(mailbox(1), envelope(1, 100)), (mailbox(2), envelope(2, 100))];
    for (step, nth) in [(Step::Write, 2), (Step::SyncDirectory, 0), (Step::SyncDirectory, 1)] {
        disk.fail(step, nth, ErrorKind::StorageFull);
        let error = relay.put(&batch).await.unwrap_err();
        assert!(matches!(&error, RelayError::Ambiguous { .. }), "{step:?} {nth}: {error:?}");
        let outcomes = relay.put(&batch).await.unwrap();
        assert_eq!(outcomes[0], PutOutcome::AlreadyThere);
        for (number, put) in [(1, &batch[0].1), (2, &batch[1].1)] {
            let found = all(&relay, mailbox(number)).await;
            assert!(found.contains_key(&put.id), "{step:?} {nth}");
            let handles: Vec<Handle> =
                fetch(&relay, mailbox(number)).await.mail.into_iter().map(|m| m.handle).collect();
            relay.acknowledge(mailbox(number), &handles).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_refusing_disk_is_denied_with_its_path() {
    for kind in [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem] {
        let (disk, bed, relay) = broken().await;
        disk.fail(Step::Write, 0, kind);
        let error = relay.put(&[(mailbox(1), envelope(1, 100))]).await.unwrap_err();
        assert!(matches!(&error, RelayError::Denied { .. }), "{error:?}");
        let words = error.to_string();
        assert!(words.contains(bed.mailbox(1).to_str().unwrap()), "{words}");
    }
}

#[tokio::test]
async fn a_disk_that_breaks_is_tried_again() {
    let (disk, _bed, relay) = broken().await;
    disk.fail(Step::Write, 0, ErrorKind::StaleNetworkFileHandle);
    let error = relay.put(&[(mailbox(1), envelope(1, 100))]).await.unwrap_err();
    assert!(matches!(&error, RelayError::Transient { reason: Reason::Io { .. }, .. }), "{error:?}");
}

#[tokio::test]
async fn a_disk_that_never_answers_costs_a_few_threads_and_no_more() {
    let disk = Arc::new(BrokenDisk::default());
    let mut bed = InFolder::on(Arc::clone(&disk) as Arc<dyn Disk>);
    drop(bed.open().await);
    bed.limits.deadline = Duration::from_millis(200);
    let relay = bed.open().await;
    let before = disk.held.load(Ordering::SeqCst);
    disk.hold.store(true, Ordering::SeqCst);
    let letter = [(mailbox(1), envelope(1, 100))];
    for _ in 0..MAX_CALLS {
        let error = relay.put(&letter).await.unwrap_err();
        let missed = matches!(&error, RelayError::Ambiguous { reason: Reason::TimedOut(_), .. });
        assert!(missed, "it may still happen: {error:?}");
    }
    for _ in 0..3 {
        let error = relay.put(&letter).await.unwrap_err();
        let missed = matches!(&error, RelayError::Transient { reason: Reason::TimedOut(_), .. });
        assert!(missed, "it has not begun: {error:?}");
    }
    let folder = bed.path();
    let opening = FolderRelay::prepare_with(&folder, Arc::new(LocalDisk), bed.limits);
    let opened = timeout(bed.limits.deadline, opening).await;
    assert!(opened.is_err(), "opening it again takes no thread of its own");
    assert_eq!(disk.held.load(Ordering::SeqCst) - before, MAX_CALLS);
    disk.hold.store(false, Ordering::SeqCst);
    bed.limits.deadline = DEADLINE;
    let relay = bed.open().await;
    relay.put(&letter).await.unwrap();
    assert_eq!(all(&relay, mailbox(1)).await, set([envelope(1, 100)]));
}
