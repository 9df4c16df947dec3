//! Typed values in JSON and on the command line, without loss.
//!
//! | type | JSON | command line |
//! |---|---|---|
//! | null, bool, text | as in JSON | `f:null=`, `f:bool=true`, `f=text` |
//! | int | a number without fraction and exponent | `f:int=3` |
//! | float | a number with either; else `{"$float": "NaN"}`, `"inf"`, `"-inf"` | `f:float=0.5` |
//! | bytes | `{"$bytes": "…"}` in base64 | `f:bytes=…` |
//! | timestamp | `{"$timestamp": "…"}` in RFC 3339 | `f:timestamp=…` |
//! | json | `{"$json": "…"}`, the document as text; read also from a bare array, or object without `$` | `f:json={"a":1}` |

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ipc_proto::v1;
use ipc_proto::v1::value::Kind;
use serde_json::{Value, json};

use crate::instant;

/// The JSON of a typed value.
pub(crate) fn to_json(value: &v1::Value) -> Value {
    match &value.kind {
        None | Some(Kind::Null(_)) => Value::Null,
        Some(Kind::Bool(bool)) => Value::Bool(*bool),
        Some(Kind::Int(number)) => Value::from(*number),
        Some(Kind::Float(number)) if number.is_finite() => Value::from(*number),
        Some(Kind::Float(number)) => json!({ "$float": number.to_string() }),
        Some(Kind::String(text)) => Value::String(text.clone()),
        Some(Kind::Bytes(bytes)) => bytes_to_json(bytes),
        Some(Kind::Timestamp(text)) => json!({ "$timestamp": text }),
        Some(Kind::Json(text)) => json!({ "$json": text }),
    }
}

/// The typed value of JSON.
pub(crate) fn from_json(json: &Value) -> Result<v1::Value, String> {
    let kind = match json {
        Value::Null => Kind::Null(true),
        Value::Bool(bool) => Kind::Bool(*bool),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Kind::Int(int),
            (None, Some(_)) if number.is_u64() => return Err(format!("{number} is beyond 64 bits with sign")),
            (None, Some(float)) => Kind::Float(float),
            (None, None) => return Err(format!("{number} is not a number of ours")),
        },
        Value::String(text) => Kind::String(text.clone()),
        Value::Array(_) => Kind::Json(json.to_string()),
        Value::Object(members) => match members.iter().next() {
            Some((tag, content)) if members.len() == 1 && tag.starts_with('$') => {
                let text = content.as_str().ok_or_else(|| format!("`{tag}` holds text"))?;
                tagged(tag.trim_start_matches('$'), text)?
            }
            Some(_) | None => Kind::Json(json.to_string()),
        },
    };
    Ok(v1::Value { kind: Some(kind) })
}

/// Reads `name=text` or `name:type=text`.
pub(crate) fn from_argument(argument: &str) -> Result<(String, v1::Value), String> {
    let Some((left, text)) = argument.split_once('=') else {
        return Err(format!("`{argument}` is not FIELD=VALUE or FIELD:TYPE=VALUE"));
    };
    let (name, kind) = left.split_once(':').unwrap_or((left, "string"));
    if name.is_empty() {
        return Err(format!("`{argument}` names no field"));
    }
    let wrong = |what: &str| format!("`{text}` is not {what}");
    let kind = match kind {
        "null" if text.is_empty() => Kind::Null(true),
        "null" => return Err(wrong("empty, as null is")),
        "bool" => Kind::Bool(text.parse().map_err(|_| wrong("true or false"))?),
        "int" => Kind::Int(text.parse().map_err(|_| wrong("a whole number of 64 bits"))?),
        "string" => Kind::String(text.to_owned()),
        other => tagged(other, text)?,
    };
    Ok((name.to_owned(), v1::Value { kind: Some(kind) }))
}

/// What a value looks like to people.
pub(crate) fn words(value: &v1::Value) -> String {
    match &value.kind {
        Some(Kind::String(text) | Kind::Timestamp(text) | Kind::Json(text)) => text.clone(),
        Some(Kind::Bytes(bytes)) => format!("{} bytes", bytes.len()),
        Some(Kind::Null(_) | Kind::Bool(_) | Kind::Int(_) | Kind::Float(_)) | None => to_json(value).to_string(),
    }
}

