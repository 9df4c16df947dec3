//! The check code: six digits that the new device shows and the person types on the old one.
//!
//! Its length is no margin against guessing; three tries are. It proves that the person looked at the new device after that
//! had authenticated the old one.

use crate::seal::derive::{self, Key};
use crate::seal::label;
use kinfolk_core::ids::Hash;
use std::fmt;

/// Digits of a check code.
pub const CODE_DIGITS: usize = 6;

/// 10^[`CODE_DIGITS`].
const CODES: u64 = 1_000_000;

/// A check code. `Display` shows it, `Debug` does not.
#[derive(Clone, Eq, PartialEq)]
pub struct CheckCode(u64);

impl CheckCode {
    /// The code of a pairing: 64 bits modulo 10^6, which favours no code by more than 2^-44.
    pub(super) fn derive(exporter: &Key, transcript: Hash) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *derive::expand(exporter, label::PAIR_CHECK_CODE, &[&transcript.0]);
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]) % CODES)
    }

    /// Whether `typed` is this code; spaces and dashes are skipped. `None` when it is not [`CODE_DIGITS`] digits.
    pub(super) fn is(&self, typed: &str) -> Option<bool> {
        let mut digits = 0;
        let mut code = 0;
        for character in typed.chars().filter(|character| !character.is_whitespace() && *character != '-') {
            digits += 1;
            if digits > CODE_DIGITS {
                return None;
            }
            code = code * 10 + u64::from(character.to_digit(10)?);
        }
        (digits == CODE_DIGITS).then_some(code == self.0)
    }
}

impl fmt::Display for CheckCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$}", self.0, width = CODE_DIGITS)
    }
}

impl fmt::Debug for CheckCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckCode(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::golden::Golden;
    use zeroize::Zeroizing;

    #[test]
    fn a_code_may_be_typed_with_spaces_and_dashes() {
        let code = CheckCode(12_345);
        assert_eq!(code.to_string(), "012345");
        for typed in ["012345", " 012 345\n", "012-345"] {
            assert_eq!(code.is(typed), Some(true), "{typed}");
        }
        assert_eq!(code.is("012346"), Some(false));
        for typed in ["", "12345", "0012345", "o12345", "01234５", "99999999999999999999999999999"] {
            assert_eq!(code.is(typed), None, "{typed}");
        }
    }

    #[test]
    fn a_code_is_shown_to_people_and_kept_out_of_logs() {
        assert_eq!(format!("{:?}", CheckCode(123_456)), "CheckCode(redacted)");
    }

    #[test]
    fn codes_are_what_they_were_in_the_first_release() {
        let mut golden = Golden::open("check_code");
        for n in 0..8 {
            let code = CheckCode::derive(&Zeroizing::new([n; 32]), Hash([n; 32]));
            golden.text(&format!("exporter_and_transcript_{n:02}"), &code.to_string());
        }
        golden.finish();
    }
}
