//! `--where`: a field and what it is compared with, as people type it.
//!
//! `FIELD[:TYPE]` then `=`, `<`, `<=`, `>`, `>=` or `^=` (begins with), then the value; types as in `kin put`. Two ranges of one field are one range
//! with two ends.

use ipc_proto::v1::{FieldCondition, Value, value::Kind};

use crate::typed;

/// Reads what was given, once or twice.
pub(crate) fn from_arguments(arguments: &[String]) -> Result<Option<FieldCondition>, String> {
    let mut condition: Option<FieldCondition> = None;
    for argument in arguments {
        let (field, comparison, value) = read(argument)?;
        let condition = condition.get_or_insert_with(|| FieldCondition { field: field.clone(), ..Default::default() });
        if condition.field != field {
            return Err(format!("`{}` and `{field}`: records are found by one field at a time", condition.field));
        }
        let place = match comparison {
            "=" => &mut condition.equals,
            ">=" => &mut condition.at_least,
            ">" => &mut condition.above,
            "<=" => &mut condition.at_most,
            "<" => &mut condition.below,
            _ => match value.kind {
                Some(Kind::String(begin)) if condition.begins_with.is_none() => {
                    condition.begins_with = Some(begin);
                    continue;
                }
                Some(_) | None => return Err(format!("`{argument}`: only text begins with something")),
            },
        };
        if place.replace(value).is_some() {
            return Err(format!("`{argument}`: `{comparison}` is there already"));
        }
    }
    Ok(condition)
}

/// The comparisons, longer ones first.
const COMPARISONS: [&str; 6] = [">=", "<=", "^=", "=", ">", "<"];

fn read(argument: &str) -> Result<(String, &'static str, Value), String> {
    let at = argument.find(['=', '<', '>', '^']).unwrap_or(argument.len());
    let (left, rest) = argument.split_at(at);
    let Some(comparison) = COMPARISONS.into_iter().find(|comparison| rest.starts_with(comparison)) else {
        return Err(format!("`{argument}` compares nothing: write FIELD[:TYPE]=VALUE, or >= > <= < or ^= for ="));
    };
    let text = rest.get(comparison.len()..).unwrap_or_default();
    let (field, value) = typed::from_argument(&format!("{left}={text}"))?;
    Ok((field, comparison, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(arguments: &[&str]) -> Result<Option<FieldCondition>, String> {
        from_arguments(&arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
    }

    fn value(kind: Kind) -> Option<Value> {
        Some(Value { kind: Some(kind) })
    }

    #[test]
    fn every_comparison_is_understood() {
        let one = |argument: &str| conditions(&[argument]).unwrap().unwrap();
        assert_eq!(one("a=x=y").equals, value(Kind::String("x=y".into())));
        assert_eq!(one("a:bool=true").equals, value(Kind::Bool(true)));
        assert_eq!(one("a:int>=3").at_least, value(Kind::Int(3)));
        assert_eq!(one("a:int>3").above, value(Kind::Int(3)));
        assert_eq!(one("a:int<=3").at_most, value(Kind::Int(3)));
        assert_eq!(one("a:int<-3").below, value(Kind::Int(-3)));
        assert_eq!(one("a^=x").begins_with.as_deref(), Some("x"));
        assert_eq!(conditions(&[]).unwrap(), None);
    }

    #[test]
    fn two_ends_of_one_field_are_one_range() {
        let range = conditions(&["n:int>=3", "n:int<9"]).unwrap().unwrap();
        assert_eq!((range.at_least, range.below), (value(Kind::Int(3)), value(Kind::Int(9))));
    }

    #[test]
    fn what_compares_nothing_is_refused() {
        for arguments in [&["a"][..], &["=x"], &["a:int=x"], &["a:int^=3"], &["a=1", "b=1"], &["a=1", "a=2"], &["a^x"]]
        {
            assert!(conditions(arguments).is_err(), "{arguments:?}");
        }
    }
}
