//! Rules broken on purpose, in the harness only, to see that the simulation notices.

use std::fmt;

/// A broken rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sabotage {
    /// Relays are told to delete an envelope before its content is on disk.
    AckBeforeCommit,
    /// Outputs are performed, and the last commit is lost in a crash.
    SkipCommit,
    /// The last write to arrive wins, whatever its author had seen.
    MergeByArrival,
    /// Bundles are applied without regard to what their author had seen.
    DropContext,
    /// The store lets a bundle take effect twice.
    ApplyTwice,
    /// A relay swallows everything that is for one device, for good.
    BlackHole,
    /// Every letter asks for an answer, the answer too.
    AskAlways,
    /// A device whose disk was put back goes on writing its old source.
    KeepSource,
    /// Bundles beyond the end of a removed device's source stay in the log.
    ForgetCut,
    /// Letters do not say which sources of removed devices end before their first bundle.
    HideEnded,
    /// Devices look into the mailboxes of the epoch they live in, and forget those of earlier ones.
    ForgetMailbox,
    /// Seeds die as soon as there is a newer prekey.
    DestroyEarly,
    /// The database forgets a waiting bundle's end: it is never taken out.
    KeepEarly,
    /// The log is compacted as far as it goes, whatever siblings have receipted.
    CompactAll,
    /// A snapshot joins without its deletions.
    JoinForgetsDeletions,
    /// Nobody passes on what siblings say of themselves.
    HideStatements,
    /// Contents go that nobody else has promised to keep.
    PruneAnyway,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::AckBeforeCommit,
        Self::SkipCommit,
        Self::MergeByArrival,
        Self::DropContext,
        Self::ApplyTwice,
        Self::BlackHole,
        Self::AskAlways,
        Self::KeepSource,
        Self::ForgetCut,
        Self::HideEnded,
        Self::ForgetMailbox,
        Self::DestroyEarly,
        Self::KeepEarly,
        Self::CompactAll,
        Self::JoinForgetsDeletions,
        Self::HideStatements,
        Self::PruneAnyway,
    ];

    /// The name in `BREAK=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AckBeforeCommit => "ack-before-commit",
            Self::SkipCommit => "skip-commit",
            Self::MergeByArrival => "merge-by-arrival",
            Self::DropContext => "drop-context",
            Self::ApplyTwice => "apply-twice",
            Self::BlackHole => "black-hole",
            Self::AskAlways => "ask-always",
            Self::KeepSource => "keep-source",
            Self::ForgetCut => "forget-cut",
            Self::HideEnded => "hide-ended",
            Self::ForgetMailbox => "forget-mailbox",
            Self::DestroyEarly => "destroy-early",
            Self::KeepEarly => "keep-early",
            Self::CompactAll => "compact-all",
            Self::JoinForgetsDeletions => "join-forgets-deletions",
            Self::HideStatements => "hide-statements",
            Self::PruneAnyway => "prune-anyway",
        }
    }

    /// The one with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sabotage| sabotage.name() == name)
    }
}

impl fmt::Display for Sabotage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
