//! Typed values and records.

use ipc_proto::v1;
use jiff::Timestamp;
use kinfolk_core::value::{Kind, Value};
use serde::de::IgnoredAny;

/// A value as an app gave it. Timestamps and JSON keep their text, but must be what they say.
pub(in crate::ipc) fn read(value: v1::Value) -> Result<Value, &'static str> {
    let kind = match value.kind.ok_or("a value needs a type")? {
        v1::value::Kind::Null(_) => Kind::Null(true),
        v1::value::Kind::Bool(value) => Kind::Bool(value),
        v1::value::Kind::Int(value) => Kind::Int(value),
        v1::value::Kind::Float(value) => Kind::Float(value),
        v1::value::Kind::String(text) => Kind::Text(text),
        v1::value::Kind::Bytes(bytes) => Kind::Bytes(bytes),
        v1::value::Kind::Timestamp(text) => {
            text.parse::<Timestamp>().map_err(|_| "a timestamp is an instant in RFC 3339 with offset")?;
            Kind::Timestamp(text)
        }
        v1::value::Kind::Json(text) => {
            serde_json::from_str::<IgnoredAny>(&text).map_err(|_| "a json value is one JSON document")?;
            Kind::Json(text)
        }
    };
    Ok(Value { kind: Some(kind) })
}

/// A value as apps see it. A kind from a newer version looks like null; its bytes stay as they are in the store.
pub(in crate::ipc) fn show(value: Value) -> v1::Value {
    let kind = match value.kind {
        None | Some(Kind::Null(_)) => v1::value::Kind::Null(true),
        Some(Kind::Bool(value)) => v1::value::Kind::Bool(value),
        Some(Kind::Int(value)) => v1::value::Kind::Int(value),
        Some(Kind::Float(value)) => v1::value::Kind::Float(value),
        Some(Kind::Text(text)) => v1::value::Kind::String(text),
        Some(Kind::Bytes(bytes)) => v1::value::Kind::Bytes(bytes),
        Some(Kind::Timestamp(text)) => v1::value::Kind::Timestamp(text),
        Some(Kind::Json(text)) => v1::value::Kind::Json(text),
    };
    v1::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_out_as_it_went_in() {
        use v1::value::Kind::{Bool, Bytes, Float, Int, Json, Null, String, Timestamp};
        let kinds = [
            Null(true),
            Bool(false),
            Bool(true),
            Int(i64::MIN),
            Int(0),
            Int(i64::MAX),
            Float(-0.0),
            Float(f64::INFINITY),
            String("".into()),
            String("Grüße \u{1F98A}\0".into()),
            Bytes(vec![]),
            Bytes(vec![0, 0xFF]),
            Timestamp("2024-02-29T23:59:60+05:30".into()),
            Timestamp("1969-07-20t20:17:40.5Z".into()),
            Json("{\"a\": [1.0, null]}".into()),
        ];
        for kind in kinds {
            let value = v1::Value { kind: Some(kind) };
            let inside = read(value.clone()).unwrap();
            assert_eq!(show(Value::from_bytes(&inside.to_bytes()).unwrap()), value);
        }
        let nan = show(read(v1::Value { kind: Some(Float(f64::NAN)) }).unwrap());
        assert!(matches!(nan.kind, Some(Float(number)) if number.is_nan()));
    }

    #[test]
    fn null_is_null_however_it_is_written() {
        let odd = read(v1::Value { kind: Some(v1::value::Kind::Null(false)) }).unwrap();
        assert_eq!(odd.kind, Some(Kind::Null(true)));
    }

    #[test]
    fn what_is_not_what_it_says_is_refused() {
        use v1::value::Kind::{Json, Timestamp};
        let hostile = [
            None,
            Some(Timestamp("2024-13-01T00:00:00Z".into())),
            Some(Timestamp("2024-01-01T00:00:00".into())),
            Some(Timestamp("yesterday".into())),
            Some(Json("{\"a\":".into())),
            Some(Json("1 2".into())),
            Some(Json("".into())),
            Some(Json("[".repeat(100_000))),
        ];
        for kind in hostile {
            assert!(read(v1::Value { kind: kind.clone() }).is_err(), "{kind:?}");
        }
    }
}
