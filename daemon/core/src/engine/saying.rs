//! What a parcel says and brings, on its way from whoever decides it to whoever sends it.

use crate::contents::Wanted;
use crate::epoch::Epoch;
use crate::ids::SourceId;
use crate::snapshot::Ask;
use crate::step::RunRequest;

/// What a parcel says beside its bundles.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Saying {
    /// In how many letters the roster is told, if the sibling may not know it, or not our epoch.
    pub(super) roster_pieces: Option<u32>,
    /// What was said before was not answered.
    pub(super) in_vain: bool,
    pub(super) ask: bool,
    pub(super) receipt_was_due: bool,
    /// It is a word to a sibling that is silent.
    pub(super) word: bool,
    pub(super) evidence: Option<SourceId>,
    /// It [knocks](super::knock) under this epoch.
    pub(super) knock: Option<Epoch>,
}

/// What a parcel brings: runs, or a chunk, or contents.
#[derive(Clone, Debug, Default)]
pub(super) struct Cargo {
    pub(super) runs: Vec<RunRequest>,
    pub(super) chunk: Option<Ask>,
    pub(super) contents: Vec<Wanted>,
}
