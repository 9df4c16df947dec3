//! What each call asks of its caller. A call that does not stand here is answered to nobody.
//!
//! This table decides whether a caller may make a call at all; what the call then touches is decided by name, in [`super::caller`].

use crate::apps::Scope;

/// What a call asks of an app. The owner may make every call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Needs {
    /// Nothing: whoever reaches the socket.
    Nothing,
    /// Some collection in that scope.
    Collections(Scope),
    /// Some conversation in that scope.
    Conversations(Scope),
    /// A collection or a conversation in that scope.
    Any(Scope),
    /// It is the owner's alone.
    Owner,
}

/// What the call at this path asks of its caller; `None` when there is no such call.
pub(super) fn needs(path: &str) -> Option<Needs> {
    if OPEN.iter().any(|service| path.starts_with(service)) {
        return Some(Needs::Nothing);
    }
    METHODS.iter().find(|(method, _)| *method == path).map(|(_, needs)| *needs)
}

/// Standard services: they say what there is, not what is in it.
const OPEN: &[&str] =
    &["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

/// Every call of the local API.
const METHODS: &[(&str, Needs)] = &[
    ("/kinfolk.v1.Info/GetInfo", Needs::Nothing),
    ("/kinfolk.v1.Records/Push", Needs::Any(Scope::Write)),
    ("/kinfolk.v1.Records/Get", Needs::Collections(Scope::Read)),
    ("/kinfolk.v1.Records/List", Needs::Collections(Scope::Read)),
    ("/kinfolk.v1.Records/History", Needs::Collections(Scope::Read)),
    ("/kinfolk.v1.Records/Undo", Needs::Collections(Scope::Write)),
    ("/kinfolk.v1.Records/ListConflicts", Needs::Collections(Scope::Read)),
    ("/kinfolk.v1.Records/GetConflict", Needs::Collections(Scope::Read)),
    ("/kinfolk.v1.Records/ResolveConflict", Needs::Collections(Scope::Write)),
    ("/kinfolk.v1.Records/WatchConflicts", Needs::Collections(Scope::Read)),
    ("/kinfolk.v1.Records/GetPolicy", Needs::Collections(Scope::Read)),
    ("/kinfolk.v1.Records/SetPolicy", Needs::Collections(Scope::Write)),
    ("/kinfolk.v1.Records/Watch", Needs::Any(Scope::Read)),
    ("/kinfolk.v1.Records/Pull", Needs::Any(Scope::Read)),
    ("/kinfolk.v1.Records/Snapshot", Needs::Any(Scope::Read)),
    ("/kinfolk.v1.Records/Ack", Needs::Any(Scope::Read)),
    ("/kinfolk.v1.Conversations/Post", Needs::Conversations(Scope::Write)),
    ("/kinfolk.v1.Conversations/SetStatus", Needs::Conversations(Scope::Write)),
    ("/kinfolk.v1.Conversations/Delete", Needs::Conversations(Scope::Write)),
    ("/kinfolk.v1.Conversations/SetMetadata", Needs::Conversations(Scope::Write)),
    ("/kinfolk.v1.Conversations/MarkRead", Needs::Conversations(Scope::Write)),
    ("/kinfolk.v1.Conversations/SetReadMarkers", Needs::Owner),
    ("/kinfolk.v1.Conversations/GetConversation", Needs::Conversations(Scope::Read)),
    ("/kinfolk.v1.Conversations/GetMessage", Needs::Conversations(Scope::Read)),
    ("/kinfolk.v1.Conversations/ListConversations", Needs::Conversations(Scope::Read)),
    ("/kinfolk.v1.Conversations/ListMessages", Needs::Conversations(Scope::Read)),
    ("/kinfolk.v1.Conversations/Search", Needs::Conversations(Scope::Read)),
    ("/kinfolk.v1.Conversations/Watch", Needs::Conversations(Scope::Read)),
    ("/kinfolk.v1.Admin/Init", Needs::Owner),
    ("/kinfolk.v1.Admin/GetStatus", Needs::Owner),
    ("/kinfolk.v1.Admin/WatchStatus", Needs::Owner),
    ("/kinfolk.v1.Admin/SyncNow", Needs::Owner),
    ("/kinfolk.v1.Admin/SetSyncMode", Needs::Owner),
    ("/kinfolk.v1.Admin/ListDevices", Needs::Owner),
    ("/kinfolk.v1.Admin/RenameDevice", Needs::Owner),
    ("/kinfolk.v1.Admin/RevokeDevice", Needs::Owner),
    ("/kinfolk.v1.Admin/PairShow", Needs::Owner),
    ("/kinfolk.v1.Admin/PairConfirm", Needs::Owner),
    ("/kinfolk.v1.Admin/Join", Needs::Owner),
    ("/kinfolk.v1.Admin/AddRelay", Needs::Owner),
    ("/kinfolk.v1.Admin/ListRelays", Needs::Owner),
    ("/kinfolk.v1.Admin/TestRelay", Needs::Owner),
    ("/kinfolk.v1.Admin/RemoveRelay", Needs::Owner),
    ("/kinfolk.v1.Admin/StoreVerify", Needs::Owner),
    ("/kinfolk.v1.Admin/StoreCompare", Needs::Owner),
    ("/kinfolk.v1.Admin/StoreCompact", Needs::Owner),
    ("/kinfolk.v1.Admin/StorePrune", Needs::Owner),
    ("/kinfolk.v1.Admin/SetRetention", Needs::Owner),
    ("/kinfolk.v1.Admin/ListQuarantine", Needs::Owner),
    ("/kinfolk.v1.Admin/RetryQuarantine", Needs::Owner),
    ("/kinfolk.v1.Admin/DropQuarantine", Needs::Owner),
    ("/kinfolk.v1.Admin/Explain", Needs::Owner),
    ("/kinfolk.v1.Admin/Export", Needs::Owner),
    ("/kinfolk.v1.Admin/AuthorizeApp", Needs::Owner),
    ("/kinfolk.v1.Admin/ListApps", Needs::Owner),
    ("/kinfolk.v1.Admin/RevokeApp", Needs::Owner),
    ("/kinfolk.v1.Admin/Shutdown", Needs::Owner),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_call_of_the_contract_is_in_the_table_and_nothing_else() {
        let files = FileDescriptorSet::decode(ipc_proto::DESCRIPTORS).unwrap().file;
        let services = files.iter().flat_map(|file| file.service.iter().map(move |service| (file.package(), service)));
        let calls: BTreeSet<String> = services
            .flat_map(|(package, service)| {
                service.method.iter().map(move |method| format!("/{package}.{}/{}", service.name(), method.name()))
            })
            .collect();
        let table: BTreeSet<String> = METHODS.iter().map(|(method, _)| (*method).to_owned()).collect();
        assert_eq!(table, calls);
        assert_eq!(table.len(), METHODS.len(), "each once");
    }

    #[test]
    fn the_owners_service_is_the_owners_alone() {
        for (method, needs) in METHODS.iter().filter(|(method, _)| method.starts_with("/kinfolk.v1.Admin/")) {
            assert_eq!(*needs, Needs::Owner, "{method}");
        }
        for (method, needs) in METHODS.iter().filter(|(method, _)| !method.starts_with("/kinfolk.v1.Info/")) {
            assert_ne!(*needs, Needs::Nothing, "{method}");
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_no_call() {
        for path in [
            "",
            "/",
            "/kinfolk.v1.Admin/",
            "/kinfolk.v1.Admin/init",
            "/kinfolk.v2.Info/GetInfo",
            "/grpc.health.v1.Health",
        ] {
            assert_eq!(needs(path), None, "{path}");
        }
        assert_eq!(needs("/grpc.health.v1.Health/Check"), Some(Needs::Nothing));
    }
}
