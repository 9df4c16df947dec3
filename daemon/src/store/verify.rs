//! The proof that the state is what the log says.
//!
//! 1. SQLite goes over every page of the file.
//! 2. The log is read in the order of apply: every source must be a chain without holes, each hash true. Below the watermark of a
//!    compaction a source has holes, and bodies are what is kept of them; there only their order is looked at.
//! 3. The same code that applied the bundles applies them again, to an empty database in memory. Then every table of the state
//!    is compared, row by row, with the places of what changed records, the indexes over fields, and the words of the full-text index.
//! 4. The digest sums are computed from the stored rows alone ([`leaves`]): an error in how sums are carried on would be the
//!    same in both databases.
//!
//! All of it happens in one read transaction and reports without changing anything. It takes as long as applying the log did,
//! and memory for the whole state.

mod compare;
mod leaves;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Connection;

use kinfolk_core::bundle::Bundle;
use kinfolk_core::compact::Contexts;
use kinfolk_core::ids::{BundleSeq, DeviceId, Dot, Hash, Millis, Seq, SourceId};
use kinfolk_core::snapshot::Mark;
use kinfolk_core::step::{Append, Change};
use kinfolk_core::vector::{Head, VersionVector};

use super::collections::Collections;
use super::convert::uint;
use super::join::Entry;
use super::level::{Idle, Level};
use super::reader::Span;
use super::{Reader, Store, StoreError, field_index, floors, open};

/// What a verification came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Bundles read.
    pub bundles: u64,
    /// Ops in them.
    pub ops: u64,
    /// Those of them that have no effect.
    pub idle: Idle,
    /// The digest of the stored state.
    pub digest: Hash,
    /// The digest of the rebuilt state; `None` when the log could not be read to its end.
    pub rebuilt: Option<Hash>,
    /// What is wrong, at most [`MAX_PROBLEMS`] and the first difference of each table. Empty when all is well.
    pub problems: Vec<Problem>,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// SQLite finds the file damaged.
    #[error("the file is damaged: {0}")]
    File(String),
    /// The log is not what was written.
    #[error("bundle {} of source {}: {what}", dot.seq, dot.source)]
    Log {
        /// Which bundle.
        dot: Dot,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A table of the state is not what the log gives.
    #[error("{table}: {name} is not what the log gives")]
    State {
        /// Which table.
        table: &'static str,
        /// The first row that differs.
        name: String,
    },
    /// A digest sum is not the sum over its rows.
    #[error("the digest sum of {collection} is not the sum over what is stored")]
    Sum {
        /// Which collection.
        collection: String,
    },
}

/// Most problems that are reported.
pub const MAX_PROBLEMS: usize = 100;
/// Bundles that the rebuilding commits together.
const BATCH: u64 = 500;

impl Reader {
    /// Verifies the stored state against the log.
    ///
    /// # Errors
    /// Only when reading itself fails; what is found wrong stands in the report.
    pub fn verify(&self) -> Result<Report, StoreError> {
        self.during(Span::Long, verify)
    }
}

/// [`Reader::verify`] in an open transaction, or where nothing else writes.
pub(super) fn verify(connection: &Connection) -> Result<Report, StoreError> {
    let damage = check_file(connection)?;
    if !damage.is_empty() {
        let digest = Collections::load(connection).map(|collections| collections.digest()).unwrap_or_default();
        return Ok(Report { bundles: 0, ops: 0, idle: Idle::default(), digest, rebuilt: None, problems: damage });
    }
    let mut problems = Vec::new();
    let level = Level::load(connection)?;
    let mut rebuilt = Store::over_at(open::in_memory()?, level.ops)?;
    let read = replay(connection, &mut rebuilt)?;
    let whole = read.problem.is_none();
    problems.extend(read.problem);
    if whole {
        field_index::copy(connection, &mut rebuilt)?;
        let upto: i64 = connection.query_row("SELECT upto FROM compaction", (), |row| row.get(0))?;
        rebuilt.connection.execute("UPDATE compaction SET upto = ?1", (upto,))?;
        problems.extend(compare::tables(connection, &rebuilt.connection)?);
    }
    problems.extend(leaves::check(connection)?);
    problems.truncate(MAX_PROBLEMS);
    Ok(Report {
        bundles: read.bundles,
        ops: read.ops,
        idle: level.idle.unwrap_or_default(),
        digest: Collections::load(connection)?.digest(),
        rebuilt: whole.then(|| rebuilt.digest()),
        problems,
    })
}

