//! What a store gives away of its log.

use bytes::Bytes;
use kinfolk_core::ids::{Dot, Seq};
use kinfolk_core::parcel::RunBodies;
use kinfolk_core::step::RunRequest;

use super::Model;

impl Model {
    /// A stretch to send, of at most `max_bytes` but at least one body: of the own source to any end, of others' to a signed head.
    pub fn run(&self, request: &RunRequest, max_bytes: usize) -> Option<RunBodies> {
        let device = self.state.sources.get(&request.source)?.device;
        let own = device == self.birth.me;
        let floor = self.state.watermark.get(&request.source).map(|mark| mark.head).unwrap_or_default();
        let prev = match request.after {
            after if after < floor.seq => return None,
            after if after == floor.seq => floor.hash,
            seq => self.bundle(Dot { source: request.source, seq })?.hash,
        };
        let at = |seq| Dot { source: request.source, seq };
        let first = request.after.next();
        let (mut bodies, mut end, mut bytes) = (Vec::new(), None, 0);
        let stretch = self.state.log.range(at(first)..=at(request.upto.max(first)));
        for (dot, bundle) in stretch.map(|(dot, logged)| (dot, &logged.bundle)) {
            bytes += bundle.bytes.len() + BODY_OVERHEAD;
            if dot.seq > request.upto || (bytes > max_bytes && end.is_some()) {
                break;
            }
            bodies.push(bundle.bytes.clone());
            let signed = self.state.heads.get(&(dot.source, dot.seq, bundle.hash));
            match signed {
                Some(signed) if !own => end = Some((bodies.len(), signed.signature.clone())),
                None if !own => {}
                Some(_) | None => end = Some((bodies.len(), Bytes::new())),
            }
        }
        if end.is_none() && !bodies.is_empty() {
            let reached = Seq(request.after.0 + u64::try_from(bodies.len()).unwrap_or_default());
            let (proof, _) = self.state.proofs.get(&(request.source, device))?;
            let tail = proof.tail(reached).filter(|_| proof.verdict().end.seq == reached)?;
            bodies.extend(tail.bodies);
            end = Some((bodies.len(), tail.signature));
        }
        let (length, signature) = end?;
        bodies.truncate(length);
        Some(RunBodies { device, source: request.source, first, prev, bodies, signature })
    }
}

/// What a body costs in a parcel beside itself: a tag and a length of up to four bytes.
const BODY_OVERHEAD: usize = 5;
