//! Contents that are kept elsewhere, in maps.

use kinfolk_core::bundle::Bundle;
use kinfolk_core::ids::{DeviceId, Hash, Seq};
use kinfolk_core::op::{KIND_MESSAGE_POST, MESSAGE_COLLECTION};
use kinfolk_core::step::{Pruning, Word};
use kinfolk_core::stub::{self, Stub};

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

    pub(super) fn word(&mut self, to: DeviceId, word: Option<Word>) -> Held {
        let before = self.words.remove(&to);
        self.words.extend(word.map(|word| (to, word)));
        let known = before.is_some() || word.is_some();
        Broken::unless(known, "only a word that was given ends", || format!("{to}"))
    }
}
