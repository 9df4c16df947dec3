//! Whether an app may store more.

use ipc_proto::v1::error_detail::Payload;
use ipc_proto::v1::{ErrorCode, ErrorDetail, LimitExceeded};
use kinfolk_core::op::{Meaning, Op};
use kinfolk_core::step::AppBundle;
use tonic::Status;

use super::caller::Caller;
use super::read;
use crate::apps::{App, Beyond, UnderWay, Usage};
use crate::node::Node;
use crate::store::{Reader, StoreError};

/// Lets a push through that fits into the quota of its caller. What was pushed already and comes again adds nothing: a retry is answered as the first time.
pub(super) async fn admit<'c>(
    node: &Node,
    caller: &'c Caller,
    ops: &[Op],
    app_bundle: Option<&AppBundle>,
) -> Result<Option<UnderWay<'c>>, Status> {
    let Caller::App(app) = caller else { return Ok(None) };
    let adds = Usage::of(ops);
    if adds == Usage::default() {
        // It takes away, or marks. What it frees is seen by the next count.
        app.meter.forget();
        return Ok(None);
    }
    let beyond = match app.meter.add(adds, app.quota) {
        Some(Ok(admitted)) => return Ok(Some(admitted)),
        Some(Err(beyond)) => Some(beyond),
        None => None,
    };
    if beyond.is_some() {
        let repeated = repeats(node, ops, app_bundle).await?;
        if repeated {
            return Ok(None);
        }
    }
    count(node, app, adds).await?;
    match app.meter.add(adds, app.quota) {
        Some(Ok(admitted)) => Ok(Some(admitted)),
        Some(Err(beyond)) => Err(refusal(app, beyond).into()),
        None => Err(ErrorDetail::new(ErrorCode::Internal, "what an app has stored was not counted").into()),
    }
}

/// Finds out how much an app has stored: by a bound, when that is enough, or by counting, unless that was done just now.
async fn count(node: &Node, app: &App, adds: Usage) -> Result<(), Status> {
    let _counting = app.meter.counting.lock().await;
    if app.meter.is_fresh() {
        return Ok(());
    }
    let grants = || (app.collections.clone(), app.conversations.clone());
    let (collections, conversations) = grants();
    let bound = read(&node.reader, move |reader| reader.usage_bound(&collections, &conversations)).await?;
    app.meter.bound(bound);
    // Only asks: what fits is let through by the caller.
    if app.meter.add(adds, app.quota).is_some_and(|fits| fits.is_ok()) {
        app.meter.bound(bound);
        return Ok(());
    }
    let (collections, conversations) = grants();
    app.meter.count(read(&node.reader, move |reader| reader.usage(&collections, &conversations)).await?);
    Ok(())
}

/// Whether all of it was pushed before: under this number, or as messages that are here by their ids.
async fn repeats(node: &Node, ops: &[Op], app_bundle: Option<&AppBundle>) -> Result<bool, Status> {
    if let Some(AppBundle { source, id, stamp: _ }) = app_bundle.cloned()
        && read(&node.reader, move |reader| reader.has_app_bundle(&source, id)).await?
    {
        return Ok(true);
    }
    let mut posted = Vec::new();
    for op in ops {
        match op.meaning() {
            Meaning::MessagePost(_) => posted.push(op.key.clone()),
            Meaning::RecordPut => return Ok(false),
            Meaning::RecordDelete
            | Meaning::MessageStatus(..)
            | Meaning::MessageDelete(_)
            | Meaning::MessageStub(_)
            | Meaning::Unknown
            | Meaning::Invalid(_) => {}
        }
    }
    read(&node.reader, move |reader| are_here(reader, &posted)).await
}

fn are_here(reader: &Reader, ids: &[String]) -> Result<bool, StoreError> {
    for id in ids {
        if reader.message(id)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn refusal(app: &App, beyond: Beyond) -> ErrorDetail {
    let Beyond { what, limit, actual } = beyond;
    let message = format!("the app `{}` may store {limit} {what}, and with this it would be {actual}", app.name);
    let limit = LimitExceeded { what: format!("{what} of the app `{}`", app.name), limit, actual };
    ErrorDetail::new(ErrorCode::QuotaExceeded, message)
        .hint("delete what is not needed; for more, revoke the app and authorize it again with `kin apps authorize --quota`")
        .payload(Payload::Limit(limit))
}
