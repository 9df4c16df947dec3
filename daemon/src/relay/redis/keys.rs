//! What lies where on a server. All names begin with `msg:` or `mb:` or, for channels, `ntf:`, so that one line of access rules covers them.
//!
//! | name | what |
//! |---|---|
//! | `msg:{lookup key in hex}` | sorted set: the mail of one mailbox; member = envelope id ‖ sealed bytes, score = µs |
//! | `mb:{msg:…}` | hash, the companion: `era` its own name, `hi` the highest score given, `bytes` the budget used |
//! | `ntf:{msg:…}` | channel: something was put |
//! | `mb:kinfolk` | string, the marker: `1 ` and the relay's id in hex |
//!
//! The braces of companion and channel are written; those of `msg:` are not. They keep the three in one slot where slots matter.

use kinfolk_core::ids::RelayId;

use crate::relay::mail::Mailbox;

/// What all mail begins with.
const MAIL: &str = "msg:";
/// What all channels begin with.
const CHANNEL: &str = "ntf:{msg:";

/// Where the marker lies.
pub(super) const MARKER: &str = "mb:kinfolk";
/// Version of this layout.
pub(super) const VERSION: u32 = 1;

/// The mail of a mailbox.
pub(super) fn mail(mailbox: Mailbox) -> String {
    format!("{MAIL}{mailbox}")
}

/// Its companion.
pub(super) fn companion(mailbox: Mailbox) -> String {
    format!("mb:{{{MAIL}{mailbox}}}")
}

/// Its channel.
pub(super) fn channel(mailbox: Mailbox) -> String {
    format!("{CHANNEL}{mailbox}}}")
}

/// The mailbox whose mail lies at this name.
pub(super) fn mailbox_of(key: &[u8]) -> Option<Mailbox> {
    Mailbox::from_hex(std::str::from_utf8(key).ok()?.strip_prefix(MAIL)?)
}

/// The mailbox that this channel tells of.
pub(super) fn mailbox_heard(channel: &[u8]) -> Option<Mailbox> {
    Mailbox::from_hex(std::str::from_utf8(channel).ok()?.strip_prefix(CHANNEL)?.strip_suffix('}')?)
}

/// What the marker says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Marker {
    /// A relay of our version.
    Relay(RelayId),
    /// A relay of a later version.
    Newer(u32),
    /// Nothing that kinfolk wrote.
    Garbled,
}

/// The marker of a relay.
pub(super) fn marker(id: RelayId) -> String {
    format!("{VERSION} {id}")
}

/// Reads a marker.
pub(super) fn read_marker(bytes: &[u8]) -> Marker {
    let parts = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once(' '));
    let Some((Ok(version), id)) = parts.map(|(version, id)| (version.parse::<u32>(), id)) else {
        return Marker::Garbled;
    };
    match version {
        0 => Marker::Garbled,
        VERSION => RelayId::from_hex(id).map_or(Marker::Garbled, Marker::Relay),
        newer => Marker::Newer(newer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_as_other_programs_may_rely_on() {
        let mailbox = Mailbox([0xa7; 32]);
        let hex = "a7".repeat(32);
        assert_eq!(mail(mailbox), format!("msg:{hex}"));
        assert_eq!(companion(mailbox), format!("mb:{{msg:{hex}}}"));
        assert_eq!(channel(mailbox), format!("ntf:{{msg:{hex}}}"));
        assert_eq!(mailbox_of(mail(mailbox).as_bytes()), Some(mailbox));
        assert_eq!(mailbox_heard(channel(mailbox).as_bytes()), Some(mailbox));
        for foreign in [&b"msg:"[..], b"msg:a7", b"ntf:{msg:a7}", b"", &[0xff; 68]] {
            assert_eq!((mailbox_of(foreign), mailbox_heard(foreign)), (None, None));
        }
    }

    #[test]
    fn every_cut_of_a_marker_is_garbled() {
        let id = RelayId([0xab; 16]);
        let whole = marker(id);
        assert_eq!(read_marker(whole.as_bytes()), Marker::Relay(id));
        for length in 0..whole.len() {
            assert_eq!(read_marker(&whole.as_bytes()[..length]), Marker::Garbled, "cut to {length}");
        }
        assert_eq!(read_marker(b"2 whatever"), Marker::Newer(2));
        for garbage in [&b"0 00"[..], b"x", b"1", &[0xff; 40]] {
            assert_eq!(read_marker(garbage), Marker::Garbled);
        }
    }
}
