//! Pushes: the ops an app asks for, as ops of the protocol, one for one.
//!
//! **Ids of messages.** A post without id gets one here. When the app names its bundle, the id is derived from that name and the op's
//! place, so that a retry is the same push and is recognised; else it is random.

use std::collections::BTreeMap;

use ipc_proto::v1::{self, ConflictPolicy, ErrorCode, ErrorDetail, OpResult, op};
use kinfolk_core::ids::{BundleSeq, Hash};
use kinfolk_core::op::{MAX_COLLECTION, Op, POLICY_COLLECTION};
use kinfolk_core::step::{AppBundle, Pushed};
use kinfolk_core::value::Value;
use tonic::Status;
use uuid::Uuid;

use super::{conversation, invalid, message, value};
use crate::ipc::admission::limit;
use crate::ipc::caller::{Caller, STAMP};
use crate::store::Policy;

/// Most ops in one push of the API.
const MAX_OPS: usize = 5_000;
/// Longest name of an app's source, in bytes.
const MAX_SOURCE: usize = 128;

/// A push in terms of the protocol.
#[derive(Debug, Default)]
pub(in crate::ipc) struct Asked {
    /// What to push, in the order of the request.
    pub(in crate::ipc) ops: Vec<Op>,
    /// The app's name for it.
    pub(in crate::ipc) app: Option<AppBundle>,
    /// The versions that records are to have, by the number of the op.
    pub(in crate::ipc) bases: BTreeMap<usize, BundleSeq>,
    /// Who asks.
    pub(in crate::ipc) caller: Caller,
    /// For each op, the id of the message it posts; else empty.
    posted: Vec<String>,
}

impl Asked {
    /// Reads a request.
    pub(in crate::ipc) fn read(request: v1::PushRequest, caller: Caller) -> Result<Self, Status> {
        let app = read_app(request.source_id, request.source_bundle_id, request.stamp, &caller)?;
        if request.ops.len() > MAX_OPS {
            let message = format!("a push has at most {MAX_OPS} ops, this one has {}", request.ops.len());
            let detail = ErrorDetail::new(ErrorCode::TooLarge, message).hint("split it");
            return Err(detail.payload(limit("ops of a push", MAX_OPS, request.ops.len())).into());
        }
        let mut asked = Self { ops: Vec::with_capacity(request.ops.len()), app, caller, ..Self::default() };
        for (place, op) in (0..).zip(request.ops) {
            asked.add(op, place).map_err(|rule| invalid(format!("op {place}: {rule}")).at_op(place))?;
        }
        Ok(asked)
    }

    /// A push of one op.
    pub(in crate::ipc) fn one(op: op::Op, caller: Caller) -> Result<Self, Status> {
        let mut asked = Self { caller, ..Self::default() };
        asked.add(v1::Op { op: Some(op) }, 0).map_err(invalid)?;
        Ok(asked)
    }

    /// What became of each op.
    pub(in crate::ipc) fn results(self, pushed: &Pushed) -> Vec<OpResult> {
        let changed = pushed.changed.iter().copied().chain(std::iter::repeat(true));
        self.posted
            .into_iter()
            .zip(changed)
            .map(|(message_id, changed)| OpResult { no_op: !changed, message_id })
            .collect()
    }

    fn add(&mut self, op: v1::Op, place: u32) -> Result<(), &'static str> {
        let mut posted = String::new();
        let mut base = None;
        let op = match op.op.ok_or("it does nothing")? {
            op::Op::PutRecord(put) => {
                ours(&put.collection)?;
                base = put.base_row_version;
                let mut fields = Vec::with_capacity(put.fields.len() + put.clear_fields.len());
                for (name, given) in put.fields {
                    fields.push((name, Some(value::read(given)?)));
                }
                fields.extend(put.clear_fields.into_iter().map(|name| (name, None)));
                Op::record_put(&put.collection, &put.key, fields)
            }
            op::Op::DeleteRecord(delete) => {
                ours(&delete.collection)?;
                base = delete.base_row_version;
                Op::record_delete(&delete.collection, &delete.key)
            }
            op::Op::PostMessage(mut post) => {
                posted = std::mem::take(&mut post.id);
                if posted.is_empty() {
                    posted = self.app.as_ref().map_or_else(random_id, |app| derived_id(app, place));
                }
                Op::message_post(&posted, &message::read(post)?)
            }
            op::Op::SetMessageStatus(set) => {
                let level = message::level(v1::MessageStatus::try_from(set.status).unwrap_or_default())?;
                Op::message_status(&set.id, level, set.at_us)
            }
            op::Op::DeleteMessage(delete) => Op::message_delete(&delete.id, delete.at_us),
            op::Op::SetConversation(set) => conversation::read(set)?,
            op::Op::SetPolicy(set) => policy(&set)?,
        };
        self.bases.extend(base.map(|base| (self.ops.len(), BundleSeq(base))));
        self.ops.push(op);
        self.posted.push(posted);
        Ok(())
    }
}

