//! Domain separation: one label for each thing that is signed, derived or authenticated.
//!
//! A label is the start of the input and everything after it has a fixed length or carries its length. No label is the
//! beginning of another, so two purposes can never share an input.

/// Signature over a parcel, inside an envelope.
pub(super) const PARCEL: &[u8] = b"kinfolk/1/parcel";
/// Signature over the head of a source's chain.
pub(super) const HEAD: &[u8] = b"kinfolk/1/head";
/// Signature over a roster record.
pub(super) const RECORD: &[u8] = b"kinfolk/1/roster";
/// Signature of a device over its own joining.
pub(super) const JOIN: &[u8] = b"kinfolk/1/join";

/// HPKE `info` of an envelope.
pub(super) const ENVELOPE: &[u8] = b"kinfolk/1/envelope";
/// HKDF: a group secret to the HPKE pre-shared key.
pub(super) const GROUP_PSK: &[u8] = b"kinfolk/1/group-psk";
/// HKDF: a group secret to the key of mailbox addresses.
pub(super) const GROUP_ADDRESS: &[u8] = b"kinfolk/1/group-address";

/// Additional data of a wrapped secret.
pub(super) const WRAPPED: &[u8] = b"kinfolk/1/wrapped";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_is_the_beginning_of_another() {
        let labels = [PARCEL, HEAD, RECORD, JOIN, ENVELOPE, GROUP_PSK, GROUP_ADDRESS, WRAPPED];
        for (index, label) in labels.iter().enumerate() {
            for (other_index, other) in labels.iter().enumerate() {
                assert!(
                    index == other_index || !other.starts_with(label),
                    "{} starts {}",
                    String::from_utf8_lossy(label),
                    String::from_utf8_lossy(other)
                );
            }
        }
    }
}
