//! What a record was: its ops as its past, and what it would show without one of them.
//!
//! What a field shows is the value of its greatest write by (stamp, source) of *all* that were ever made: who writes has seen what he
//! replaces, and stamps later than everything he has seen, so a replaced write is never the greatest. Hence the past can be asked about
//! without knowing what anybody had seen: leave a bundle's ops out, and take the greatest of the rest.
//!
//! [`without`] undoes a bundle so far as it still shows: a field that was written over since stays as it is.

use std::collections::BTreeMap;

use crate::clock::Stamp;
use crate::ids::{Dot, SourceId};
use crate::op::{Meaning, Op};
use crate::value::Value;

/// What one bundle did to a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// The bundle.
    pub dot: Dot,
    /// When it was written.
    pub stamp: Stamp,
    /// Its op on the record.
    pub op: Op,
}

/// What a record shows: whether it exists, and its fields, also those of one that does not.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shown {
    live: bool,
    fields: BTreeMap<String, Value>,
}

/// The op that makes the record `(collection, key)` show what it would without the bundle `undone`; `None` when it shows that already.
/// `past` is all that was ever done to the record, in any order.
pub fn without(collection: &str, key: &str, past: &[Past], undone: Dot) -> Option<Op> {
    let now = show(past.iter());
    let then = show(past.iter().filter(|past| past.dot != undone));
    if !then.live {
        return now.live.then(|| Op::record_delete(collection, key));
    }
    let mut fields: BTreeMap<&String, Option<&Value>> = BTreeMap::new();
    for name in now.fields.keys().chain(then.fields.keys()) {
        let (before, after) = (now.fields.get(name), then.fields.get(name));
        // A record that comes back shows only the fields that are named.
        if before != after || !now.live {
            fields.insert(name, after);
        }
    }
    if fields.is_empty() && now.live {
        return None;
    }
    let fields = fields.into_iter().map(|(name, value)| (name.clone(), value.cloned())).collect();
    Some(Op::record_put(collection, key, fields))
}

fn show<'p>(past: impl Iterator<Item = &'p Past>) -> Shown {
    type Greatest<T> = Option<((Stamp, SourceId), T)>;
    let mut existence: Greatest<bool> = None;
    let mut fields: BTreeMap<&str, Greatest<Option<&Value>>> = BTreeMap::new();
    for Past { dot, stamp, op } in past {
        let rank = (*stamp, dot.source);
        let live = match op.meaning() {
            Meaning::RecordPut => true,
            Meaning::RecordDelete => false,
            Meaning::MessagePost(_)
            | Meaning::MessageStub(_)
            | Meaning::MessageStatus(..)
            | Meaning::MessageDelete(_)
            | Meaning::Unknown
            | Meaning::Invalid(_) => continue,
        };
        if existence.is_none_or(|(greatest, _)| rank > greatest) {
            existence = Some((rank, live));
        }
        for field in &op.fields {
            let greatest = fields.entry(&field.name).or_default();
            if greatest.is_none_or(|(greatest, _)| rank > greatest) {
                *greatest = Some((rank, field.value.as_ref()));
            }
        }
    }
    let fields = fields.into_iter().filter_map(|(name, greatest)| Some((name.to_owned(), greatest?.1?.clone())));
    Shown { live: existence.is_some_and(|(_, live)| live), fields: fields.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Seq;

    fn past(source: u8, seq: u64, stamp: u64, op: Op) -> Past {
        Past { dot: dot(source, seq), stamp: Stamp(stamp), op }
    }

    fn dot(source: u8, seq: u64) -> Dot {
        Dot { source: SourceId([source; 16]), seq: Seq(seq) }
    }

    fn put(fields: &[(&str, Option<&str>)]) -> Op {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.map(Value::text)));
        Op::record_put("notes", "a", fields.collect())
    }

    fn undo(past: &[Past], undone: Dot) -> Option<Op> {
        without("notes", "a", past, undone)
    }

    #[test]
    fn a_field_gets_back_what_it_held_before() {
        let past = [past(1, 1, 1, put(&[("x", Some("1")), ("y", Some("1"))])), past(2, 1, 2, put(&[("x", Some("2"))]))];
        assert_eq!(undo(&past, dot(2, 1)), Some(put(&[("x", Some("1"))])));
    }

    #[test]
    fn a_field_that_was_new_goes() {
        let past = [past(1, 1, 1, put(&[("x", Some("1"))])), past(1, 2, 2, put(&[("y", Some("2"))]))];
        assert_eq!(undo(&past, dot(1, 2)), Some(put(&[("y", None)])));
    }

    #[test]
    fn a_field_that_was_written_over_since_stays_as_it_is() {
        let past = [
            past(1, 1, 1, put(&[("x", Some("1")), ("y", Some("1"))])),
            past(1, 2, 2, put(&[("x", Some("2")), ("y", Some("2"))])),
            past(1, 3, 3, put(&[("x", Some("3"))])),
        ];
        assert_eq!(undo(&past, dot(1, 2)), Some(put(&[("y", Some("1"))])));
        assert_eq!(undo(&past[..2], dot(1, 1)), None, "nothing of it shows");
    }

    #[test]
    fn a_record_that_was_new_is_deleted_and_a_deleted_one_comes_back_with_all_it_had() {
        let made = past(1, 1, 1, put(&[("x", Some("1")), ("y", None)]));
        assert_eq!(undo(std::slice::from_ref(&made), dot(1, 1)), Some(Op::record_delete("notes", "a")));
        let past = [made, past(2, 1, 2, Op::record_delete("notes", "a"))];
        assert_eq!(undo(&past, dot(2, 1)), Some(put(&[("x", Some("1"))])));
        assert_eq!(undo(&past, dot(1, 1)), None, "it is gone anyway");
    }

    #[test]
    fn of_writes_at_the_same_time_the_other_one_shows_when_one_is_undone() {
        let past = [past(1, 1, 5, put(&[("x", Some("1"))])), past(2, 1, 5, put(&[("x", Some("2"))]))];
        assert_eq!(undo(&past, dot(2, 1)), Some(put(&[("x", Some("1"))])));
        assert_eq!(undo(&past, dot(1, 1)), None);
    }

    #[test]
    fn what_means_nothing_here_is_no_past() {
        let unknown = Op { kind: 99, ..put(&[("x", Some("9"))]) };
        let past = [past(1, 1, 1, put(&[("x", Some("1"))])), past(1, 2, 9, unknown)];
        assert_eq!(undo(&past, dot(1, 2)), None);
    }

    #[test]
    fn of_two_writes_with_one_rank_the_first_shows() {
        let past = [
            past(1, 1, 1, put(&[("x", Some("0"))])),
            past(2, 1, 5, put(&[("x", Some("1"))])),
            past(2, 2, 5, put(&[("x", Some("2"))])),
            past(2, 3, 5, Op::record_delete("notes", "a")),
        ];
        let shown = show(past.iter());
        assert!(shown.live);
        assert_eq!(shown.fields.get("x"), Some(&Value::text("1")));
    }
}
