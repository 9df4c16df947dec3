//! From an [`Outgoing`] parcel to an envelope: read the bundles, sign the own head and what is said of the own state, encode, seal.

use kinfolk_core::contents::Contents;
use kinfolk_core::evidence::{Evidence, MAX_PIECES, MAX_TOLD};
use kinfolk_core::ids::{EnvelopeId, Seq, SourceId};
use kinfolk_core::parcel::{self, ParcelError, RUN_TARGET, Run, RunBodies, SignedHead};
use kinfolk_core::prekey::COMMON_SLOT;
use kinfolk_core::step::Send;
use rand::Rng;

use super::Outgoing;
use crate::credentials::Credentials;
use crate::driver::wall_clock;
use crate::relay::{Envelope, Mailbox};
use crate::seal::{self, PrekeyPublic, Recipient, SealError, Sender};
use crate::store::{Reader, StoreError, Stretch};

/// A parcel ready to be put.
pub(super) struct Composed {
    pub(super) ticket: u64,
    pub(super) mailbox: Mailbox,
    pub(super) envelope: Envelope,
    /// How far each run reached.
    pub(super) reached: Vec<(SourceId, Seq)>,
}

/// Why a parcel could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ComposeError {
    #[error("the log cannot be read: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Parcel(#[from] ParcelError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the prekey of {0} is not a key")]
    Prekey(kinfolk_core::ids::DeviceId),
    #[error("the secret of the epoch to seal under is not held")]
    NoGroup,
}

/// Writes and seals a parcel. Runs share [`RUN_TARGET`] bytes; each has at least one bundle if it has any.
pub(super) fn compose(
    outgoing: Outgoing,
    reader: &Reader,
    credentials: &Credentials,
) -> Result<Composed, ComposeError> {
    let Outgoing { mut send, mut fresh } = outgoing;
    let mut runs = Vec::with_capacity(send.runs.len());
    let mut reached = Vec::with_capacity(send.runs.len());
    let (evidence, half) = told(&send, reader)?;
    send.letter.evidence = evidence;
    runs.extend(half);
    let mut room = RUN_TARGET;
    for request in &send.runs {
        if room == 0 {
            break;
        }
        let own = request.device == credentials.me;
        let stretch = match fresh.take() {
            Some(stretch) => Some(stretch),
            None => reader.run(request, room, !own)?,
        };
        let Some(Stretch { mut run, head }) = stretch else { continue };
        let size = run.bodies.iter().map(bytes::Bytes::len).sum();
        if !runs.is_empty() && size > room {
            // Beyond the target only a run that travels alone: two such would not fit into a parcel. Its turn comes again.
            continue;
        }
        if own {
            let signature = credentials.identity.sign_head(run.device, run.source, head.seq, head.hash);
            run.signature = signature.to_vec().into();
        }
        room = room.saturating_sub(size);
        reached.push((run.source, head.seq));
        runs.push(run);
    }
    if let Some(ask) = send.chunk {
        let mut chunk = reader.chunk(ask)?;
        // Of the own source the log holds no signed heads: they are signed when they leave.
        for end in chunk.ends.iter_mut().filter(|end| end.device == credentials.me) {
            let (device, source, head) = (end.device, end.source, end.at.head);
            let signature = credentials.identity.sign_head(device, source, head.seq, head.hash).to_vec().into();
            end.signed = Some(SignedHead { device, source, head, signature });
        }
        send.letter.hydration.chunk = Some(Box::new(chunk));
    }
    if !send.contents.is_empty() {
        let wanted = std::mem::take(&mut send.letter.contents.wanted);
        send.letter.contents = Contents { wanted, ..reader.contents(&send.contents)? };
    }
    if send.letter.signature.is_some() {
        let content = send.letter.statement().content();
        let signature = credentials.identity.sign_statement(credentials.me, content);
        send.letter.signature = Some(signature.to_vec().into());
    }
    let keyring = credentials.keyring();
    let group = keyring.group(send.epoch).ok_or(ComposeError::NoGroup)?;
    let prekey = if send.prekey.slot == COMMON_SLOT {
        group.common(send.to).map(|common| common.public())
    } else {
        PrekeyPublic::from_bytes(&send.prekey.public)
    };
    let prekey = prekey.map_err(|_| ComposeError::Prekey(send.to))?;
    let sender = Sender { device: credentials.me, identity: &credentials.identity };
    let recipient = Recipient { device: send.to, slot: send.prekey.slot, prekey: &prekey };
    credentials.give(&mut send.letter, recipient, group);
    let bytes = parcel::encode(&send.letter, &runs)?;
    let mut rng = rand::rng();
    let sealed = seal::seal(&bytes, sender, recipient, group, keyring.roster_id, &mut rng)?;
    let mailbox = Mailbox(group.mailbox(send.to, send.prekey.slot));
    let envelope = Envelope { id: envelope_id(&mut rng), sealed };
    Ok(Composed { ticket: send.ticket, mailbox, envelope, reached })
}

/// The evidence to tell: all that there is against the source, or, where that is too much for a parcel, one of its runs, another one each time.
fn told(send: &Send, reader: &Reader) -> Result<(Vec<Evidence>, Option<RunBodies>), StoreError> {
    let Some(source) = send.evidence else { return Ok((Vec::new(), None)) };
    let (mut told, mut half, mut room) = (Vec::new(), None, MAX_TOLD);
    for proof in reader.evidence(source)?.into_iter().take(MAX_PIECES) {
        let size = proof.size();
        if size <= room {
            room -= size;
            told.push(proof);
        } else if size > MAX_TOLD && half.is_none() {
            let turn = usize::try_from(send.ticket % 2).unwrap_or_default();
            half = proof.runs().get(turn).map(Run::bodies);
        }
    }
    // One that is as large as a bundle leaves room for nothing else.
    Ok(if half.is_some() { (Vec::new(), half) } else { (told, None) })
}

/// A name for an envelope: 48 bits of milliseconds, 80 random bits.
pub(crate) fn envelope_id(rng: &mut impl Rng) -> EnvelopeId {
    let mut id = [0; 16];
    rng.fill_bytes(&mut id);
    let millis = wall_clock().0.to_be_bytes();
    if let (Some(head), Some(millis)) = (id.get_mut(..6), millis.get(2..)) {
        head.copy_from_slice(millis);
    }
    EnvelopeId(id)
}
