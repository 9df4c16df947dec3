//! Messages, their status and their tombstones, in maps.

use std::collections::{BTreeMap, BTreeSet};

use kinfolk_core::clock::Stamp;
use kinfolk_core::digest::{self, FIELD_POST, FIELD_TOMBSTONE};
use kinfolk_core::ids::{Dot, Hash};
use kinfolk_core::merge::{Timed, post_wins, time_or_stamp, time_wins, value_hash};
use kinfolk_core::op::{Level, MESSAGE_COLLECTION, MessageBody, Op};
use kinfolk_core::step::MessageFact;
use kinfolk_core::stub::Stub;

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
    /// Contents posted under the same id that lost, by their hashes.
    others: BTreeSet<Hash>,
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
    content: Hash,
    /// Whether text and attachments are here.
    whole: bool,
    body: MessageBody,
    leaf: Hash,
}

impl Messages {
    pub(super) fn post(&mut self, origin: Origin<'_>, op: &Op, body: &MessageBody) {
        self.enter(origin, &op.key, body, (Hash::of(&op.payload), value_hash(Some(&op.payload))), true);
    }

    pub(super) fn stub(&mut self, origin: Origin<'_>, id: &str, stub: &Stub) {
        self.enter(origin, id, &stub.post, (stub.content.content, stub.content.value), false);
    }

    fn enter(&mut self, origin: Origin<'_>, id: &str, body: &MessageBody, (content, value): (Hash, Hash), whole: bool) {
        if self.deleted.contains_key(&entity(id)) {
            return;
        }
        let message = self.living.entry(id.to_owned()).or_default();
        let Origin { dot, stamp, .. } = origin;
        let leaf = digest::leaf(entity(id), FIELD_POST, dot, stamp, value);
        let incoming = Post { stamp, dot, content, whole, body: body.clone(), leaf };
        match &message.post {
            Some(current) if !post_wins((incoming.stamp, incoming.dot), (current.stamp, current.dot)) => {
                message.others.insert(incoming.content);
            }
            Some(current) => {
                message.others.insert(current.content);
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
        let content = message.post.as_ref().map(|post| post.content);
        Some(MessageFact { content, levels: message.times(), deleted_us: None })
    }

    /// Whole messages from before an instant, each with the bundle that posted it.
    pub(super) fn older(&self, before_us: i64) -> Vec<(String, Dot)> {
        let posts = self.living.iter().filter_map(|(id, message)| Some((id, message.post.as_ref()?)));
        let old = posts.filter(|(_, post)| post.whole && time_or_stamp(post.body.created_us, post.stamp) < before_us);
        old.map(|(id, post)| (id.clone(), post.dot)).collect()
    }

    /// Contents go from a message.
    pub(super) fn let_go(&mut self, id: &str, left: &MessageBody) {
        if let Some(post) = self.living.get_mut(id).and_then(|message| message.post.as_mut()) {
            (post.whole, post.body) = (false, left.clone());
        }
    }

    /// A content is back.
    pub(super) fn come_back(&mut self, id: &str, whole: &MessageBody) {
        if let Some(post) = self.living.get_mut(id).and_then(|message| message.post.as_mut()) {
            (post.whole, post.body) = (true, whole.clone());
        }
    }

    /// The bundle that posted a message which lacks that content.
    pub(super) fn lean(&self, id: &str, content: Hash) -> Option<Dot> {
        let post = self.living.get(id)?.post.as_ref()?;
        (!post.whole && post.content == content).then_some(post.dot)
    }

    /// The bundle that posted a message whose content is here.
    pub(super) fn whole(&self, id: &str) -> Option<Dot> {
        let post = self.living.get(id)?.post.as_ref()?;
        post.whole.then_some(post.dot)
    }

    /// The messages that lack their content, with its hash.
    pub(super) fn elsewhere(&self) -> impl Iterator<Item = (&str, Hash)> {
        let posts = self.living.iter().filter_map(|(id, message)| Some((id.as_str(), message.post.as_ref()?)));
        posts.filter(|(_, post)| !post.whole).map(|(id, post)| (id, post.content))
    }

    /// Whether that content is here, or of no use.
    pub(super) fn keeps(&self, id: &str, content: Hash) -> bool {
        let post = self.living.get(id).and_then(|message| message.post.as_ref());
        post.is_some_and(|post| post.whole || post.content != content) || self.deleted.contains_key(&entity(id))
    }

    /// How many messages have their content elsewhere.
    pub(super) fn lacking(&self) -> u64 {
        u64::try_from(self.elsewhere().count()).unwrap_or_default()
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
            let elsewhere = (!post.whole).then_some(post.content);
            let shown = ShownMessage { body: post.body.clone(), elsewhere, created_us, levels };
            into.messages.insert(id.clone(), shown);
            into.differing += u64::from(message.others.iter().any(|other| *other != post.content));
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
