//! Hints on their way from the connection to whoever watches.
//!
//! The client library hands each push to a function that must not wait; that function rings bells. A [`Bell`] holds a set of mailboxes and two
//! flags, so nothing can pile up: a slow listener finds each mailbox once.
//!
//! # Two kinds of push
//! A put by kinfolk publishes on the mailbox's channel: a *message*. The server itself tells when the mail of a mailbox was changed by anyone:
//! an *invalidation*. For our own put both come, the message first. An invalidation that nothing announced is another program's doing, whose
//! scores promise nothing; it rings for a gap, so that everything is fetched from nothing. What this connection deletes is announced as well.
//! Where the server tells of two changes at once, an announcement may be left over: it swallows one hint, and hints may be lost.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;

use super::carried::Carried;
use super::keys;
use crate::relay::mail::Mailbox;

/// What rang since somebody looked.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Rung {
    /// Something may be new here.
    pub(super) ready: BTreeSet<Mailbox>,
    /// Something may be new behind every cursor.
    pub(super) gap: bool,
    /// The connection is gone.
    pub(super) broken: bool,
}

/// One watch's bell.
#[derive(Debug)]
pub(super) struct Bell {
    mailboxes: BTreeSet<Mailbox>,
    rung: Mutex<Rung>,
    rings: Notify,
}

impl Bell {
    /// Waits until it rings, and takes what rang.
    pub(super) async fn rung(&self) -> Rung {
        loop {
            let rung = std::mem::take(&mut *lock(&self.rung));
            if rung != Rung::default() {
                return rung;
            }
            self.rings.notified().await;
        }
    }

    fn ring(&self, how: impl FnOnce(&mut Rung)) {
        how(&mut lock(&self.rung));
        self.rings.notify_one();
    }
}

/// All bells of a relay.
#[derive(Debug, Default)]
pub(super) struct Bells {
    hung: Mutex<Vec<Weak<Bell>>>,
    expected: Mutex<Expected>,
    /// Mail that came along with messages.
    pub(super) carried: Carried,
}

/// Invalidations that are no news.
#[derive(Debug, Default)]
struct Expected {
    /// A message announced them.
    announced: BTreeSet<Mailbox>,
    /// We delete there.
    deleting: BTreeSet<Mailbox>,
}

impl Bells {
    /// A bell for these mailboxes. It is taken down when it is dropped.
    pub(super) fn hang(&self, mailboxes: &[Mailbox]) -> Arc<Bell> {
        let mailboxes = mailboxes.iter().copied().collect();
        let bell = Arc::new(Bell { mailboxes, rung: Mutex::default(), rings: Notify::new() });
        let mut hung = lock(&self.hung);
        hung.retain(|bell| bell.strong_count() > 0);
        hung.push(Arc::downgrade(&bell));
        bell
    }

    /// What the client library hands over.
    pub(super) fn pushed(&self, push: &PushInfo) {
        match (&push.kind, push.data.first()) {
            (PushKind::Message, Some(Value::BulkString(channel))) => {
                if let Some(mailbox) = keys::mailbox_heard(channel) {
                    self.expect(mailbox, |expected| &mut expected.announced);
                    if let Some(Value::BulkString(message)) = push.data.get(1)
                        && self.is_watched(mailbox)
                    {
                        self.carried.keep(mailbox, message);
                    }
                    self.each(mailbox, |rung| {
                        rung.ready.insert(mailbox);
                    });
                }
            }
            (PushKind::Invalidate, Some(Value::Array(names))) => {
                for name in names {
                    if let Value::BulkString(name) = name
                        && let Some(mailbox) = keys::mailbox_of(name)
                        && !self.expected(mailbox)
                    {
                        self.each(mailbox, |rung| rung.gap = true);
                    }
                }
            }
            // Everything was deleted.
            (PushKind::Invalidate, _) => self.all(|rung| rung.gap = true),
            (PushKind::Disconnection, _) => self.broken(),
            // Confirmations, and what we did not ask for.
            (_, _) => {}
        }
    }

    /// The connection is gone.
    pub(super) fn broken(&self) {
        *lock(&self.expected) = Expected::default();
        self.carried.clear();
        self.all(|rung| rung.broken = true);
    }