fn read_app(source: String, id: u64, stamp: Option<u64>, caller: &Caller) -> Result<Option<AppBundle>, Status> {
    match (source.len(), id) {
        (0, 0) if stamp.is_none() => Ok(None),
        (0, 0) => Err(invalid("a stamp needs a source_id").into()),
        (0, _) => Err(invalid("source_bundle_id needs a source_id").into()),
        (_, _) if source.starts_with(STAMP) => Err(invalid(format!("a source_id does not begin with {STAMP}")).into()),
        (1..=MAX_SOURCE, _) => Ok(Some(AppBundle { source: caller.stamp(&source), id, stamp })),
        (length, _) => {
            let detail = ErrorDetail::new(
                ErrorCode::TooLarge,
                format!("a source_id has at most {MAX_SOURCE} bytes, this one has {length}"),
            );
            Err(detail.payload(limit("source_id", MAX_SOURCE, length)).into())
        }
    }
}

/// The op that sets the policy of a collection.
pub(in crate::ipc) fn policy(set: &v1::SetPolicyRequest) -> Result<Op, &'static str> {
    let policy = match set.policy() {
        ConflictPolicy::Keep => Policy::Keep,
        ConflictPolicy::Lww => Policy::Lww,
        ConflictPolicy::Unspecified => return Err("a policy is keep or lww"),
    };
    ours(&set.collection)?;
    if !(1..=MAX_COLLECTION).contains(&set.collection.len()) {
        return Err("a collection name has 1 to 128 bytes");
    }
    let fields = vec![(Policy::FIELD.to_owned(), Some(Value::text(policy.name())))];
    Ok(Op::record_put(POLICY_COLLECTION, &set.collection, fields))
}

/// Collections whose names begin with `@` hold what the daemon itself writes.
pub(in crate::ipc) fn ours(collection: &str) -> Result<(), &'static str> {
    if collection.starts_with('@') { Err("collections that begin with @ are the daemon's own") } else { Ok(()) }
}

fn random_id() -> String {
    Uuid::new_v4().to_string()
}

