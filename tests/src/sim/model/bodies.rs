//! Contents that are kept elsewhere, in maps.

use bytes::Bytes;
use kinfolk_core::bundle::Bundle;
use kinfolk_core::contents::{Content, Contents, Wanted};
use kinfolk_core::ids::{DeviceId, Hash, Seq};
use kinfolk_core::op::{KIND_MESSAGE_POST, MESSAGE_COLLECTION, MessageBody};
use kinfolk_core::step::{Pruning, Word};
use kinfolk_core::stub::{self, Stub};
use prost::Message;

use super::{Model, State};
use crate::sim::broken::{Broken, Held};

impl Model {
    /// Whether contents go is a setting: no part of any change.
    pub fn set_prunes(&mut self, prunes: bool) {
        self.prunes = prunes;
    }

    /// Whether that content of a message is here, or is of no use: the message is deleted, or another post has its id.
    pub fn keeps(&self, id: &str, content: Hash) -> bool {
        self.state.messages.keeps(id, content)
    }

    /// What a sibling that asks for contents gets.
    pub fn give(&self, wanted: &[Wanted]) -> Contents {
        let mut contents = Contents::default();
        for Wanted { content, id } in wanted {
            match self.state.whole(id).filter(|payload| Hash::of(payload) == *content) {
                Some(payload) => contents.given.push(Content { id: id.clone(), payload }),
                None => contents.missing.push(Wanted { content: *content, id: id.clone() }),
            }
        }
        contents
    }

    /// The messages that lack their content, with its hash.
    pub fn elsewhere(&self) -> Vec<Wanted> {
        self.state.messages.elsewhere().map(|(id, content)| Wanted { content, id: id.to_owned() }).collect()
    }

    /// How many messages have their content elsewhere.
    pub fn lacking(&self) -> u64 {
        self.state.messages.lacking()
    }
}

impl State {
    pub(super) fn prune(&mut self, pruning: &Pruning) -> Held {
        for (id, dot) in self.messages.older(pruning.before_us) {
            if pruning.upto.get(&dot.source).copied().unwrap_or(Seq::ZERO) < dot.seq {
                continue;
            }
            let Some(logged) = self.log.get_mut(&dot) else {
                return Broken::rule("a message stands in the log", format!("{id} of {dot:?}"));
            };
            let bundle = &logged.bundle;
            let posts = bundle.ops().iter().filter(|op| op.kind == KIND_MESSAGE_POST);
            let mut posts = posts.filter(|op| op.collection == MESSAGE_COLLECTION && op.key == id);
            let payload = posts.next().map(|op| op.payload.clone()).unwrap_or_default();
            let Some(stub) = Stub::of(&payload) else { continue };
            let Some(short) = stub::shorten(&bundle.bytes, &id, &payload) else {
                return Broken::rule("a message is what its bundle says", format!("{id} of {dot:?}"));
            };
            let hash = bundle.hash;
            if let Ok(mut short) = Bundle::rebuild(dot, Hash::default(), short.into()) {
                short.hash = hash;
                logged.bundle = short;
            }
            self.messages.let_go(&id, &stub.post);
        }
        Ok(())
    }

    pub(super) fn put_back(&mut self, contents: &[Content]) -> Held {
        for Content { id, payload } in contents {
            let Some(dot) = self.messages.lean(id, Hash::of(payload)) else { continue };
            let Some(logged) = self.log.get_mut(&dot) else {
                return Broken::rule("a message stands in the log", format!("{id} of {dot:?}"));
            };
            let (hash, body) = (logged.bundle.hash, stub::restore(&logged.bundle.bytes, id, payload));
            let (Some(body), Ok(post)) = (body, MessageBody::decode(payload.as_ref())) else {
                return Broken::rule("a content fits its stub", format!("{id} of {dot:?}"));
            };
            if let Ok(mut whole) = Bundle::rebuild(dot, Hash::default(), body.into()) {
                whole.hash = hash;
                logged.bundle = whole;
            }
            self.messages.come_back(id, &post);
        }
        Ok(())
    }

    /// The payload of a message whose content is here.
    fn whole(&self, id: &str) -> Option<Bytes> {
        let dot = self.messages.whole(id)?;
        let mut ops = self.log.get(&dot)?.bundle.ops().iter().filter(|op| op.kind == KIND_MESSAGE_POST);
        let op = ops.find(|op| op.collection == MESSAGE_COLLECTION && op.key == id)?;
        Some(Bytes::copy_from_slice(&op.payload))
    }

    pub(super) fn word(&mut self, to: DeviceId, word: Option<Word>) -> Held {
        let before = self.words.remove(&to);
        self.words.extend(word.map(|word| (to, word)));
        let known = before.is_some() || word.is_some();
        Broken::unless(known, "only a word that was given ends", || format!("{to}"))
    }
}
