//! Typed values of record fields, as they stand inside a bundle.
//!
//! A value's bytes are its protobuf encoding; two values are the same when their bytes are. Timestamps keep the text an
//! app gave (RFC 3339) and are compared as text here; apps compare them as instants.

use prost::Message;

use crate::ids::Hash;

/// One typed value. Exactly one member is set.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// The typed content; absent in bytes means null.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    pub kind: Option<Kind>,
}

/// The types a field can have.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// Explicit null: a value, different from a field that is absent.
    #[prost(bool, tag = "1")]
    Null(bool),
    /// True or false.
    #[prost(bool, tag = "2")]
    Bool(bool),
    /// A signed 64-bit number.
    #[prost(sint64, tag = "3")]
    Int(i64),
    /// An IEEE 754 double.
    #[prost(double, tag = "4")]
    Float(f64),
    /// Text.
    #[prost(string, tag = "5")]
    Text(String),
    /// Bytes.
    #[prost(bytes = "vec", tag = "6")]
    Bytes(Vec<u8>),
    /// An instant, RFC 3339 text.
    #[prost(string, tag = "7")]
    Timestamp(String),
    /// A JSON document as text.
    #[prost(string, tag = "8")]
    Json(String),
}

impl Value {
    /// A text value.
    pub fn text(text: impl Into<String>) -> Self {
        Self { kind: Some(Kind::Text(text.into())) }
    }

    /// A whole number.
    pub fn int(number: i64) -> Self {
        Self { kind: Some(Kind::Int(number)) }
    }

    /// The bytes that are stored, hashed and compared.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes).ok()
    }

    /// SHA-256 of the bytes: what digests carry instead of the value.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_its_number_and_the_hash_of_a_value_is_that_of_its_bytes() {
        assert_eq!(Value::int(-3).kind, Some(Kind::Int(-3)));
        assert_eq!(Value::int(-3).hash(), Hash::of(&[0x18, 5]));
        assert_eq!(Value::from_bytes(&[0x18, 5]), Some(Value::int(-3)));
    }
}
