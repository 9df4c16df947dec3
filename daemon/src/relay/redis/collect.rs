//! Collecting: a page from all mailboxes in one script call, and deleting what was collected.
//!
//! # Cursors
//! A cursor is the place of the last copy returned: its score and, since other programs may give one score twice, its first bytes. It also holds
//! the *era* of the mailbox, a random name that its companion was given when it was made. A companion that was lost, and one of a server that
//! was set back, no longer match the cursor, and everything is returned. A cursor needs no memory here: any handle may use it. Whoever was given
//! everything goes on from the highest score that was ever given, so that what comes next is known to be next: see `carried`.
//!
//! # Handles
//! A handle is score, id and length of one copy. A score alone does not do: a server that was set back may give it again, to unread mail.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use kinfolk_core::ids::EnvelopeId;
use redis::Value;

use super::deposit::{COMPANION_LIVES, micros, millis};
use super::failure::{self, Effect};
use super::keys;
use super::link::Link;
use super::scripts::{Names, Script};
use crate::relay::error::{Reason, RelayError};
use crate::relay::mail::{Cursor, Delivery, Envelope, Fetched, Handle, Mailbox, Want};
use crate::relay::{RETENTION, Swept};

/// Most sealed bytes in one answer: 1 MiB, or one envelope if that has more. The server serves nobody else while it copies them, about 1 ms.
const MAX_PAGE: usize = 1 << 20;
/// Most envelopes in one answer.
const MAX_PER_FETCH: usize = 4096;
/// Most copies deleted in one call, and one sweep's part.
const MAX_DELETE: usize = 500;
/// Parts of one sweep, a mailbox: half a million copies. The next sweep goes on.
const MAX_PARTS: usize = 1000;
/// Bytes of an envelope's id.
const ID: usize = 16;
/// Bytes of a member by which a cursor knows it.
const KNOWN_BY: usize = 32;
/// Longest score and era that are taken from a server, in bytes.
const MAX_WORD: usize = 32;

/// See [`crate::relay::Relay::fetch`].
pub(super) async fn fetch(
    link: &Link,
    turn: &AtomicUsize,
    wants: &[Want],
    max_bytes: usize,
) -> Result<Vec<Fetched>, RelayError> {
    link.check_kept()?;
    if wants.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(answers) = link.bells.carried.answer(wants, max_bytes) {
        return Ok(answers);
    }
    let max_bytes = max_bytes.min(MAX_PAGE);
    // The first mailbox of a call goes first; each has its turn at that.
    let first = turn.fetch_add(1, Ordering::Relaxed) % wants.len();
    let turned = || wants.iter().cycle().skip(first).take(wants.len());
    let compose = |names: &Names| {
        let mut pipeline = redis::pipe();
        pipeline.cmd("EVALSHA").arg(names.of(Script::Fetch)).arg(1 + 2 * wants.len()).arg(keys::MARKER);
        for want in turned() {
            pipeline.arg(keys::mail(want.mailbox)).arg(keys::companion(want.mailbox));
        }
        pipeline.arg(max_bytes).arg(MAX_PER_FETCH);
        for want in turned() {
            let place = want.after.as_ref().and_then(Place::decode).unwrap_or_default();
            pipeline.arg(&place.era[..]).arg(&place.score[..]).arg(&place.member[..]);
        }
        pipeline
    };
    let allowed = link.deadline(max_bytes.max(super::deposit::MAX_SEALED));
    let answer = link.ask(allowed, Effect::Repeatable, compose).await?.into_iter().next();
    let garbled = || failure::unanswered(link.place(), Effect::Repeatable, Reason::Garbled);
    let Some(Value::Array(parts)) = answer else { return Err(garbled()) };
    let mut parts = parts.into_iter();
    let marker = parts.next().and_then(bytes_of).ok_or_else(garbled)?;
    link.check_marker(&marker).await?;
    let mut answers = Vec::with_capacity(wants.len());
    for want in turned() {
        answers.push(parts.next().and_then(|part| read(want.mailbox, part)).ok_or_else(garbled)?);
    }
    answers.rotate_right(first);
    Ok(answers)
}

/// The script's answer for one mailbox; `None` when it is none.
fn read(mailbox: Mailbox, answer: Value) -> Option<Fetched> {
    let Value::Array(parts) = answer else { return None };
    let [era, more, score, member, items] = <[Value; 5]>::try_from(parts).ok()?;
    let (Value::Int(more), Value::Array(items)) = (more, items) else { return None };
    let place = Place { era: bytes_of(era)?, score: bytes_of(score)?, member: bytes_of(member)? };
    let mut fetched = Fetched { mailbox, mail: Vec::new(), cursor: place.encode(), more: more == 1, torn: 0 };
    let mut items = items.into_iter();
    while let (Some(member), Some(score)) = (items.next(), items.next()) {
        match delivery(bytes_of(member)?, &bytes_of(score)?) {
            Some(delivery) => fetched.mail.push(delivery),
            None => fetched.torn += 1,
        }
    }
    Some(fetched)
}

/// A copy as it is handed out; `None` when it has no whole id: it is torn.
pub(super) fn delivery(member: Bytes, score: &Bytes) -> Option<Delivery> {
    let copy = Copy::new(&member, score)?;
    Some(Delivery { handle: copy.encode(), envelope: Envelope { id: copy.id, sealed: member.slice(ID..) } })
}

