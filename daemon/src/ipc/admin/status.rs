//! How everything stands.

use std::sync::Arc;
use std::time::Duration;

use ipc_proto::v1::{CatchUp, ErrorCode, ErrorDetail, RecoveryState, Relay, RelayFault, Sibling, Status};
use kinfolk_core::ids::Millis;
use kinfolk_core::step::{Hydrating, SiblingStatus};
use tokio::time::{sleep, timeout};

use super::{devices, retention, sync};
use crate::daemon::Daemon;
use crate::driver::{Picture, wall_clock};
use crate::ipc::convert::{device, relay};
use crate::ipc::pipe::{End, Pipe};
use crate::node::Node;
use crate::store::Counts;

/// The shortest time between two replies of a status watch.
const PACE: Duration = Duration::from_millis(100);
/// How often a status watch looks at what does not ring: relays.
const LOOK: Duration = Duration::from_secs(1);
/// By how much a sibling's clock may be ahead before a person should know.
const CLOCK_AHEAD_MS: i64 = 5 * 60 * 1000;

/// Keys are kept for about as long as relays keep mail, and a day: 31 days.
const KEPT: Millis = Millis(31 * 24 * 3_600_000);
/// What a device is told that may have been put back to before keys that are destroyed.
const CUT_OFF: &str = "this device was put back to an older state, and no other device has been heard since: if a device was removed after that state, \
                       remove this one on another device with `kin devices revoke` and let it join anew";

/// The status now.
pub(super) async fn read(daemon: &Daemon, node: &Node) -> Result<Status, tonic::Status> {
    let counts = crate::ipc::read(&node.reader, |reader| reader.counts()).await?;
    let relays: Vec<Relay> = node.relays().await.into_iter().map(relay::show).collect();
    let picture = Arc::clone(&node.driver.picture().borrow());
    let (roster, plan) = (node.driver.roster(), node.plan());
    let mut siblings: Vec<_> = picture.status.siblings.iter().map(show_sibling).collect();
    siblings.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(Status {
        device: device::show_one(&roster.borrow(), &picture.status, node.me),
        mode: sync::show_mode(plan.mode).into(),
        next_pass_ms: node.next_pass().map(|Millis(at)| at),
        every_ms: plan.conduct(false).every.map(|every| u64::try_from(every.as_millis()).unwrap_or(u64::MAX)),
        siblings,
        attention: attention(&picture, &relays, &counts),
        relays,
        pending_up: picture.status.pending_up,
        pending_down: picture.status.pending_down,
        last_up_ms: picture.last_up.map(|Millis(at)| at),
        last_down_ms: picture.last_down.map(|Millis(at)| at),
        conflicts: counts.conflicts,
        conflicts_settled: counts.settled,
        quarantine: counts.quarantine,
        digest: picture.digest.to_string(),
        keys: Some(devices::protection(daemon)),
        recovery: RecoveryState::None.into(),
        synced: picture.status.synced,
        bundle_seq: picture.status.bundle_seq.0,
        retention: Some(retention::show(&picture)),
        catch_up: picture.status.hydrating.map(|under_way| catch_up(&picture, under_way)),
    })
}

fn catch_up(picture: &Picture, under_way: Hydrating) -> CatchUp {
    let sender = picture.status.siblings.iter().find(|sibling| sibling.device == under_way.from);
    CatchUp {
        from: sender.map_or_else(|| under_way.from.to_string(), |sibling| sibling.name.clone()),
        done: under_way.after.0,
        total: under_way.last.0,
    }
}

/// Sends the status now and after every change.
pub(super) async fn watch(daemon: Arc<Daemon>, node: Arc<Node>, pipe: Pipe<Status>) -> Result<(), End> {
    let mut pictures = node.driver.picture();
    let mut sent = None;
    loop {
        pictures.mark_unchanged();
        let status = pipe.wait(read(&daemon, &node)).await??;
        if sent.as_ref() != Some(&status) {
            pipe.send(status.clone()).await?;
            sent = Some(status);
        }
        pipe.wait(sleep(PACE)).await?;
        match pipe.wait(timeout(LOOK, pictures.changed())).await? {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(_)) => return Err(ErrorDetail::new(ErrorCode::ShuttingDown, "the daemon is stopping").into()),
        }
    }
}

fn show_sibling(sibling: &SiblingStatus) -> Sibling {
    Sibling {
        id: sibling.device.to_string(),
        name: sibling.name.clone(),
        last_seen_ms: sibling.heard.map(|Millis(at)| at),
        lag: sibling.lag,
        epoch_seen: sibling.epoch.number,
        live: sibling.live,
    }
}

