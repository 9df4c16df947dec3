//! How a person settles a conflict: which op says what a record is from now on.
//!
//! Writes that nobody saw when he wrote another one stay side by side in their registers ([`merge`]). A *resolution* is an ordinary
//! op of somebody who has seen them all: it replaces them, wherever it comes, so the conflict is closed on every device that
//! has it, and nothing but a write made at the same time as the resolution can open it again.
//!
//! **Which registers count.** All in which values differ; but of a record that is gone, and about whose existence nobody disagrees, none:
//! there is nothing left to decide ([`open`]).
//!
//! **What a resolution must say.** For every open register one value: that of one writer, what is shown, or a whole merged row. A resolution that
//! leaves one open, or names a value that is not there, is none ([`Unresolved`]), and nothing happens.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::SourceId;
use crate::merge::{self, EXISTENCE, Write};
use crate::op::Op;
use crate::value::Value;

/// The registers of a record, by field; that of existence under [`EXISTENCE`].
pub type Registers = BTreeMap<String, Vec<Write>>;

/// What a person chose.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// What one of these sources wrote, in every open register.
    Of(BTreeSet<SourceId>),
    /// What others than these sources wrote: one and the same value in each open register.
    NotOf(BTreeSet<SourceId>),
    /// What is shown.
    Shown,
    /// The record as a whole: every field that it shows or that is open, with a value or without.
    Merged(BTreeMap<String, Option<Value>>),
    /// The record is to be gone.
    Gone,
}

/// Why a choice settles nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unresolved {
    /// There is no conflict.
    #[error("nothing of this record is in conflict")]
    Nothing,
    /// The one whose value was chosen wrote nothing there.
    #[error("nobody who was chosen wrote {0}")]
    NotWritten(String),
    /// The others wrote several values.
    #[error("the others wrote different values to {0}: name one of them")]
    Several(String),
    /// The merged record does not say what becomes of a field.
    #[error("the merged record says nothing of {0}: name every field, or clear it")]
    Missing(String),
    /// A value is of a newer version.
    #[error("the value of {0} cannot be read by this version")]
    Unreadable(String),
}

/// The registers in which something is to be decided, by field.
pub fn open(registers: &Registers) -> Vec<&str> {
    let existence = registers.get(EXISTENCE).map(Vec::as_slice).unwrap_or_default();
    if !is_live(existence) && !merge::in_conflict(existence) {
        return Vec::new();
    }
    let open = registers.iter().filter(|(_, register)| merge::in_conflict(register));
    open.map(|(field, _)| field.as_str()).collect()
}

/// The op that settles what is open in the record `(collection, key)`.
pub fn resolve(collection: &str, key: &str, registers: &Registers, choice: &Choice) -> Result<Op, Unresolved> {
    let open = open(registers);
    if open.is_empty() {
        return Err(Unresolved::Nothing);
    }
    let shown = present(registers)?;
    if let Choice::Merged(merged) = choice {
        let decided = open.iter().copied().filter(|field| *field != EXISTENCE).chain(shown.keys().map(String::as_str));
        for field in decided {
            if !merged.contains_key(field) {
                return Err(Unresolved::Missing(field.to_owned()));
            }
        }
        return Ok(Op::record_put(collection, key, merged.clone().into_iter().collect()));
    }
    let was_live = registers.get(EXISTENCE).is_some_and(|existence| is_live(existence));
    let mut live = was_live;
    // A record that comes back shows only the fields that are named.
    let mut fields: BTreeMap<String, Option<Value>> = match was_live {
        true => BTreeMap::new(),
        false => shown.into_iter().map(|(field, value)| (field, Some(value))).collect(),
    };
    for field in open {
        let Some(register) = registers.get(field) else { continue };
        let Some(chosen) = choose(field, register, choice)? else {
            return Ok(Op::record_delete(collection, key));
        };
        if field == EXISTENCE {
            live = chosen.value.is_some();
        } else {
            fields.insert(field.to_owned(), read(field, chosen)?);
        }
    }
    if !live {
        return Ok(Op::record_delete(collection, key));
    }
    Ok(Op::record_put(collection, key, fields.into_iter().collect()))
}

