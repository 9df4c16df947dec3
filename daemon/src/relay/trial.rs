//! A trial of a relay, as a sibling pair would use it: connect, listen, put, be told, fetch, delete, each timed.
//!
//! It speaks only the trait, so that it is the same for every kind. Its mail lies in a mailbox of its own under a fixed name, where no device
//! looks for mail; what a trial that was cut short leaves there expires as all mail does. Trials of several devices at once do not disturb each
//! other: each takes only its own envelope.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfolk_core::ids::RelayId;
use rand::Rng;
use tokio::time::timeout;
use tokio_stream::StreamExt;

use super::worker::envelope_id;
use super::{
    Deletes, Delivery, Envelope, Mailbox, Push, PutOutcome, Reason, Relay, RelayError, RelayUrl, Want, WatchEvent,
    WatchStream,
};

/// What a trial does, in this order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Stage {
    /// Opening it.
    Connect,
    /// Leaving an envelope.
    Put,
    /// From there until it tells of the envelope.
    Hint,
    /// Fetching the envelope.
    Fetch,
    /// Deleting the envelope.
    Delete,
}

/// How a trial went.
#[derive(Debug)]
pub struct Trial {
    /// The relay's URL.
    pub url: RelayUrl,
    /// How long the whole took.
    pub took: Duration,
    /// How long each stage took that came to its end.
    pub stages: Vec<(Stage, Duration)>,
    /// What was found, or what it failed on.
    pub outcome: Result<Found, RelayError>,
}

/// What a trial found of a relay that works.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// The storage.
    pub id: RelayId,
    /// Whether it tells of new mail by itself.
    pub push: bool,
    /// Milliseconds by which its clock is ahead of ours.
    pub clock_ahead_ms: i64,
    /// Things that work, but not as well as they could, one sentence each.
    pub warnings: Vec<String>,
}

/// Tries a relay, which this device may know as `known`. Creates no relay where there is none.
pub async fn run(url: &RelayUrl, known: Option<RelayId>) -> Trial {
    let began = Instant::now();
    let mut stages = Vec::new();
    let outcome = attempt(url, known, &mut stages).await;
    Trial { url: url.clone(), took: began.elapsed(), stages, outcome }
}

async fn attempt(
    url: &RelayUrl,
    known: Option<RelayId>,
    stages: &mut Vec<(Stage, Duration)>,
) -> Result<Found, RelayError> {
    let began = Instant::now();
    let relay = match known {
        Some(id) => super::reconnect(url, id).await?,
        None => super::connect(url).await?,
    };
    stages.push((Stage::Connect, began.elapsed()));
    let probe = relay.probe().await?;
    let mut warnings: Vec<String> = probe.warnings.iter().map(ToString::to_string).collect();
    let push = !matches!(relay.capabilities().push, Push::None);
    let mut watch = push.then(|| relay.watch(vec![MAILBOX]));
    if let Some(watch) = &mut watch {
        listening(watch).await?;
    }
    let envelope = noise();

    let began = Instant::now();
    put(&*relay, &envelope, url).await?;
    stages.push((Stage::Put, began.elapsed()));
    if let Some(watch) = &mut watch {
        match told(watch).await? {
            true => stages.push((Stage::Hint, began.elapsed())),
            false => {
                let seconds = PATIENCE.as_secs();
                warnings.push(format!("it did not tell of new mail within {seconds} s; mail is found by looking"));
            }
        }
    }
    let began = Instant::now();
    let delivery = fetch(&*relay, &envelope, url).await?;
    stages.push((Stage::Fetch, began.elapsed()));
    if relay.capabilities().deletes == Deletes::Anyone {
        let began = Instant::now();
        relay.acknowledge(MAILBOX, &[delivery.handle]).await?;
        stages.push((Stage::Delete, began.elapsed()));
    }
    Ok(Found { id: relay.id(), push, clock_ahead_ms: probe.clock_ahead_ms, warnings })
}

/// An envelope that nobody could open.
fn noise() -> Envelope {
    let mut rng = rand::rng();
    let mut sealed = vec![0; BYTES];
    rng.fill_bytes(&mut sealed);
    Envelope { id: envelope_id(&mut rng), sealed: Bytes::from(sealed) }
}