/// See [`crate::relay::Relay::acknowledge`].
pub(super) async fn acknowledge(link: &Link, mailbox: Mailbox, handles: &[Handle]) -> Result<(), RelayError> {
    let copies: Vec<Copy> = handles.iter().filter_map(Copy::decode).collect();
    for part in copies.chunks(MAX_DELETE) {
        let compose = |names: &Names| {
            let mut pipeline = redis::pipe();
            pipeline.cmd("EVALSHA").arg(names.of(Script::Acknowledge)).arg(2);
            pipeline.arg(keys::mail(mailbox)).arg(keys::companion(mailbox)).arg(millis(COMPANION_LIVES));
            for copy in part {
                pipeline.arg(&copy.score[..]).arg(copy.id.as_bytes()).arg(copy.length);
            }
            pipeline
        };
        link.bells.deleting(mailbox);
        let answers = link.ask(link.deadline(0), Effect::Repeatable, compose).await?;
        if answers == [Value::Int(0)] {
            link.bells.deleted_nothing(mailbox);
        }
    }
    Ok(())
}

/// See [`crate::relay::Relay::sweep`]. What another program put with scores of its own is left to the mailbox's own end.
pub(super) async fn sweep(link: &Link, mailboxes: &[Mailbox]) -> Result<Swept, RelayError> {
    let mut swept = Swept::default();
    for mailbox in mailboxes {
        for _part in 0..MAX_PARTS {
            let compose = |names: &Names| {
                let mut pipeline = redis::pipe();
                pipeline.cmd("EVALSHA").arg(names.of(Script::Sweep)).arg(2);
                pipeline.arg(keys::mail(*mailbox)).arg(keys::companion(*mailbox)).arg(micros(RETENTION));
                pipeline.arg(micros(RETENTION * 100)).arg(MAX_DELETE).arg(millis(COMPANION_LIVES));
                pipeline
            };
            let answers = link.ask(link.deadline(0), Effect::Repeatable, compose).await?;
            let [Value::Int(gone)] = answers[..] else {
                return Err(failure::unanswered(link.place(), Effect::Repeatable, Reason::Garbled));
            };
            let gone = u64::try_from(gone).unwrap_or_default();
            swept.expired += gone;
            if gone < MAX_DELETE as u64 {
                break;
            }
        }
    }
    Ok(swept)
}

fn bytes_of(value: Value) -> Option<Bytes> {
    let Value::BulkString(bytes) = value else { return None };
    Some(bytes.into())
}

/// Whether a server may have written this score: what else it were could make a script stumble.
pub(super) fn is_score(bytes: &[u8]) -> bool {
    bytes.len() <= MAX_WORD
        && std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse::<f64>().ok())
            .is_some_and(|score| !score.is_nan())
}

/// What a cursor says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Place {
    /// The name of the companion.
    pub(super) era: Bytes,
    /// The score reached.
    pub(super) score: Bytes,
    /// The first bytes of the last member returned at that score; empty when it is known to be the only one.
    pub(super) member: Bytes,
}

impl Place {
    /// `None` from nothing.
    pub(super) fn encode(&self) -> Option<Cursor> {
        if self.score.is_empty() {
            return None;
        }
        let mut bytes = BytesMut::new();
        for word in [&self.era, &self.score] {
            bytes.put_u8(u8::try_from(word.len()).ok().filter(|length| usize::from(*length) <= MAX_WORD)?);
            bytes.extend_from_slice(word);
        }
        bytes.extend_from_slice(&self.member);
        Some(Cursor(bytes.freeze()))
    }

    /// `None` for what is none of ours.
    pub(super) fn decode(cursor: &Cursor) -> Option<Self> {
        let mut rest = cursor.0.clone();
        let mut word = || {
            let length = usize::from(*rest.first()?);
            let fits = length <= MAX_WORD && length < rest.len();
            fits.then(|| rest.split_to(1 + length).slice(1..))
        };
        let (era, score) = (word()?, word()?);
        let whole = rest.len() <= KNOWN_BY && is_score(&score);
        whole.then_some(Self { era, score, member: rest })
    }
}

/// What a handle says.
struct Copy {
    id: EnvelopeId,
    /// Of the member, id included.
    length: u32,
    score: Bytes,
}

impl Copy {
    /// `None` for a member that has no whole id: it is torn.
    fn new(member: &[u8], score: &Bytes) -> Option<Self> {
        let id = EnvelopeId(*member.first_chunk::<ID>()?);
        Some(Self { id, length: u32::try_from(member.len()).ok()?, score: score.clone() })
    }

    fn encode(&self) -> Handle {
        let mut bytes = BytesMut::with_capacity(ID + 4 + self.score.len());
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.put_u32_le(self.length);
        bytes.extend_from_slice(&self.score);
        Handle(bytes.freeze())
    }

    /// `None` for what is none of ours.
    fn decode(handle: &Handle) -> Option<Self> {
        let (id, rest) = handle.0.split_first_chunk::<ID>()?;
        let (length, score) = rest.split_first_chunk::<4>()?;
        let score = is_score(score).then(|| Bytes::copy_from_slice(score))?;
        Some(Self { id: EnvelopeId(*id), length: u32::from_le_bytes(*length), score })
    }
}
