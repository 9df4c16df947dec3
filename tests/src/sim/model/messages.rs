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
    deleted: BTreeMap<Hash, Timed>,
}

#[derive(Clone, Debug, Default)]
struct Message {
    post: Option<Post>,
    /// Contents posted under the same id that lost.
    others: BTreeSet<Vec<u8>>,
    levels: BTreeMap<Level, Timed>,
}

#[derive(Clone, Debug)]
struct Post {
    stamp: Stamp,
    dot: Dot,
    payload: Vec<u8>,
    body: MessageBody,
}

impl Messages {
    pub(super) fn post(&mut self, origin: Origin<'_>, op: &Op, body: &MessageBody) {
        if self.deleted.contains_key(&entity(&op.key)) {
            return;
        }
        let message = self.living.entry(op.key.clone()).or_default();
        let incoming = Post { stamp: origin.stamp, dot: origin.dot, payload: op.payload.clone(), body: body.clone() };
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
        let at = timed(origin, at_us);
        let levels = &mut self.living.entry(id.to_owned()).or_default().levels;
        if levels.get(&level).is_none_or(|current| time_wins(&at, current)) {
            levels.insert(level, at);
        }
    }

    pub(super) fn delete(&mut self, origin: Origin<'_>, id: &str, at_us: Option<i64>) {
        self.living.remove(id);
        let at = timed(origin, at_us);
        if self.deleted.get(&entity(id)).is_none_or(|current| time_wins(&at, current)) {
            self.deleted.insert(entity(id), at);
        }
    }

    pub(super) fn fact(&self, id: &str) -> Option<MessageFact> {
        if let Some(at) = self.deleted.get(&entity(id)) {
            return Some(MessageFact { deleted_us: Some(at.at_us), ..MessageFact::default() });
        }
        let message = self.living.get(id)?;
        let content = message.post.as_ref().map(|post| Hash::of(&post.payload));
        Some(MessageFact { content, levels: message.times(), deleted_us: None })
    }

    pub(super) fn leaves(&self) -> impl Iterator<Item = Hash> {
        let living = self.living.iter().flat_map(|(id, message)| {
            let entity = entity(id);
            let post = message.post.iter().map(move |post| {
                digest::leaf(entity, FIELD_POST, post.dot, post.stamp, value_hash(Some(&post.payload)))
            });
            post.chain(message.levels.iter().map(move |(level, at)| leaf(entity, level.name(), at)))
        });
        living.chain(self.deleted.iter().map(|(entity, at)| leaf(*entity, FIELD_TOMBSTONE, at)))
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
        Level::ALL.map(|level| self.levels.get(&level).map(|at| at.at_us))
    }
}

fn entity(id: &str) -> Hash {
    digest::entity(MESSAGE_COLLECTION, id)
}

fn timed(origin: Origin<'_>, at_us: Option<i64>) -> Timed {
    Timed { at_us: time_or_stamp(at_us, origin.stamp), stamp: origin.stamp, dot: origin.dot }
}

fn leaf(entity: Hash, field: &str, at: &Timed) -> Hash {
    digest::leaf(entity, field, at.dot, at.stamp, at.value_hash())
}
