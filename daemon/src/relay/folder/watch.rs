//! Hints of new mail: notifications where they work, polling where they may not.
//!
//! ```text
//!            ┌──────────────── something broke: Down, back off ───────────────┐
//!            ▼                                                                │
//! arm: marker ─▶ make mailboxes ─▶ watch them ─▶ list them ─▶ Gap ─▶ wait ────┤
//!                                                      bell ─▶ Ready ◀┤       │
//!                                           timer ─▶ list ─▶ Ready? ◀─┘       │
//!                                                 a directory was replaced ───┘
//! ```
//! Notifications ring a [`Bell`] that holds a set of mailboxes and nothing else, so nothing can pile up: a slow listener
//! finds each mailbox once. The watch stands before the gap is said, so a fetch after the gap misses nothing.
//!
//! Polling lists the directories and looks for names it has not seen; time stamps of directories are not to be trusted
//! on FAT and network shares. It runs every 250 ms after news and slows down to 5 s. Where notifications can be trusted
//! it only runs once a minute, to see that the folder is still there.
//!
//! When another folder takes the place of this one, a backup that was put back say, the watched directories live on elsewhere and tell of
//! nothing. So the folder itself is watched too. It is said to be away then, and back with the gap that follows: what was put into the old one
//! and nobody has confirmed is put again.

mod bell;
mod pace;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use self::bell::Bell;
use self::pace::{BUSY, IDLE, Pace};
use super::entry::Name;
use super::locality;
use super::root::Root;
use super::{Effect, Inner};
use crate::relay::backoff;
use crate::relay::error::{Reason, RelayError};
use crate::relay::mail::Mailbox;
use crate::relay::{WatchEvent, WatchStream};

/// Events that wait for the listener; more wait in the bell.
const EVENTS: usize = 16;

/// Starts to watch. The task ends when the stream is dropped.
pub(super) fn start(inner: Arc<Inner>, mailboxes: Vec<Mailbox>) -> WatchStream {
    let (events, stream) = mpsc::channel(EVENTS);
    tokio::spawn(async move {
        // The listener has gone, and so do we.
        let Closed = run(&inner, &mailboxes, &events).await;
    });
    Box::pin(ReceiverStream::new(stream))
}

/// The stream was dropped.
struct Closed;

