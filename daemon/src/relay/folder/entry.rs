//! One envelope as one file: its name and its bytes.
//!
//! ```text
//! name   <envelope id, 32 hex>-<sealed length, decimal>-<first 8 bytes of the checksum, 16 hex>.mail
//! bytes   0  8  "kinfolk" and the format version
//!         8  8  sealed length, little-endian
//!        16 16  envelope id
//!        32 32  checksum: SHA-256 over domain, mailbox, id and sealed bytes
//!        64  …  sealed bytes
//! ```
//! The name alone tells what a listing must know: which envelope, how many bytes it counts against the budget, and
//! which bytes it promises. So a copy with other bytes has another name, and deleting by name never deletes bytes that
//! nobody read. The checksum is no protection against people (the seal is); it finds copies that a crash, a sync tool or
//! a network share left half-written. The header is 64 bytes because padded envelopes are 2^k − 64 bytes long: the file
//! fills its blocks.
//!
//! Whatever is not named exactly so — other tools' temporary files, `.sync-conflict-`, "conflicted copy", dotfiles,
//! our own `.….tmp` — is not an envelope, and nobody touches it.

use std::fmt;

use bytes::Bytes;
use kinfolk_core::ids::{EnvelopeId, Hash};

use crate::relay::mail::{Envelope, Mailbox, lower_hex};

/// Largest envelope in sealed bytes: a parcel of 1.25 MiB, padded by at most 12 %, with its keys and signature, and
/// room to grow.
pub(in crate::relay) const MAX_SEALED: usize = 2 * 1024 * 1024;

/// Bytes before the sealed ones.
pub(super) const HEADER: usize = 64;

/// Ends the name of an envelope.
const SUFFIX: &str = ".mail";

/// Begins the name of a file being written.
const TEMP_PREFIX: &str = ".kinfolk-";

/// Ends the name of a file being written.
const TEMP_SUFFIX: &str = ".tmp";

const MAGIC: &[u8; 7] = b"kinfolk";
const VERSION: u8 = 1;

/// Separates this use of SHA-256 from every other.
const DOMAIN: &[u8] = b"kinfolk folder relay mail v1";

/// The parsed name of an envelope's file. Sorts by envelope id, which is about the order of sealing.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Name {
    pub(super) id: EnvelopeId,
    /// Sealed length in bytes.
    pub(super) length: u32,
    /// Beginning of the checksum.
    pub(super) check: [u8; 8],
}

impl Name {
    /// Reads a file name; `None` for everything that is not exactly an envelope's.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_suffix(SUFFIX)?.split('-');
        let (id, length, check) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let name =
            Self { id: EnvelopeId(from_lower_hex(id)?), length: length.parse().ok()?, check: from_lower_hex(check)? };
        // Leading zeros and plus signs would give one envelope two names.
        let spelled_once = name.to_string() == text;
        (spelled_once && usize::try_from(name.length).is_ok_and(|length| length <= MAX_SEALED)).then_some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-", self.id, self.length)?;
        self.check.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(SUFFIX)
    }
}

/// An envelope ready to be written: its name and its header.
pub(super) struct Encoded {
    pub(super) name: Name,
    pub(super) header: [u8; HEADER],
}

/// Names an envelope and writes its header. `None` when it is larger than [`MAX_SEALED`].
pub(super) fn encode(mailbox: Mailbox, envelope: &Envelope) -> Option<Encoded> {
    if envelope.sealed.len() > MAX_SEALED {
        return None;
    }
    let length = u32::try_from(envelope.sealed.len()).ok()?;
    let checksum = checksum(mailbox, envelope.id, &envelope.sealed);
    let mut header = [0; HEADER];
    header[..7].copy_from_slice(MAGIC);
    header[7] = VERSION;
    header[8..16].copy_from_slice(&u64::from(length).to_le_bytes());
    header[16..32].copy_from_slice(envelope.id.as_bytes());
    header[32..].copy_from_slice(checksum.as_bytes());
    let name = Name { id: envelope.id, length, check: beginning(checksum) };
    Some(Encoded { name, header })
}

