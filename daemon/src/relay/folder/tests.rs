//! The contract on real files, and what only a folder can meet: other tools, other processes, other disks, power cuts.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tempfile::TempDir;

use super::*;
use crate::relay::conformance::{self, BUDGET, Bed, all, envelope, fetch, mailbox, next, set};
use crate::relay::{ConfigError, WatchEvent};

mod broken_disk;
mod foreign;
mod processes;

struct InFolder {
    home: TempDir,
    disk: Arc<dyn Disk>,
    limits: Limits,
}

impl InFolder {
    fn new() -> Self {
        Self::on(Arc::new(LocalDisk))
    }

    fn on(disk: Arc<dyn Disk>) -> Self {
        let limits = Limits { mailbox_bytes: BUDGET, ..Limits::default() };
        Self { home: tempfile::tempdir().unwrap(), disk, limits }
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("relay")
    }

    async fn open(&self) -> FolderRelay {
        FolderRelay::prepare_with(&self.path(), Arc::clone(&self.disk), self.limits).await.unwrap()
    }

    /// Where a mailbox lies.
    fn mailbox(&self, number: u8) -> PathBuf {
        let name = mailbox(number).to_string();
        self.path().join("mail").join(&name[..2]).join(name)
    }

    /// Names in a mailbox, sorted.
    fn names(&self, number: u8) -> Vec<String> {
        let entries = fs::read_dir(self.mailbox(number)).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[async_trait]
impl Bed for InFolder {
    async fn relay(&self) -> Arc<dyn Relay> {
        Arc::new(self.open().await)
    }

    async fn tear(&self, mailbox: Mailbox, envelope: &Envelope) {
        let root = self.open().await;
        root.inner.root.make_mailbox(mailbox).unwrap();
        let encoded = entry::encode(mailbox, envelope).unwrap();
        let path = root.inner.root.mailbox(mailbox).join(encoded.name.to_string());
        let half = &envelope.sealed[..envelope.sealed.len() / 2];
        fs::write(path, [&encoded.header[..], half].concat()).unwrap();
    }

    async fn age(&self, span: Duration) {
        let mut directories = vec![self.path()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    directories.push(entry.path());
                }
                let modified = entry.metadata().unwrap().modified().unwrap();
                fs::File::open(entry.path()).unwrap().set_modified(modified - span).unwrap();
            }
        }
    }
}

conformance::suite!(InFolder::new());

#[tokio::test]
async fn a_mailbox_of_ten_thousand_is_collected_page_by_page_while_it_grows() {
    let bed = InFolder::new();
    let relay = bed.open().await;
    relay.inner.root.make_mailbox(mailbox(1)).unwrap();
    for number in 0..10_000_u32 {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let letter = Envelope { id: kinfolk_core::ids::EnvelopeId(id), sealed: bytes::Bytes::from_static(b"sealed") };
        let encoded = entry::encode(mailbox(1), &letter).unwrap();
        let path = bed.mailbox(1).join(encoded.name.to_string());
        fs::write(path, [&encoded.header[..], &letter.sealed].concat()).unwrap();
    }
    let mut want = Want::all(mailbox(1));
    let mut seen = std::collections::BTreeSet::new();
    for page in 0.. {
        relay.put(&[(mailbox(1), envelope(page, 20))]).await.unwrap();
        let mut answers = relay.fetch(std::slice::from_ref(&want), usize::MAX).await.unwrap();
        let answer = answers.remove(0);
        for delivery in answer.mail {
            assert!(seen.insert(delivery.handle.0), "returned twice under one cursor");
        }
        want.after = answer.cursor;
        if !answer.more {
            assert_eq!(seen.len(), 10_000 + usize::from(page) + 1);
            return;
        }
    }
}

#[tokio::test]
async fn an_answer_that_never_arrived_is_given_again() {
    let bed = InFolder::new();
    let relay = bed.open().await;
    for number in 0..4 {
        relay.put(&[(mailbox(1), envelope(number, 100))]).await.unwrap();
    }
    let first = relay.fetch(&[Want::all(mailbox(1))], 100).await.unwrap().remove(0);
    let want = Want { mailbox: mailbox(1), after: first.cursor };
    let lost = relay.fetch(std::slice::from_ref(&want), 200).await.unwrap().remove(0);
    let again = relay.fetch(std::slice::from_ref(&want), 200).await.unwrap().remove(0);
    assert_eq!(lost.mail.len(), 2);
    assert_eq!(again.mail, lost.mail);
    let want = Want { mailbox: mailbox(1), after: again.cursor };
    let last = relay.fetch(&[want], 200).await.unwrap().remove(0);
    assert_eq!(last.mail.len(), 1);
    assert!(!last.more);
}

