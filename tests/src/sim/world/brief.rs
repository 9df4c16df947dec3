//! Changes in a few words, for a world that is told.

use kinfolk_core::ids::Dot;
use kinfolk_core::step::Change;

/// What a device writes down.
pub(super) fn brief(change: &Change) -> String {
    let name = |dot: Dot| format!("{} of {}", dot.seq, dot.source);
    match change {
        Change::Append(append) => format!("bundle {}", name(append.bundle.dot)),
        Change::Early { bundle, .. } => format!("early {}", name(bundle.dot)),
        Change::EarlyDone(dot) => format!("no longer early {}", name(*dot)),
        Change::Head(head) => format!("head {} of {}", head.head.seq, head.source),
        Change::Sibling(sibling) => format!("word of {}", sibling.device),
        Change::Record(_) => "a roster record".into(),
        Change::AppBundle(app, _) => format!("number {} of {}", app.id, app.source),
        Change::Fresh { source, generation } => format!("a fresh source {source}, generation {generation}"),
        Change::Quarantine(item) => format!("quarantine: {}", item.reason),
        Change::Cut { source, end } => format!("the end of {source} at {}", end.seq),
        Change::Evidence(evidence) => {
            let verdict = evidence.verdict();
            format!("evidence that ends {} at {}", verdict.source, verdict.end.seq)
        }
        Change::Ended(ended) => format!("that {} is of {}", ended.source, ended.device),
        Change::Epoch(kept) => format!("epoch {}", kept.epoch.number),
        Change::EpochQuiet(held) => format!("since when epoch {} is quiet: {:?}", held.epoch.number, held.quiet),
        Change::EpochGone(epoch) => format!("the end of epoch {}", epoch.number),
        Change::Prekey(kept) => format!("the prekey in slot {}", kept.prekey.slot),
        Change::PrekeyHeld(held) => format!("since when slot {} is quiet: {:?}", held.slot, held.quiet),
        Change::PrekeyGone(slot) => format!("the end of the seed in slot {slot}"),
        Change::Stands { source, head } => format!("that {source} stands up to {}", head.seq),
        Change::Compact(compaction) => format!("the watermark {:?}", compaction.watermark),
        Change::Prune(pruning) => format!("that contents go, of {} sources", pruning.upto.len()),
        Change::Contents(contents) => format!("{} contents that were elsewhere", contents.len()),
        Change::Word { to, word } => format!("its word to {to}: {word:?}"),
        Change::HydrationBegun(state) => format!("that a snapshot of {} begins", state.from),
        Change::Staged(chunk) => format!("the chunk up to {} of {}", chunk.upto.0, chunk.last.0),
        Change::HydrationOver => "that a snapshot is given up".into(),
        Change::Join(join) => format!("a snapshot that brings {} sources on", join.sources.len()),
    }
}
