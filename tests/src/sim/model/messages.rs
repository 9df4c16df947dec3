//! Messages, their status and their tombstones, in maps.

use std::collections::{BTreeMap, BTreeSet};

use kinfolk_core::clock::Stamp;
use kinfolk_core::digest::{self, FIELD_POST, FIELD_TOMBSTONE};
use kinfolk_core::ids::{Dot, Hash};
use kinfolk_core::merge::{Timed, post_wins, time_or_stamp, time_wins, value_hash};
use kinfolk_core::op::{Level, MESSAGE_COLLECTION, MessageBody, Op};
use kinfolk_core::step::MessageFact;

use super::shown::ShownMessage;
use super::{Origin, Shown};

#[derive(Clone, Debug, Default)]
pub(super) struct Messages {
    living: BTreeMap<String, Message>,
    deleted: BTreeMap<Hash, Mark>,
}

#[derive(Clone, Debug, Default)]
struct Message {
    post: Option<Post>,
    /// Contents posted under the same id that lost.
    others: BTreeSet<Vec<u8>>,
    levels: BTreeMap<Level, Mark>,
}

/// A time with its leaf of the digest. Hashing is most of a digest: each leaf is hashed once.
#[derive(Clone, Debug)]
struct Mark {
    at: Timed,
    leaf: Hash,
}

#[derive(Clone, Debug)]
struct Post {
    stamp: Stamp,
    dot: Dot,
    payload: Vec<u8>,
    body: MessageBody,
    leaf: Hash,
}

impl Messages {
    pub(super) fn post(&mut self, origin: Origin<'_>, op: &Op, body: &MessageBody) {
        if self.deleted.contains_key(&entity(&op.key)) {
            return;
        }
        let message = self.living.entry(op.key.clone()).or_default();
        let Origin { dot, stamp, .. } = origin;
        let leaf = digest::leaf(entity(&op.key), FIELD_POST, dot, stamp, value_hash(Some(&op.payload)));
        let incoming = Post { stamp, dot, payload: op.payload.clone(), body: body.clone(), leaf };
        match &message.post {
            Some(current) if !post_wins((incoming.stamp, incoming.dot), (current.stamp, current.dot)) => {
                message.others.insert(incoming.payload);
            }
            Some(current) => {
                message.others.insert(current.payload.clone());
                message.post = Some(incoming);
            }
            None => message.post = Some(incoming),
        }
    }

    pub(super) fn status(&mut self, origin: Origin<'_>, id: &str, level: Level, at_us: Option<i64>) {
        if self.deleted.contains_key(&entity(id)) {
            return;
        }
        let mark = Mark::of(entity(id), level.name(), origin, at_us);
        let levels = &mut self.living.entry(id.to_owned()).or_default().levels;
        if levels.get(&level).is_none_or(|current| time_wins(&mark.at, &current.at)) {
            levels.insert(level, mark);
        }
    }

    pub(super) fn delete(&mut self, origin: Origin<'_>, id: &str, at_us: Option<i64>) {
        self.living.remove(id);
        let mark = Mark::of(entity(id), FIELD_TOMBSTONE, origin, at_us);
        if self.deleted.get(&entity(id)).is_none_or(|current| time_wins(&mark.at, &current.at)) {
            self.deleted.insert(entity(id), mark);
        }
    }

    pub(super) fn fact(&self, id: &str) -> Option<MessageFact> {
        if let Some(mark) = self.deleted.get(&entity(id)) {
            return Some(MessageFact { deleted_us: Some(mark.at.at_us), ..MessageFact::default() });
        }
        let message = self.living.get(id)?;
        let content = message.post.as_ref().map(|post| Hash::of(&post.payload));
        Some(MessageFact { content, levels: message.times(), deleted_us: None })
    }

    pub(super) fn leaves(&self) -> impl Iterator<Item = Hash> {
        let living = self.living.values().flat_map(|message| {
            let post = message.post.iter().map(|post| post.leaf);
            post.chain(message.levels.values().map(|mark| mark.leaf))
        });
        living.chain(self.deleted.values().map(|mark| mark.leaf))
    }

    pub(super) fn show(&self, into: &mut Shown) {
        for (id, message) in &self.living {
            let Some(post) = &message.post else { continue };
            let created_us = time_or_stamp(post.body.created_us, post.stamp);
            let levels = message.times();
            let conversation = into.conversations.entry(post.body.conversation.clone()).or_default();
            conversation.messages += 1;
            conversation.unread += u64::from(!post.body.outbound && !message.levels.contains_key(&Level::Read));
            let last = (created_us, id.clone());
            conversation.last = conversation.last.clone().max(last);
            let shown = ShownMessage { body: post.body.clone(), created_us, levels };
            into.messages.insert(id.clone(), shown);
            into.differing += u64::from(message.others.iter().any(|other| *other != post.payload));
        }
    }
}

impl Message {
    fn times(&self) -> [Option<i64>; 3] {
        Level::ALL.map(|level| self.levels.get(&level).map(|mark| mark.at.at_us))
    }
}

fn entity(id: &str) -> Hash {
    digest::entity(MESSAGE_COLLECTION, id)
}

impl Mark {
    fn of(entity: Hash, field: &str, origin: Origin<'_>, at_us: Option<i64>) -> Self {
        let Origin { dot, stamp, .. } = origin;
        let at = Timed { at_us: time_or_stamp(at_us, stamp), stamp, dot };
        Self { at, leaf: digest::leaf(entity, field, dot, stamp, at.value_hash()) }
    }
}
