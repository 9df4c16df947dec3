//! What was set aside: shown, tried again, taken out of sight.

use std::collections::BTreeMap;

use ipc_proto::v1::{
    DropQuarantineResponse, ErrorCode, ErrorDetail, ListQuarantineResponse, QuarantineKind, Quarantined, RetriedItem,
    RetryQuarantineResponse,
};
use kinfolk_core::ids::{Millis, RelayId};
use kinfolk_core::step::{Delivery, Input, Suspect};
use tonic::Status;

use crate::ipc::{error, read};
use crate::node::Node;
use crate::relay::worker;
use crate::store::{Kept, MAX_PAGE};

/// A page after `after`.
pub(super) async fn list(node: &Node, after: u64) -> Result<ListQuarantineResponse, Status> {
    let (kept, ever) =
        read(&node.reader, move |reader| Ok((reader.quarantined(after)?, reader.counts()?.quarantine_ever))).await?;
    let relays = node.relays().await.into_iter();
    let urls: BTreeMap<RelayId, String> = relays.filter_map(|report| Some((report.id?, report.url))).collect();
    Ok(ListQuarantineResponse { items: kept.into_iter().map(|kept| show(kept, &urls)).collect(), ever })
}

/// Tries the named ones, or all that can be tried.
pub(super) async fn retry(node: &Node, ids: Vec<u64>) -> Result<RetryQuarantineResponse, Status> {
    let wanted = match ids.as_slice() {
        [] => all(node).await?.into_iter().filter(|kept| kept.whole).collect(),
        _ => named(node, &ids).await?,
    };
    let mut items = Vec::with_capacity(wanted.len());
    for kept in wanted {
        let outcome = if kept.whole { again(node, kept.id).await? } else { Err(NOT_WHOLE.to_owned()) };
        let (used, reason) = outcome.map_or_else(|reason| (false, reason), |()| (true, String::new()));
        items.push(RetriedItem { id: kept.id, used, reason });
    }
    Ok(RetryQuarantineResponse { items })
}

/// Hides the named ones, or all.
pub(super) async fn hide(node: &Node, ids: Vec<u64>) -> Result<DropQuarantineResponse, Status> {
    let hidden = match ids.as_slice() {
        [] => all(node).await?,
        _ => named(node, &ids).await?,
    };
    let hide = hidden.iter().map(|kept| kept.id).collect::<Vec<_>>();
    let keep = node.driver.keep(move |store| hide.iter().try_for_each(|id| store.hide_quarantined(*id)));
    keep.await.map_err(|fault| error::driver(&fault))?;
    Ok(DropQuarantineResponse { dropped: u64::try_from(hidden.len()).unwrap_or(u64::MAX) })
}

/// Opens an envelope with what is known by now and hands it to the engine as if it had just come; else says why not.
///
/// The copy goes once the engine has had its turn. Should that commit have failed, nothing is lost with it: what was never receipted is sent again.
async fn again(node: &Node, id: u64) -> Result<Result<(), String>, Status> {
    let Some(sealed) = read(&node.reader, move |reader| reader.quarantined_bytes(id)).await? else {
        return Ok(Err("it made room for newer things meanwhile".to_owned()));
    };
    let (credentials, roster) = (node.credentials.clone(), node.driver.roster().borrow().clone());
    let opening = tokio::task::spawn_blocking(move || worker::reopen(&sealed, &credentials, &roster)).await;
    let parcel = match opening {
        Ok(Ok(parcel)) => Box::new(parcel),
        Ok(Err(reason)) => return Ok(Err(reason)),
        Err(_) => return Err(ErrorDetail::new(ErrorCode::Internal, "opening an envelope broke down").into()),
    };
    // It was acknowledged long ago; no relay has this id, so nobody acknowledges it again.
    let delivery = Delivery { relay: RelayId::default(), ticket: id };
    let told = node.driver.tell(Input::Received { delivery, parcel }).await;
    told.map_err(|fault| error::driver(&fault))?;
    let released = node.driver.keep(move |store| store.release_quarantined(id)).await;
    released.map_err(|fault| error::driver(&fault))?;
    Ok(Ok(()))
}

/// Everything that is not hidden; the store bounds it.
async fn all(node: &Node) -> Result<Vec<Kept>, Status> {
    read(&node.reader, |reader| reader.quarantined(0)).await
}

async fn named(node: &Node, ids: &[u64]) -> Result<Vec<Kept>, Status> {
    if ids.len() > MAX_PAGE {
        let detail = ErrorDetail::new(ErrorCode::TooLarge, format!("at most {MAX_PAGE} numbers at a time"));
        return Err(detail.into());
    }
    let mut known: BTreeMap<u64, Kept> = all(node).await?.into_iter().map(|kept| (kept.id, kept)).collect();
    let find = |id: &u64| {
        known.remove(id).ok_or_else(|| {
            ErrorDetail::new(ErrorCode::NotFound, format!("there is no {id} in quarantine"))
                .hint("`kin quarantine list` shows what there is")
                .into()
        })
    };
    ids.iter().map(find).collect()
}

fn show(kept: Kept, urls: &BTreeMap<RelayId, String>) -> Quarantined {
    let url = |id: RelayId| urls.get(&id).cloned().unwrap_or_else(|| id.to_string());
    let kind = match kept.kind {
        Suspect::Envelope => QuarantineKind::Envelope,
        Suspect::Parcel => QuarantineKind::Parcel,
        Suspect::Source => QuarantineKind::Source,
        Suspect::Bundle => QuarantineKind::Bundle,
    };
    let Kept { id, at: Millis(since_ms), reason, size, whole: retryable, .. } = kept;
    Quarantined {
        id,
        since_ms,
        kind: kind.into(),
        reason,
        relay: kept.relay.map(url).unwrap_or_default(),
        size,
        retryable,
    }
}

const NOT_WHOLE: &str = "not all of it was kept; its sender sends it again";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_shown_by_its_url_while_it_is_used() {
        let relay = RelayId([1; 16]);
        let kept = |relay| Kept {
            id: 3,
            at: Millis(7),
            kind: Suspect::Bundle,
            relay,
            reason: "because".into(),
            size: 9,
            whole: false,
        };
        let urls = BTreeMap::from([(relay, "file:///x".to_owned())]);
        let shown = show(kept(Some(relay)), &urls);
        assert_eq!((shown.id, shown.since_ms, shown.size, shown.relay.as_str()), (3, 7, 9, "file:///x"));
        assert_eq!(shown.kind(), QuarantineKind::Bundle);
        assert_eq!(show(kept(Some(RelayId([2; 16]))), &urls).relay, "02".repeat(16));
        assert_eq!(show(kept(None), &urls).relay, "");
    }
}
