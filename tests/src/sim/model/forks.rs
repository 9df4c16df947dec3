//! Evidence against sources, and the engine's questions to the log.

use std::collections::BTreeMap;

use bytes::Bytes;
use kinfolk_core::bundle::Bundle;
use kinfolk_core::evidence::{Comparison, Evidence, compare};
use kinfolk_core::ids::{DeviceId, Dot, Hash, Seq, SourceId};
use kinfolk_core::look::{Compared, Look, Looked, PAGE_BUNDLES, PAGE_BYTES};
use kinfolk_core::parcel::{Run, RunBodies};
use kinfolk_core::step::RunRequest;
use kinfolk_core::vector::Head;

use super::{Model, State};

/// What every run is signed with here.
const SIGNATURE: Bytes = Bytes::from_static(&[9; 64]);

/// By source and device: what ends it, and how often that was moved.
pub(super) type Proofs = BTreeMap<(SourceId, DeviceId), (Evidence, u32)>;

impl Model {
    /// Answers a question of the engine.
    pub fn look(&self, look: Look) -> Looked {
        match look {
            Look::Compare { from, run } => {
                let (comparison, mut held, mut before) = match run.bundles.first() {
                    Some(first) => {
                        let source = first.dot.source;
                        let floor = self.floor(source);
                        let at = |seq| self.bundle(Dot { source, seq }).filter(|_| seq > floor.seq);
                        let noted = |seq| Some(floor.hash).filter(|_| seq == floor.seq && seq > Seq::ZERO);
                        let comparison =
                            compare(&run, floor.seq, |seq| at(seq).map(|bundle| bundle.hash).or_else(|| noted(seq)));
                        (comparison, None, at(Seq(first.dot.seq.0.saturating_sub(1))).cloned())
                    }
                    None => (Comparison::Agrees, None, None),
                };
                if let (Comparison::Parts(after), Some(first)) = (comparison, run.bundles.first()) {
                    held = self.branch(first.dot.source, after);
                }
                before = before.filter(|_| comparison == Comparison::Agrees);
                Looked::Compared(Box::new(Compared { from, run, comparison, held, before }))
            }
            Look::Seen { source, at } => {
                let mark = self.state.watermark.get(&source).cloned().unwrap_or_default();
                let bodies = self.of(source, mark.head.seq).filter(|bundle| bundle.dot.seq <= at);
                let moved = bodies.filter_map(|bundle| bundle.body.as_ref()).flat_map(|body| body.context.clone());
                let mut seen = mark.context;
                seen.join(&moved.collect());
                Looked::Seen { source, seen }
            }
            Look::Beyond { source, after } => {
                let (mut bundles, mut bytes) = (Vec::new(), 0);
                for bundle in self.of(source, after) {
                    if bundles.len() >= PAGE_BUNDLES || bytes >= PAGE_BYTES {
                        return Looked::Beyond { source, bundles, more: true };
                    }
                    bytes += bundle.bytes.len();
                    bundles.push(bundle.clone());
                }
                Looked::Beyond { source, bundles, more: false }
            }
        }
    }

    /// The evidence against sources of that name.
    pub fn evidence(&self, source: SourceId) -> Vec<Evidence> {
        let of_source = self.state.proofs.iter().filter(|((of, _), _)| *of == source);
        of_source.map(|(_, (evidence, _))| evidence.clone()).collect()
    }

    /// Bundles that stand for others, with the name of those.
    pub fn written_again(&self) -> impl Iterator<Item = (Dot, Hash)> {
        let origins = self.state.log.values().filter_map(|logged| logged.bundle.body.as_ref()?.origin);
        origins.map(|(source, head)| (Dot { source, seq: head.seq }, head.hash))
    }

    fn floor(&self, source: SourceId) -> Head {
        self.state.watermark.get(&source).map(|mark| mark.head).unwrap_or_default()
    }

    fn branch(&self, source: SourceId, after: Seq) -> Option<Run> {
        let device = self.state.sources.get(&source)?.device;
        let own = device == self.birth.me;
        let upto = if own { after.next() } else { Seq(u64::MAX) };
        let run = self.run(&RunRequest { device, source, after, upto }, 0)?;
        let signature = if own { SIGNATURE } else { run.signature.clone() };
        RunBodies { signature, ..run }.rebuild().ok()
    }

    fn of(&self, source: SourceId, after: Seq) -> impl Iterator<Item = &Bundle> {
        let from = Dot { source, seq: after.next() };
        self.state.log.range(from..=Dot { source, seq: Seq(u64::MAX) }).map(|(_, logged)| &logged.bundle)
    }
}

impl State {
    pub(super) fn prove(&mut self, evidence: &Evidence) {
        let verdict = evidence.verdict();
        let times = self.proofs.get(&(verdict.source, verdict.device)).map_or(0, |(_, times)| *times);
        self.proofs.insert((verdict.source, verdict.device), (evidence.clone(), times + 1));
    }

    /// Where evidence ends a source; of one that nobody is known to write, any.
    pub(super) fn proven_end(&self, source: SourceId) -> Option<Seq> {
        let owner = self.sources.get(&source).map(|known| known.device);
        let mut against = self.proofs.iter().filter(|((of, by), _)| *of == source && owner.is_none_or(|it| it == *by));
        against.next().map(|(_, (evidence, _))| evidence.verdict().end.seq)
    }
}