/// Bytes in JSON.
pub(crate) fn bytes_to_json(bytes: &[u8]) -> Value {
    json!({ "$bytes": BASE64.encode(bytes) })
}

fn tagged(kind: &str, text: &str) -> Result<Kind, String> {
    match kind {
        "bytes" => BASE64.decode(text).map(Kind::Bytes).map_err(|_| "`bytes` holds base64".to_owned()),
        "timestamp" => instant::micros(text).map(|_| Kind::Timestamp(text.to_owned())),
        "float" => text.parse().map(Kind::Float).map_err(|_| format!("`{text}` is not a number")),
        "json" => match serde_json::from_str::<Value>(text) {
            Ok(_) => Ok(Kind::Json(text.to_owned())),
            Err(error) => Err(format!("`json` holds no JSON: {error}")),
        },
        other => {
            Err(format!("there is no type `{other}`; types are null, bool, int, float, string, bytes, timestamp, json"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_survives_json() {
        let kinds = [
            Kind::Null(true),
            Kind::Bool(false),
            Kind::Int(i64::MIN),
            Kind::Int(i64::MAX),
            Kind::Float(1.0),
            Kind::Float(-0.0),
            Kind::Float(0.1 + 0.2),
            Kind::Float(5e-324),
            Kind::Float(1.797_693_134_862_315_7e308),
            Kind::Float(f64::INFINITY),
            Kind::Float(f64::NEG_INFINITY),
            Kind::String("{\"$bytes\": 1}\n".into()),
            Kind::Bytes(vec![0, 255]),
            Kind::Timestamp("2020-12-11T23:37:25-08:00".into()),
            Kind::Json("{ \"b\":1, \"a\": 1.0 }".into()),
            Kind::Json("\"text\"".into()),
        ];
        for kind in kinds {
            let value = v1::Value { kind: Some(kind) };
            let line = to_json(&value).to_string();
            let back = from_json(&serde_json::from_str(&line).unwrap()).unwrap();
            assert_eq!(back, value, "{line}");
        }
        let nan = to_json(&v1::Value { kind: Some(Kind::Float(f64::NAN)) });
        assert!(matches!(from_json(&nan).unwrap().kind, Some(Kind::Float(number)) if number.is_nan()));
    }

    #[test]
    fn what_is_no_value_says_why() {
        let error = |text: &str| from_json(&serde_json::from_str(text).unwrap()).unwrap_err();
        assert_eq!(error("18446744073709551615"), "18446744073709551615 is beyond 64 bits with sign");
        assert_eq!(error(r#"{"$bytes": 3}"#), "`$bytes` holds text");
        assert_eq!(error(r#"{"$bytes": "*"}"#), "`bytes` holds base64");
        assert!(error(r#"{"$colour": "red"}"#).starts_with("there is no type `colour`"));
    }

    #[test]
    fn plain_objects_and_arrays_are_documents() {
        let value = from_json(&json!({ "a": [1, { "$x": 2 }] })).unwrap();
        assert_eq!(value.kind, Some(Kind::Json(r#"{"a":[1,{"$x":2}]}"#.into())));
    }

    #[test]
    fn arguments_carry_types() {
        let read = |text| from_argument(text).map(|(name, value)| (name, value.kind.unwrap()));
        assert_eq!(read("title=a=b"), Ok(("title".into(), Kind::String("a=b".into()))));
        assert_eq!(read("n:int=-3"), Ok(("n".into(), Kind::Int(-3))));
        assert_eq!(read("done:bool=true"), Ok(("done".into(), Kind::Bool(true))));
        assert_eq!(read("gone:null="), Ok(("gone".into(), Kind::Null(true))));
        assert_eq!(read("n:int=many").unwrap_err(), "`many` is not a whole number of 64 bits");
        assert_eq!(read("title").unwrap_err(), "`title` is not FIELD=VALUE or FIELD:TYPE=VALUE");
    }
}
