//! The pairing card: what the person carries from one device to the other.
//!
//! ```text
//! text     = "kinfolk:" ‖ base64url( card ‖ checksum[4] )
//! card     = protobuf { version, roster id, commitment, secret, relay URLs, expiry }
//! checksum = start of SHA-256("kinfolk/1/pair/checksum" ‖ card)
//! ```
//!
//! The checksum is for people: a card that lost a character says so at once. Against tampering stands the secret: who does
//! not know it can neither make nor read an offer.

use super::message::commitment;
use crate::seal::derive::Key;
use crate::seal::label;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kinfolk_core::ids::{Hash, IdentityKey, Millis};
use prost::Message;
use rand::CryptoRng;
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// How a card's text starts.
pub const CARD_PREFIX: &str = "kinfolk:";
/// Longest text of a card, in bytes.
pub const MAX_CARD_TEXT: usize = 8 * 1024;
/// Most relays a card names.
pub const MAX_RELAYS: usize = 8;
/// Longest relay URL, in bytes. 8 of them, as base64 (4/3), fill 5.4 KiB of [`MAX_CARD_TEXT`].
pub const MAX_RELAY_URL: usize = 512;

/// The version in the card.
const VERSION: u32 = 1;
/// Bytes of the checksum: one damaged card in 2^32 passes it.
const CHECKSUM_LEN: usize = 4;

/// A card, whole and well-formed; whether it is genuine, only the offer shows. Wiped when dropped, not shown by `Debug`.
#[derive(Clone)]
pub struct Card {
    bytes: Zeroizing<Vec<u8>>,
    roster_id: Hash,
    commitment: Hash,
    secret: Key,
    relays: Zeroizing<Vec<String>>,
    expires: Millis,
}

/// Why a text is no card.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CardError {
    /// Longer than [`MAX_CARD_TEXT`].
    #[error("a card has at most {MAX_CARD_TEXT} characters, got {got}")]
    TooLong {
        /// Its length.
        got: usize,
    },
    /// Something else was pasted.
    #[error("this is not a pairing card: a card starts with `{CARD_PREFIX}`")]
    Prefix,
    /// Characters are missing or changed.
    #[error("the card is incomplete or was changed; copy it again")]
    Damaged,
    /// A version that this program does not know.
    #[error("expected card version {VERSION}, got {got}; upgrade kinfolk on this device")]
    Version {
        /// Its version.
        got: u32,
    },
    /// Whole, and not in the expected shape.
    #[error("the card is malformed: {0}")]
    Malformed(&'static str),
}

impl Card {
    /// Makes a card for the pairing key whose public bytes are `pairing_public`. Its expiry is cut to whole seconds.
    pub(super) fn issue(
        roster_id: Hash,
        pairing_public: &[u8],
        inviter: &IdentityKey,
        relays: Vec<String>,
        expires: Millis,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, CardError> {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(secret.as_mut_slice());
        let mut wire = CardWire {
            version: VERSION,
            roster_id: roster_id.0.to_vec(),
            commitment: commitment(pairing_public, inviter, roster_id).0.to_vec(),
            secret: secret.to_vec(),
            relays,
            expires: expires.0 / 1000,
        };
        let bytes = Zeroizing::new(wire.encode_to_vec());
        wire.wipe();
        Self::decode(bytes)
    }

    /// Reads a card's text. White space is skipped: terminals and mail programs break long lines.
    pub fn parse(text: &str) -> Result<Self, CardError> {
        if text.len() > MAX_CARD_TEXT {
            return Err(CardError::TooLong { got: text.len() });
        }
        let text: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
        let (prefix, encoded) = text.split_at_checked(CARD_PREFIX.len()).ok_or(CardError::Prefix)?;
        if !prefix.eq_ignore_ascii_case(CARD_PREFIX) {
            return Err(CardError::Prefix);
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| CardError::Damaged)?);
        let (card, found) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(CardError::Damaged)?;
        if *found != checksum(card) {
            return Err(CardError::Damaged);
        }
        Self::decode(Zeroizing::new(card.to_vec()))
    }