/// Watches, again and again, until the stream is dropped.
async fn run(inner: &Arc<Inner>, mailboxes: &[Mailbox], events: &mpsc::Sender<WatchEvent>) -> Closed {
    let mut failures = 0;
    loop {
        let bell = Arc::new(Bell::default());
        let armed = {
            let (bell, mailboxes) = (Arc::clone(&bell), mailboxes.to_vec());
            inner.call(inner.root.limits.deadline, Effect::Repeatable, move |inner| arm(&inner.root, mailboxes, &bell))
        };
        let ended = match armed.await {
            Ok(armed) => {
                failures = 0;
                listen(inner, armed, &bell, events).await
            }
            Err(error) => Ended::Failed(error),
        };
        let wait = match ended {
            Ended::Closed => return Closed,
            Ended::Replaced => BUSY,
            Ended::Moved => {
                let place = inner.root.path().display().to_string();
                let moved = RelayError::Transient { place, reason: Reason::Replaced, after: None };
                if events.send(WatchEvent::Down(moved)).await.is_err() {
                    return Closed;
                }
                BUSY
            }
            Ended::Failed(error) => {
                let wait = backoff::delay(failures, rand::random()).min(IDLE);
                failures = failures.saturating_add(1);
                // Once per outage.
                if failures == 1 && events.send(WatchEvent::Down(error)).await.is_err() {
                    return Closed;
                }
                wait
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = events.closed() => return Closed,
        }
    }
}

/// Why one watch ended.
enum Ended {
    /// The stream was dropped.
    Closed,
    /// A watched directory is gone or another one; arm again.
    Replaced,
    /// The folder itself is.
    Moved,
    /// The folder cannot be used.
    Failed(RelayError),
}

/// Says the gap, then passes hints on until something breaks.
async fn listen(inner: &Arc<Inner>, mut armed: Armed, bell: &Bell, events: &mpsc::Sender<WatchEvent>) -> Ended {
    if events.send(WatchEvent::Gap).await.is_err() {
        return Ended::Closed;
    }
    let mut pace = Pace::new(armed.trusted, Instant::now(), rand::random());
    loop {
        let news = tokio::select! {
            () = bell.rung.notified() => {
                let rung = bell.take();
                if rung.moved {
                    return Ended::Moved;
                }
                if rung.replaced {
                    return Ended::Replaced;
                }
                if rung.lost && events.send(WatchEvent::Gap).await.is_err() {
                    return Ended::Closed;
                }
                if !rung.mailboxes.is_empty() {
                    pace.news(Instant::now(), rand::random());
                }
                rung.mailboxes
            }
            () = tokio::time::sleep_until(pace.next) => {
                let polling = move |inner: &Inner| armed.poll(&inner.root);
                match inner.call(inner.root.limits.deadline, Effect::Repeatable, polling).await {
                    Ok(Polled { moved: true, .. }) => return Ended::Moved,
                    Ok(Polled { replaced: true, .. }) => return Ended::Replaced,
                    Ok(polled) => {
                        armed = polled.armed;
                        pace.polled(!polled.news.is_empty(), Instant::now(), rand::random());
                        polled.news
                    }
                    Err(error) => return Ended::Failed(error),
                }
            }
            () = events.closed() => return Ended::Closed,
        };
        for mailbox in news {
            if events.send(WatchEvent::Ready(mailbox)).await.is_err() {
                return Ended::Closed;
            }
        }
    }
}

/// A standing watch.
struct Armed {
    /// Dropping it ends the notifications; `None` when there are none to be had.
    _watcher: Option<RecommendedWatcher>,
    /// Every change is notified.
    trusted: bool,
    /// The folder.
    root: Option<Identity>,
    mailboxes: BTreeMap<Mailbox, Known>,
}

/// What is known of one mailbox.
#[derive(Default)]
struct Known {
    /// Checksums of the copies that were there when last looked.
    copies: BTreeSet<[u8; 8]>,
    /// Which directory is watched, if any.
    directory: Option<Identity>,
}

/// What a poll found.
struct Polled {
    armed: Armed,
    news: BTreeSet<Mailbox>,
    replaced: bool,
    moved: bool,
}

fn arm(root: &Root, mailboxes: Vec<Mailbox>, bell: &Arc<Bell>) -> Result<Armed, RelayError> {
    let identity = Identity::of(root.path());
    root.check()?;
    let paths: BTreeMap<PathBuf, Mailbox> =
        mailboxes.iter().map(|mailbox| (root.mailbox(*mailbox), *mailbox)).collect();
    // A mailbox that we may not make is polled; whoever puts mail into it makes it.
    let unmade = mailboxes.iter().filter(|mailbox| root.make_mailbox(**mailbox).is_err()).count();
    let watcher = watcher(root.path(), &paths, bell);
    let all_watched = watcher.as_ref().is_some_and(|(_, unwatched)| *unwatched == 0);
    let mut armed = Armed {
        trusted: unmade == 0 && all_watched && locality::reports_every_change(root.path()),
        _watcher: watcher.map(|(watcher, _)| watcher),
        root: identity,
        mailboxes: BTreeMap::new(),
    };
    for mailbox in mailboxes {
        let known = Known { copies: checks(root.list(mailbox)?), directory: Identity::of(&root.mailbox(mailbox)) };
        armed.mailboxes.insert(mailbox, known);
    }
    Ok(armed)
}

/// Asks for notifications, and counts the directories that cannot be watched.
fn watcher(root: &Path, paths: &BTreeMap<PathBuf, Mailbox>, bell: &Arc<Bell>) -> Option<(RecommendedWatcher, usize)> {
    let handler = {
        let (root, paths, bell) = (root.to_owned(), paths.clone(), Arc::clone(bell));
        move |event: notify::Result<notify::Event>| bell.ring(&root, &paths, event)
    };
    let mut watcher = RecommendedWatcher::new(handler, notify::Config::default()).ok()?;
    let directories = paths.keys().map(PathBuf::as_path).chain([root]);
    let unwatched = directories.filter(|path| watcher.watch(path, RecursiveMode::NonRecursive).is_err()).count();
    Some((watcher, unwatched))
}

impl Armed {
    /// Lists all mailboxes and compares.
    fn poll(mut self, root: &Root) -> Result<Polled, RelayError> {
        root.check()?;
        let mut news = BTreeSet::new();
        let mut replaced = false;
        for (mailbox, known) in &mut self.mailboxes {
            replaced |= Identity::of(&root.mailbox(*mailbox)) != known.directory;
            let copies = checks(root.list(*mailbox)?);
            if !copies.is_subset(&known.copies) {
                news.insert(*mailbox);
            }
            known.copies = copies;
        }
        let moved = Identity::of(root.path()) != self.root;
        let armed = self;
        Ok(Polled { armed, news, replaced, moved })
    }
}

fn checks(names: Vec<Name>) -> BTreeSet<[u8; 8]> {
    names.into_iter().map(|name| name.check).collect()
}

/// Tells a directory from another one that took its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// `None` when nothing is there.
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }

    /// Here only presence can be told.
    #[cfg(not(unix))]
    fn of(path: &Path) -> Option<Self> {
        path.is_dir().then_some(Self { device: 0, inode: 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tokio::time::timeout;
    use tokio_stream::StreamExt;

    use super::super::FolderRelay;
    use super::super::entry::encode;
    use super::*;
    use crate::relay::Relay;
    use crate::relay::conformance::{envelope, mailbox};

    /// A watch on a share that notifies of nothing.
    async fn deaf(relay: &FolderRelay, mailboxes: Vec<Mailbox>) -> Armed {
        let bell = Arc::new(Bell::default());
        let arming =
            relay.inner.call(Duration::MAX, Effect::Repeatable, move |inner| arm(&inner.root, mailboxes, &bell));
        Armed { _watcher: None, trusted: false, ..arming.await.unwrap() }
    }

    #[tokio::test]
    async fn mail_is_found_by_polling_where_nothing_is_notified() {
        let home = tempfile::tempdir().unwrap();
        let relay = FolderRelay::prepare(home.path()).await.unwrap();
        let armed = deaf(&relay, vec![mailbox(1), mailbox(2)]).await;
        let (events, mut heard) = mpsc::channel(EVENTS);
        let inner = Arc::clone(&relay.inner);
        let listening = tokio::spawn(async move { listen(&inner, armed, &Bell::default(), &events).await });
        let mut next = async || timeout(Duration::from_secs(60), heard.recv()).await.unwrap().unwrap();
        assert!(matches!(next().await, WatchEvent::Gap));
        for number in 0..3 {
            relay.put(&[(mailbox(2), envelope(number, 10))]).await.unwrap();
            assert!(matches!(next().await, WatchEvent::Ready(ready) if ready == mailbox(2)));
        }
        drop(heard);
        assert!(matches!(listening.await.unwrap(), Ended::Closed));
    }

    #[tokio::test]
    async fn polls_go_on_while_notifications_pour_in() {
        let home = tempfile::tempdir().unwrap();
        let relay = FolderRelay::prepare(home.path()).await.unwrap();
        let armed = deaf(&relay, vec![mailbox(1), mailbox(2)]).await;
        let (events, mut heard) = mpsc::channel(EVENTS);
        let (inner, bell) = (Arc::clone(&relay.inner), Arc::new(Bell::default()));
        let listening = {
            let bell = Arc::clone(&bell);
            tokio::spawn(async move { listen(&inner, armed, &bell, &events).await })
        };
        relay.put(&[(mailbox(2), envelope(1, 10))]).await.unwrap();
        let name = encode(mailbox(1), &envelope(1, 10)).unwrap().name.to_string();
        let watched = BTreeMap::from([(PathBuf::from("/box"), mailbox(1))]);
        let arrived = notify::Event::new(notify::EventKind::Any).add_path(Path::new("/box").join(name));
        loop {
            // Far more often than any poll.
            bell.ring(home.path(), &watched, Ok(arrived.clone()));
            match timeout(Duration::from_secs(60), heard.recv()).await.unwrap().unwrap() {
                WatchEvent::Ready(ready) if ready == mailbox(2) => break,
                WatchEvent::Ready(_) | WatchEvent::Gap => {}
                WatchEvent::Down(error) => panic!("{error}"),
            }
        }
        drop(heard);
        assert!(matches!(listening.await.unwrap(), Ended::Closed));
    }

    #[tokio::test]
    async fn a_folder_that_another_one_takes_the_place_of_is_away_and_then_watched_anew() {
        let home = tempfile::tempdir().unwrap();
        let (place, aside) = (home.path().join("relay"), home.path().join("aside"));
        let relay = FolderRelay::prepare(&place).await.unwrap();
        let mut watch = relay.watch(vec![mailbox(1)]);
        // A poll would find it too, a minute later.
        let mut next = async || timeout(Duration::from_secs(120), watch.next()).await.unwrap().unwrap();
        assert!(matches!(next().await, WatchEvent::Gap));
        fs::rename(&place, &aside).unwrap();
        fs::create_dir(&place).unwrap();
        fs::copy(aside.join("kinfolk-relay"), place.join("kinfolk-relay")).unwrap();
        assert!(matches!(next().await, WatchEvent::Down(RelayError::Transient { reason: Reason::Replaced, .. })));
        while !matches!(next().await, WatchEvent::Gap) {}
        relay.put(&[(mailbox(1), envelope(1, 10))]).await.unwrap();
        assert!(matches!(next().await, WatchEvent::Ready(ready) if ready == mailbox(1)));
    }

    #[tokio::test]
    async fn a_poll_sees_new_mail_once_and_a_replaced_directory() {
        let home = tempfile::tempdir().unwrap();
        let relay = FolderRelay::prepare(home.path()).await.unwrap();
        relay.put(&[(mailbox(1), envelope(1, 10))]).await.unwrap();
        let root = &relay.inner.root;
        let polled = deaf(&relay, vec![mailbox(1)]).await.poll(root).unwrap();
        assert!(polled.news.is_empty() && !polled.replaced, "what lay there is for the fetch after the gap");
        relay.put(&[(mailbox(1), envelope(2, 10))]).await.unwrap();
        let polled = polled.armed.poll(root).unwrap();
        assert_eq!(polled.news, BTreeSet::from([mailbox(1)]));
        let polled = polled.armed.poll(root).unwrap();
        assert!(polled.news.is_empty());
        fs::rename(root.mailbox(mailbox(1)), home.path().join("gone")).unwrap();
        let polled = polled.armed.poll(root).unwrap();
        assert!(polled.replaced && !polled.moved && polled.news.is_empty());
    }
}
