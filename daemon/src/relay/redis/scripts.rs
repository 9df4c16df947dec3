//! The Lua that runs inside the server, where a call is atomic.
//!
//! Each connection loads all scripts and then names them by the hash the server gave. A server that forgot them says so before anything ran,
//! and gets them again.

/// A script.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Script {
    /// Leaves envelopes in one mailbox.
    Put,
    /// Reads a page from many mailboxes.
    Fetch,
    /// Deletes what was collected.
    Acknowledge,
    /// Deletes what is old.
    Sweep,
}

impl Script {
    /// All of them, in the order in which they are loaded.
    pub(super) const ALL: [Self; 4] = [Self::Put, Self::Fetch, Self::Acknowledge, Self::Sweep];

    /// Its text.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Put => include_str!("put.lua"),
            Self::Fetch => include_str!("fetch.lua"),
            Self::Acknowledge => include_str!("acknowledge.lua"),
            Self::Sweep => include_str!("sweep.lua"),
        }
    }
}

/// What a server calls the scripts.
#[derive(Clone, Debug, Default)]
pub(super) struct Names([String; Script::ALL.len()]);

impl Names {
    /// From what a server said when it loaded them, in the order of [`Script::ALL`].
    pub(super) fn new(names: [String; Script::ALL.len()]) -> Self {
        Self(names)
    }

    /// The name of one.
    pub(super) fn of(&self, script: Script) -> &str {
        let [put, fetch, acknowledge, sweep] = &self.0;
        match script {
            Script::Put => put,
            Script::Fetch => fetch,
            Script::Acknowledge => acknowledge,
            Script::Sweep => sweep,
        }
    }
}
