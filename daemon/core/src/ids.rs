//! Names: devices, sources, bundles, relays. Identifiers, positions and counts are types, so that the compiler reads
//! our units.

use std::fmt;

/// Makes a fixed-size identifier with hex display, redaction-free `Debug`, and checked construction from bytes.
macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Takes exactly [`Self::LEN`] bytes; anything else is `None`.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// Reads the hex form written by `Display`.
            pub fn from_hex(text: &str) -> Option<Self> {
                let text = text.as_bytes();
                if text.len() != Self::LEN * 2 {
                    return None;
                }
                let mut out = [0; $len];
                for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
                    let high = char::from(*pair.first()?).to_digit(16)?;
                    let low = char::from(*pair.get(1)?).to_digit(16)?;
                    *byte = u8::try_from(high * 16 + low).ok()?;
                }
                Some(Self(out))
            }

            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

id_type!(
    /// One installation for one person: 16 bytes, made once with its key ([`DeviceId::of`]), kept across restarts, shown as 32
    /// hex digits.
    DeviceId, 16
);
id_type!(
    /// One writer stream of a device (a UUIDv4). A device has one active source; a restored or cloned device takes a
    /// fresh one before it writes (seed 004).
    SourceId, 16
);
id_type!(
    /// One relay, the same name on every device that reaches the same storage, whatever URL it uses.
    RelayId, 16
);
id_type!(
    /// A SHA-256 digest (FIPS 180-4).
    Hash, 32
);
id_type!(
    /// Name of a sealed envelope on a relay: 48-bit milliseconds and 80 random bits, chosen once when it is sealed.
    EnvelopeId, 16
);
id_type!(
    /// An Ed25519 public key (RFC 8032): the identity of a device.
    IdentityKey, 32
);

impl DeviceId {
    /// The id of a device with that key: who sees the id knows the key it belongs to, and no other key can claim it.
    pub fn of(key: &IdentityKey) -> Self {
        let Hash(hash) = Hash::of_parts(&[b"kinfolk/1/device", &key.0]);
        let mut id = [0; Self::LEN];
        id.iter_mut().zip(hash).for_each(|(byte, hashed)| *byte = hashed);
        Self(id)
    }
}

impl Hash {
    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_parts(&[bytes])
    }

    /// SHA-256 of the parts, one after the other, without separators: callers fix lengths or prefix them.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        use sha2::{Digest, Sha256};
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }
}

/// Position in a source: 1, 2, 3 … gap-free. 0 means "nothing yet".
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first bundle.
    pub const ZERO: Self = Self(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// How many positions lie after `earlier` up to and including `self`; 0 when there are none.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a write: which source, which position. Every stored value carries its dot.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Dot {
    /// The writer stream.
    pub source: SourceId,
    /// The position in it.
    pub seq: Seq,
}

/// Order of apply on *this* device: 1, 2, 3 …. Local; never in a digest, never sent to siblings.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BundleSeq(pub u64);

impl fmt::Display for BundleSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl BundleSeq {
    /// The place after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A moment or a span in milliseconds. Wall-clock moments count from the Unix epoch; monotonic ones from wherever the
/// caller likes.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Millis(pub u64);

impl Millis {
    /// This moment moved `span` ahead.
    #[must_use]
    pub fn plus(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The span since `earlier`; zero when that lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

/// What the caller knows of time when it hands something to the engine.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Now {
    /// Never steps back; timers use it.
    pub mono: Millis,
    /// The device's wall clock, right or wrong; stamps and "last seen" use it.
    pub wall: Millis,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_refuses_other_lengths() {
        let id = DeviceId([0xAB; 16]);
        assert_eq!(DeviceId::from_hex(&id.to_string()), Some(id));
        assert_eq!(DeviceId::from_hex("ab"), None);
        assert_eq!(DeviceId::from_hex(&"zz".repeat(16)), None);
    }

    #[test]
    fn a_sequence_number_never_wraps() {
        assert_eq!(Seq(u64::MAX).next(), Seq(u64::MAX));
        assert_eq!(Seq(3).since(Seq(5)), 0);
    }

    #[test]
    fn a_place_in_the_order_of_apply_is_shown_as_its_number() {
        assert_eq!(BundleSeq(41).next().to_string(), "42");
    }
}
