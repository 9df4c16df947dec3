//! Evidence against sources, and the questions to the log that are asked because of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use kinfolk_core::bundle::Bundle;
use kinfolk_core::evidence::{Comparison, Evidence, Verdict, compare};
use kinfolk_core::ids::{DeviceId, Dot, Hash, Seq, SourceId};
use kinfolk_core::look::{Compared, Look, Looked, PAGE_BUNDLES, PAGE_BYTES};
use kinfolk_core::parcel::{Run, RunBodies};
use kinfolk_core::step::RunRequest;
use kinfolk_core::vector::{Head, VersionVector};

use super::convert::{int, uint};
use super::reader::stretch;
use super::{Store, StoreError, floors};

impl Store {
    /// Keeps evidence, in place of what ended the source later.
    pub(super) fn evidence(&self, evidence: &Evidence) -> Result<(), StoreError> {
        let Verdict { source, device, .. } = evidence.verdict();
        let sql = "INSERT INTO evidence (source, device, times, bytes) VALUES (?1, ?2, 1, ?3)
                   ON CONFLICT DO UPDATE SET times = times + 1, bytes = excluded.bytes";
        self.connection.prepare_cached(sql)?.execute((source.0, device.0, evidence.to_bytes()))?;
        Ok(())
    }

    pub(super) fn saved_verdicts(&self) -> Result<Vec<(Verdict, u32)>, StoreError> {
        let mut statement = self.connection.prepare("SELECT bytes, times FROM evidence ORDER BY source, device")?;
        let mut rows = statement.query(())?;
        let mut verdicts = Vec::new();
        while let Some(row) = rows.next()? {
            verdicts.push((decode(row.get_ref(0)?.as_blob().unwrap_or_default())?.verdict(), row.get(1)?));
        }
        Ok(verdicts)
    }

    /// Answers a question of the engine, with what the open transaction has applied. `sign` vouches for heads of this device's own sources.
    pub fn look(&self, look: Look, me: DeviceId, sign: impl Fn(SourceId, Head) -> Bytes) -> Result<Looked, StoreError> {
        match look {
            Look::Compare { from, run } => self.compared(from, run, me, sign),
            Look::Seen { source, at } => {
                let mut seen = VersionVector::default();
                if let Some(idx) = self.cache.sources.idx(source) {
                    let floor = floors::of(&self.connection, idx)?;
                    seen = floor.context;
                    self.bodies(idx, floor.head.seq, at, |bundle| {
                        seen.join(&bundle.body.iter().flat_map(|body| body.context.iter().copied()).collect());
                    })?;
                }
                Ok(Looked::Seen { source, seen })
            }
            Look::Beyond { source, after } => self.beyond(source, after),
        }
    }

    fn compared(
        &self,
        from: DeviceId,
        run: Run,
        me: DeviceId,
        sign: impl Fn(SourceId, Head) -> Bytes,
    ) -> Result<Looked, StoreError> {
        let ends = run.bundles.first().zip(run.bundles.last()).map(|(first, last)| (first.dot, last.dot.seq));
        let Some((Dot { source, seq: first }, last)) = ends else {
            let (comparison, held, before) = (Comparison::Agrees, None, None);
            return Ok(Looked::Compared(Box::new(Compared { from, run, comparison, held, before })));
        };
        let before = Seq(first.0.saturating_sub(1));
        let sql = "SELECT l.seq, l.hash FROM log l JOIN source s ON s.idx = l.source
                   WHERE s.id = ?1 AND l.seq BETWEEN ?2 AND ?3
                   AND NOT EXISTS (SELECT 1 FROM floor f WHERE f.source = l.source AND f.seq > l.seq)
                   UNION SELECT f.seq, f.hash FROM floor f JOIN source s ON s.idx = f.source
                   WHERE s.id = ?1 AND f.seq BETWEEN ?2 AND ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let hashes = statement
            .query_map((source.0, int(before.0), int(last.0)), |row| Ok((Seq(uint(row.get(0)?)), Hash(row.get(1)?))))?;
        let hashes: BTreeMap<Seq, Hash> = hashes.collect::<Result<_, _>>()?;
        let floor = match self.cache.sources.idx(source) {
            Some(idx) => floors::of(&self.connection, idx)?.head.seq,
            None => Seq::ZERO,
        };
        let comparison = compare(&run, floor, |seq| hashes.get(&seq).copied());
        let (mut held, mut bundle_before) = (None, None);
        match comparison {
            Comparison::Parts(after) => held = self.branch(source, after, me, sign)?,
            Comparison::Agrees => bundle_before = self.bundle(Dot { source, seq: before })?,
            Comparison::Below | Comparison::Settled => {}
        }
        Ok(Looked::Compared(Box::new(Compared { from, run, comparison, held, before: bundle_before })))
    }