/// What asks for a person, one sentence each.
fn attention(picture: &Picture, relays: &[Relay], counts: &Counts) -> Vec<String> {
    let mut sentences = Vec::new();
    let siblings = &picture.status.siblings;
    sentences.extend(picture.fault.as_ref().map(|fault| format!("nothing can be written: {fault}")));
    if relays.is_empty() && !siblings.is_empty() {
        sentences.push("there is no relay: nothing reaches the other devices; add one with `kin relay add URL`".into());
    }
    sentences.extend(relays.iter().filter_map(trouble));
    if counts.conflicts > 0 {
        let fields = counted(counts.conflicts, "field was", "fields were");
        sentences.push(format!(
            "{fields} written differently on two devices at the same time: `kin conflicts list` shows them, until then the latest counts"
        ));
    }
    if counts.quarantine > 0 {
        let things = counted(counts.quarantine, "thing", "things");
        sentences.push(format!("{things} that came in could not be used: `kin quarantine list` shows them"));
    }
    if counts.unknown_ops > 0 {
        let changes = counted(counts.unknown_ops, "change", "changes");
        sentences.push(format!("{changes} by a newer kinfolk wait until this one is upgraded"));
    }
    for refused in &picture.status.refused {
        let author = siblings.iter().find(|sibling| Some(sibling.device) == refused.device);
        let own = refused.device == Some(picture.status.me);
        let author = author.map_or(if own { "this device" } else { "a device" }, |sibling| sibling.name.as_str());
        let (after, reason) = (refused.after, &refused.reason);
        sentences.push(if refused.ended {
            format!(
                "a history of {author} ends at bundle {after} on all devices: {reason}; {author} was copied or put back, and writes \
                 what came after again. If two copies of it run, stop one and remove it"
            )
        } else {
            format!("a history of {author} is not followed beyond bundle {after}: {reason}")
        });
    }
    if is_cut_off(&picture.status, wall_clock()) && relays.iter().any(|relay| relay.ok) {
        sentences.push(CUT_OFF.into());
    }
    for sibling in siblings {
        if !sibling.live {
            sentences.push(format!("{} has not been heard of for long and is not waited for", sibling.name));
        } else if !sibling.epoch_known {
            let name = &sibling.name;
            sentences.push(format!(
                "{name} has not heard yet that a device was removed: until it has, it still hears that device"
            ));
        }
        if sibling.clock_ahead > CLOCK_AHEAD_MS {
            let minutes = sibling.clock_ahead / 60_000;
            sentences
                .push(format!("the clock of {} is {minutes} minutes ahead of this one: set it right", sibling.name));
        }
        for withheld in &sibling.withheld {
            let id = withheld.to_string();
            let relay = relays.iter().find(|relay| relay.id == id).map_or(id.as_str(), |relay| relay.url.as_str());
            sentences.push(format!(
                "mail between this device and {} does not come by way of {relay}, though other ways show that it was sent: \
                 does {0} reach that relay? else use another",
                sibling.name
            ));
        }
    }
    sentences
}

/// Whether no other device was heard since this one was put back, and before that for longer than keys are kept.
fn is_cut_off(status: &kinfolk_core::step::Status, now: Millis) -> bool {
    let last = status.siblings.iter().filter_map(|sibling| sibling.heard).max();
    let since = |last: Millis| status.restarted.is_some_and(|restarted| last < restarted) && now.since(last) > KEPT;
    last.is_some_and(since)
}

/// What is wrong with a relay, if anything is, and what happens about it: its URL once, and what to run once.
fn trouble(relay: &Relay) -> Option<String> {
    let path = relay.url.strip_prefix("file://").unwrap_or(&relay.url);
    let what = match relay.reason.contains(path) {
        true => relay.reason.clone(),
        false => format!("relay {} does not work: {}", relay.url, relay.reason),
    };
    let next = match relay.fault() {
        RelayFault::Unspecified => return None,
        RelayFault::Unreachable => "",
        RelayFault::Denied | RelayFault::Config if what.contains("`kin relay ") => "; it rests until then",
        RelayFault::Denied | RelayFault::Config => "; it rests until you have put that right and run `kin relay test`",
    };
    Some(what + next)
}

fn counted(count: u64, one: &str, several: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {several}") }
}

#[cfg(test)]
mod tests {
    use kinfolk_core::ids::{DeviceId, RelayId, Seq};
    use kinfolk_core::step::RefusedSource;

    use super::*;

    #[test]
    fn nothing_asks_for_a_person_when_all_is_well() {
        assert_eq!(attention(&family(true, 0), &[relay(true)], &Counts::default()), Vec::<String>::new());
        assert_eq!(attention(&Picture::default(), &[], &Counts::default()), Vec::<String>::new(), "a first device");
    }