#[tokio::test]
async fn a_folder_that_goes_away_is_out_of_reach_and_comes_back() {
    let bed = InFolder::new();
    let relay = bed.open().await;
    relay.put(&[(mailbox(1), envelope(1, 100))]).await.unwrap();
    let mut events = relay.watch(vec![mailbox(1)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));

    let away = bed.home.path().join("away");
    fs::rename(bed.path(), &away).unwrap();
    fs::create_dir(bed.path()).unwrap();
    let items = [(mailbox(1), envelope(2, 100))];
    for error in [
        relay.put(&items).await.unwrap_err(),
        relay.fetch(&[Want::all(mailbox(1))], 1).await.unwrap_err(),
        relay.acknowledge(mailbox(1), &[]).await.unwrap_err(),
        relay.sweep(&[]).await.unwrap_err(),
        relay.probe().await.unwrap_err(),
    ] {
        let is_unmarked = matches!(&error, RelayError::Transient { reason: Reason::Unmarked, .. });
        assert!(is_unmarked, "an empty mount point: {error:?}");
    }
    assert_eq!(fs::read_dir(bed.path()).unwrap().count(), 0, "something was left on the mount point");
    fs::remove_dir(bed.path()).unwrap();
    let error = relay.put(&items).await.unwrap_err();
    assert!(matches!(&error, RelayError::Transient { reason: Reason::Missing, .. }), "{error:?}");
    assert!(!bed.path().exists());

    fs::rename(&away, bed.path()).unwrap();
    relay.put(&items).await.unwrap();
    assert_eq!(all(&relay, mailbox(1)).await, set([envelope(1, 100), envelope(2, 100)]));
}

#[tokio::test]
async fn a_mailbox_removed_under_a_watch_is_watched_again() {
    let bed = InFolder::new();
    let relay = bed.open().await;
    let mut events = relay.watch(vec![mailbox(1)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    fs::remove_dir(bed.mailbox(1)).unwrap();
    assert!(matches!(next(&mut events).await, WatchEvent::Gap), "the watch broke");
    relay.put(&[(mailbox(1), envelope(1, 100))]).await.unwrap();
    assert!(matches!(next(&mut events).await, WatchEvent::Ready(ready) if ready == mailbox(1)));
}

#[tokio::test]
async fn a_watch_without_a_folder_says_down_and_then_gap() {
    let bed = InFolder::new();
    let relay = bed.open().await;
    let away = bed.home.path().join("away");
    fs::rename(bed.path(), &away).unwrap();
    let mut events = relay.watch(vec![mailbox(1)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Down(RelayError::Transient { .. })));
    fs::rename(&away, bed.path()).unwrap();
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    relay.put(&[(mailbox(1), envelope(1, 100))]).await.unwrap();
    assert!(matches!(next(&mut events).await, WatchEvent::Ready(_)));
}

#[tokio::test]
async fn a_sweep_takes_leavings_after_a_day_and_empty_mailboxes_after_thirty() {
    let bed = InFolder::new();
    let relay = bed.open().await;
    relay.put(&[(mailbox(1), envelope(1, 100))]).await.unwrap();
    relay.inner.root.make_mailbox(mailbox(2)).unwrap();
    let leavings = [bed.path(), bed.mailbox(1)].map(|directory| directory.join(entry::temp_name(7)));
    for leaving in &leavings {
        fs::write(leaving, "half").unwrap();
    }
    bed.age(Duration::from_secs(23 * 3600)).await;
    assert_eq!(relay.sweep(&[]).await.unwrap(), Swept::default());
    bed.age(Duration::from_secs(2 * 3600)).await;
    let swept = relay.sweep(&[]).await.unwrap();
    assert_eq!((swept.expired, swept.leavings), (0, 2));
    assert!(bed.mailbox(2).exists());
    bed.age(RETENTION).await;
    relay.inner.root.make_mailbox(mailbox(3)).unwrap();
    let swept = relay.sweep(&[]).await.unwrap();
    assert_eq!((swept.expired, swept.leavings), (1, 0));
    assert!(!bed.mailbox(1).exists() && !bed.mailbox(2).exists());
    assert!(bed.mailbox(3).exists(), "a mailbox made just now");
}

#[test]
fn a_clock_difference_has_a_sign() {
    let now = SystemTime::now();
    assert_eq!(clock_ahead_ms(now + Duration::from_secs(2), now), 2000);
    assert_eq!(clock_ahead_ms(now, now + Duration::from_secs(2)), -2000);
}