    /// The text to show.
    pub fn to_text(&self) -> Zeroizing<String> {
        let whole = Zeroizing::new([self.bytes.as_slice(), &checksum(&self.bytes)].concat());
        let mut text = Zeroizing::new(CARD_PREFIX.to_owned());
        URL_SAFE_NO_PAD.encode_string(whole.as_slice(), &mut text);
        text
    }

    /// SHA-256 of the card: its public name.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.bytes)
    }

    /// The roster to join.
    pub fn roster_id(&self) -> Hash {
        self.roster_id
    }

    /// The URLs of the relays to meet on.
    pub fn relays(&self) -> &[String] {
        &self.relays
    }

    /// From this moment of wall-clock time on the card is refused; whole seconds.
    pub fn expires(&self) -> Millis {
        self.expires
    }

    pub(super) fn commitment(&self) -> Hash {
        self.commitment
    }

    pub(super) fn secret(&self) -> &Key {
        &self.secret
    }

    fn decode(bytes: Zeroizing<Vec<u8>>) -> Result<Self, CardError> {
        let mut wire = CardWire::decode(bytes.as_slice()).map_err(|_| CardError::Malformed("it is not protobuf"))?;
        let card = Self::read(&wire, bytes);
        wire.wipe();
        card
    }

    fn read(wire: &CardWire, bytes: Zeroizing<Vec<u8>>) -> Result<Self, CardError> {
        use CardError::Malformed;
        if wire.version != VERSION {
            return Err(CardError::Version { got: wire.version });
        }
        if wire.relays.is_empty() || wire.relays.len() > MAX_RELAYS {
            return Err(Malformed("a card names 1 to 8 relays"));
        }
        if wire.relays.iter().any(|url| url.is_empty() || url.len() > MAX_RELAY_URL) {
            return Err(Malformed("a relay URL has 1 to 512 bytes"));
        }
        let secret = wire.secret.as_slice().try_into().map_err(|_| Malformed("the secret is not 32 bytes"))?;
        Ok(Self {
            roster_id: Hash::from_slice(&wire.roster_id).ok_or(Malformed("the roster id is not 32 bytes"))?,
            commitment: Hash::from_slice(&wire.commitment).ok_or(Malformed("the commitment is not 32 bytes"))?,
            secret: Zeroizing::new(secret),
            relays: Zeroizing::new(wire.relays.clone()),
            expires: Millis(wire.expires.checked_mul(1000).ok_or(Malformed("the expiry is out of range"))?),
            bytes,
        })
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Card(redacted, hash {})", self.hash())
    }
}