/// Waits until the watch stands: hints from before that may be missing.
async fn listening(watch: &mut WatchStream) -> Result<(), RelayError> {
    while let Ok(Some(event)) = timeout(PATIENCE, watch.next()).await {
        match event {
            WatchEvent::Gap => return Ok(()),
            WatchEvent::Ready(_) => {}
            WatchEvent::Down(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the watch tells of mail in time.
async fn told(watch: &mut WatchStream) -> Result<bool, RelayError> {
    match timeout(PATIENCE, watch.next()).await {
        // After a gap there may be mail: that is told, too.
        Ok(Some(WatchEvent::Gap | WatchEvent::Ready(_))) => Ok(true),
        Ok(Some(WatchEvent::Down(error))) => Err(error),
        Ok(None) | Err(_) => Ok(false),
    }
}

async fn put(relay: &dyn Relay, envelope: &Envelope, url: &RelayUrl) -> Result<(), RelayError> {
    let failed = |reason| RelayError::Transient { place: url.to_string(), reason, after: None };
    match relay.put(&[(MAILBOX, envelope.clone())]).await?.first() {
        Some(PutOutcome::Stored | PutOutcome::AlreadyThere) => Ok(()),
        Some(PutOutcome::MailboxFull { .. } | PutOutcome::TooLarge { .. }) => Err(failed(Reason::Full)),
        None => Err(failed(Reason::Lost)),
    }
}

/// Finds the envelope among whatever else lies in the mailbox.
async fn fetch(relay: &dyn Relay, envelope: &Envelope, url: &RelayUrl) -> Result<Delivery, RelayError> {
    let mut want = Want::all(MAILBOX);
    for _ in 0..PAGES {
        let mut more = false;
        for found in relay.fetch(std::slice::from_ref(&want), FETCH_BYTES).await? {
            if let Some(delivery) = found.mail.into_iter().find(|delivery| delivery.envelope == *envelope) {
                return Ok(delivery);
            }
            (more, want.after) = (found.more, found.cursor);
        }
        if !more {
            break;
        }
    }
    Err(RelayError::Transient { place: url.to_string(), reason: Reason::Lost, after: None })
}

/// Where trials leave their mail.
const MAILBOX: Mailbox = Mailbox(*b"kinfolk/1 mailbox of relay tests");
/// Size of the envelope: about that of a live event.
const BYTES: usize = 1024;
/// How long to wait for a hint: 5 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most sealed bytes fetched at once, and how often: 1 MiB of what cut-off trials left is looked through.
const FETCH_BYTES: usize = 256 << 10;
const PAGES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_relay_that_works_passes_every_stage_and_keeps_nothing() {
        let home = tempfile::tempdir().unwrap();
        let url = RelayUrl::parse(home.path().join("relay").to_str().unwrap()).unwrap();
        let relay = super::super::prepare(&url).await.unwrap();
        for _ in 0..2 {
            let trial = run(&url, None).await;
            let found = trial.outcome.unwrap();
            assert_eq!((found.id, found.push), (relay.id(), true));
            let stages: Vec<Stage> = trial.stages.iter().map(|(stage, _)| *stage).collect();
            assert_eq!(stages, [Stage::Connect, Stage::Put, Stage::Hint, Stage::Fetch, Stage::Delete]);
            assert!(trial.stages.iter().all(|(_, took)| *took <= trial.took));
        }
        let left = relay.fetch(&[Want::all(MAILBOX)], FETCH_BYTES).await.unwrap();
        assert!(left[0].mail.is_empty());
    }

    #[tokio::test]
    async fn a_relay_that_is_not_there_fails_the_first_stage_and_is_not_made() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("relay");
        let trial = run(&RelayUrl::parse(path.to_str().unwrap()).unwrap(), None).await;
        assert!(matches!(trial.outcome, Err(RelayError::Transient { reason: Reason::Missing, .. })));
        assert!(trial.stages.is_empty() && !path.exists());
    }

    #[tokio::test]
    async fn mail_of_other_trials_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let url = RelayUrl::parse(home.path().join("relay").to_str().unwrap()).unwrap();
        let relay = super::super::prepare(&url).await.unwrap();
        let other = Envelope { id: envelope_id(&mut rand::rng()), sealed: Bytes::from_static(&[7; 300]) };
        relay.put(&[(MAILBOX, other.clone())]).await.unwrap();
        run(&url, None).await.outcome.unwrap();
        let left = relay.fetch(&[Want::all(MAILBOX)], FETCH_BYTES).await.unwrap();
        assert_eq!(left[0].mail.iter().map(|delivery| &delivery.envelope).collect::<Vec<_>>(), [&other]);
    }
}
