//! The key of the database, as the store holds it.

use std::fmt;
use std::fmt::Write as _;

use zeroize::Zeroizing;

/// 32 random bytes that encrypt every page. Wiped when dropped, never shown. A build without `encrypted-db` ignores it.
#[derive(Clone)]
pub struct DbKey(Zeroizing<[u8; 32]>);

impl DbKey {
    /// Takes the key bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The statement that gives the key to SQLCipher, raw: no passphrase derivation slows down each opening.
    pub(super) fn pragma(&self) -> Zeroizing<String> {
        // Room for all of it from the start: growing would leave unwiped copies behind.
        let mut sql = Zeroizing::new(String::with_capacity(128));
        sql.push_str("PRAGMA key = \"x'");
        for byte in self.0.iter() {
            // Writing to a string cannot fail.
            let _ = write!(sql, "{byte:02x}");
        }
        sql.push_str("'\"");
        sql
    }
}

impl fmt::Debug for DbKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DbKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", DbKey::new([0xAB; 32])), "DbKey(redacted)");
    }

    #[test]
    fn the_key_is_given_as_raw_hex_without_growing_its_buffer() {
        let sql = DbKey::new([0x0F; 32]).pragma();
        assert_eq!(*sql, format!("PRAGMA key = \"x'{}'\"", "0f".repeat(32)));
        assert_eq!(sql.capacity(), 128);
    }
}