/// Takes the envelope out of a file's bytes, or says why the file is not a whole copy.
pub(super) fn decode(mailbox: Mailbox, name: &Name, file: Bytes) -> Result<Envelope, Torn> {
    let Some((header, _)) = file.split_first_chunk::<HEADER>() else {
        return Err(Torn::Length { expected: HEADER as u64, got: file.len() as u64 });
    };
    if header[..7] != MAGIC[..] {
        return Err(Torn::NotMail);
    }
    if header[7] != VERSION {
        return Err(Torn::Version { expected: VERSION, got: header[7] });
    }
    let sealed = file.slice(HEADER..);
    let got = sealed.len() as u64;
    for expected in [u64::from(name.length), u64::from_le_bytes(array(&header[8..16]))] {
        if got != expected {
            return Err(Torn::Length { expected, got });
        }
    }
    let expected = Hash(array(&header[32..]));
    let got = checksum(mailbox, name.id, &sealed);
    if header[16..32] != name.id.0 || expected != got || beginning(got) != name.check {
        return Err(Torn::Checksum { expected, got });
    }
    Ok(Envelope { id: name.id, sealed })
}

/// Why a file with an envelope's name is not a whole copy of it.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Torn {
    #[error("expected {expected} bytes, got {got}")]
    Length { expected: u64, got: u64 },
    #[error("the bytes are not a kinfolk envelope")]
    NotMail,
    #[error("expected format version {expected}, got {got}")]
    Version { expected: u8, got: u8 },
    #[error("expected checksum {expected}, got {got}")]
    Checksum { expected: Hash, got: Hash },
    #[error("cannot be read: {0}")]
    Unreadable(std::io::ErrorKind),
}

/// The name of a file being written; `nonce` keeps writers apart.
pub(super) fn temp_name(nonce: u64) -> String {
    format!("{TEMP_PREFIX}{nonce:016x}{TEMP_SUFFIX}")
}

/// True for names made by [`temp_name`], and only for those.
pub(super) fn is_temp(name: &str) -> bool {
    let nonce = name.strip_prefix(TEMP_PREFIX).and_then(|rest| rest.strip_suffix(TEMP_SUFFIX));
    nonce.is_some_and(|nonce| from_lower_hex::<8>(nonce).is_some())
}

fn checksum(mailbox: Mailbox, id: EnvelopeId, sealed: &[u8]) -> Hash {
    Hash::of_parts(&[DOMAIN, &mailbox.0, id.as_bytes(), sealed])
}

fn beginning(checksum: Hash) -> [u8; 8] {
    array(&checksum.0[..8])
}

/// Copies a slice whose length the caller has fixed.
fn array<const N: usize>(slice: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(slice);
    array
}

