//! Quotas: how much an app may store, and how much it has.
//!
//! What lies under the prefixes that an app may write counts, whoever wrote it, as it stands ([`crate::store::Reader::usage`]). Counting reads all of it,
//! so a [`Meter`] goes by estimates: it begins with a bound that costs nothing (the size of the database), adds what is pushed, and only when the
//! estimate is beyond the quota is it counted, at most once in [`RECOUNT`]. An estimate is never too low by more than what is under way, and
//! where it is too high a count puts it right: an app is refused only by a count that is not older than that.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kinfolk_core::op::{Field, Meaning, Op};
use prost::Message;
use tokio::time::Instant;

/// How much an app may store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quota {
    /// Bytes of keys, names of fields and values, and of messages.
    pub bytes: u64,
    /// Records and messages.
    pub items: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { bytes: USUAL_BYTES, items: USUAL_ITEMS }
    }
}

/// How much is stored.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Bytes of keys, names of fields and values, and of messages.
    pub bytes: u64,
    /// Records and messages.
    pub items: u64,
}

impl Usage {
    /// What these ops add at most. What only takes away, or marks, adds nothing.
    pub fn of(ops: &[Op]) -> Self {
        let sizes = ops.iter().filter_map(|op| match op.meaning() {
            Meaning::RecordPut => {
                let fields = op.fields.iter();
                let field = |field: &Field| field.name.len() + field.value.as_ref().map_or(0, Message::encoded_len);
                Some(op.key.len() + fields.map(field).sum::<usize>())
            }
            Meaning::MessagePost(_) => Some(op.key.len() + op.payload.len()),
            Meaning::RecordDelete
            | Meaning::MessageStatus(..)
            | Meaning::MessageDelete(_)
            | Meaning::MessageStub(_)
            | Meaning::Unknown
            | Meaning::Invalid(_) => None,
        });
        sizes.fold(Self::default(), |sum, bytes| {
            sum.plus(Self { bytes: u64::try_from(bytes).unwrap_or(u64::MAX), items: 1 })
        })
    }

    fn plus(self, more: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(more.bytes), items: self.items.saturating_add(more.items) }
    }
}

/// Which limit a push would break.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Beyond {
    /// `bytes` or `items`.
    pub(crate) what: &'static str,
    /// The most.
    pub(crate) limit: u64,
    /// What there would be.
    pub(crate) actual: u64,
}

/// What an app has stored, as far as is known.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    state: Mutex<State>,
    /// Held while it is counted.
    pub(crate) counting: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    estimate: Option<Usage>,
    counted: Option<Instant>,
    /// What was let through and may not be in the store yet.
    under_way: Usage,
}

/// What was let through; in the store, or nowhere, when this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay<'m> {
    meter: &'m Meter,
    adds: Usage,
}

impl Meter {
    /// Lets something through that fits; else says what it would break. `None`: nothing is known yet.
    pub(crate) fn add(&self, adds: Usage, quota: Quota) -> Option<Result<UnderWay<'_>, Beyond>> {
        let mut state = self.lock();
        let sum = state.estimate?.plus(adds);
        let beyond = |what, limit, actual| Some(Err(Beyond { what, limit, actual }));
        if sum.bytes > quota.bytes {
            return beyond("bytes", quota.bytes, sum.bytes);
        }
        if sum.items > quota.items {
            return beyond("items", quota.items, sum.items);
        }
        state.estimate = Some(sum);
        state.under_way = state.under_way.plus(adds);
        Some(Ok(UnderWay { meter: self, adds }))
    }

    /// Takes a bound for an estimate.
    pub(crate) fn bound(&self, bound: Usage) {
        let mut state = self.lock();
        state.estimate = Some(bound.plus(state.under_way));
    }

    /// Takes a count for an estimate.
    pub(crate) fn count(&self, counted: Usage) {
        self.bound(counted);
        self.lock().counted = Some(Instant::now());
    }

    /// Whether the last count is so new that it is not counted again.
    pub(crate) fn is_fresh(&self) -> bool {
        self.lock().counted.is_some_and(|counted| counted.elapsed() < RECOUNT)
    }

    /// Nothing is known any more: what is stored was deleted, or may be.
    pub(crate) fn forget(&self) {
        self.lock().counted = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.meter.lock();
        state.under_way.bytes = state.under_way.bytes.saturating_sub(self.adds.bytes);
        state.under_way.items = state.under_way.items.saturating_sub(self.adds.items);
    }
}

/// What an app may store when nobody says otherwise: ten years of messages, or the notes of a lifetime.
const USUAL_BYTES: u64 = 1 << 30;
const USUAL_ITEMS: u64 = 1_000_000;
/// How often it is counted: 1 GiB takes some seconds.
const RECOUNT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use kinfolk_core::value::Value;

    use super::*;

    const QUOTA: Quota = Quota { bytes: 100, items: 3 };

    #[test]
    fn what_fits_is_let_through_until_one_of_both_limits_is_met() {
        let meter = Meter::default();
        let one = |bytes| Usage { bytes, items: 1 };
        assert!(meter.add(one(1), QUOTA).is_none(), "nothing is known yet");
        meter.count(one(10));
        let first = meter.add(one(90), QUOTA).unwrap().unwrap();
        let beyond = meter.add(one(1), QUOTA).unwrap().unwrap_err();
        assert_eq!(beyond, Beyond { what: "bytes", limit: 100, actual: 101 });
        drop(first);
        meter.count(Usage { bytes: 10, items: 3 });
        assert_eq!(meter.add(one(1), QUOTA).unwrap().unwrap_err(), Beyond { what: "items", limit: 3, actual: 4 });
    }

    #[test]
    fn a_count_does_not_forget_what_is_under_way() {
        let meter = Meter::default();
        meter.count(Usage::default());
        let push = meter.add(Usage { bytes: 60, items: 1 }, QUOTA).unwrap().unwrap();
        meter.count(Usage::default());
        assert!(meter.add(Usage { bytes: 60, items: 1 }, QUOTA).unwrap().is_err());
        drop(push);
        meter.count(Usage { bytes: 30, items: 1 });
        assert!(meter.add(Usage { bytes: 60, items: 1 }, QUOTA).unwrap().is_ok());
    }

    #[test]
    fn only_what_is_put_or_posted_adds_something() {
        let put = Op::record_put("notes", "key", vec![("f".into(), Some(Value::text("12345")))]);
        let usage = Usage::of(&[put, Op::record_delete("notes", "other"), Op::message_delete("m", None)]);
        assert_eq!(usage.items, 1);
        assert!(usage.bytes >= 3 + 1 + 5, "key, name and value: {usage:?}");
    }
}
