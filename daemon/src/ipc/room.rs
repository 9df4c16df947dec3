//! Room: how much of the daemon's attention a caller may have at a time.
//!
//! Calls that are worked on, streams that are open, and connections each take a [`Place`] for as long as they last. Places are counted four
//! times, so that whoever takes too many is in nobody's way but their own:
//!
//! | whose | calls | streams | connections |
//! |---|---|---|---|
//! | the daemon's, in all | 256 | 256 | 128 |
//! | all apps' together: what remains is the owner's | 192 | 192 | 96 |
//! | one app's; also those of all callers without a token | 64 | 32 | 32 |
//! | one connection's | 128 | 64 | |
//!
//! One too many is told so at once, with the limit that it met; nothing waits in a hidden queue.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ipc_proto::v1::{ErrorCode, ErrorDetail};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::admission::limit;
use super::caller::Caller;

/// A place that somebody has; free again when it is dropped.
pub(super) type Place = OwnedSemaphorePermit;

/// What a place is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A call that is worked on, or whose reply is not taken yet.
    Call,
    /// A stream that has begun.
    Stream,
    /// A connection.
    Connection,
}

/// A number of places of each kind.
#[derive(Clone, Debug)]
pub(super) struct Room {
    places: Arc<[Places; 3]>,
    /// Whose it is, as in "the most for …".
    whose: Arc<str>,
}

#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    most: usize,
}

impl Room {
    /// So many calls, streams and connections.
    pub(super) fn new(whose: &str, [calls, streams, connections]: [usize; 3]) -> Self {
        let places = |most| Places { free: Arc::new(Semaphore::new(most)), most };
        Self { places: Arc::new([places(calls), places(streams), places(connections)]), whose: whose.into() }
    }

    /// All the room that there is.
    pub(super) fn of_the_daemon() -> Self {
        Self::new("the daemon", [MAX_CALLS, MAX_STREAMS, MAX_CONNECTIONS])
    }

    /// The room of one connection.
    pub(super) fn of_a_connection() -> Self {
        Self::new("one connection", [CONNECTION_CALLS, CONNECTION_STREAMS, 1])
    }

    /// Takes a place.
    pub(super) fn take(&self, kind: Kind) -> Result<Place, Full> {
        let places = self.places(kind);
        let full = || Full { kind, most: places.most, whose: Arc::clone(&self.whose) };
        Arc::clone(&places.free).try_acquire_owned().map_err(|_| full())
    }

    /// How many places are taken.
    pub(super) fn taken(&self, kind: Kind) -> usize {
        let places = self.places(kind);
        places.most - places.free.available_permits()
    }

    fn places(&self, kind: Kind) -> &Places {
        let [calls, streams, connections] = &*self.places;
        match kind {
            Kind::Call => calls,
            Kind::Stream => streams,
            Kind::Connection => connections,
        }
    }
}

/// There is no room for one more.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{most} {kind} are the most for {whose}")]
pub(super) struct Full {
    kind: Kind,
    most: usize,
    whose: Arc<str>,
}

impl From<Full> for ErrorDetail {
    fn from(full: Full) -> Self {
        let what = format!("{} of {}", full.kind, full.whose);
        let detail = Self::new(ErrorCode::Busy, full.to_string()).hint(full.kind.hint());
        detail.payload(limit(&what, full.most, full.most + 1))
    }
}

impl From<Full> for Status {
    fn from(full: Full) -> Self {
        ErrorDetail::from(full).into()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call => "calls under way",
            Self::Stream => "open streams",
            Self::Connection => "connections",
        })
    }
}

impl Kind {
    fn hint(self) -> &'static str {
        match self {
            Self::Call => "wait for earlier calls, and take their replies, before you make new ones",
            Self::Stream => "end some of them",
            Self::Connection => "make all calls of a program on one connection, and close those that are not needed",
        }
    }
}

/// What one caller may take: of its own room, and of what it shares with others of its kind. The owner's is the daemon's.
#[derive(Clone, Debug, Default)]
pub(super) struct Share(Vec<Room>);

impl Share {
    /// Takes a place in each of its rooms, or none.
    pub(super) fn take(&self, kind: Kind) -> Result<Vec<Place>, Full> {
        self.0.iter().map(|room| room.take(kind)).collect()
    }
}

/// The shares of all callers.
#[derive(Debug)]
pub(super) struct Shares {
    apps: Room,
    nobody: Room,
    /// By the name of the app: one that is revoked and authorized again does not get a second share.
    each: Mutex<BTreeMap<String, Room>>,
}

impl Shares {
    /// Nobody has taken anything.
    pub(super) fn new() -> Self {
        Self {
            apps: Room::new("all apps together", [APPS_CALLS, APPS_STREAMS, APPS_CONNECTIONS]),
            nobody: Room::new("all callers without a token", APP),
            each: Mutex::default(),
        }
    }

