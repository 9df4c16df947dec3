//! Parcels, as relay workers would write and read them.

use bytes::Bytes;
use kinfolk_core::contents::Contents;
use kinfolk_core::ids::{Seq, SourceId};
use kinfolk_core::parcel::{Parcel, RUN_TARGET, VerifiedParcel, encode};
use kinfolk_core::roster::Verified;
use kinfolk_core::step::Send;

use crate::sim::broken::Broken;
use crate::sim::device::Device;
use crate::sim::people;
use crate::sim::sabotage::Sabotage;

/// How far each run of a parcel reached.
type Reached = Vec<(SourceId, Seq)>;

/// Writes a parcel as a relay worker would, and reads it as the other end would.
pub(super) fn compose(
    device: &mut Device,
    send: &Send,
    sabotage: Option<Sabotage>,
) -> Result<(VerifiedParcel, Reached, u64), Broken> {
    let mut letter = send.letter.clone();
    letter.digest = Some(device.disk.digest());
    for given in &mut letter.epochs {
        given.gift = device.disk.model().secret(given.epoch).unwrap_or_default();
    }
    letter.receipt_requested |= sabotage == Some(Sabotage::AskAlways);
    letter.signature = letter.signature.map(|_| Bytes::from_static(&[9; 64]));
    if sabotage == Some(Sabotage::HideStatements) {
        letter.statements.clear();
    }
    if sabotage == Some(Sabotage::HideEnded) {
        letter.ended.clear();
    }
    if let Some(source) = send.evidence {
        letter.evidence = device.disk.evidence(source)?;
    }
    let (mut runs, mut reached, mut room) = (Vec::new(), Vec::new(), RUN_TARGET);
    for request in send.runs.iter().filter(|request| request.after < request.upto) {
        if room == 0 {
            break;
        }
        let Some(mut run) = device.disk.run(request, room)? else { continue };
        let size = run.bodies.iter().map(Bytes::len).sum();
        if !runs.is_empty() && size > room {
            continue;
        }
        run.signature = Bytes::from_static(&[9; 64]);
        room = room.saturating_sub(size);
        let count = u64::try_from(run.bodies.len()).unwrap_or_default();
        reached.push((run.source, Seq(request.after.0 + count)));
        runs.push(run);
    }
    if !send.contents.is_empty() {
        let wanted = std::mem::take(&mut letter.contents.wanted);
        letter.contents = Contents { wanted, ..device.disk.give(&send.contents)? };
    }
    if let Some(ask) = send.chunk {
        letter.hydration.chunk = Some(Box::new(device.disk.chunk(ask)?));
    }
    let wrong = |found: String| Broken { rule: "a parcel survives its bytes", found };
    let bytes = encode(&letter, &runs).map_err(|error| wrong(error.to_string()))?;
    let parcel = Parcel::decode(&bytes).map_err(|error| wrong(error.to_string()))?;
    let records = parcel.letter.records.iter().cloned().map(Verified::vouch).collect();
    let epochs = parcel.letter.epochs.iter().map(|given| people::kept(given.epoch, given.gift.clone())).collect();
    let mut read = parcel.runs;
    if sabotage == Some(Sabotage::DropContext) {
        let bodies = read.iter_mut().flat_map(|run| &mut run.bundles).filter_map(|bundle| bundle.body.as_mut());
        bodies.for_each(|body| body.context.clear());
    }
    let runs = read.into_iter().map(Verified::vouch).collect();
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let evidence = parcel.letter.evidence.iter().cloned().map(Verified::vouch).collect();
    let mut letter = parcel.letter;
    let own = letter.signature.is_some().then(|| letter.statement());
    let statements = std::mem::take(&mut letter.statements).into_iter().chain(own).map(Verified::vouch).collect();
    Ok((VerifiedParcel { letter, records, epochs, runs, evidence, statements, rejected: 0 }, reached, size))
}
