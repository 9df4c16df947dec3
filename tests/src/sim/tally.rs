//! What the simulated worlds went through. A simulation that never reached something proved nothing about it.

use std::fmt;
use std::ops::AddAssign;

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident: $words:literal,)*) => {
        /// Counts of what happened.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct Tally {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Tally {
            /// What never happened.
            pub fn missed(&self) -> Vec<&'static str> {
                [$((self.$name, $words),)*].into_iter().filter(|(count, _)| *count == 0).map(|(_, words)| words).collect()
            }
        }

        impl AddAssign for Tally {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl fmt::Display for Tally {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, "{:>10} {}", self.$name, $words)?;)*
                Ok(())
            }
        }
    };
}

tally! {
    /// Bundles accepted from apps.
    accepted: "bundles accepted",
    /// Pushes refused by rule.
    refused: "pushes refused",
    /// Pushes answered as before.
    repeated: "pushes retried and answered as before",
    /// Envelopes put.
    envelopes: "envelopes put",
    /// Envelopes that a relay lost.
    drops: "envelopes lost",
    /// Envelopes that a relay delivered more than once.
    repeats: "envelopes repeated",
    /// Envelopes that overtook an earlier one.
    reorders: "envelopes out of order",
    /// Puts that failed.
    failed_puts: "puts that failed",
    /// Relays that went away for a while.
    outages: "outages of relays",
    /// Relays that were put back to an older state.
    rollbacks: "relays put back to an older state",
    /// Envelopes that a relay lost all at once.
    evicted: "envelopes evicted",
    /// How often a relay did not show what it has.
    withheld: "envelopes withheld for a while",
    /// Envelopes that a relay kept for as long as it keeps any.
    expired: "envelopes expired",
    /// Puts for which there was no room.
    full: "puts into full mailboxes",
    /// Relays that a device left.
    left: "relays left by a device",
    /// Families in which not all share a relay, at the end.
    apart: "families that do not all share a relay",
    /// Envelopes nobody could open, and parcels of strangers.
    garbage: "envelopes of garbage and strangers",
    /// Devices that stopped between two outputs.
    crashes: "crashes",
    /// Commits that the disk refused.
    failed_commits: "commits refused by the disk",
    /// Devices that joined late.
    pairings: "late pairings",
    /// Names of devices changed.
    renames: "devices renamed",
    /// Removals that devices signed.
    removals: "devices removed",
    /// Sources that were taken back.
    cuts: "sources cut",
    /// Epochs that devices minted.
    epochs: "epochs minted",
    /// Prekeys that devices made.
    prekeys: "prekeys made",
    /// Old seeds that were destroyed.
    seeds: "seeds destroyed",
    /// Letters to devices of which no prekey was known to be of use.
    knocks: "knocks",
    /// Devices that were off for longer than relays keep mail.
    sleeps: "long sleeps",
    /// Wall clocks that were set.
    jumps: "jumps of wall clocks",
    /// Devices whose disk was put back to an older image.
    put_back: "disks put back to an older image",
    /// Own bundles that siblings gave back.
    regained: "own bundles regained from siblings",
    /// Devices that never came back.
    lost_devices: "devices lost for good",
    /// Bundles that came before their time.
    early: "early arrivals",
    /// Bundles received that were held already.
    duplicates: "bundles received again",
    /// Bundles that were forwarded by another than their author.
    forwarded: "bundles forwarded",
    /// Questions for what is missing.
    wants: "wants",
    /// Lanes that went back.
    rewinds: "rewinds",
    /// Compactions that moved a watermark.
    compactions: "compactions",
    /// Chunks of snapshots that were staged.
    chunks: "chunks of snapshots staged",
    /// Snapshots that joined a log.
    joins: "snapshots joined",
    /// Words that contents are kept.
    words: "words given that contents are kept",
    /// Contents that went.
    prunings: "contents let go",
    /// How many of them were fetched again.
    fetched: "contents fetched again",
    /// Registers in which concurrent writes disagree, at the end.
    conflicts: "conflicts",
    /// Messages with one id and different contents, at the end.
    differing: "messages that differ under one id",
    /// Commits after which the database and the model were compared.
    compared: "comparisons of database and model",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_is_named() {
        let mut tally = Tally { drops: 1, ..Tally::default() };
        tally += Tally { crashes: 2, ..Tally::default() };
        assert!(!tally.missed().contains(&"envelopes lost"));
        assert!(!tally.missed().contains(&"crashes"));
        assert!(tally.missed().contains(&"wants"));
    }
}