fn from_lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = lower_hex(pair[0])? << 4 | lower_hex(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAILBOX: Mailbox = Mailbox([7; 32]);

    fn envelope(sealed: &'static [u8]) -> Envelope {
        Envelope { id: EnvelopeId([0x1a; 16]), sealed: Bytes::from_static(sealed) }
    }

    fn file_of(envelope: &Envelope) -> (Name, Vec<u8>) {
        let encoded = encode(MAILBOX, envelope).unwrap();
        (encoded.name, [&encoded.header[..], &envelope.sealed].concat())
    }

    #[test]
    fn a_whole_copy_comes_back_and_its_name_too() {
        for sealed in [&b""[..], b"x", &[0; 4032]] {
            let envelope = envelope(sealed);
            let (name, file) = file_of(&envelope);
            assert_eq!(file.len(), sealed.len() + HEADER);
            assert_eq!(Name::parse(&name.to_string()), Some(name));
            assert_eq!(decode(MAILBOX, &name, file.into()), Ok(envelope));
        }
    }

    /// The bytes on disk, once and for all: relays outlive versions.
    #[test]
    fn the_format_is_frozen() {
        let (name, file) = file_of(&envelope(b"sealed"));
        let hex: String = file.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(name.to_string(), FROZEN_NAME);
        assert_eq!(hex, FROZEN_FILE);
    }

    const FROZEN_NAME: &str = "1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a-6-247e2961b81c704c.mail";
    /// Calculated by another program.
    const FROZEN_FILE: &str = "6b696e666f6c6b010600000000000000\
        1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a\
        247e2961b81c704cdd0453b0513cc73a99fd0ba227497812f068fd226977b5ec\
        7365616c6564";

    #[test]
    fn every_cut_and_every_flipped_bit_is_found() {
        let (name, file) = file_of(&envelope(b"sealed bytes"));
        for length in 0..file.len() {
            assert!(decode(MAILBOX, &name, Bytes::copy_from_slice(&file[..length])).is_err(), "cut to {length}");
        }
        for bit in 0..file.len() * 8 {
            let mut bent = file.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(MAILBOX, &name, bent.into()).is_err(), "bit {bit}");
        }
        let longer = [&file[..], b"tail"].concat();
        assert_eq!(decode(MAILBOX, &name, longer.into()), Err(Torn::Length { expected: 12, got: 16 }));
    }

    #[test]
    fn a_copy_moved_to_another_mailbox_or_name_is_not_whole() {
        let (name, file) = file_of(&envelope(b"sealed"));
        let file = Bytes::from(file);
        assert!(matches!(decode(Mailbox([8; 32]), &name, file.clone()), Err(Torn::Checksum { .. })));
        let other = Name { id: EnvelopeId([2; 16]), ..name };
        assert!(matches!(decode(MAILBOX, &other, file.clone()), Err(Torn::Checksum { .. })));
        let other = Name { check: [0; 8], ..name };
        assert!(matches!(decode(MAILBOX, &other, file), Err(Torn::Checksum { .. })));
    }

    #[test]
    fn the_largest_envelope_that_is_sealed_has_a_file() {
        const { assert!(crate::seal::envelope::MAX_ENVELOPE <= MAX_SEALED) };
    }

    #[test]
    fn an_oversized_envelope_has_no_file() {
        let sealed = Bytes::from(vec![0; MAX_SEALED + 1]);
        let id = EnvelopeId([1; 16]);
        assert!(encode(MAILBOX, &Envelope { id, sealed: sealed.slice(1..) }).is_some());
        assert!(encode(MAILBOX, &Envelope { id, sealed }).is_none());
    }

    #[test]
    fn other_tools_files_are_not_envelopes() {
        let (name, _) = file_of(&envelope(b"sealed"));
        let name = name.to_string();
        let stem = name.strip_suffix(SUFFIX).unwrap();
        for foreign in [
            format!("~syncthing~{name}.tmp"),
            format!(".syncthing.{name}.tmp"),
            format!("{stem}.sync-conflict-20260101-101010-ABCDEFG.mail"),
            format!("{stem} (Ada's conflicted copy 2026-01-01).mail"),
            format!(".{name}"),
            format!("{name}.tmp"),
            format!("{name}~"),
            name.to_uppercase(),
            name.replace("-6-", "-06-"),
            name.replace("-6-", "-+6-"),
            name.replace("-6-", "-99999999-"),
            temp_name(1),
            ".DS_Store".to_owned(),
            "kinfolk-relay".to_owned(),
            String::new(),
        ] {
            assert_eq!(Name::parse(&foreign), None, "{foreign}");
        }
    }

    #[test]
    fn only_our_own_temporary_names_are_ours() {
        assert!(is_temp(&temp_name(0)) && is_temp(&temp_name(u64::MAX)));
        for foreign in [".kinfolk-1.tmp", ".syncthing.x.tmp", "kinfolk-0000000000000000.tmp", ".kinfolk-relay.tmp"] {
            assert!(!is_temp(foreign), "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn foreign_names_and_bytes_never_panic(text in "\\PC{0,80}", file in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(name) = Name::parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
            let (name, _) = file_of(&envelope(b"sealed"));
            prop_assert!(decode(MAILBOX, &name, file.into()).is_err());
        }
    }
}
