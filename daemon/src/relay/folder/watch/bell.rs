//! What notifications leave behind for the task that watches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use tokio::sync::Notify;

use crate::relay::folder::entry::Name;
use crate::relay::mail::Mailbox;

/// What notifications leave for the task: a set, never a queue.
#[derive(Default)]
pub(super) struct Bell {
    state: Mutex<Rung>,
    /// Told after every ring.
    pub(super) rung: Notify,
}

/// What has happened since the last look.
#[derive(Default)]
pub(super) struct Rung {
    /// Something new may be in these.
    pub(super) mailboxes: BTreeSet<Mailbox>,
    /// A watched directory was removed or renamed, or the watch broke.
    pub(super) replaced: bool,
    /// The folder itself was.
    pub(super) moved: bool,
    /// The kernel dropped notifications.
    pub(super) lost: bool,
}

impl Bell {
    /// Takes in one notification about the folder `root` and what is `watched` in it.
    pub(super) fn ring(&self, root: &Path, watched: &BTreeMap<PathBuf, Mailbox>, event: notify::Result<notify::Event>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Err(_) => state.replaced = true,
            Ok(event) if event.need_rescan() => state.lost = true,
            Ok(event) => {
                let (arrival, removal) = meaning(event.kind);
                let before = (state.mailboxes.len(), state.replaced, state.moved);
                for path in &event.paths {
                    state.replaced |= removal && watched.contains_key(path);
                    state.moved |= removal && path == root;
                    let is_mail = || path.file_name().and_then(|name| name.to_str()).and_then(Name::parse);
                    if arrival
                        && let Some(mailbox) = path.parent().and_then(|parent| watched.get(parent))
                        && is_mail().is_some()
                    {
                        state.mailboxes.insert(*mailbox);
                    }
                }
                if before == (state.mailboxes.len(), state.replaced, state.moved) {
                    return;
                }
            }
        }
        drop(state);
        self.rung.notify_one();
    }

    /// What has rung since the last time.
    pub(super) fn take(&self) -> Rung {
        std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether an event can mean a new copy, and whether it can mean that a watched directory is gone. Our own reads and
/// deletions are notified too; they are neither.
fn meaning(kind: EventKind) -> (bool, bool) {
    match kind {
        EventKind::Any | EventKind::Other | EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Any) => (true, true),
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => (true, false),
        EventKind::Remove(_) => (false, true),
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => (true, false),
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_) | ModifyKind::Other) => (false, false),
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, MetadataKind, RemoveKind, RenameMode};

    use super::*;
    use crate::relay::conformance::{envelope, mailbox};
    use crate::relay::folder::entry::{self, temp_name};

    #[test]
    fn only_arrivals_of_mail_and_lost_directories_ring_the_bell() {
        let (root, directory) = (PathBuf::from("/relay"), PathBuf::from("/relay/mail/01/box"));
        let watched = BTreeMap::from([(directory.clone(), mailbox(1))]);
        let name = entry::encode(mailbox(1), &envelope(1, 10)).unwrap().name.to_string();
        let mail = directory.join(&name);
        let temp = directory.join(temp_name(1));
        let arrived = EventKind::Create(CreateKind::File);
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let data = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let touched = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
        let deleted = EventKind::Remove(RemoveKind::File);
        let gone = EventKind::Modify(ModifyKind::Name(RenameMode::From));
        for (kind, path, ready, replaced) in [
            (arrived, &mail, true, false),
            (renamed, &mail, true, false),
            (data, &mail, true, false),
            (closed, &mail, true, false),
            (opened, &mail, false, false),
            (touched, &mail, false, false),
            (deleted, &mail, false, false),
            (arrived, &temp, false, false),
            (closed, &temp, false, false),
            (renamed, &PathBuf::from("/elsewhere").join(&name), false, false),
            (EventKind::Remove(RemoveKind::Folder), &directory, false, true),
            (gone, &directory, false, true),
            (gone, &root, false, false),
            (opened, &root, false, false),
        ] {
            let bell = Bell::default();
            bell.ring(&root, &watched, Ok(notify::Event::new(kind).add_path(path.clone())));
            let rung = bell.take();
            assert_eq!(rung.moved, (kind, path) == (gone, &root));
            assert_eq!((!rung.mailboxes.is_empty(), rung.replaced), (ready, replaced), "{kind:?} {path:?}");
            assert!(!rung.lost);
        }
    }

    #[test]
    fn an_overflow_is_a_gap_and_a_broken_watch_is_armed_again() {
        let bell = Bell::default();
        let overflow = notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        bell.ring(Path::new("/relay"), &BTreeMap::new(), Ok(overflow));
        assert!(bell.take().lost);
        bell.ring(Path::new("/relay"), &BTreeMap::new(), Err(notify::Error::generic("broken")));
        assert!(bell.take().replaced);
    }
}
