//! Records by what they show in a field.
//!
//! The first time that a field of a collection is asked for, its index is made, by the driver, between two rounds; from then on a page costs
//! what it shows, however many records there are.

use std::ops::Bound;

use ipc_proto::v1::{self, ErrorCode, ErrorDetail, FieldCondition};
use tokio::sync::oneshot;
use tonic::Status;

use super::admission::limit;
use super::convert::{invalid, record, value};
use super::page::{self, Page};
use super::{error, read};
use crate::node::Node;
use crate::store::{Lookup, MAX_INDEXED, place};

/// An end of a range, by its place.
type End = Bound<Vec<u8>>;

/// A page of the records that meet a condition.
pub(super) async fn list(
    node: &Node,
    collection: String,
    condition: FieldCondition,
    size: usize,
    page_token: &str,
) -> Result<Page<v1::Record>, Status> {
    let lookup = understand(condition)?;
    let after: Option<(Vec<u8>, String)> = page::place(page_token)?;
    if let Some(page) = find(node, &collection, &lookup, after.clone(), size).await? {
        return Ok(page);
    }
    make_index(node, &collection, &lookup.field).await?;
    let page = find(node, &collection, &lookup, after, size).await?;
    page.ok_or_else(|| ErrorDetail::new(ErrorCode::Internal, "the index that was made is not there").into())
}

/// `None` when the field has no index.
async fn find(
    node: &Node,
    collection: &str,
    lookup: &Lookup,
    after: Option<(Vec<u8>, String)>,
    size: usize,
) -> Result<Option<Page<v1::Record>>, Status> {
    let (collection, lookup) = (collection.to_owned(), lookup.clone());
    read(&node.reader, move |reader| {
        let mut indexed = true;
        let some = |after: Option<&(Vec<u8>, String)>, most| {
            let after = after.map(|(place, key)| (place.as_slice(), key.as_str()));
            let found = reader.lookup(&collection, &lookup, after, most)?;
            indexed &= found.is_some();
            Ok(found.unwrap_or_default())
        };
        let name = |found: &crate::store::Found| (found.place.clone(), found.record.key.clone());
        let page = page::fill(after, size, some, name, |found| record::show(found.record))?;
        Ok(indexed.then_some(page))
    })
    .await
}

async fn make_index(node: &Node, collection: &str, field: &str) -> Result<(), Status> {
    let (collection, field) = (collection.to_owned(), field.to_owned());
    let (tell, told) = oneshot::channel();
    let made = node.driver.keep(move |store| {
        // Whoever hung up does not need to know.
        tell.send(store.index_field(&collection, &field)?).ok();
        Ok(())
    });
    made.await.map_err(|fault| error::driver(&fault))?;
    if told.await.unwrap_or(true) {
        return Ok(());
    }
    let message = format!("records of this collection are looked up by {MAX_INDEXED} other fields already");
    let detail = ErrorDetail::new(ErrorCode::TooLarge, message).hint("list them by key and look for yourself");
    Err(detail.payload(limit("fields to look up by", MAX_INDEXED, MAX_INDEXED + 1)).into())
}

fn understand(condition: FieldCondition) -> Result<Lookup, Status> {
    let FieldCondition { field, equals, at_least, above, at_most, below, begins_with } = condition;
    if field.is_empty() {
        return Err(invalid("a condition names a field").into());
    }
    let ends = [at_least.is_some(), above.is_some(), at_most.is_some(), below.is_some()];
    let ranges = ends.into_iter().any(|given| given);
    let (from, to) = match (equals, begins_with) {
        (Some(equals), None) if !ranges => {
            let place = place_of(equals)?;
            (Bound::Included(place.clone()), Bound::Included(place))
        }
        (None, Some(begin)) if !ranges => {
            let from = place_of(v1::Value { kind: Some(v1::value::Kind::String(begin)) })?;
            let to = behind(&from);
            (Bound::Included(from), to)
        }
        (None, None) if ranges => {
            let from = end(at_least, above)?;
            let to = end(at_most, below)?;
            within_type(from, to)?
        }
        (Some(_) | None, Some(_)) | (Some(_), None) | (None, None) => {
            let rule = "a condition is one of: equals, begins_with, or a range with one or two ends";
            return Err(invalid(rule).into());
        }
    };
    Ok(Lookup { field, from, to })
}

