//! Who makes a call, and which names it may touch.
//!
//! The door puts a [`Caller`] into each request. A request without one was let in by nobody, and its caller is nobody. What an app names
//! is held against its grants here, where it is read or written:
//!
//! - collections and conversations by their names;
//! - a message that is only named by its id, by the conversation it is in. Of one that is elsewhere an app learns no more than of one
//!   that does not exist;
//! - numbered pushes under the app's own name: two apps that call their source the same do not count each other's bundles.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipc_proto::v1::{ErrorCode, ErrorDetail};
use kinfolk_core::op::{CONVERSATION_COLLECTION, MESSAGE_COLLECTION, Meaning, Op, POLICY_COLLECTION};
use tokio::sync::watch::Receiver;
use tonic::{Request, Status};

use super::methods::Needs;
use super::read;
use crate::apps::{App, Scope};
use crate::store::Reader;

/// Who makes a call.
#[derive(Clone, Debug, Default)]
pub(super) enum Caller {
    /// Someone with the owner's user and nothing to show.
    #[default]
    Nobody,
    /// A program of the owner's.
    Owner,
    /// An app with a token.
    App(Arc<App>),
}

impl Caller {
    /// Who makes this call.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// Whether it may make a call that asks for this, whatever the call then touches.
    pub(super) fn may(&self, needs: Needs) -> Result<(), Status> {
        let app = match (self, needs) {
            (_, Needs::Nothing) | (Self::Owner, _) => return Ok(()),
            (Self::Nobody, _) => return Err(unknown(NOTHING_SHOWN).into()),
            (Self::App(app), _) => app,
        };
        let (offered, what) = match needs {
            Needs::Nothing => (true, String::new()),
            Needs::Collections(scope) => (app.collections.offers(scope), format!("{} any collection", verb(scope))),
            Needs::Conversations(scope) => {
                (app.conversations.offers(scope), format!("{} any conversation", verb(scope)))
            }
            Needs::Any(scope) => {
                (app.collections.offers(scope) || app.conversations.offers(scope), format!("{} anything", verb(scope)))
            }
            Needs::Owner => (false, "make the owner's calls".into()),
        };
        if offered { Ok(()) } else { Err(denied(app, &what).into()) }
    }

    /// Whether it may do this to records of that collection.
    pub(super) fn collection(&self, name: &str, scope: Scope) -> Result<(), Status> {
        self.no_collection(name, scope).map_or(Ok(()), |refused| Err(refused.into()))
    }

    /// Whether it may do this to messages of that conversation.
    pub(super) fn conversation(&self, name: &str, scope: Scope) -> Result<(), Status> {
        self.no_conversation(name, scope).map_or(Ok(()), |refused| Err(refused.into()))
    }

    /// Why it may not do this to records of that collection.
    fn no_collection(&self, name: &str, scope: Scope) -> Option<ErrorDetail> {
        match self {
            Self::Owner => None,
            Self::App(app) if app.collections.allows(name, scope) => None,
            Self::App(app) => Some(denied(app, &format!("{} the collection `{}`", verb(scope), name.escape_debug()))),
            Self::Nobody => Some(unknown(NOTHING_SHOWN)),
        }
    }

    /// Why it may not do this to messages of that conversation.
    fn no_conversation(&self, name: &str, scope: Scope) -> Option<ErrorDetail> {
        match self {
            Self::Owner => None,
            Self::App(app) if app.conversations.allows(name, scope) => None,
            Self::App(app) => Some(denied(app, &format!("{} the conversation `{}`", verb(scope), name.escape_debug()))),
            Self::Nobody => Some(unknown(NOTHING_SHOWN)),
        }
    }