    /// What is held of a source after a position, up to the next signed head; of an own source the next bundle, signed now.
    fn branch(
        &self,
        source: SourceId,
        after: Seq,
        me: DeviceId,
        sign: impl Fn(SourceId, Head) -> Bytes,
    ) -> Result<Option<Run>, StoreError> {
        let owner = self.cache.sources.iter().find(|saved| saved.source == source).map(|saved| saved.device);
        let Some(device) = owner else { return Ok(None) };
        let own = device == me;
        let upto = if own { after.next() } else { END };
        let found = stretch(&self.connection, &RunRequest { device, source, after, upto }, 0, !own)?;
        let Some(found) = found else { return Ok(None) };
        let signature = if own { sign(source, found.head) } else { found.run.signature.clone() };
        Ok(RunBodies { signature, ..found.run }.rebuild().ok())
    }

    /// A bundle as it was written: none below the watermark.
    fn bundle(&self, dot: Dot) -> Result<Option<Bundle>, StoreError> {
        let sql = "SELECT l.body FROM log l JOIN source s ON s.idx = l.source
                   WHERE s.id = ?1 AND l.seq = ?2
                   AND NOT EXISTS (SELECT 1 FROM floor f WHERE f.source = l.source AND f.seq >= ?2)";
        let mut statement = self.connection.prepare_cached(sql)?;
        let body: Option<Vec<u8>> = statement.query_row((dot.source.0, int(dot.seq.0)), |row| row.get(0)).optional()?;
        let Some(body) = body else { return Ok(None) };
        let prev = self.hash_at(Dot { seq: Seq(dot.seq.0.saturating_sub(1)), ..dot })?;
        let bundle = Bundle::rebuild(dot, prev, Bytes::from(body));
        bundle.map(Some).map_err(|_| StoreError::Damaged("a bundle is too large"))
    }

    fn hash_at(&self, dot: Dot) -> Result<Hash, StoreError> {
        Ok(self.chain(&[dot])?.get(&dot).copied().unwrap_or_default())
    }

    /// Bundles of an own source after a position.
    fn beyond(&self, source: SourceId, after: Seq) -> Result<Looked, StoreError> {
        let (mut bundles, mut bytes, mut more) = (Vec::new(), 0, false);
        let Some(idx) = self.cache.sources.idx(source) else { return Ok(Looked::Beyond { source, bundles, more }) };
        let mut prev = self.hash_at(Dot { source, seq: after })?;
        let sql = "SELECT seq, body FROM log WHERE source = ?1 AND seq > ?2 ORDER BY seq";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query((idx, int(after.0)))?;
        while let Some(row) = rows.next()? {
            if bundles.len() >= PAGE_BUNDLES || bytes >= PAGE_BYTES {
                more = true;
                break;
            }
            let dot = Dot { source, seq: Seq(uint(row.get(0)?)) };
            let bundle = Bundle::rebuild(dot, prev, Bytes::from(row.get::<_, Vec<u8>>(1)?));
            let bundle = bundle.map_err(|_| StoreError::Damaged("a bundle is too large"))?;
            prev = bundle.hash;
            bytes += bundle.bytes.len();
            bundles.push(bundle);
        }
        Ok(Looked::Beyond { source, bundles, more })
    }
}

/// The evidence that ends `source` of `device`, if there is any.
pub(super) fn of(connection: &Connection, source: SourceId, device: DeviceId) -> Result<Option<Evidence>, StoreError> {
    let sql = "SELECT bytes FROM evidence WHERE source = ?1 AND device = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let bytes: Option<Vec<u8>> = statement.query_row((source.0, device.0), |row| row.get(0)).optional()?;
    bytes.map(|bytes| decode(&bytes)).transpose()
}

/// All evidence against sources of that name, of whatever devices.
pub(super) fn against(connection: &Connection, source: SourceId) -> Result<Vec<Evidence>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT bytes FROM evidence WHERE source = ?1 ORDER BY device")?;
    let found = statement.query_map((source.0,), |row| row.get::<_, Vec<u8>>(0))?;
    found.map(|bytes| decode(&bytes?)).collect()
}

/// All evidence against sources of that device.
pub(super) fn by(connection: &Connection, device: DeviceId) -> Result<Vec<Evidence>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT bytes FROM evidence WHERE device = ?1 ORDER BY source")?;
    let found = statement.query_map((device.0,), |row| row.get::<_, Vec<u8>>(0))?;
    found.map(|bytes| decode(&bytes?)).collect()
}

fn decode(bytes: &[u8]) -> Result<Evidence, StoreError> {
    Evidence::from_bytes(bytes).ok_or(StoreError::Damaged("evidence that proves nothing"))
}

/// The greatest position a database holds.
const END: Seq = Seq(i64::MAX.unsigned_abs());