/// The write that was chosen; `None` when the record is to be gone.
fn choose<'w>(field: &str, register: &'w [Write], choice: &Choice) -> Result<Option<&'w Write>, Unresolved> {
    let of = |sources: &BTreeSet<SourceId>, wanted: bool| {
        let writes = register.iter().filter(|write| sources.contains(&write.dot.source) == wanted);
        writes.collect::<Vec<_>>()
    };
    let latest = |writes: &[&'w Write]| writes.iter().copied().max_by_key(|write| (write.stamp, write.dot.source));
    let not_written = || Unresolved::NotWritten(name(field));
    match choice {
        Choice::Of(sources) => latest(&of(sources, true)).map(Some).ok_or_else(not_written),
        Choice::NotOf(sources) => {
            let writes = of(sources, false);
            let values: BTreeSet<_> = writes.iter().map(|write| &write.value).collect();
            if values.len() > 1 {
                return Err(Unresolved::Several(name(field)));
            }
            latest(&writes).map(Some).ok_or_else(not_written)
        }
        Choice::Shown => merge::shown(register).map(Some).ok_or_else(not_written),
        Choice::Merged(_) | Choice::Gone => Ok(None),
    }
}

/// What the fields show, whether the record exists or not.
fn present(registers: &Registers) -> Result<BTreeMap<String, Value>, Unresolved> {
    let mut present = BTreeMap::new();
    for (field, register) in registers.iter().filter(|(field, _)| *field != EXISTENCE) {
        let Some(shown) = merge::shown(register) else { continue };
        if let Some(value) = read(field, shown)? {
            present.insert(field.clone(), value);
        }
    }
    Ok(present)
}

fn read(field: &str, write: &Write) -> Result<Option<Value>, Unresolved> {
    let Some(bytes) = &write.value else { return Ok(None) };
    let value = Value::from_bytes(bytes).filter(|value| value.kind.is_some() || bytes.is_empty());
    value.map(Some).ok_or_else(|| Unresolved::Unreadable(field.to_owned()))
}

fn is_live(existence: &[Write]) -> bool {
    merge::shown(existence).is_some_and(|shown| shown.value.is_some())
}

