//! Apps that were authorized: the hashes of their tokens, and where they may go.

use kinfolk_core::ids::{Hash, Millis};

use super::convert::{int, uint};
use super::{Store, StoreError};
use crate::apps::{Grant, Quota, Scope};
use crate::seal::BearerHash;

/// An app as it is kept.
#[derive(Clone, Debug)]
pub struct SavedApp {
    /// Its name.
    pub name: String,
    /// The hash of its token.
    pub token: BearerHash,
    /// Where it may go among collections.
    pub collections: Grant,
    /// Where it may go among conversations.
    pub conversations: Grant,
    /// How much it may store.
    pub quota: Quota,
    /// When it was authorized, by the wall clock.
    pub created: Millis,
    /// When it last made a call, by the wall clock, as far as that was written down.
    pub used: Option<Millis>,
}

impl Store {
    /// Keeps an app, whole or not at all. Not within a transaction.
    pub fn add_app(&mut self, app: &SavedApp) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        let sql =
            "INSERT INTO app (name, token, collection_scope, conversation_scope, created_at, quota_bytes, quota_items)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let scopes = (number(app.collections.scope), number(app.conversations.scope));
        let usual = Quota::default();
        // What is usual stands there as nothing, and may change.
        let bytes = Some(app.quota.bytes).filter(|bytes| *bytes != usual.bytes).map(int);
        let items = Some(app.quota.items).filter(|items| *items != usual.items).map(int);
        let columns = (&app.name, app.token.as_bytes(), scopes.0, scopes.1, int(app.created.0), bytes, items);
        transaction.execute(sql, columns)?;
        let sql = "INSERT INTO app_prefix (app, kind, prefix) VALUES (?1, ?2, ?3)";
        for (kind, grant) in [(COLLECTIONS, &app.collections), (CONVERSATIONS, &app.conversations)] {
            for prefix in &grant.prefixes {
                transaction.execute(sql, (&app.name, kind, prefix))?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Forgets an app; one that is not there is forgotten already. Not within a transaction.
    pub fn remove_app(&mut self, name: &str) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        transaction.execute("DELETE FROM app_prefix WHERE app = ?1", (name,))?;
        transaction.execute("DELETE FROM app WHERE name = ?1", (name,))?;
        Ok(transaction.commit()?)
    }

    /// Notes when an app made a call.
    pub fn note_app(&self, name: &str, used: Millis) -> Result<(), StoreError> {
        let sql = "UPDATE app SET used_at = ?2 WHERE name = ?1";
        self.connection.prepare_cached(sql)?.execute((name, int(used.0)))?;
        Ok(())
    }

    /// All apps, by name.
    pub fn apps(&self) -> Result<Vec<SavedApp>, StoreError> {
        let sql =
            "SELECT name, token, collection_scope, conversation_scope, created_at, used_at, quota_bytes, quota_items
             FROM app ORDER BY name";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query(())?;
        let mut apps = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let token: [u8; Hash::LEN] = row.get(1)?;
            let (bytes, items): (Option<i64>, Option<i64>) = (row.get(6)?, row.get(7)?);
            let usual = Quota::default();
            apps.push(SavedApp {
                token: BearerHash::from_bytes(token),
                collections: Grant { prefixes: self.prefixes(&name, COLLECTIONS)?, scope: scope(row.get(2)?)? },
                conversations: Grant { prefixes: self.prefixes(&name, CONVERSATIONS)?, scope: scope(row.get(3)?)? },
                quota: Quota { bytes: bytes.map_or(usual.bytes, uint), items: items.map_or(usual.items, uint) },
                created: Millis(uint(row.get(4)?)),
                used: row.get::<_, Option<i64>>(5)?.map(|used| Millis(uint(used))),
                name,
            });
        }
        Ok(apps)
    }

    fn prefixes(&self, app: &str, kind: i64) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT prefix FROM app_prefix WHERE app = ?1 AND kind = ?2 ORDER BY prefix";
        let mut statement = self.connection.prepare_cached(sql)?;
        let prefixes = statement.query_map((app, kind), |row| row.get(0))?;
        Ok(prefixes.collect::<Result<_, _>>()?)
    }
}

fn number(scope: Scope) -> i64 {
    match scope {
        Scope::Read => 1,
        Scope::Write => 2,
    }
}

fn scope(number: i64) -> Result<Scope, StoreError> {
    match number {
        1 => Ok(Scope::Read),
        2 => Ok(Scope::Write),
        _ => Err(StoreError::Damaged("the scope of an app is unknown")),
    }
}

/// Kinds of prefixes.
const COLLECTIONS: i64 = 1;
const CONVERSATIONS: i64 = 2;