    /// Whether it may do what these ops do. The first one that it may not do is named.
    pub(super) async fn may_push(&self, reader: &Reader, ops: &[Op]) -> Result<(), Status> {
        if matches!(self, Self::Owner) {
            return Ok(());
        }
        let mut posted = BTreeSet::new();
        for (index, op) in (0..).zip(ops) {
            let refused = match op.meaning() {
                Meaning::MessagePost(body) => {
                    posted.insert(op.key.as_str());
                    self.no_conversation(&body.conversation, Scope::Write)
                }
                Meaning::MessageStatus(..) | Meaning::MessageDelete(_) => {
                    let found = posted.contains(op.key.as_str()) || self.reaches(reader, &op.key).await?;
                    let missing = "there is no such message in a conversation that this app may write";
                    (!found).then(|| ErrorDetail::new(ErrorCode::NotFound, missing))
                }
                // What is known of a conversation belongs to it, and its policy to a collection.
                Meaning::RecordPut if op.collection == CONVERSATION_COLLECTION => {
                    self.no_conversation(&op.key, Scope::Write)
                }
                Meaning::RecordPut if op.collection == POLICY_COLLECTION => self.no_collection(&op.key, Scope::Write),
                // What the engine refuses is refused with its reason there; nothing of it takes effect.
                Meaning::MessageStub(_)
                | Meaning::RecordPut
                | Meaning::RecordDelete
                | Meaning::Unknown
                | Meaning::Invalid(_) => {
                    let is_record = op.collection != MESSAGE_COLLECTION;
                    is_record.then(|| self.no_collection(&op.collection, Scope::Write)).flatten()
                }
            };
            if let Some(refused) = refused {
                return Err(refused.at_op(index).into());
            }
        }
        Ok(())
    }

    /// Whether the message of that id lies where it may write. One that is not here does not lie elsewhere.
    async fn reaches(&self, reader: &Reader, id: &str) -> Result<bool, Status> {
        let app = match self {
            Self::Owner => return Ok(true),
            Self::Nobody => return Ok(false),
            Self::App(app) => app,
        };
        let id = id.to_owned();
        let found = read(reader, move |reader| reader.message(&id)).await?;
        Ok(found.is_none_or(|message| app.conversations.allows(&message.body.conversation, Scope::Write)))
    }

    /// Becomes true when the caller may do nothing any more; `None` for one that always may.
    pub(super) fn revocation(&self) -> Option<Receiver<bool>> {
        match self {
            Self::Owner | Self::Nobody => None,
            Self::App(app) => Some(app.revocation()),
        }
    }

    /// Under which name the caller's own numbers of bundles, and its cursors, are kept.
    pub(super) fn stamp(&self, source: &str) -> String {
        match self {
            Self::Owner | Self::Nobody => source.to_owned(),
            Self::App(app) => format!("{STAMP}{}/{source}", app.name),
        }
    }
}

/// The name as the caller gave it.
pub(super) fn unstamped(source: &str) -> &str {
    let stamped = source.strip_prefix(STAMP).and_then(|source| source.split_once('/'));
    stamped.map_or(source, |(_, source)| source)
}

const NOTHING_SHOWN: &str = "this call needs a token";
/// How stamped names begin. No name that is given begins so.
pub(super) const STAMP: char = '@';

/// Someone who showed nothing, or nothing that is known.
pub(super) fn unknown(what: &str) -> ErrorDetail {
    ErrorDetail::new(ErrorCode::Unauthenticated, what).hint(
        "an app gets a token with `kin apps authorize` and sends it as the metadata `authorization: Bearer TOKEN`; the \
         owner's programs send the one in the file `admin.token` (`kin paths` says where the state is)",
    )
}

fn denied(app: &App, what: &str) -> ErrorDetail {
    ErrorDetail::new(ErrorCode::PermissionDenied, format!("the app `{}` may not {what}", app.name))
        .hint("`kin apps list` shows what it may; to change that, revoke it and authorize it again")
}

fn verb(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Write => "write",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::error::code;

    #[test]
    fn a_stamped_name_is_another_one_for_each_app_and_shown_as_it_was_given() {
        assert_eq!(unstamped("@notes/bridge"), "bridge");
        assert_eq!(unstamped("@notes/a/b"), "a/b");
        assert_eq!(unstamped("bridge"), "bridge");
        assert_eq!(Caller::Owner.stamp("bridge"), "bridge");
    }

    #[test]
    fn nobody_may_make_only_what_asks_for_nothing() {
        assert!(Caller::Nobody.may(Needs::Nothing).is_ok());
        let all = [
            Needs::Collections(Scope::Read),
            Needs::Conversations(Scope::Read),
            Needs::Any(Scope::Write),
            Needs::Owner,
        ];
        for needs in all {
            assert_eq!(code(&Caller::Nobody.may(needs).unwrap_err()), "unauthenticated");
            assert!(Caller::Owner.may(needs).is_ok());
        }
        assert!(Caller::Nobody.collection("notes", Scope::Read).is_err());
        assert!(Caller::Nobody.conversation("family", Scope::Read).is_err());
    }
}