/// A UUIDv8 (RFC 9562) out of SHA-256: the same for the same op of the same bundle, and no other.
fn derived_id(app: &AppBundle, place: u32) -> String {
    let Hash(hash) =
        Hash::of_parts(&[b"kinfolk/1/message-id", &app.id.to_be_bytes(), &place.to_be_bytes(), app.source.as_bytes()]);
    let (bytes, _) = hash.split_first_chunk().unwrap_or((&[0; 16], &[]));
    uuid::Builder::from_custom_bytes(*bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kinfolk_core::op::Meaning;

    use super::*;

    #[test]
    fn a_push_becomes_the_same_ops_in_the_same_order() {
        let fields = BTreeMap::from([("b".to_owned(), text("2")), ("a".to_owned(), text("1"))]);
        let put = v1::PutRecord {
            collection: "notes".into(),
            key: "k".into(),
            fields,
            clear_fields: vec!["gone".into()],
            base_row_version: Some(7),
        };
        let asked = read(request(vec![
            op::Op::PutRecord(put),
            op::Op::DeleteRecord(v1::DeleteRecord {
                collection: "notes".into(),
                key: "l".into(),
                base_row_version: None,
            }),
            op::Op::PostMessage(post("m")),
            op::Op::SetMessageStatus(v1::SetMessageStatus { id: "m".into(), status: 3, at_us: Some(9) }),
            op::Op::DeleteMessage(v1::DeleteMessage { id: "n".into(), at_us: None }),
        ]));
        let one = |text: &str| Some(Value::text(text));
        let fields = vec![("a".into(), one("1")), ("b".into(), one("2")), ("gone".into(), None)];
        assert_eq!(asked.ops[0], Op::record_put("notes", "k", fields));
        assert_eq!(asked.ops[1], Op::record_delete("notes", "l"));
        assert!(matches!(asked.ops[2].meaning(), Meaning::MessagePost(body) if body.conversation == "c"));
        assert_eq!(asked.ops[3], Op::message_status("m", kinfolk_core::op::Level::Read, Some(9)));
        assert_eq!(asked.ops[4], Op::message_delete("n", None));
        assert_eq!(asked.posted, ["", "", "m", "", ""]);
        assert_eq!(asked.bases, [(0, BundleSeq(7))].into());
    }

    #[test]
    fn a_message_without_id_gets_the_same_one_again_when_its_bundle_has_a_name() {
        let named = |source: &str, id| {
            let ops = vec![op::Op::PostMessage(post("")), op::Op::PostMessage(post(""))];
            let request = v1::PushRequest { source_id: source.into(), source_bundle_id: id, ..request(ops) };
            read(request)
        };
        let first = named("app", 1);
        assert_eq!((&first.posted, &first.ops), (&named("app", 1).posted, &named("app", 1).ops));
        let mut all: Vec<String> =
            [&first, &named("app", 2), &named("apq", 1)].iter().flat_map(|asked| asked.posted.clone()).collect();
        assert!(all.iter().all(|id| Uuid::parse_str(id).unwrap().get_version_num() == 8));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 6, "every op of every bundle has its own");
        let random = || Asked::one(op::Op::PostMessage(post("")), Caller::Owner).unwrap().posted;
        assert_ne!(random(), random());
    }

    #[test]
    fn results_say_for_each_op_whether_it_changed_something() {
        let asked = read(request(vec![op::Op::PostMessage(post("m")), op::Op::PostMessage(post("n"))]));
        let pushed = Pushed { dot: None, bundle_seq: Default::default(), changed: vec![false, true], repeated: false };
        let result = |no_op, id: &str| OpResult { no_op, message_id: id.into() };
        assert_eq!(asked.results(&pushed), [result(true, "m"), result(false, "n")]);
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_its_place() {
        let hostile: Vec<(Option<op::Op>, &str)> = vec![
            (None, "op 1: it does nothing"),
            (
                Some(op::Op::SetMessageStatus(v1::SetMessageStatus { id: "m".into(), status: 77, at_us: None })),
                "op 1: a status is sent, delivered or read",
            ),
            (
                Some(op::Op::DeleteRecord(v1::DeleteRecord {
                    collection: "@message".into(),
                    key: "m".into(),
                    base_row_version: None,
                })),
                "op 1: collections that begin with @ are the daemon's own",
            ),
            (
                Some(op::Op::PutRecord(v1::PutRecord {
                    fields: BTreeMap::from([("f".to_owned(), v1::Value { kind: None })]),
                    ..Default::default()
                })),
                "op 1: a value needs a type",
            ),
            (
                Some(op::Op::PostMessage(v1::Message { created_at: "soon".into(), ..post("m") })),
                "op 1: created_at is an instant in RFC 3339 with offset",
            ),
        ];
        for (op, message) in hostile {
            let good = v1::Op { op: Some(op::Op::PostMessage(post("good"))) };
            let request = v1::PushRequest { ops: vec![good, v1::Op { op }], ..Default::default() };
            let refused = refused(request);
            assert_eq!((refused.code.as_str(), refused.op_index), ("invalid_argument", Some(1)));
            assert_eq!(refused.message, message);
        }
    }

    #[test]
    fn limits_are_named_with_both_numbers() {
        let many = request(vec![op::Op::PostMessage(post("m")); MAX_OPS + 1]);
        assert_eq!(refused(many).payload, Some(limit("ops of a push", 5_000, 5_001)));
        let long = v1::PushRequest { source_id: "x".repeat(129), source_bundle_id: 1, ..Default::default() };
        assert_eq!(refused(long).payload, Some(limit("source_id", 128, 129)));
        let nameless = v1::PushRequest { source_bundle_id: 1, ..Default::default() };
        assert_eq!(refused(nameless).code, "invalid_argument");
        let stamped = v1::PushRequest { source_id: "@notes/x".into(), source_bundle_id: 1, ..Default::default() };
        assert_eq!(refused(stamped).code, "invalid_argument");
        let sourceless = v1::PushRequest { stamp: Some(1), ..Default::default() };
        assert_eq!(refused(sourceless).code, "invalid_argument");
    }

    fn refused(request: v1::PushRequest) -> ErrorDetail {
        ErrorDetail::from_status(&Asked::read(request, Caller::Owner).unwrap_err()).unwrap()
    }

    fn read(request: v1::PushRequest) -> Asked {
        Asked::read(request, Caller::Owner).unwrap()
    }

    fn request(ops: Vec<op::Op>) -> v1::PushRequest {
        let ops = ops.into_iter().map(|op| v1::Op { op: Some(op) }).collect();
        v1::PushRequest { ops, ..v1::PushRequest::default() }
    }

    fn post(id: &str) -> v1::Message {
        v1::Message { conversation: "c".into(), id: id.into(), ..Default::default() }
    }

    fn text(text: &str) -> v1::Value {
        v1::Value { kind: Some(v1::value::Kind::String(text.into())) }
    }
}
