//! A look at a server: what works, how fast, and what a person should know.

use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kinfolk_core::ids::EnvelopeId;
use redis::{RedisResult, Value};

use super::failure::{self, Effect};
use super::link::Link;
use super::{collect, deposit, keys};
use crate::relay::error::{Reason, RelayError};
use crate::relay::mail::{Envelope, Mailbox, PutOutcome, Want};
use crate::relay::{Probe, ProbeWarning};

/// Bytes of the envelope that goes there and back.
const PROBE_BYTES: usize = 64;

/// See [`crate::relay::Relay::probe`]. The mail goes to a mailbox of its own that nobody reads.
pub(super) async fn probe(link: &Link, budget: u64) -> Result<Probe, RelayError> {
    let mailbox = Mailbox(rand::random());
    let began = Instant::now();
    round_trip(link, mailbox, budget).await?;
    let round_trip = began.elapsed();

    let asked = SystemTime::now();
    let compose = |_: &_| {
        let mut pipeline = redis::pipe();
        pipeline.cmd("PEXPIRE").arg(keys::companion(mailbox)).arg(1);
        pipeline.cmd("TIME");
        pipeline.cmd("PUBLISH").arg(keys::channel(mailbox)).arg("0");
        pipeline.cmd("INFO").arg("memory");
        pipeline.cmd("INFO").arg("persistence");
        pipeline.cmd("CONFIG").arg("GET").arg("save");
        pipeline
    };
    let answers = link.ask_each(link.deadline(0), Effect::Repeatable, compose).await?;
    let theirs = answers.get(1).and_then(time).ok_or_else(|| garbled(link))?;
    let between = asked + asked.elapsed().unwrap_or_default() / 2;
    let mut warnings = Vec::new();
    match setting(answers.get(3), "maxmemory_policy") {
        Some(policy) if policy == "noeviction" => {}
        Some(_) => warnings.push(ProbeWarning::MayEvict),
        None => warnings.push(ProbeWarning::UnknownEviction),
    }
    let no_log = setting(answers.get(4), "aof_enabled").is_some_and(|enabled| enabled == "0");
    if no_log && answers.get(5).is_some_and(never_saves) {
        warnings.push(ProbeWarning::NotKept);
    }
    let published = answers.get(2).is_some_and(Result::is_ok);
    if !published || !link.listen(&[mailbox]).await?.messages {
        warnings.push(ProbeWarning::NoMessages);
    }
    Ok(Probe { round_trip, clock_ahead_ms: ahead_ms(theirs, between), warnings })
}

/// Puts, fetches and deletes an envelope.
async fn round_trip(link: &Link, mailbox: Mailbox, budget: u64) -> Result<(), RelayError> {
    let sealed = Bytes::copy_from_slice(&rand::random::<[u8; PROBE_BYTES]>());
    let envelope = Envelope { id: EnvelopeId(rand::random()), sealed };
    // Nobody else reads there, so an answer that is missing is not ambiguous.
    let put = deposit::put(link, budget, &[(mailbox, envelope.clone())]).await.map_err(|error| match error {
        RelayError::Ambiguous { place, reason } => RelayError::Transient { place, reason, after: None },
        other @ (RelayError::Transient { .. } | RelayError::Denied { .. } | RelayError::Config(_)) => other,
    })?;
    let fetched = collect::fetch(link, &AtomicUsize::new(0), &[Want::all(mailbox)], PROBE_BYTES).await?;
    let mail: Vec<_> = fetched.into_iter().flat_map(|fetched| fetched.mail).collect();
    let came_back = mail.iter().any(|delivery| delivery.envelope == envelope);
    let handles: Vec<_> = mail.into_iter().map(|delivery| delivery.handle).collect();
    collect::acknowledge(link, mailbox, &handles).await?;
    if put != [PutOutcome::Stored] || !came_back {
        return Err(garbled(link));
    }
    Ok(())
}

fn garbled(link: &Link) -> RelayError {
    failure::unanswered(link.place(), Effect::Repeatable, Reason::Garbled)
}

/// The server's clock.
fn time(answer: &RedisResult<Value>) -> Option<SystemTime> {
    let Ok(Value::Array(parts)) = answer else { return None };
    let number = |part: &Value| {
        let Value::BulkString(digits) = part else { return None };
        std::str::from_utf8(digits).ok()?.parse::<u64>().ok()
    };
    let (seconds, micros) = (number(parts.first()?)?, number(parts.get(1)?)?);
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?.checked_add(Duration::from_micros(micros))
}

/// One line of `INFO`; `None` when the user may not ask, or the server does not say.
fn setting(answer: Option<&RedisResult<Value>>, name: &str) -> Option<String> {
    let text = match answer? {
        Ok(Value::VerbatimString { text, .. }) => text.clone(),
        Ok(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Ok(_) | Err(_) => return None,
    };
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.to_owned())
}

/// Whether the answer to `CONFIG GET save` says that there are no snapshots. Most servers do not let anybody ask.
fn never_saves(answer: &RedisResult<Value>) -> bool {
    let Ok(Value::Map(settings)) = answer else { return false };
    settings.iter().any(|(_, value)| matches!(value, Value::BulkString(value) if value.is_empty()))
}

/// How far `theirs` is ahead of `ours`.
fn ahead_ms(theirs: SystemTime, ours: SystemTime) -> i64 {
    let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    match theirs.duration_since(ours) {
        Ok(ahead) => millis(ahead),
        Err(behind) => -millis(behind.duration()),
    }
}
