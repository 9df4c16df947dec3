//! Why a source is stopped: what it broke, with what stands here and what was offered.

use crate::clock::Stamp;
use crate::ids::{DeviceId, Hash, Seq};

/// A broken rule of a source. Two hashes are told apart by their first half.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Breach {
    #[error("it was forked: at {at} stands {}, and {} was offered", half(.held), half(.offered))]
    Forked { at: Seq, held: Hash, offered: Hash },
    #[error("it was forked: after {}, which stands at {at}, a bundle was offered that follows {}", half(.held), half(.offered))]
    Chain { at: Seq, held: Hash, offered: Hash },
    #[error("its stamps run backwards: {} ms at {at} and {} ms after it", held.millis().0, offered.millis().0)]
    Stamps { at: Seq, held: Stamp, offered: Stamp },
    #[error("its first bundle does not name {0}, which signed it")]
    Birth(DeviceId),
}

impl Breach {
    /// A position at which the other history differs from what is held; of stamps the one before they run backwards.
    pub(super) fn differs(self) -> Seq {
        match self {
            Self::Forked { at, .. } | Self::Chain { at, .. } | Self::Stamps { at, .. } => at,
            Self::Birth(_) => Seq::ZERO,
        }
    }
}

fn half(hash: &Hash) -> String {
    let mut text = hash.to_string();
    text.truncate(Hash::LEN);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_values_are_named_in_what_quarantine_keeps_of_a_sentence() {
        let (held, offered) = (Hash([0xAB; 32]), Hash([0xCD; 32]));
        let at = Seq(u64::from(u32::MAX));
        for breach in [Breach::Forked { at, held, offered }, Breach::Chain { at, held, offered }] {
            let sentence = breach.to_string();
            assert!(sentence.contains(&"ab".repeat(16)) && sentence.contains(&"cd".repeat(16)), "{sentence}");
            assert!(sentence.len() < 150, "{sentence}");
        }
        let stamps = Breach::Stamps { at: Seq(3), held: Stamp(7 << 16), offered: Stamp(5 << 16) };
        assert_eq!(stamps.to_string(), "its stamps run backwards: 7 ms at 3 and 5 ms after it");
    }

    #[test]
    fn histories_differ_where_the_breach_was_seen_and_one_without_a_name_from_the_start() {
        let (held, offered) = (Hash([1; 32]), Hash([2; 32]));
        let at = Seq(7);
        let stamps = Breach::Stamps { at, held: Stamp(2), offered: Stamp(1) };
        for breach in [Breach::Forked { at, held, offered }, Breach::Chain { at, held, offered }, stamps] {
            assert_eq!(breach.differs(), at);
        }
        assert_eq!(Breach::Birth(DeviceId([1; 16])).differs(), Seq::ZERO);
    }
}
