//! Stretches of a source, to be sent.

use bytes::Bytes;
use rusqlite::OptionalExtension;

use kinfolk_core::ids::{DeviceId, Hash, Seq};
use kinfolk_core::parcel::{MAX_PARCEL, RunBodies};
use kinfolk_core::step::RunRequest;
use kinfolk_core::vector::Head;

use super::Reader;
use crate::store::StoreError;
use crate::store::convert::{int, uint};

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
    /// such head it may exceed `max_bytes`, for a run cannot be cut elsewhere. Without, it ends anywhere, and the source's own
    /// device signs.
    pub fn run(&self, request: &RunRequest, max_bytes: usize, signed: bool) -> Result<Option<Stretch>, StoreError> {
        self.with(|connection| {
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
            Ok(end.map(|(length, head, signature)| {
                bodies.truncate(length);
                let (source, first) = (request.source, request.after.next());
                Stretch { run: RunBodies { device: DeviceId(device), source, first, prev, bodies, signature }, head }
            }))
        })
    }
}
