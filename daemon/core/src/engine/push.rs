//! Local pushes: checked against what the store holds, then written as the next bundle of the own source.
//!
//! A push is one bundle, all or nothing. An op that would change nothing (a message posted again, a status already reached) is left
//! out; a push of only such ops makes no bundle. A put on a deleted record writes *absent* to the fields it does not name, so that the
//! revived record shows what was put and not what lay under the deletion.
//!
//! An op may name the version of the record that its app had before it. When the record has moved on, the whole push is refused and the first
//! such op named ([`Refusal::RowChanged`]); the app decides. A retry of what was committed is answered before that is asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Engine, Source};
use crate::bundle::{Birth, Body, Bundle, BundleError};
use crate::clock::Stamp;
use crate::ids::{BundleSeq, Dot, Hash, Now, SourceId};
use crate::op::{Field, Level, MAX_FIELDS, Meaning, Op};
use crate::step::{
    Change, Committed, Fact, MAX_OPS, MessageFact, Output, Push, Pushed, Refusal, Reply, RowFact, content_hash,
};
use crate::vector::{Head, VersionVector};

impl Engine {
    pub(super) fn push(&mut self, push: Push, now: Now) {
        let call = push.call;
        let reply = match self.try_push(push, now) {
            Ok(pushed) => Reply::Pushed(pushed),
            Err(refusal) => Reply::Refused(refusal),
        };
        self.outputs.push_back(Output::Reply(call, reply));
    }

    fn try_push(&mut self, push: Push, now: Now) -> Result<Pushed, Refusal> {
        if push.ops.is_empty() {
            return Err(Refusal::Empty);
        }
        if push.ops.len() > MAX_OPS {
            return Err(Refusal::TooManyOps(push.ops.len()));
        }
        let content = push.app.is_some().then(|| content_hash(&push.ops));
        if let Some(committed) = earlier(&push, content)? {
            let changed = committed.changed(push.ops.len());
            return Ok(Pushed { dot: committed.dot, bundle_seq: committed.bundle_seq, changed, repeated: true });
        }
        let app = push.app.clone().zip(content);
        let (ops, changed) = effective(push)?;
        let no_ops = (0..).zip(&changed).filter(|(_, changed)| !**changed).map(|(index, _)| index);
        let no_ops: Vec<u32> = no_ops.collect();
        if ops.is_empty() {
            let bundle_seq = self.bundle_seq;
            if let Some((app, content)) = app {
                self.commit(Change::AppBundle(app, Committed { dot: None, bundle_seq, content, no_ops }));
            }
            return Ok(Pushed { dot: None, bundle_seq, changed, repeated: false });
        }
        let bundle = self.write(ops, now)?;
        let dot = bundle.dot;
        let (bundle_seq, context) = (self.bundle_seq.next(), Arc::clone(&self.context));
        let app = app.map(|(app, content)| (app, Committed { dot: Some(dot), bundle_seq, content, no_ops }));
        self.append_own(bundle, context, now.wall, app);
        Ok(Pushed { dot: Some(dot), bundle_seq, changed, repeated: false })
    }

    /// The next bundle of the own source.
    fn write(&mut self, ops: Vec<Op>, now: Now) -> Result<Bundle, Refusal> {
        let stamp = self.clock.tick(now.wall);
        if !stamp.is_valid() {
            return Err(Refusal::ClockExhausted);
        }
        let bundle = self.next_bundle(stamp, &Arc::clone(&self.context), ops, None);
        bundle.map_err(|BundleError::TooLarge(bytes)| Refusal::TooLarge(bytes))
    }

    /// The same with a given stamp, by an author who had seen `seen`.
    pub(super) fn next_bundle(
        &mut self,
        stamp: Stamp,
        seen: &Arc<VersionVector>,
        ops: Vec<Op>,
        origin: Option<(SourceId, Head)>,
    ) -> Result<Bundle, BundleError> {
        let Head { seq, hash: prev } = self.vector.head(self.source);
        let dot = Dot { source: self.source, seq: seq.next() };
        let context = match self.sources.get(&self.source) {
            Some(own) if Arc::ptr_eq(&own.context, seen) => Vec::new(),
            Some(own) => seen.difference(&own.context),
            None => seen.iter().collect(),
        };
        let birth = (dot.seq.0 == 1).then_some(Birth { device: self.me, generation: self.generation });
        let bundle = Bundle::write(dot, prev, Body { stamp, birth, context, ops, origin })?;
        let (device, generation, context) = (self.me, self.generation, Arc::clone(seen));
        self.sources.insert(self.source, Source { device, generation, stamp, context });
        Ok(bundle)
    }
}

