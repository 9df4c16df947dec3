//! From an opened envelope to what the core may act on: every signature in a parcel is checked here.
//!
//! ```text
//! records   each by the key it names, an addition also by the device it adds, a removal by the one it removes
//! sender    by its key in the roster as it is *with* those records: a new sibling introduces itself
//! runs      each head by its device's key in that same roster, a removed device's too; those of evidence as well
//! words     what members say of themselves, the sender or whoever it passes on, by their keys in that same roster
//! ```
//!
//! A parcel whose sender is no member, or did not sign it, is refused as a whole. A run, record or statement that does not hold is left out
//! and counted; it never takes the rest with it. Of a removed sender's parcel only new records are left. Who is a member is the core's decision: the roster answers, signatures only
//! make its records eligible.

use super::envelope::{OpenError, Opened};
use super::identity::{self, SignatureError};
use kinfolk_core::evidence::Evidence;
use kinfolk_core::ids::DeviceId;
use kinfolk_core::parcel::{Letter, Parcel, ParcelError, Run, Statement, VerifiedParcel};
use kinfolk_core::roster::{Record, RecordError, Roster, RosterChange, SignedRecord, Verified};
use std::borrow::Cow;

/// Why an opened parcel has no effect.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Its bytes are no parcel.
    #[error("{0}")]
    Parcel(#[from] ParcelError),
    /// Envelope and letter name different senders.
    #[error("the envelope is signed as {envelope}, the letter in it says {letter}")]
    Sender {
        /// Whom the envelope names.
        envelope: DeviceId,
        /// Whom the letter names.
        letter: DeviceId,
    },
    /// The sender is no member, and the records it brought do not make it one.
    #[error("{sender} is not on the roster")]
    Stranger {
        /// Who claims to have written it.
        sender: DeviceId,
    },
    /// The sender was removed, and brings no record that is not held.
    #[error("{sender} was removed")]
    Removed {
        /// Who wrote it.
        sender: DeviceId,
    },
    /// The sender's signature does not hold.
    #[error("{0}")]
    Signature(#[from] OpenError),
}

/// Why a roster record does not count.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RecordRefused {
    /// Its bytes are no record.
    #[error("{0}")]
    Malformed(#[from] RecordError),
    /// The author's signature does not hold.
    #[error("its author's signature: {0}")]
    Author(#[source] SignatureError),
    /// The added device's signature does not hold.
    #[error("the signature of the device it adds: {0}")]
    Join(#[source] SignatureError),
    /// The removed device did not sign where its source ends.
    #[error("the signature of the device it removes: {0}")]
    End(#[source] SignatureError),
    /// Only a genesis has no roster; an addition must name the one it is for.
    #[error("it adds a device to no roster")]
    NoRoster,
}

/// Checks everything that is signed in an opened parcel, against the roster as this device knows it. The letter's own list of
/// records is left empty: what counts of them is in `records`. Its gifts are left as they are: only the recipient's keys say what they are.
pub fn verify(opened: Opened, known: &Roster) -> Result<VerifiedParcel, VerifyError> {
    let Parcel { mut letter, runs } = Parcel::decode(opened.parcel_unverified())?;
    let sender = opened.sender();
    if letter.sender != sender {
        return Err(VerifyError::Sender { envelope: sender, letter: letter.sender });
    }
    let (records, refused) = verify_records(std::mem::take(&mut letter.records));
    let roster = if records.is_empty() {
        Cow::Borrowed(known)
    } else {
        let mut extended = known.clone();
        extended.extend(records.iter().cloned());
        Cow::Owned(extended)
    };
    let author = roster.known(sender).ok_or(VerifyError::Stranger { sender })?;
    opened.verify(&author.key)?;
    if roster.member(sender).is_none() {
        // Which removals count depends on all of them: what it says of the roster is heard by the core, as far as that goes.
        let news: Vec<_> = records.into_iter().filter(|record| !known.contains(record.get().id())).collect();
        if news.is_empty() {
            return Err(VerifyError::Removed { sender });
        }
        let letter = Letter::bare(sender, letter.written);
        return Ok(VerifiedParcel { records: news, ..VerifiedParcel::bare(letter) });
    }

    let carried = runs.len();
    let runs: Vec<_> = runs.into_iter().filter_map(|run| verify_run(run, &roster)).collect();
    let proofs = std::mem::take(&mut letter.evidence);
    let told = proofs.len();
    let evidence: Vec<_> = proofs.into_iter().filter_map(|proof| verify_evidence(proof, &roster)).collect();
    let own = letter.signature.is_some().then(|| letter.statement());
    let said: Vec<Statement> = std::mem::take(&mut letter.statements).into_iter().chain(own).collect();
    let passed_on = said.len();
    let statements: Vec<_> = said.into_iter().filter_map(|said| verify_statement(said, &roster)).collect();
    let rejected = refused + (carried - runs.len()) + (told - evidence.len()) + (passed_on - statements.len());
    let rejected = u32::try_from(rejected).unwrap_or(u32::MAX);
    Ok(VerifiedParcel { records, runs, evidence, statements, rejected, ..VerifiedParcel::bare(letter) })
}

/// Checks roster records; says how many did not hold. Also for what a pairing brought and for what the store kept.
pub fn verify_records(records: impl IntoIterator<Item = SignedRecord>) -> (Vec<Verified<SignedRecord>>, usize) {
    let mut verified = Vec::new();
    let mut refused = 0;
    for record in records {
        match verify_record(record) {
            Ok(record) => verified.push(record),
            Err(_) => refused += 1,
        }
    }
    (verified, refused)
}

/// Checks the signatures of one roster record.
pub fn verify_record(signed: SignedRecord) -> Result<Verified<SignedRecord>, RecordRefused> {
    let record = Record::decode(&signed.bytes)?;
    identity::verify_record(&record.author_key, &signed.bytes, &signed.signature).map_err(RecordRefused::Author)?;
    match &record.change {
        RosterChange::Add(addition) => {
            let roster = record.roster.ok_or(RecordRefused::NoRoster)?;
            identity::verify_join(
                &addition.device.key,
                roster,
                addition.card_hash,
                &addition.device_bytes,
                &addition.join_signature,
            )
            .map_err(RecordRefused::Join)?;
        }
        RosterChange::Remove(removal) => {
            for end in &removal.ends {
                let (head, signature) = (end.head, &end.signature);
                identity::verify_head(&removal.key, removal.device, end.source, head.seq, head.hash, signature)
                    .map_err(RecordRefused::End)?;
            }
        }
        RosterChange::Genesis(_) | RosterChange::Rename { .. } | RosterChange::Epoch(_) | RosterChange::Unknown => {}
    }
    Ok(Verified::vouch(signed))
}

/// Checks a run's head under its device's key; `None` when it does not hold or nobody knows the device.
fn verify_run(run: Run, roster: &Roster) -> Option<Verified<Run>> {
    is_signed(&run, roster).then(|| Verified::vouch(run))
}

/// Checks all runs of a piece of evidence. The letter's own list is left empty: what counts of it is in `evidence`.
fn verify_evidence(evidence: Evidence, roster: &Roster) -> Option<Verified<Evidence>> {
    evidence.runs().iter().all(|run| is_signed(run, roster)).then(|| Verified::vouch(evidence))
}

fn is_signed(run: &Run, roster: &Roster) -> bool {
    let Some(signed) = run.signed_head() else { return false };
    let Some(device) = roster.known(signed.device) else { return false };
    let head = signed.head;
    identity::verify_head(&device.key, signed.device, signed.source, head.seq, head.hash, &signed.signature).is_ok()
}

/// Checks a member's own word under its key; `None` when it does not hold.
fn verify_statement(said: Statement, roster: &Roster) -> Option<Verified<Statement>> {
    let key = roster.member(said.device)?.device.key;
    identity::verify_statement(&key, said.device, said.content(), &said.signature).ok()?;
    Some(Verified::vouch(said))
}

#[cfg(test)]
mod tests;