/// What SQLite itself finds. When that is anything, nothing in the file is worth interpreting.
fn check_file(connection: &Connection) -> Result<Vec<Problem>, StoreError> {
    let find = || -> Result<Vec<String>, StoreError> {
        let mut statement = connection.prepare(&format!("PRAGMA integrity_check({MAX_PROBLEMS})"))?;
        let lines = statement.query_map((), |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        let mut found: Vec<String> = lines.into_iter().filter(|line| line != "ok").collect();
        let mut statement = connection.prepare("SELECT DISTINCT \"table\" FROM pragma_foreign_key_check")?;
        let tables = statement.query_map((), |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        found.extend(tables.into_iter().map(|table| format!("a row of {table} refers to one that is not there")));
        Ok(found)
    };
    match find() {
        Ok(found) => Ok(found.into_iter().map(Problem::File).collect()),
        Err(StoreError::Damaged(what)) => Ok(vec![Problem::File(what.to_owned())]),
        Err(error) => Err(error),
    }
}

/// How far the log could be read.
#[derive(Default)]
struct Replayed {
    bundles: u64,
    ops: u64,
    problem: Option<Problem>,
}

/// Applies the log to an empty store, as far as it is sound.
fn replay(connection: &Connection, rebuilt: &mut Store) -> Result<Replayed, StoreError> {
    let sql = "SELECT l.bundle_seq, s.id, l.seq, l.hash, l.at, l.body, s.device FROM log l
               LEFT JOIN source s ON s.idx = l.source ORDER BY l.bundle_seq";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(())?;
    let floors = floors::load(connection)?;
    let mut ends: BTreeMap<SourceId, (Head, Arc<VersionVector>)> = BTreeMap::new();
    let mut kept: BTreeMap<SourceId, (Seq, Contexts)> = BTreeMap::new();
    for (source, floor) in &floors {
        ends.insert(*source, (floor.head, Arc::new(floor.context.clone())));
        kept.insert(*source, (Seq::ZERO, Contexts::behind(floor)));
    }
    let mut read = Replayed::default();
    rebuilt.begin()?;
    rebuilt.copy_markers(connection)?;
    settle_sources(connection, rebuilt, &floors)?;
    while let Some(row) = rows.next()? {
        let dot = Dot { source: SourceId(row.get(1)?), seq: Seq(uint(row.get(2)?)) };
        let floor = floors.get(&dot.source).map_or(Seq::ZERO, |floor| floor.head.seq);
        if let Some((last, contexts)) = kept.get_mut(&dot.source).filter(|_| dot.seq <= floor) {
            let bundle = Bundle::rebuild(dot, Hash::default(), Bytes::from(row.get::<_, Vec<u8>>(5)?));
            let Some(bundle) = bundle.ok().filter(|_| dot.seq > *last) else {
                read.problem = Some(Problem::Log { dot, what: "what is kept of it does not follow the one before it" });
                break;
            };
            *last = dot.seq;
            contexts.enter(dot.seq, bundle.body.as_ref().map_or(&[], |body| body.context.as_slice()));
            read.bundles += 1;
            read.ops += u64::try_from(bundle.ops().len()).unwrap_or(u64::MAX);
            let source = rebuilt.cache.sources.idx(dot.source).ok_or(StoreError::Damaged("a source is gone"))?;
            let (hash, place) = (Hash(row.get(3)?), BundleSeq(uint(row.get(0)?)));
            let entry = Entry { source, bundle: &bundle, hash, context: None, place, at: Millis(uint(row.get(4)?)) };
            if rebuilt.enter_kept(&entry, contexts.full())? {
                rebuilt.settle_late(bundle.ops())?;
            }
            continue;
        }
        let (head, context) = ends.entry(dot.source).or_default();
        let bundle = Bundle::rebuild(dot, head.hash, Bytes::from(row.get::<_, Vec<u8>>(5)?));
        let sound = match bundle {
            _ if dot.seq != head.seq.next() => Err("it does not follow the one before it"),
            Ok(bundle) if bundle.hash == Hash(row.get(3)?) => Ok(bundle),
            Ok(_) => Err("its hash is not that of its bytes"),
            Err(_) => Err("it is too large"),
        };
        let bundle = match sound {
            Ok(bundle) => bundle,
            Err(what) => {
                read.problem = Some(Problem::Log { dot, what });
                break;
            }
        };
        if let Some(body) = bundle.body.as_ref().filter(|body| !body.context.is_empty()) {
            Arc::make_mut(context).join(&body.context.iter().copied().collect());
        }
        *head = bundle.head();
        read.bundles += 1;
        read.ops += u64::try_from(bundle.ops().len()).unwrap_or(u64::MAX);
        rebuilt.apply(&Change::Append(Append {
            device: DeviceId(row.get(6)?),
            bundle_seq: BundleSeq(uint(row.get(0)?)),
            context: Arc::clone(context),
            at: Millis(uint(row.get(4)?)),
            app: None,
            bundle,
        }))?;
        if read.bundles % BATCH == 0 {
            rebuilt.commit()?;
            rebuilt.begin()?;
        }
    }
    for (source, floor) in floors.iter().filter(|_| read.problem.is_none()) {
        if let Some(idx) = rebuilt.cache.sources.idx(*source)
            && rebuilt.cache.sources.saved(idx)?.head == floor.head
        {
            rebuilt.cache.sources.jump(idx, floor)?;
        }
    }
    rebuilt.commit()?;
    Ok(read)
}

/// Where the log was compacted it does not say whose a source is, nor where it began: the sources are taken as they are stored, at their
/// watermarks. What their authors had seen there comes with what is kept, or at the end: who had seen a bundle before it came is told by that.
fn settle_sources(
    connection: &Connection,
    rebuilt: &mut Store,
    floors: &BTreeMap<SourceId, Mark>,
) -> Result<(), StoreError> {
    if floors.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare("SELECT id, device, generation FROM source ORDER BY idx")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let (source, device) = (SourceId(row.get(0)?), DeviceId(row.get(1)?));
        let sources = &mut rebuilt.cache.sources;
        let idx = sources.enter(&rebuilt.connection, source, device, uint(row.get(2)?))?;
        if let Some(floor) = floors.get(&source) {
            sources.jump(idx, &Mark { context: VersionVector::default(), ..floor.clone() })?;
            floors::note(&rebuilt.connection, idx, floor)?;
        }
    }
    Ok(())
}