    /// What this caller may take.
    pub(super) fn of(&self, caller: &Caller) -> Share {
        match caller {
            Caller::Owner => Share::default(),
            Caller::Nobody => Share(vec![self.nobody.clone(), self.apps.clone()]),
            Caller::App(app) => Share(vec![self.one(&app.name), self.apps.clone()]),
        }
    }

    fn one(&self, name: &str) -> Room {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = each.get(name) {
            return room.clone();
        }
        // Names of apps that were revoked do not gather.
        each.retain(|_, room| Kind::ALL.iter().any(|kind| room.taken(*kind) > 0));
        let room = Room::new(&format!("the app `{name}`"), APP);
        each.insert(name.to_owned(), room.clone());
        room
    }
}

impl Kind {
    const ALL: [Self; 3] = [Self::Call, Self::Stream, Self::Connection];
}

/// Most calls at a time. An import keeps 64 pushes under way.
const MAX_CALLS: usize = 256;
/// Most streams: each of 128 connections has two. At worst 5 events of 1 MiB wait in each until its client is found too slow.
pub(super) const MAX_STREAMS: usize = 256;
/// Most connections at a time: 64 busy clients, and as many again. A program needs one.
pub(super) const MAX_CONNECTIONS: usize = 128;
/// Three quarters of everything are the most that apps can take.
const APPS_CALLS: usize = MAX_CALLS / 4 * 3;
const APPS_STREAMS: usize = MAX_STREAMS / 4 * 3;
const APPS_CONNECTIONS: usize = MAX_CONNECTIONS / 4 * 3;
/// Calls, streams and connections of one app.
pub(super) const APP: [usize; 3] = [64, 32, 32];
/// Most calls on one connection; with its streams fewer than HTTP/2 lets it begin, so that one too many is told so.
pub(super) const CONNECTION_CALLS: usize = 128;
/// Most streams on one connection.
pub(super) const CONNECTION_STREAMS: usize = 64;

#[cfg(test)]
mod tests {
    use ipc_proto::v1::error_detail::Payload;

    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_dropped_and_one_too_many_names_its_limit() {
        let room = Room::new("the app `notes`", [2, 1, 1]);
        let places = [room.take(Kind::Call).unwrap(), room.take(Kind::Call).unwrap()];
        let refused = ErrorDetail::from(room.take(Kind::Call).unwrap_err());
        assert_eq!((refused.code.as_str(), refused.retryable), ("busy", true));
        assert_eq!(refused.message, "2 calls under way are the most for the app `notes`");
        assert!(refused.hint.contains("wait for earlier calls"), "{}", refused.hint);
        let Some(Payload::Limit(limit)) = refused.payload else { panic!("no limit is named") };
        assert_eq!((limit.what.as_str(), limit.limit, limit.actual), ("calls under way of the app `notes`", 2, 3));
        assert!(room.take(Kind::Stream).is_ok(), "another kind has places of its own");
        drop(places);
        assert_eq!(room.taken(Kind::Call), 0);
        assert!(room.take(Kind::Call).is_ok());
    }

    #[test]
    fn all_apps_together_leave_room_for_the_owner() {
        let shares = Shares::new();
        let (mut taken, mut refusal) = (Vec::new(), None);
        for name in ["a", "b", "c", "d", "e", "f", "g"] {
            let share = Share(vec![shares.one(name), shares.apps.clone()]);
            let mut own = 0;
            refusal = loop {
                match share.take(Kind::Stream) {
                    Ok(places) => taken.push(places),
                    Err(refused) => break Some(refused.to_string()),
                }
                own += 1;
            };
            assert!(own <= APP[1]);
        }
        assert_eq!(taken.len(), APPS_STREAMS);
        assert_eq!(refusal.unwrap(), "192 open streams are the most for all apps together");
        let daemon = Room::of_the_daemon();
        assert!(MAX_STREAMS > taken.len() && daemon.take(Kind::Stream).is_ok());
        assert!(shares.of(&Caller::Owner).take(Kind::Stream).unwrap().is_empty(), "the owner shares with nobody");
    }

    #[test]
    fn an_app_keeps_its_room_while_it_uses_it_and_names_do_not_gather() {
        let shares = Shares::new();
        let place = shares.one("busy").take(Kind::Call).unwrap();
        for n in 0..10 {
            shares.one(&n.to_string());
        }
        assert_eq!(shares.one("busy").taken(Kind::Call), 1);
        assert_eq!(shares.each.lock().unwrap().len(), 2, "the busy one and the last");
        drop(place);
    }

    #[test]
    fn a_share_takes_all_of_its_places_or_none() {
        let (own, all) = (Room::new("one", [5, 5, 5]), Room::new("all", [1, 1, 1]));
        let share = Share(vec![own.clone(), all]);
        let first = share.take(Kind::Connection).unwrap();
        assert!(share.take(Kind::Connection).is_err());
        assert_eq!(own.taken(Kind::Connection), 1, "what was taken before the refusal is given back");
        drop(first);
    }
}
