//! Two real processes on one folder. The test runs itself again as the other process, told apart by a variable.

use super::*;

/// Names the folder to the other process.
const FOLDER: &str = "KINFOLK_TEST_RELAY_FOLDER";

/// The other process writes envelopes `0..THEIRS`.
const THEIRS: u8 = 120;

/// The other process, ended when the test ends, however that is.
struct Writer(Child);

impl Writer {
    fn start(test: &str, folder: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn opened_by_the_other() -> Option<FolderRelay> {
    let folder = std::env::var_os(FOLDER)?;
    Some(FolderRelay::open(Path::new(&folder)).await.unwrap())
}

#[tokio::test]
async fn two_processes_put_and_collect_at_once() {
    if let Some(relay) = opened_by_the_other().await {
        for number in 0..THEIRS {
            relay.put(&[(mailbox(1), envelope(number, 700))]).await.unwrap();
        }
        return;
    }
    let bed = InFolder::new();
    let relay = bed.open().await;
    let mut events = relay.watch(vec![mailbox(1)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    let test = "relay::folder::tests::processes::two_processes_put_and_collect_at_once";
    let mut writer = Writer::start(test, &bed.path());
    let mut seen = std::collections::BTreeSet::new();
    // Half of theirs is put by us as well.
    for number in THEIRS / 2..=u8::MAX {
        relay.put(&[(mailbox(1), envelope(number, 700))]).await.unwrap();
    }
    let mut collect = async || {
        let fetched = fetch(&relay, mailbox(1)).await;
        assert_eq!(fetched.torn, 0);
        for delivery in fetched.mail {
            let number = delivery.envelope.id.0[0];
            assert_eq!(delivery.envelope, envelope(number, 700));
            seen.insert(number);
            relay.acknowledge(mailbox(1), &[delivery.handle]).await.unwrap();
        }
        seen.len() == 256
    };
    while !collect().await {
        next(&mut events).await;
    }
    assert!(writer.0.wait().unwrap().success());
}

#[tokio::test]
async fn a_writer_killed_at_any_moment_leaves_only_whole_copies() {
    if let Some(relay) = opened_by_the_other().await {
        for number in (0..=u8::MAX).cycle() {
            relay.put(&[(mailbox(number % 7), envelope(number, 900))]).await.unwrap();
            let fetched = fetch(&relay, mailbox(number % 7)).await;
            if let [_, .., last] = &fetched.mail[..] {
                relay.acknowledge(mailbox(number % 7), std::slice::from_ref(&last.handle)).await.unwrap();
            }
        }
    }
    let bed = InFolder::new();
    let relay = bed.open().await;
    let test = "relay::folder::tests::processes::a_writer_killed_at_any_moment_leaves_only_whole_copies";
    for _ in 0..5 {
        let mut events = relay.watch((0..7).map(mailbox).collect());
        assert!(matches!(next(&mut events).await, WatchEvent::Gap));
        let writer = Writer::start(test, &bed.path());
        for _ in 0..20 {
            next(&mut events).await;
        }
        drop(writer);
        let mut found = 0;
        for number in 0..7 {
            let fetched = fetch(&relay, mailbox(number)).await;
            assert_eq!(fetched.torn, 0);
            for delivery in fetched.mail {
                assert_eq!(delivery.envelope, envelope(delivery.envelope.id.0[0], 900));
                found += 1;
            }
        }
        assert!(found > 0);
    }
}