/// The bundle that an earlier push with the same name committed, if this is a retry.
fn earlier(push: &Push, content: Option<Hash>) -> Result<Option<Committed>, Refusal> {
    let Some(app) = &push.app else { return Ok(None) };
    match &push.app_fact {
        Some(fact) if app.id <= fact.last => match &fact.committed {
            Some(committed) if Some(committed.content) == content => Ok(Some(committed.clone())),
            Some(_) => Err(Refusal::AppBundleDiffers { id: app.id }),
            None => Err(Refusal::OutOfOrder { expected: fact.last + 1 }),
        },
        fact => {
            let expected = fact.as_ref().map_or(1, |fact| fact.last + 1);
            if app.id != expected {
                return Err(Refusal::OutOfOrder { expected });
            }
            match app.stamp.zip(fact.as_ref().and_then(|fact| fact.stamp)) {
                Some((yours, stored)) if yours <= stored => Err(Refusal::StampRegression { yours, stored }),
                Some(_) | None => Ok(None),
            }
        }
    }
}

/// The ops that change something, as they go into the bundle, and which ones they are.
fn effective(push: Push) -> Result<(Vec<Op>, Vec<bool>), Refusal> {
    let mut kept = Vec::with_capacity(push.ops.len());
    let mut changed = Vec::with_capacity(push.ops.len());
    let mut records: BTreeSet<(String, String)> = BTreeSet::new();
    let mut posted: BTreeSet<String> = BTreeSet::new();
    let facts = push.facts.into_iter().map(Some).chain(std::iter::repeat(None));
    for (index, (mut op, fact)) in push.ops.into_iter().zip(facts).enumerate() {
        let (row, message) = match fact {
            Some(Fact::Row(row)) => (row, None),
            Some(Fact::Message(message)) => (None, message),
            None => (None, None),
        };
        let meaning = op.meaning();
        let fresh = match &meaning {
            Meaning::RecordPut | Meaning::RecordDelete => records.insert((op.collection.clone(), op.key.clone())),
            Meaning::MessagePost(_) => posted.insert(op.key.clone()),
            Meaning::MessageStatus(..)
            | Meaning::MessageDelete(_)
            | Meaning::MessageStub(_)
            | Meaning::Unknown
            | Meaning::Invalid(_) => true,
        };
        if !fresh {
            return Err(Refusal::NamedTwice { index });
        }
        if let Some(base) = push.bases.get(&index) {
            let version = row.as_ref().map_or(BundleSeq(0), |row| row.version);
            if *base != version {
                return Err(Refusal::RowChanged { index, base: *base, version });
            }
        }
        let changes = match meaning {
            Meaning::RecordPut => put(&mut op, row, index)?,
            // A record that was never here is gone already.
            Meaning::RecordDelete => row.is_some_and(|row| row.live),
            Meaning::MessagePost(_) => post(&op, message, index)?,
            Meaning::MessageStatus(level, at_us) => {
                let known = message.or_else(|| posted.contains(&op.key).then(MessageFact::default));
                status(known.ok_or(Refusal::NotFound { index })?, level, at_us)
            }
            Meaning::MessageDelete(at_us) => {
                let known = message.or_else(|| posted.contains(&op.key).then(MessageFact::default));
                let deleted = known.ok_or(Refusal::NotFound { index })?.deleted_us;
                deleted.is_none_or(|known| at_us.is_some_and(|at| at > known))
            }
            Meaning::MessageStub(_) => return Err(Refusal::InvalidOp { index, reason: "a message is posted whole" }),
            Meaning::Unknown => return Err(Refusal::InvalidOp { index, reason: "this kind of op is not known here" }),
            Meaning::Invalid(reason) => return Err(Refusal::InvalidOp { index, reason }),
        };
        changed.push(changes);
        if changes {
            kept.push(op);
        }
    }
    Ok((kept, changed))
}