    #[test]
    fn each_trouble_is_one_sentence() {
        let mut troubled = Picture { fault: Some("the disk is full".into()), ..family(false, CLOCK_AHEAD_MS * 2) };
        troubled.status.refused.push(RefusedSource {
            source: Default::default(),
            device: Some(DeviceId([1; 16])),
            after: Seq(3),
            reason: "it was forked".into(),
            ended: false,
        });
        troubled.status.refused.push(RefusedSource {
            source: Default::default(),
            device: Some(DeviceId::default()),
            after: Seq(4),
            reason: "it was written twice".into(),
            ended: true,
        });
        let counts = Counts { conflicts: 1, quarantine: 2, unknown_ops: 1, ..Counts::default() };
        assert_eq!(
            attention(&troubled, &[relay(false)], &counts),
            [
                "nothing can be written: the disk is full",
                "relay file:///x does not work: nothing is there",
                "1 field was written differently on two devices at the same time: `kin conflicts list` shows them, until then the latest counts",
                "2 things that came in could not be used: `kin quarantine list` shows them",
                "1 change by a newer kinfolk wait until this one is upgraded",
                "a history of tablet is not followed beyond bundle 3: it was forked",
                "a history of this device ends at bundle 4 on all devices: it was written twice; this device was copied or put back, \
                 and writes what came after again. If two copies of it run, stop one and remove it",
                "tablet has not been heard of for long and is not waited for",
                "the clock of tablet is 10 minutes ahead of this one: set it right",
            ]
        );
        assert_eq!(attention(&family(true, 0), &[], &Counts::default()).len(), 1, "no relay");
    }

    #[test]
    fn a_device_that_has_not_heard_of_a_removal_is_named() {
        let mut picture = family(true, 0);
        picture.status.siblings[0].epoch_known = false;
        let sentences = attention(&picture, &[relay(true)], &Counts::default());
        assert_eq!(
            sentences,
            ["tablet has not heard yet that a device was removed: until it has, it still hears that device"]
        );
    }

    #[test]
    fn a_relay_that_rests_says_how_it_is_woken_and_one_not_tried_yet_is_no_trouble() {
        let resting = Relay { fault: RelayFault::Denied.into(), ..relay(false) };
        assert!(trouble(&resting).unwrap().contains("kin relay test"));
        let reason = "relay file:///x refuses us: wrong user or password; add the relay again with the right one, then run `kin relay test`";
        let named = Relay { reason: reason.into(), ..resting };
        assert_eq!(trouble(&named).unwrap(), format!("{reason}; it rests until then"), "URL and command once");
        assert_eq!(trouble(&Relay { fault: RelayFault::Unspecified.into(), ..relay(false) }), None);
    }

    #[test]
    fn a_device_that_was_put_back_and_hears_nobody_is_told_how_to_go_on() {
        let mut picture = family(true, 0);
        let sentences = |picture: &Picture, works| attention(picture, &[relay(works)], &Counts::default());
        picture.status.siblings[0].heard = Some(Millis(wall_clock().0 - KEPT.0 - 60_000));
        assert_eq!(sentences(&picture, true), Vec::<String>::new(), "the other one is only away");
        picture.status.restarted = Some(Millis(wall_clock().0 - 1_000));
        assert_eq!(sentences(&picture, true), [CUT_OFF]);
        assert!(!sentences(&picture, false).contains(&CUT_OFF.to_owned()), "first the relay");
        picture.status.siblings[0].heard = Some(wall_clock());
        assert_eq!(sentences(&picture, true), Vec::<String>::new());
    }

    #[test]
    fn a_relay_that_keeps_mail_back_is_named_with_the_device() {
        let mut family = family(true, 0);
        let relay = Relay { id: RelayId([7; 16]).to_string(), ..relay(true) };
        family.status.siblings[0].withheld = vec![RelayId([7; 16])];
        let sentences = attention(&family, &[relay], &Counts::default());
        assert_eq!(sentences.len(), 1);
        assert!(sentences[0].contains("tablet") && sentences[0].contains("file:///x"), "{sentences:?}");
    }

    fn relay(ok: bool) -> Relay {
        let fault = if ok { RelayFault::Unspecified } else { RelayFault::Unreachable };
        let reason = if ok { String::new() } else { "nothing is there".into() };
        Relay { url: "file:///x".into(), ok, reason, fault: fault.into(), ..Relay::default() }
    }

    fn family(live: bool, clock_ahead: i64) -> Picture {
        let sibling = SiblingStatus {
            device: DeviceId([1; 16]),
            name: "tablet".into(),
            live,
            heard: Some(wall_clock()),
            lag: 0,
            ahead: 0,
            vector: Default::default(),
            digest: None,
            prekey: Default::default(),
            op_level: 1,
            sums: None,
            epoch: Default::default(),
            epoch_known: true,
            roster_known: true,
            clock_ahead,
            withheld: Vec::new(),
        };
        let mut picture = Picture::default();
        picture.status.siblings.push(sibling);
        picture
    }
}
