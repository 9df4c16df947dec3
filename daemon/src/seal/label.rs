//! Domain separation: one label for each thing that is signed, derived or authenticated.
//!
//! A label is the start of the input and everything after it has a fixed length or carries its length. No label is the
//! beginning of another, so two purposes can never share an input.

/// Signature over a parcel, inside an envelope.
pub(super) const PARCEL: &[u8] = b"kinfolk/1/parcel";
/// Signature over the head of a source's chain.
pub(super) const HEAD: &[u8] = b"kinfolk/1/head";
/// Signature over what a device says of itself, for others to pass on.
pub(super) const STATEMENT: &[u8] = b"kinfolk/1/statement";
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

/// HKDF: a group secret to the key of letters to a device of which no prekey is known.
pub(super) const GROUP_COMMON: &[u8] = b"kinfolk/1/group-common";

/// Commitment of a roster record to the secret of an epoch.
pub(super) const EPOCH: &[u8] = b"kinfolk/1/epoch";
/// HPKE `info` of the secret of an epoch, given in a letter.
pub(super) const GIFT: &[u8] = b"kinfolk/1/gift";

/// Hash of a bearer token of the local API.
pub(super) const BEARER: &[u8] = b"kinfolk/1/bearer";

/// Additional data of a wrapped secret.
pub(super) const WRAPPED: &[u8] = b"kinfolk/1/wrapped";

/// Checksum at the end of a pairing card.
pub(super) const PAIR_CHECKSUM: &[u8] = b"kinfolk/1/pair/checksum";
/// Hash in a pairing card: pairing key, inviter's identity, roster.
pub(super) const PAIR_COMMITMENT: &[u8] = b"kinfolk/1/pair/commitment";
/// HMAC of the card's secret: the mailbox of the offer.
pub(super) const PAIR_BOX_OFFER: &[u8] = b"kinfolk/1/pair/box-offer";
/// HMAC of the card's secret: the mailbox of the answer.
pub(super) const PAIR_BOX_ANSWER: &[u8] = b"kinfolk/1/pair/box-answer";
/// HMAC of the card's secret: the mailbox of the acceptance.
pub(super) const PAIR_BOX_ACCEPT: &[u8] = b"kinfolk/1/pair/box-accept";
/// HMAC of the card's secret: the mailbox of the finalize message.
pub(super) const PAIR_BOX_FINALIZE: &[u8] = b"kinfolk/1/pair/box-finalize";
/// HKDF: the card's secret to the key of the offer.
pub(super) const PAIR_KEY_OFFER: &[u8] = b"kinfolk/1/pair/key-offer";
/// HKDF: the card's secret to the pre-shared key of the answer.
pub(super) const PAIR_PSK_ANSWER: &[u8] = b"kinfolk/1/pair/psk-answer";
/// HKDF: the answer's exporter to the pre-shared key of the acceptance.
pub(super) const PAIR_PSK_ACCEPT: &[u8] = b"kinfolk/1/pair/psk-accept";
/// HKDF: the answer's exporter to the pre-shared key of the finalize message.
pub(super) const PAIR_PSK_FINALIZE: &[u8] = b"kinfolk/1/pair/psk-finalize";
/// Additional data of the offer.
pub(super) const PAIR_OFFER: &[u8] = b"kinfolk/1/pair/offer";
/// HPKE `info` of the answer.
pub(super) const PAIR_ANSWER: &[u8] = b"kinfolk/1/pair/answer";
/// HPKE `info` of the acceptance, and the inviter's signature in it.
pub(super) const PAIR_ACCEPT: &[u8] = b"kinfolk/1/pair/accept";
/// HPKE `info` of the finalize message, and the inviter's signature in it.
pub(super) const PAIR_FINALIZE: &[u8] = b"kinfolk/1/pair/finalize";
/// Transcript of card and offer.
pub(super) const PAIR_TRANSCRIPT_OFFERED: &[u8] = b"kinfolk/1/pair/transcript-offered";
/// Transcript of offer and answer.
pub(super) const PAIR_TRANSCRIPT_ANSWERED: &[u8] = b"kinfolk/1/pair/transcript-answered";
/// Transcript of offer, answer and acceptance.
pub(super) const PAIR_TRANSCRIPT_ACCEPTED: &[u8] = b"kinfolk/1/pair/transcript-accepted";
/// HKDF: the answer's exporter to the check code.
pub(super) const PAIR_CHECK_CODE: &[u8] = b"kinfolk/1/pair/check-code";
/// HPKE exporter context.
pub(super) const EXPORTER: &[u8] = b"kinfolk/1/exporter";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_is_the_beginning_of_another() {
        let labels = [
            PARCEL,
            HEAD,
            STATEMENT,
            RECORD,
            JOIN,
            ENVELOPE,
            GROUP_PSK,
            GROUP_ADDRESS,
            GROUP_COMMON,
            EPOCH,
            GIFT,
            BEARER,
            WRAPPED,
            PAIR_CHECKSUM,
            PAIR_COMMITMENT,
            PAIR_BOX_OFFER,
            PAIR_BOX_ANSWER,
            PAIR_BOX_ACCEPT,
            PAIR_BOX_FINALIZE,
            PAIR_KEY_OFFER,
            PAIR_PSK_ANSWER,
            PAIR_PSK_ACCEPT,
            PAIR_PSK_FINALIZE,
            PAIR_OFFER,
            PAIR_ANSWER,
            PAIR_ACCEPT,
            PAIR_FINALIZE,
            PAIR_TRANSCRIPT_OFFERED,
            PAIR_TRANSCRIPT_ANSWERED,
            PAIR_TRANSCRIPT_ACCEPTED,
            PAIR_CHECK_CODE,
            EXPORTER,
        ];
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
