//! Numbers and digests for `status` and `compare`.

use std::collections::BTreeMap;

use kinfolk_core::digest::Sum;
use kinfolk_core::ids::{BundleSeq, Hash};

use super::{Reader, conflicts, order};
use crate::store::StoreError;
use crate::store::collections::Collections;
use crate::store::convert::uint;

/// What there is, in numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Registers of records in which concurrent writes disagree and somebody is asked.
    pub conflicts: u64,
    /// The same where the last write wins.
    pub settled: u64,
    /// Messages of which different contents were posted under one id.
    pub differing_messages: u64,
    /// What is in quarantine and not hidden.
    pub quarantine: u64,
    /// What ever came into quarantine.
    pub quarantine_ever: u64,
    /// Conversations with messages.
    pub conversations: u64,
    /// Messages that are not deleted.
    pub messages: u64,
    /// Records that exist.
    pub records: u64,
    /// The last place given out in this device's order.
    pub bundle_seq: BundleSeq,
    /// Ops of a newer version, which wait for an upgrade.
    pub unknown_ops: u64,
}

impl Reader {
    /// Counts. Costs what conversations, conflicts and collections cost to go through, not what messages or records would.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        let sql = "SELECT
             (SELECT count(DISTINCT message) FROM message_variant),
             (SELECT count(*) FROM quarantine WHERE hidden = 0),
             (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'quarantine'),
             (SELECT count(*) FROM conversation WHERE messages > 0),
             (SELECT coalesce(sum(messages), 0) FROM conversation),
             (SELECT coalesce(sum(live), 0) FROM collection),
             (SELECT coalesce(unknown, 0) FROM level)";
        self.with(|connection| {
            let bundle_seq = order::reach(connection)?.last;
            let open = conflicts::count(connection)?;
            let counts = connection.prepare_cached(sql)?.query_row((), |row| {
                let number = |column| row.get(column).map(uint);
                Ok(Counts {
                    conflicts: open.kept,
                    settled: open.settled,
                    differing_messages: number(0)?,
                    quarantine: number(1)?,
                    quarantine_ever: number(2)?,
                    conversations: number(3)?,
                    messages: number(4)?,
                    records: number(5)?,
                    bundle_seq,
                    unknown_ops: number(6)?,
                })
            })?;
            Ok(counts)
        })
    }

    /// The state digest of the last commit.
    pub fn digest(&self) -> Result<Hash, StoreError> {
        self.with(|connection| Collections::load(connection).map(|collections| collections.digest()))
    }

    /// The digest sums of all collections at the last commit, by name.
    pub fn sums(&self) -> Result<BTreeMap<String, Sum>, StoreError> {
        self.with(|connection| Collections::load(connection).map(|collections| collections.sums().collect()))
    }
}