fn place_of(given: v1::Value) -> Result<Vec<u8>, Status> {
    let value = value::read(given).map_err(invalid)?;
    place(&value).ok_or_else(|| invalid("a json document has no order: records are not found by it").into())
}

fn end(including: Option<v1::Value>, excluding: Option<v1::Value>) -> Result<End, Status> {
    match (including, excluding) {
        (Some(value), None) => place_of(value).map(Bound::Included),
        (None, Some(value)) => place_of(value).map(Bound::Excluded),
        (None, None) => Ok(Bound::Unbounded),
        (Some(_), Some(_)) => Err(invalid("a range has one end on each side").into()),
    }
}

/// A range that is open on one side ends where its type of value does.
fn within_type(from: End, to: End) -> Result<(End, End), Status> {
    let tag = |end: &End| match end {
        Bound::Included(place) | Bound::Excluded(place) => place.first().copied(),
        Bound::Unbounded => None,
    };
    match (tag(&from), tag(&to)) {
        (Some(one), Some(other)) if one != other => Err(invalid("both ends of a range are of one type").into()),
        (Some(_), Some(_)) => Ok((from, to)),
        (Some(tag), None) => Ok((from, Bound::Excluded(vec![tag.saturating_add(1)]))),
        (None, Some(tag)) => Ok((Bound::Included(vec![tag]), to)),
        (None, None) => Err(invalid("a range has at least one end").into()),
    }
}

/// The end of all places that begin so.
fn behind(begin: &[u8]) -> End {
    let mut end = begin.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

#[cfg(test)]
mod tests {
    use ipc_proto::v1::value::Kind;

    use super::*;

    fn value(kind: Kind) -> Option<v1::Value> {
        Some(v1::Value { kind: Some(kind) })
    }

    fn condition() -> FieldCondition {
        FieldCondition { field: "f".into(), ..FieldCondition::default() }
    }

    #[test]
    fn a_range_open_on_one_side_stays_within_its_type() {
        let lookup = understand(FieldCondition { above: value(Kind::Bool(false)), ..condition() }).unwrap();
        assert_eq!((lookup.from, lookup.to), (Bound::Excluded(vec![2, 0]), Bound::Excluded(vec![3])));
        let lookup = understand(FieldCondition { at_most: value(Kind::String("b".into())), ..condition() }).unwrap();
        assert_eq!((lookup.from, lookup.to), (Bound::Included(vec![5]), Bound::Included(vec![5, b'b'])));
    }

    #[test]
    fn a_prefix_ends_before_the_next_text_that_does_not_begin_so() {
        let lookup = understand(FieldCondition { begins_with: Some("ab".into()), ..condition() }).unwrap();
        let end = vec![5, b'a', b'c'];
        assert_eq!((lookup.from, lookup.to), (Bound::Included(vec![5, b'a', b'b']), Bound::Excluded(end)));
        assert_eq!(behind(&[5, 255, 255]), Bound::Excluded(vec![6]));
    }

    #[test]
    fn conditions_that_mean_nothing_are_refused() {
        let one = || value(Kind::Int(1));
        let hostile = [
            FieldCondition { field: String::new(), equals: one(), ..condition() },
            condition(),
            FieldCondition { equals: one(), at_least: one(), ..condition() },
            FieldCondition { equals: one(), begins_with: Some("a".into()), ..condition() },
            FieldCondition { at_least: one(), above: one(), ..condition() },
            FieldCondition { at_least: one(), below: value(Kind::Float(1.0)), ..condition() },
            FieldCondition { equals: value(Kind::Json("1".into())), ..condition() },
            FieldCondition { equals: Some(v1::Value { kind: None }), ..condition() },
        ];
        for condition in hostile {
            let refused = understand(condition.clone()).unwrap_err();
            assert_eq!(error::code(&refused), "invalid_argument", "{condition:?}");
        }
    }
}
