//! What the engine must know of a push's entities before it decides. Sees what the open transaction has already applied.

use rusqlite::OptionalExtension;

use kinfolk_core::clock::Stamp;
use kinfolk_core::digest;
use kinfolk_core::ids::{BundleSeq, Hash};
use kinfolk_core::merge::{self, Write};
use kinfolk_core::op::{Level, MESSAGE_COLLECTION, Op};
use kinfolk_core::step::{AppBundle, AppFact, Committed, Fact, MessageFact, RowFact};

use super::convert::{elsewhere_from_bytes, int, numbers_from_bytes, uint};
use super::{Store, StoreError};

impl Store {
    /// What is held about the entity of each op, in order.
    pub fn facts(&self, ops: &[Op]) -> Result<Vec<Fact>, StoreError> {
        ops.iter()
            .map(|op| match op.collection.as_str() {
                MESSAGE_COLLECTION => Ok(Fact::Message(self.message_fact(&op.key)?)),
                collection => Ok(Fact::Row(self.row_fact(collection, &op.key)?)),
            })
            .collect()
    }

    /// What is held about an app's numbered pushes; `None` when it has made none under this source.
    pub fn app_fact(&self, app: &AppBundle) -> Result<Option<AppFact>, StoreError> {
        let sql = "SELECT max(id) FROM app_bundle WHERE app = ?1";
        let last: Option<i64> = self.connection.prepare_cached(sql)?.query_row((&app.source,), |row| row.get(0))?;
        let Some(last) = last else { return Ok(None) };
        let sql = "SELECT bundle_seq, source, seq, content, no_ops FROM app_bundle WHERE app = ?1 AND id = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query((&app.source, int(app.id)))?;
        let committed = match rows.next()? {
            Some(row) => {
                let dot = match row.get(1)? {
                    Some(source) => Some(self.cache.sources.dot(source, row.get(2)?)?),
                    None => None,
                };
                let no_ops = numbers_from_bytes(row.get_ref(4)?.as_blob().unwrap_or_default());
                let (bundle_seq, content) = (BundleSeq(uint(row.get(0)?)), Hash(row.get(3)?));
                Some(Committed { dot, bundle_seq, content, no_ops })
            }
            None => None,
        };
        let sql = "SELECT stamp FROM app_stamp WHERE app = ?1";
        let stamp = self.connection.prepare_cached(sql)?.query_row((&app.source,), |row| row.get(0)).optional()?;
        Ok(Some(AppFact { last: uint(last), committed, stamp: stamp.map(uint) }))
    }

    fn row_fact(&self, collection: &str, key: &str) -> Result<Option<RowFact>, StoreError> {
        let Some(collection) = self.cache.collections.idx(collection) else { return Ok(None) };
        let sql = "SELECT idx, live, version FROM row WHERE collection = ?1 AND key = ?2";
        let found: Option<(i64, bool, i64)> = self
            .connection
            .prepare_cached(sql)?
            .query_row((collection, key), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((row, live, version)) = found else { return Ok(None) };
        let sql = "SELECT field, source, seq, stamp, value FROM write WHERE row = ?1 AND field > '' ORDER BY field";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query((row,))?;
        let mut registers: Vec<(String, Vec<Write>)> = Vec::new();
        while let Some(row) = rows.next()? {
            let write = Write {
                dot: self.cache.sources.dot(row.get(1)?, row.get(2)?)?,
                stamp: Stamp(uint(row.get(3)?)),
                value: row.get(4)?,
            };
            let field: String = row.get(0)?;
            match registers.last_mut() {
                Some((last, register)) if *last == field => register.push(write),
                Some(_) | None => registers.push((field, vec![write])),
            }
        }
        let present = |register: &[Write]| merge::shown(register).is_some_and(|shown| shown.value.is_some());
        let fields = registers.into_iter().filter(|(_, register)| present(register)).map(|(field, _)| field).collect();
        Ok(Some(RowFact { live, fields, version: BundleSeq(uint(version)) }))
    }

    fn message_fact(&self, id: &str) -> Result<Option<MessageFact>, StoreError> {
        let sql = "SELECT at_us FROM tombstone WHERE entity = ?1";
        let entity = digest::entity(MESSAGE_COLLECTION, id);
        let deleted_us = self.connection.prepare_cached(sql)?.query_row((entity.0,), |row| row.get(0)).optional()?;
        if deleted_us.is_some() {
            return Ok(Some(MessageFact { deleted_us, ..MessageFact::default() }));
        }
        let sql = "SELECT idx, payload, stub FROM message WHERE id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query((id,))?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let message: i64 = row.get(0)?;
        let content = match (row.get::<_, Option<Vec<u8>>>(1)?, row.get::<_, Option<Vec<u8>>>(2)?) {
            (_, Some(stub)) => Some(elsewhere_from_bytes(&stub)?.content),
            (payload, None) => payload.map(|payload| Hash::of(&payload)),
        };
        let sql = "SELECT at_us FROM status WHERE message = ?1 AND level = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut levels = [None; 3];
        for (at_us, level) in levels.iter_mut().zip(Level::ALL) {
            *at_us = statement.query_row((message, level.number()), |row| row.get(0)).optional()?;
        }
        Ok(Some(MessageFact { content, levels, deleted_us: None }))
    }
}
