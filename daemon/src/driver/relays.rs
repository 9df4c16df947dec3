//! The relays that the driver sends over: attached and detached with their workers, and told to each engine that is made.

use kinfolk_core::ids::{Now, RelayId};
use kinfolk_core::step::Input;

use super::Driver;
use crate::relay::worker;

impl Driver {
    pub(super) fn attach(&mut self, relay: RelayId, worker: worker::Mailroom) {
        self.detach(relay);
        self.relays.insert(relay, worker);
        self.attached.push(relay);
    }

    /// Tells the engine of an attached relay.
    pub(super) fn introduce(&mut self, relay: RelayId, now: Now) {
        self.engine.handle(Input::RelayAdded(relay), now);
        if let Some(worker) = self.relays.get(&relay) {
            self.engine.handle(Input::RelayKeeps { relay, keeps: worker.keeps() }, now);
        }
    }

    pub(super) fn detach(&mut self, relay: RelayId) {
        self.relays.remove(&relay);
        self.attached.retain(|other| *other != relay);
        self.down.remove(&relay);
    }

    /// Remembers what a worker says once, for an engine that is restored later.
    pub(super) fn note_health(&mut self, relay: RelayId, up: bool) {
        if up {
            self.down.remove(&relay);
        } else if self.relays.contains_key(&relay) {
            self.down.insert(relay);
        }
    }
}
