//! What a watch is about: what was asked for, within what the caller may read.

use std::collections::BTreeSet;

use tonic::Status;

use crate::apps::{Grant, Scope};
use crate::ipc::caller::Caller;
use crate::ipc::convert::invalid;

/// Most names in a filter.
pub(in crate::ipc) const MAX_FILTER: usize = 256;

/// What a watch is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::ipc) struct Filter {
    /// By collection.
    records: Names,
    /// By conversation.
    messages: Names,
    /// Whether also what is not understood.
    unknown: bool,
}

/// A set of names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::ipc) enum Names {
    /// None.
    None,
    /// All there are.
    All,
    /// These.
    Named(BTreeSet<String>),
    /// Those that an app may read.
    Granted(Grant),
}

impl Names {
    /// Whether it has no name at all.
    fn is_empty(&self) -> bool {
        match self {
            Self::None => true,
            Self::All => false,
            Self::Named(names) => names.is_empty(),
            Self::Granted(grant) => grant.prefixes.is_empty(),
        }
    }

    /// Whether the set has this name.
    pub(in crate::ipc) fn has(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Named(names) => names.contains(name),
            Self::Granted(grant) => grant.covers(name),
        }
    }
}

impl Filter {
    /// `Records.Watch`: the records of these collections; without any, all that the caller may read.
    pub(in crate::ipc) fn records(collections: &[String], caller: &Caller) -> Result<Self, Status> {
        let names = names(collections)?;
        for name in &names {
            caller.collection(name, Scope::Read)?;
        }
        if !names.is_empty() {
            return Ok(Self { records: Names::Named(names), messages: Names::None, unknown: false });
        }
        Ok(match caller {
            Caller::Owner => Self { records: Names::All, messages: Names::All, unknown: true },
            Caller::App(app) => Self {
                records: Names::Granted(app.collections.clone()),
                messages: Names::Granted(app.conversations.clone()),
                unknown: false,
            },
            Caller::Nobody => Self { records: Names::None, messages: Names::None, unknown: false },
        })
    }

    /// `Conversations.Watch`: the messages of these conversations; without any, of all that the caller may read.
    pub(in crate::ipc) fn messages(conversations: &[String], caller: &Caller) -> Result<Self, Status> {
        let names = names(conversations)?;
        for name in &names {
            caller.conversation(name, Scope::Read)?;
        }
        let messages = if names.is_empty() { readable(caller) } else { Names::Named(names) };
        Ok(Self { records: Names::None, messages, unknown: false })
    }

    /// Whether it lets records of that collection through.
    pub(in crate::ipc) fn has_record(&self, collection: &str) -> bool {
        self.records.has(collection)
    }

    /// Whether it lets messages of that conversation through.
    pub(in crate::ipc) fn has_message(&self, conversation: &str) -> bool {
        self.messages.has(conversation)
    }

    /// Whether it lets any message through.
    pub(in crate::ipc) fn has_messages(&self) -> bool {
        !self.messages.is_empty()
    }

    /// Whether it lets through what is not understood here.
    pub(in crate::ipc) fn has_unknown(&self) -> bool {
        self.unknown
    }

    /// The collections that were named, if it is about those only.
    pub(in crate::ipc) fn collections(&self) -> Option<&BTreeSet<String>> {
        match &self.records {
            Names::Named(names) => Some(names),
            Names::None | Names::All | Names::Granted(_) => None,
        }
    }
}

/// The conversations that a caller may read.
pub(in crate::ipc) fn readable(caller: &Caller) -> Names {
    match caller {
        Caller::Owner => Names::All,
        Caller::App(app) => Names::Granted(app.conversations.clone()),
        Caller::Nobody => Names::None,
    }
}

fn names(names: &[String]) -> Result<BTreeSet<String>, Status> {
    if names.len() > MAX_FILTER {
        return Err(invalid(format!("a filter has at most {MAX_FILTER} names, this one has {}", names.len())).into());
    }
    Ok(names.iter().cloned().collect())
}