    /// We are about to delete in this mailbox.
    pub(super) fn deleting(&self, mailbox: Mailbox) {
        self.expect(mailbox, |expected| &mut expected.deleting);
    }

    /// Nothing was deleted there.
    pub(super) fn deleted_nothing(&self, mailbox: Mailbox) {
        lock(&self.expected).deleting.remove(&mailbox);
    }

    /// Nothing is remembered of a mailbox that nobody watches.
    fn expect(&self, mailbox: Mailbox, why: impl Fn(&mut Expected) -> &mut BTreeSet<Mailbox>) {
        if self.is_watched(mailbox) {
            why(&mut lock(&self.expected)).insert(mailbox);
        }
    }

    fn is_watched(&self, mailbox: Mailbox) -> bool {
        self.standing().iter().any(|bell| bell.mailboxes.contains(&mailbox))
    }

    /// Whether an invalidation was expected. It takes one announcement away, a message's first.
    fn expected(&self, mailbox: Mailbox) -> bool {
        let mut expected = lock(&self.expected);
        expected.announced.remove(&mailbox) || expected.deleting.remove(&mailbox)
    }

    fn each(&self, mailbox: Mailbox, how: impl Fn(&mut Rung)) {
        for bell in self.standing().iter().filter(|bell| bell.mailboxes.contains(&mailbox)) {
            bell.ring(&how);
        }
    }

    fn all(&self, how: impl Fn(&mut Rung)) {
        self.standing().iter().for_each(|bell| bell.ring(&how));
    }

    fn standing(&self) -> Vec<Arc<Bell>> {
        lock(&self.hung).iter().filter_map(Weak::upgrade).collect()
    }
}

/// Sets and flags are changed in one step, so a panic elsewhere leaves nothing half-done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: Mailbox = Mailbox([1; 32]);
    const OTHER: Mailbox = Mailbox([2; 32]);

    fn message(mailbox: Mailbox) -> PushInfo {
        let channel = Value::BulkString(keys::channel(mailbox).into_bytes());
        PushInfo { kind: PushKind::Message, data: vec![channel, Value::BulkString(b"1".to_vec())] }
    }

    fn invalidation(mailbox: Mailbox) -> PushInfo {
        let names = vec![Value::BulkString(keys::mail(mailbox).into_bytes())];
        PushInfo { kind: PushKind::Invalidate, data: vec![Value::Array(names)] }
    }

    #[tokio::test]
    async fn an_announced_change_is_a_hint_and_any_other_a_gap() {
        let bells = Bells::default();
        let bell = bells.hang(&[MINE]);
        for push in [message(MINE), message(MINE), invalidation(MINE), message(OTHER), invalidation(OTHER)] {
            bells.pushed(&push);
        }
        assert_eq!(bell.rung().await, Rung { ready: BTreeSet::from([MINE]), gap: false, broken: false });
        bells.pushed(&invalidation(MINE));
        assert_eq!(bell.rung().await, Rung { gap: true, ..Rung::default() });
        bells.deleting(MINE);
        bells.pushed(&message(MINE));
        bells.pushed(&invalidation(MINE));
        assert_eq!(bell.rung().await, Rung { ready: BTreeSet::from([MINE]), ..Rung::default() });
        bells.pushed(&invalidation(MINE));
        bells.pushed(&PushInfo { kind: PushKind::Invalidate, data: vec![Value::Nil] });
        assert_eq!(bell.rung().await, Rung { gap: true, ..Rung::default() });
    }

    #[tokio::test]
    async fn pushes_that_make_no_sense_are_passed_over() {
        let bells = Bells::default();
        let bell = bells.hang(&[MINE]);
        for kind in [PushKind::Message, PushKind::Subscribe, PushKind::Other("x".into())] {
            for data in [vec![], vec![Value::Int(7)], vec![Value::BulkString(vec![0xff; 70])]] {
                bells.pushed(&PushInfo { kind: kind.clone(), data });
            }
        }
        bells.pushed(&PushInfo { kind: PushKind::Invalidate, data: vec![Value::Array(vec![Value::Nil])] });
        bells.broken();
        assert_eq!(bell.rung().await, Rung { broken: true, ..Rung::default() });
    }
}
