//! The log in this device's order.

use bytes::Bytes;
use rusqlite::Connection;

use kinfolk_core::bundle::Bundle;
use kinfolk_core::clock::Stamp;
use kinfolk_core::ids::{BundleSeq, DeviceId, Dot, Hash, Millis, Seq, SourceId};
use kinfolk_core::op::Op;

use crate::store::StoreError;
use crate::store::convert::{int, limit, uint};

/// A bundle as it was applied here.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedBundle {
    /// Its place in this device's order.
    pub bundle_seq: BundleSeq,
    /// Its name.
    pub dot: Dot,
    /// Who wrote it.
    pub device: DeviceId,
    /// When it was written; zero when its body is unreadable.
    pub stamp: Stamp,
    /// When it was committed here, by the wall clock.
    pub at: Millis,
    /// What it says; nothing when its body is unreadable or its stamp invalid.
    pub ops: Vec<Op>,
}

/// Bundles after `after` and up to `upto`, in order: at most `most`, and no more than make `max_bytes` of bodies, but at least one
/// if there is one.
pub(super) fn after(
    connection: &Connection,
    after: BundleSeq,
    upto: BundleSeq,
    most: usize,
    max_bytes: usize,
) -> Result<Vec<LoggedBundle>, StoreError> {
    let sql = "SELECT l.bundle_seq, s.id, l.seq, s.device, l.at, l.body FROM log l JOIN source s ON s.idx = l.source
               WHERE l.bundle_seq > ?1 AND l.bundle_seq <= ?2 ORDER BY l.bundle_seq LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((int(after.0), int(upto.0), limit(most)))?;
    let mut bundles = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(5)?.as_blob().unwrap_or_default();
        bytes += body.len();
        if bytes > max_bytes && !bundles.is_empty() {
            break;
        }
        let dot = Dot { source: SourceId(row.get(1)?), seq: Seq(uint(row.get(2)?)) };
        // Only the body is wanted: what chain it stands in does not matter here.
        let bundle = Bundle::rebuild(dot, Hash::default(), Bytes::copy_from_slice(body));
        let bundle = bundle.map_err(|_| StoreError::Damaged("a bundle is too large"))?;
        bundles.push(LoggedBundle {
            bundle_seq: BundleSeq(uint(row.get(0)?)),
            dot,
            device: DeviceId(row.get(3)?),
            stamp: bundle.body.as_ref().map_or(Stamp::default(), |body| body.stamp),
            at: Millis(uint(row.get(4)?)),
            ops: bundle.ops().to_vec(),
        });
    }
    Ok(bundles)
}

/// Whether no bundle lies after `after` and up to `upto`.
pub(super) fn none_after(connection: &Connection, after: BundleSeq, upto: BundleSeq) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM log WHERE bundle_seq > ?1 AND bundle_seq <= ?2";
    Ok(!connection.prepare_cached(sql)?.exists((int(after.0), int(upto.0)))?)
}
