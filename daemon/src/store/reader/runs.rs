//! Stretches of a source, to be sent.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::evidence::Evidence;
use kinfolk_core::ids::{DeviceId, Hash, Seq, SourceId};
use kinfolk_core::parcel::{MAX_PARCEL, RunBodies};
use kinfolk_core::step::RunRequest;
use kinfolk_core::vector::Head;

use super::Reader;
use crate::store::convert::{int, uint};
use crate::store::{StoreError, evidence};

/// Bodies of a source, with the head they end at.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// What to send; the signature is empty when none was asked for.
    pub run: RunBodies,
    /// Where it ends: what is signed.
    pub head: Head,
}

/// Bytes that a body costs in a parcel beside itself: a tag and a length.
const BODY_OVERHEAD: usize = 5;

impl Reader {
    /// Reads the stretch of a source that `request` names, as far as `max_bytes` and the log reach; always at least one
    /// body. `None` when there is nothing to send, or what is asked for begins below the source's watermark.
    ///
    /// With `signed`, it ends at the last stored signed head within those bounds and carries its signature; to reach the first
    /// such head it may exceed `max_bytes`, for a run cannot be cut elsewhere; where evidence ends the source before one, the run goes on
    /// with the evidence. Without, it ends anywhere, and the source's own
    /// device signs.
    pub fn run(&self, request: &RunRequest, max_bytes: usize, signed: bool) -> Result<Option<Stretch>, StoreError> {
        self.with(|connection| stretch(connection, request, max_bytes, signed))
    }

    /// The evidence against sources of that name.
    pub fn evidence(&self, source: SourceId) -> Result<Vec<Evidence>, StoreError> {
        self.with(|connection| evidence::against(connection, source))
    }
}

/// [`Reader::run`] on a connection.
pub(in crate::store) fn stretch(
    connection: &Connection,
    request: &RunRequest,
    max_bytes: usize,
    signed: bool,
) -> Result<Option<Stretch>, StoreError> {
    let sql = "SELECT idx, device FROM source WHERE id = ?1";
    let found: Option<(i64, [u8; 16])> = connection
        .prepare_cached(sql)?
        .query_row((request.source.0,), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((source, device)) = found else { return Ok(None) };
    let prev = match request.after {
        Seq::ZERO => {
            let sql = "SELECT 1 FROM floor WHERE source = ?1";
            if connection.prepare_cached(sql)?.exists((source,))? {
                return Ok(None);
            }
            Hash::default()
        }
        Seq(after) => {
            // At the watermark the bundle may be gone; its hash is noted.
            let sql = "SELECT hash FROM log l WHERE source = ?1 AND seq = ?2
                           AND NOT EXISTS (SELECT 1 FROM floor f WHERE f.source = l.source AND f.seq > ?2)
                       UNION ALL SELECT hash FROM floor WHERE source = ?1 AND seq = ?2 LIMIT 1";
            let mut statement = connection.prepare_cached(sql)?;
            let hash = statement.query_row((source, int(after)), |row| row.get(0)).optional()?;
            let Some(hash) = hash else { return Ok(None) };
            Hash(hash)
        }
    };

    let sql = "SELECT l.seq, l.hash, l.body, h.signature FROM log l
                       LEFT JOIN head h ON h.source = ?4 AND h.seq = l.seq AND h.hash = l.hash AND h.device = ?5
                       WHERE l.source = ?1 AND l.seq > ?2 AND l.seq <= ?3 ORDER BY l.seq";
    let mut statement = connection.prepare_cached(sql)?;
    let bounds = (source, int(request.after.0), int(request.upto.0), request.source.0, device);
    let mut rows = statement.query(bounds)?;
    let mut bodies = Vec::new();
    let mut bytes = 0;
    let mut end: Option<(usize, Head, Bytes)> = None;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(2)?.as_blob().unwrap_or_default();
        bytes += body.len() + BODY_OVERHEAD;
        if bytes > max_bytes && end.is_some() || bytes > MAX_PARCEL {
            break;
        }
        bodies.push(Bytes::copy_from_slice(body));
        let signature: Option<Vec<u8>> = row.get(3)?;
        if signature.is_none() && signed {
            continue;
        }
        let head = Head { seq: Seq(uint(row.get(0)?)), hash: Hash(row.get(1)?) };
        let signature = signature.filter(|_| signed).unwrap_or_default();
        end = Some((bodies.len(), head, Bytes::from(signature)));
    }
    let device = DeviceId(device);
    if end.is_none() && bytes <= MAX_PARCEL {
        end = proven(connection, request, device, &mut bodies)?;
    }
    Ok(end.map(|(length, head, signature)| {
        bodies.truncate(length);
        let (source, first) = (request.source, request.after.next());
        Stretch { run: RunBodies { device, source, first, prev, bodies, signature }, head }
    }))
}

/// Ends a stretch that reaches the end of its source with the evidence that ends it there: no other signed head vouches for it.
fn proven(
    connection: &Connection,
    request: &RunRequest,
    device: DeviceId,
    bodies: &mut Vec<Bytes>,
) -> Result<Option<(usize, Head, Bytes)>, StoreError> {
    if bodies.is_empty() {
        return Ok(None);
    }
    let reached = Seq(request.after.0 + u64::try_from(bodies.len()).unwrap_or_default());
    let proof = evidence::of(connection, request.source, device)?;
    let tail = proof.filter(|proof| proof.verdict().end.seq == reached).and_then(|proof| proof.tail(reached));
    let Some(tail) = tail else { return Ok(None) };
    let head = tail.rebuild().ok().and_then(|run| run.signed_head()).map(|signed| signed.head);
    bodies.extend(tail.bodies);
    Ok(head.map(|head| (bodies.len(), head, tail.signature)))
}