fn name(field: &str) -> String {
    if field == EXISTENCE { "whether the record exists".to_owned() } else { field.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stamp;
    use crate::ids::{Dot, Seq};
    use crate::merge::LIVE;

    fn source(source: u8) -> SourceId {
        SourceId([source; 16])
    }

    /// A source and a value.
    type Written<'a> = (u8, Option<&'a str>);

    /// Registers by field; the later write has the greater stamp.
    fn registers(fields: &[(&str, &[Written<'_>])]) -> Registers {
        let write = |(stamp, (by, value)): (u64, &Written<'_>)| Write {
            dot: Dot { source: source(*by), seq: Seq(1) },
            stamp: Stamp(stamp),
            value: value.map(|value| Value::text(value).to_bytes()),
        };
        let register = |writes: &[Written<'_>]| (1..).zip(writes).map(write).collect::<Vec<_>>();
        let mut registers: Registers =
            fields.iter().map(|(field, writes)| ((*field).to_owned(), register(writes))).collect();
        let alive = Write { dot: Dot { source: source(9), seq: Seq(1) }, stamp: Stamp(1), value: Some(LIVE.to_vec()) };
        registers.entry(EXISTENCE.to_owned()).or_insert_with(|| vec![alive]);
        registers
    }

    fn existence(writes: &[(u8, bool)]) -> Vec<Write> {
        let write = |(stamp, (by, live)): (u64, &(u8, bool))| Write {
            dot: Dot { source: source(*by), seq: Seq(1) },
            stamp: Stamp(stamp),
            value: live.then(|| LIVE.to_vec()),
        };
        (1..).zip(writes).map(write).collect()
    }

    fn resolved(registers: &Registers, choice: &Choice) -> Result<Op, Unresolved> {
        resolve("notes", "a", registers, choice)
    }

    fn put(fields: &[(&str, Option<&str>)]) -> Result<Op, Unresolved> {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.map(Value::text)));
        Ok(Op::record_put("notes", "a", fields.collect()))
    }

    fn of(by: u8) -> Choice {
        Choice::Of([source(by)].into())
    }

    fn not_of(by: u8) -> Choice {
        Choice::NotOf([source(by)].into())
    }

    #[test]
    fn mine_theirs_and_what_is_shown_name_the_open_fields_alone() {
        let both = registers(&[("x", &[(1, Some("one")), (2, Some("two"))]), ("y", &[(1, Some("same"))])]);
        assert_eq!(open(&both), ["x"]);
        assert_eq!(resolved(&both, &of(1)), put(&[("x", Some("one"))]));
        assert_eq!(resolved(&both, &not_of(1)), put(&[("x", Some("two"))]));
        assert_eq!(resolved(&both, &Choice::Shown), put(&[("x", Some("two"))]));
        assert_eq!(resolved(&both, &Choice::Gone), Ok(Op::record_delete("notes", "a")));
    }

    #[test]
    fn a_value_against_none_may_end_as_none() {
        let both = registers(&[("x", &[(1, None), (2, Some("two"))])]);
        assert_eq!(resolved(&both, &of(1)), put(&[("x", None)]));
    }

    #[test]
    fn who_wrote_nothing_there_has_no_say_and_two_others_are_not_one() {
        let others = registers(&[("x", &[(2, Some("two")), (3, Some("three"))])]);
        assert_eq!(resolved(&others, &of(1)), Err(Unresolved::NotWritten("x".into())));
        assert_eq!(resolved(&others, &not_of(1)), Err(Unresolved::Several("x".into())));
        let agreeing = registers(&[("x", &[(1, Some("one")), (2, Some("two")), (3, Some("two"))])]);
        assert_eq!(resolved(&agreeing, &not_of(1)), put(&[("x", Some("two"))]));
        let alone = registers(&[("x", &[(1, Some("one")), (1, Some("two"))])]);
        assert_eq!(resolved(&alone, &not_of(1)), Err(Unresolved::NotWritten("x".into())));
    }

    #[test]
    fn a_merged_record_is_whole_or_refused() {
        let both = registers(&[("x", &[(1, Some("one")), (2, Some("two"))]), ("y", &[(1, Some("same"))])]);
        let merged = |fields: &[(&str, Option<&str>)]| {
            let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.map(Value::text)));
            Choice::Merged(fields.collect())
        };
        let whole = [("x", Some("both")), ("y", None), ("z", Some("new"))];
        assert_eq!(resolved(&both, &merged(&whole)), put(&whole));
        assert_eq!(resolved(&both, &merged(&whole[..1])), Err(Unresolved::Missing("y".into())));
        assert_eq!(resolved(&both, &merged(&whole[1..])), Err(Unresolved::Missing("x".into())));
    }

    #[test]
    fn a_merged_record_names_open_fields_that_show_nothing_and_never_says_that_it_exists() {
        let mut both = registers(&[("x", &[(1, Some("one")), (2, None)])]);
        both.insert(EXISTENCE.into(), existence(&[(1, false), (2, true)]));
        let merged = |fields: &[(&str, Option<&str>)]| {
            let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.map(Value::text)));
            Choice::Merged(fields.collect())
        };
        assert_eq!(resolved(&both, &merged(&[("y", None)])), Err(Unresolved::Missing("x".into())));
        assert_eq!(resolved(&both, &merged(&[("x", Some("both"))])), put(&[("x", Some("both"))]));
    }

    #[test]
    fn a_deletion_against_an_edit_is_decided_with_all_fields() {
        let mut edited = registers(&[("x", &[(2, Some("two"))]), ("y", &[(1, Some("one"))])]);
        edited.insert(EXISTENCE.into(), existence(&[(2, true), (1, false)]));
        assert_eq!(open(&edited), [EXISTENCE]);
        assert_eq!(resolved(&edited, &of(1)), Ok(Op::record_delete("notes", "a")));
        // It comes back whole.
        assert_eq!(resolved(&edited, &of(2)), put(&[("x", Some("two")), ("y", Some("one"))]));
        edited.insert(EXISTENCE.into(), existence(&[(1, false), (2, true)]));
        assert_eq!(resolved(&edited, &Choice::Shown), put(&[]), "it exists, and that replaces the deletion");
    }

    #[test]
    fn of_a_record_that_is_gone_for_everybody_nothing_is_open() {
        let mut gone = registers(&[("x", &[(1, Some("one")), (2, Some("two"))])]);
        gone.insert(EXISTENCE.into(), existence(&[(1, false)]));
        assert!(open(&gone).is_empty());
        assert_eq!(resolved(&gone, &Choice::Shown), Err(Unresolved::Nothing));
        assert_eq!(resolved(&registers(&[("x", &[(1, Some("one"))])]), &Choice::Shown), Err(Unresolved::Nothing));
    }

    #[test]
    fn what_a_newer_version_wrote_is_not_thrown_away_unread() {
        let mut newer = registers(&[("x", &[(1, Some("one")), (2, Some("two"))])]);
        // A value of a kind that is not known here.
        newer.get_mut("x").unwrap()[1].value = Some(vec![0xFA, 0x01, 0x00]);
        assert_eq!(resolved(&newer, &not_of(1)), Err(Unresolved::Unreadable("x".into())));
    }
}