fn put(op: &mut Op, row: Option<RowFact>, index: usize) -> Result<bool, Refusal> {
    let Some(row) = row.filter(|row| !row.live) else { return Ok(true) };
    let buried: Vec<String> =
        row.fields.into_iter().filter(|name| op.fields.iter().all(|field| field.name != *name)).collect();
    op.fields.extend(buried.into_iter().map(|name| Field { name, value: None }));
    if op.fields.len() > MAX_FIELDS {
        return Err(Refusal::InvalidOp { index, reason: "the deleted record has too many fields to be put again" });
    }
    Ok(true)
}

fn post(op: &Op, known: Option<MessageFact>, index: usize) -> Result<bool, Refusal> {
    let Some(known) = known else { return Ok(true) };
    if known.deleted_us.is_some() {
        return Ok(false);
    }
    match known.content {
        None => Ok(true),
        Some(content) if content == Hash::of(&op.payload) => Ok(false),
        Some(_) => Err(Refusal::MessageDiffers { index }),
    }
}

fn status(known: MessageFact, level: Level, at_us: Option<i64>) -> bool {
    let [sent, delivered, read] = known.levels;
    let reached = match level {
        Level::Sent => sent,
        Level::Delivered => delivered,
        Level::Read => read,
    };
    known.deleted_us.is_none() && reached.is_none_or(|known| at_us.is_some_and(|at| at > known))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ids::Hash;
    use crate::op::MessageBody;
    use crate::step::CallId;

    #[test]
    fn deleting_a_record_that_is_not_there_changes_nothing() {
        let gone = RowFact { live: false, fields: vec!["title".into()], version: BundleSeq(1) };
        for row in [None, Some(gone)] {
            let (ops, changed) = effective(one(Op::record_delete("notes", "a"), Fact::Row(row))).unwrap();
            assert_eq!((ops, changed), (vec![], vec![false]));
        }
        let there = RowFact { live: true, fields: vec![], version: BundleSeq(1) };
        let op = Op::record_delete("notes", "a");
        let (ops, changed) = effective(one(op.clone(), Fact::Row(Some(there)))).unwrap();
        assert_eq!((ops, changed), (vec![op], vec![true]));
    }

    #[test]
    fn a_message_posted_again_with_a_status_it_has_reached_changes_nothing() {
        let post = Op::message_post("m", &MessageBody { conversation: "c".into(), ..MessageBody::default() });
        let read = Op::message_status("m", Level::Read, Some(5));
        let known =
            MessageFact { content: Some(Hash::of(&post.payload)), levels: [None, None, Some(5)], deleted_us: None };
        let fact = |message: Option<&MessageFact>| Fact::Message(message.cloned());
        let push = |message| Push {
            call: CallId(1),
            ops: vec![post.clone(), read.clone()],
            app: None,
            facts: vec![fact(message), fact(message)],
            app_fact: None,
            bases: BTreeMap::new(),
        };
        assert_eq!(effective(push(Some(&known))).unwrap(), (vec![], vec![false, false]));
        assert_eq!(effective(push(None)).unwrap(), (vec![post.clone(), read.clone()], vec![true, true]));
    }

    #[test]
    fn an_op_is_taken_only_on_the_version_that_it_was_based_on() {
        let fact = |version| Fact::Row(Some(RowFact { live: true, fields: vec![], version: BundleSeq(version) }));
        let put = || Op::record_put("notes", "a", vec![]);
        let based = |op, fact, base| Push { bases: [(0, BundleSeq(base))].into(), ..one(op, fact) };
        let refused = |base, version| {
            let (base, version) = (BundleSeq(base), BundleSeq(version));
            Err(Refusal::RowChanged { index: 0, base, version })
        };
        assert!(effective(based(put(), fact(4), 4)).is_ok());
        assert_eq!(effective(based(put(), fact(5), 4)), refused(4, 5));
        assert_eq!(effective(based(Op::record_delete("notes", "a"), fact(5), 4)), refused(4, 5));
        // 0 is a record that was never here, and nothing else is.
        assert!(effective(based(put(), Fact::Row(None), 0)).is_ok());
        assert_eq!(effective(based(put(), fact(5), 0)), refused(0, 5));
        assert_eq!(effective(based(put(), Fact::Row(None), 3)), refused(3, 0));
    }

    fn one(op: Op, fact: Fact) -> Push {
        Push { call: CallId(1), ops: vec![op], app: None, facts: vec![fact], app_fact: None, bases: BTreeMap::new() }
    }
}
