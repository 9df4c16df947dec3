//! Bearer tokens of the local API: who holds one may do what it stands for.
//!
//! ```text
//! kin_admin_<43 characters>     the owner's programs; lies in a file of the state directory
//! kin_app_<43 characters>       an app; shown once
//! ```
//!
//! 256 random bits in base64url behind a beginning by which people, log filters and secret scanners recognise it. The text carries no
//! claims and no checksum: what a token may do is looked up, so that it can be taken back. Of tokens that are given away only the
//! hash is kept. It needs no salt and no slow function, for nobody can try 2²⁵⁶ of them; hashes are compared in constant time.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kinfolk_core::ids::Hash;
use rand::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::label;

/// What a token stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// The owner: everything.
    Admin,
    /// An app: what it was granted.
    App,
}

impl Role {
    const ALL: [Self; 2] = [Self::Admin, Self::App];

    /// How its tokens begin.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Admin => "kin_admin_",
            Self::App => "kin_app_",
        }
    }
}

/// A token as it is handed over.
pub struct Bearer {
    role: Role,
    text: Zeroizing<String>,
}

/// What is kept of a token.
#[derive(Clone)]
pub struct BearerHash([u8; Hash::LEN]);

impl Bearer {
    /// Draws a new one.
    pub fn generate(role: Role, rng: &mut impl CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0; SECRET]);
        rng.fill_bytes(secret.as_mut_slice());
        let mut text = Zeroizing::new(String::with_capacity(role.prefix().len() + DIGITS));
        text.push_str(role.prefix());
        URL_SAFE_NO_PAD.encode_string(secret.as_slice(), &mut text);
        Self { role, text }
    }

    /// Reads a text that may be a token; `None` when it is none, whatever it is.
    pub fn parse(text: &str) -> Option<Self> {
        let (role, digits) = Role::ALL.into_iter().find_map(|role| Some((role, text.strip_prefix(role.prefix())?)))?;
        let mut secret = Zeroizing::new([0; SECRET]);
        let whole = digits.len() == DIGITS && URL_SAFE_NO_PAD.decode_slice(digits, secret.as_mut_slice()) == Ok(SECRET);
        whole.then(|| Self { role, text: Zeroizing::new(text.to_owned()) })
    }

    /// What it stands for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The text itself: for its holder, and for nobody's log.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What is kept of it.
    pub fn hash(&self) -> BearerHash {
        BearerHash(Hash::of_parts(&[label::BEARER, self.text.as_bytes()]).0)
    }
}

impl BearerHash {
    /// As it was stored.
    pub fn from_bytes(bytes: [u8; Hash::LEN]) -> Self {
        Self(bytes)
    }

    /// To be stored.
    pub fn as_bytes(&self) -> &[u8; Hash::LEN] {
        &self.0
    }

    /// Whether both are of the same token; takes as long for every answer.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").field("role", &self.role).finish_non_exhaustive()
    }
}

impl fmt::Debug for BearerHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerHash(..)")
    }
}

/// Bytes of randomness in a token.
const SECRET: usize = 32;
/// Characters that they take in base64: ⌈32 × 8 / 6⌉.
const DIGITS: usize = 43;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_no_two_are_alike() {
        let mut rng = rand::rng();
        for role in Role::ALL {
            let token = Bearer::generate(role, &mut rng);
            assert_eq!(token.reveal().len(), role.prefix().len() + DIGITS);
            let read = Bearer::parse(token.reveal()).unwrap();
            assert_eq!(read.role(), role);
            assert!(read.hash().is(&token.hash()));
            let other = Bearer::generate(role, &mut rng);
            assert!(!other.hash().is(&token.hash()));
        }
    }

    #[test]
    fn what_differs_in_one_character_is_another_token_or_none() {
        let token = Bearer::generate(Role::App, &mut rand::rng());
        for at in 0..token.reveal().len() {
            let mut text = token.reveal().as_bytes().to_vec();
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            let changed = Bearer::parse(std::str::from_utf8(&text).unwrap());
            assert!(changed.is_none_or(|changed| !changed.hash().is(&token.hash())), "character {at}");
        }
    }

    #[test]
    fn what_is_no_token_is_none() {
        let whole = Bearer::generate(Role::App, &mut rand::rng());
        let digits = &whole.reveal()["kin_app_".len()..];
        let texts = [
            String::new(),
            "kin_app_".into(),
            digits.into(),
            format!("kin_root_{digits}"),
            format!(" {}", whole.reveal()),
            format!("{}\n", whole.reveal()),
            format!("{}=", whole.reveal()),
            format!("{}A", whole.reveal()),
            whole.reveal()[..whole.reveal().len() - 1].into(),
            format!("kin_app_{}", "é".repeat(DIGITS / 2)),
            // The last character of 256 bits has two bits that nobody needs: only one text is the token.
            format!("kin_app_{}B", "A".repeat(DIGITS - 1)),
        ];
        for text in texts {
            assert!(Bearer::parse(&text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn neither_a_token_nor_its_hash_is_shown_by_debug() {
        let token = Bearer::generate(Role::Admin, &mut rand::rng());
        assert_eq!(format!("{token:?} {:?}", token.hash()), "Bearer { role: Admin, .. } BearerHash(..)");
    }
}