fn checksum(card: &[u8]) -> [u8; CHECKSUM_LEN] {
    let [a, b, c, d, ..] = Hash::of_parts(&[label::PAIR_CHECKSUM, card]).0;
    [a, b, c, d]
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct CardWire {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    roster_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    commitment: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    secret: Vec<u8>,
    #[prost(string, repeated, tag = "5")]
    relays: Vec<String>,
    #[prost(uint64, tag = "6")]
    expires: u64,
}

impl CardWire {
    fn wipe(&mut self) {
        self.secret.zeroize();
        self.relays.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::golden::{Golden, SeededRng, to_hex};

    fn card_for(relays: Vec<String>, expires: Millis) -> Card {
        let rng = &mut SeededRng::new("card");
        Card::issue(Hash([7; 32]), &[1; 1216], &IdentityKey([2; 32]), relays, expires, rng).unwrap()
    }

    fn card() -> Card {
        let relays = vec!["folder:/mnt/shared".into(), "redis://user:password@host/0".into()];
        card_for(relays, Millis(1_800_000_000_000))
    }

    #[test]
    fn a_card_comes_back_from_its_text_however_it_was_broken_into_lines() {
        let card = card();
        let text = card.to_text();
        let lines: Vec<&str> = text.as_bytes().chunks(40).map(|line| str::from_utf8(line).unwrap()).collect();
        let shouted = text.replacen("kinfolk", "KINFOLK", 1);
        for text in [text.to_string(), format!("\n{}\n", *text), lines.join("\r\n "), shouted] {
            let read = Card::parse(&text).unwrap();
            assert_eq!(read.hash(), card.hash());
            assert_eq!(read.relays(), card.relays());
            assert_eq!(read.expires(), Millis(1_800_000_000_000));
            assert_eq!(read.roster_id(), Hash([7; 32]));
            assert_eq!(*read.secret(), *card.secret());
        }
    }

    #[test]
    fn a_card_with_any_character_changed_lost_or_added_is_refused() {
        let text = card().to_text();
        for at in 0..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(Card::parse(str::from_utf8(&changed).unwrap()).is_err(), "changed at {at}");
            assert!(Card::parse(&text[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(Card::parse(&format!("{}A", *text)).unwrap_err(), CardError::Damaged);
    }

    #[test]
    fn what_is_no_card_is_named() {
        assert_eq!(Card::parse("").unwrap_err(), CardError::Prefix);
        assert_eq!(Card::parse("https://example.org/").unwrap_err(), CardError::Prefix);
        assert_eq!(Card::parse("kinfolk:").unwrap_err(), CardError::Damaged);
        assert_eq!(Card::parse("kinfölké").unwrap_err(), CardError::Prefix);
        let got = MAX_CARD_TEXT + 1;
        assert_eq!(Card::parse(&"k".repeat(got)).unwrap_err(), CardError::TooLong { got });
    }

    /// A card text over any protobuf, with a right checksum.
    fn text_of(wire: &CardWire) -> String {
        let card = wire.encode_to_vec();
        format!("{CARD_PREFIX}{}", URL_SAFE_NO_PAD.encode([card.as_slice(), &checksum(&card)].concat()))
    }

    #[test]
    fn a_whole_card_of_the_wrong_shape_says_what_is_wrong() {
        let good = CardWire::decode(card().bytes.as_slice()).unwrap();
        assert!(Card::parse(&text_of(&good)).is_ok());
        let newer = CardWire { version: 2, ..good.clone() };
        assert_eq!(Card::parse(&text_of(&newer)).unwrap_err(), CardError::Version { got: 2 });
        for wrong in [
            CardWire { roster_id: vec![1; 31], ..good.clone() },
            CardWire { commitment: vec![], ..good.clone() },
            CardWire { secret: vec![1; 16], ..good.clone() },
            CardWire { relays: vec![], ..good.clone() },
            CardWire { relays: vec!["r".into(); MAX_RELAYS + 1], ..good.clone() },
            CardWire { relays: vec!["r".repeat(MAX_RELAY_URL + 1)], ..good.clone() },
            CardWire { expires: u64::MAX, ..good },
        ] {
            assert!(matches!(Card::parse(&text_of(&wrong)), Err(CardError::Malformed(_))));
        }
    }

    #[test]
    fn the_largest_card_fits_its_text() {
        let card = card_for(vec!["r".repeat(MAX_RELAY_URL); MAX_RELAYS], Millis(u64::MAX));
        assert!(Card::parse(&card.to_text()).is_ok());
    }

    #[test]
    fn neither_the_secret_nor_a_relay_password_is_shown() {
        let card = card();
        assert_eq!(format!("{card:?}"), format!("Card(redacted, hash {})", card.hash()));
        assert!(!format!("{card:?}").contains(&to_hex(card.secret().as_slice())));
    }

    #[test]
    fn cards_are_what_they_were_in_the_first_release() {
        let card = card();
        let mut golden = Golden::open("card");
        golden.text("text", &card.to_text());
        golden.bytes("hash", &card.hash().0);
        golden.bytes("secret", card.secret().as_slice());
        golden.bytes("commitment", &card.commitment().0);
        golden.finish();
    }
}
