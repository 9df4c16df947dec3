//! Everything apps see, in one order that does not depend on the device.
//!
//! Messages come by (conversation, instant, id), then records by (collection, key), all from one moment. The content digest is taken
//! over exactly this: two devices that show the same have the same, and so has a device that imported what another one
//! exported, stamps and dots aside. Read markers are in neither: they speak of bundles by names that another person's devices do not know.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use prost::Message;
use rusqlite::Connection;

use kinfolk_core::ids::Hash;
use kinfolk_core::marker::READ_COLLECTION;
use kinfolk_core::op::{Level, MessageBody};

use super::conversations::{COLUMNS, MessageView, read};
use super::records::{self, RecordView};
use super::{MAX_PAGE, Reach, Reader, Span, order};
use crate::store::StoreError;

/// One thing that apps see.
#[derive(Clone, Debug, PartialEq)]
pub enum Exported {
    /// A message with its status times.
    Message(Box<MessageView>),
    /// A record.
    Record(Box<RecordView>),
}

impl Reader {
    /// Hands everything to `each`, one by one, until it breaks off. Only so many exports and verifications run
    /// at one time; further ones wait.
    pub fn export(&self, mut each: impl FnMut(Exported) -> ControlFlow<()>) -> Result<(), StoreError> {
        self.during(Span::Long, |connection| {
            let _ = walk(connection, &mut each)?;
            Ok(())
        })
    }

    /// Hands everything, or only the records of these collections, to `each` with the place of this device's order at which it stands so; first
    /// nothing but that. Says whether `each` broke off.
    pub fn snapshot(
        &self,
        only: Option<&BTreeSet<String>>,
        mut each: impl FnMut(Reach, Option<Exported>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        self.during(Span::Long, |connection| {
            let reach = order::reach(connection)?;
            if each(reach, None).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let mut each = |item| each(reach, Some(item));
            match only {
                None => walk(connection, &mut each),
                Some(only) => walk_records(connection, only.iter(), &mut each),
            }
        })
    }

    /// The digest over what [`Self::export`] gives. What is local to this device is not in it.
    pub fn content_digest(&self) -> Result<Hash, StoreError> {
        let mut digest = Hash::of(b"kinfolk/1/content");
        self.export(|item| {
            digest = Hash::of_parts(&[&digest.0, &canonical(&item)]);
            ControlFlow::Continue(())
        })?;
        Ok(digest)
    }
}

fn walk(
    connection: &Connection,
    each: &mut impl FnMut(Exported) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT idx FROM conversation ORDER BY name")?;
    let mut conversations = statement.query(())?;
    let sql = format!("SELECT {COLUMNS} FROM message m WHERE m.conversation = ?1 ORDER BY m.created_us, m.id");
    while let Some(conversation) = conversations.next()? {
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query((conversation.get::<_, i64>(0)?,))?;
        while let Some(row) = rows.next()? {
            if each(Exported::Message(Box::new(read(connection, row)?))).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    let names = records::names(connection)?;
    let shown = names.iter().map(|(name, _)| name).filter(|name| *name != READ_COLLECTION);
    walk_records(connection, shown, each)
}

fn walk_records<'n>(
    connection: &Connection,
    collections: impl Iterator<Item = &'n String>,
    each: &mut impl FnMut(Exported) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, StoreError> {
    for collection in collections {
        let mut after: Option<String> = None;
        loop {
            let page = records::page(connection, collection, "", after.as_deref(), MAX_PAGE)?;
            after = page.last().map(|record| record.key.clone());
            for record in page {
                if each(Exported::Record(Box::new(record))).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if after.is_none() {
                break;
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// An item as bytes that can be read in one way only: every part behind its length.
fn canonical(item: &Exported) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut part = |part: &[u8]| {
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    };
    match item {
        Exported::Message(message) => {
            part(b"message");
            part(message.id.as_bytes());
            part(&message.created_us.to_be_bytes());
            let content = |body: &MessageBody| Hash::of(&body.encode_to_vec());
            part(&message.elsewhere.map_or_else(|| content(&message.body), |elsewhere| elsewhere.content).0);
            for (level, at_us) in Level::ALL.into_iter().zip(message.levels) {
                let Some(at_us) = at_us else { continue };
                part(level.name().as_bytes());
                part(&at_us.to_be_bytes());
            }
        }
        Exported::Record(record) => {
            part(b"record");
            part(record.collection.as_bytes());
            part(record.key.as_bytes());
            for (name, value) in &record.fields {
                part(name.as_bytes());
                part(&value.to_bytes());
            }
        }
    }
    bytes
}
