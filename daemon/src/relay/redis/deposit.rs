//! Putting: one script call a mailbox, all calls of a put in few round trips.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{Pipeline, Value};

use super::failure::{self, Effect};
use super::keys;
use super::link::Link;
use super::scripts::{Names, Script};
use crate::relay::RETENTION;
use crate::relay::error::{Reason, RelayError};
use crate::relay::mail::{Envelope, Mailbox, PutOutcome};

/// Largest envelope: 2 MiB.
pub(super) const MAX_SEALED: usize = 2 << 20;
/// Most envelopes in one script call, and most bytes unless one envelope has more: the server serves nobody else meanwhile, under 4 ms.
const MAX_CALL: (usize, usize) = (128, 256 << 10);
/// Most bytes in one round trip, unless one call has more.
const MAX_TRIP: usize = 2 << 20;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A mailbox nobody puts into dies whole, a day after its last copy has become old.
pub(super) const MAILBOX_LIVES: Duration = RETENTION.saturating_add(DAY);
/// Its companion outlives it, or scores could begin again below a cursor that somebody still has.
pub(super) const COMPANION_LIVES: Duration = MAILBOX_LIVES.saturating_add(DAY);
/// A copy that is put again after so long counts as new from then on: 1 day. Until then its place in the order stays.
const RENEW_AFTER: Duration = DAY;

/// A part of one mailbox's mail.
struct Call<'a> {
    mailbox: Mailbox,
    mail: Vec<(usize, &'a Envelope)>,
    bytes: usize,
}

/// See [`crate::relay::Relay::put`].
pub(super) async fn put(
    link: &Link,
    budget: u64,
    items: &[(Mailbox, Envelope)],
) -> Result<Vec<PutOutcome>, RelayError> {
    let mut outcomes = vec![PutOutcome::TooLarge { max: MAX_SEALED }; items.len()];
    let mut calls = calls(items).into_iter().peekable();
    while calls.peek().is_some() {
        let mut trip = Vec::new();
        let mut bytes = 0;
        while let Some(call) = calls.next_if(|call| trip.is_empty() || bytes + call.bytes <= MAX_TRIP) {
            bytes += call.bytes;
            trip.push(call);
        }
        let era = format!("{:016x}", rand::random::<u64>());
        let compose = |names: &Names| {
            let mut pipeline = redis::pipe();
            trip.iter().for_each(|call| write(&mut pipeline, names, call, budget, &era));
            pipeline
        };
        let answers = link.ask(link.deadline(bytes), Effect::Mail, compose).await?;
        for (call, answer) in trip.iter().zip(answers) {
            let numbers = numbers(&answer).filter(|numbers| numbers.len() == call.mail.len());
            let numbers = numbers.ok_or_else(|| failure::unanswered(link.place(), Effect::Mail, Reason::Garbled))?;
            for ((index, _), number) in call.mail.iter().zip(numbers) {
                if let Some(outcome) = outcomes.get_mut(*index) {
                    *outcome = outcome_of(number, budget);
                }
            }
        }
    }
    Ok(outcomes)
}

/// Mail by mailbox, in parts; envelopes that are too large are left out.
fn calls(items: &[(Mailbox, Envelope)]) -> Vec<Call<'_>> {
    let mut by_mailbox: BTreeMap<Mailbox, Vec<Call<'_>>> = BTreeMap::new();
    for (index, (mailbox, envelope)) in items.iter().enumerate() {
        let size = envelope.sealed.len();
        if size > MAX_SEALED {
            continue;
        }
        let parts = by_mailbox.entry(*mailbox).or_default();
        let fits = |call: &&mut Call<'_>| call.mail.len() < MAX_CALL.0 && call.bytes + size <= MAX_CALL.1;
        match parts.last_mut().filter(fits) {
            Some(call) => {
                call.mail.push((index, envelope));
                call.bytes += size;
            }
            None => parts.push(Call { mailbox: *mailbox, mail: vec![(index, envelope)], bytes: size }),
        }
    }
    by_mailbox.into_values().flatten().collect()
}

fn write(pipeline: &mut Pipeline, names: &Names, call: &Call<'_>, budget: u64, era: &str) {
    pipeline.cmd("EVALSHA").arg(names.of(Script::Put)).arg(2);
    pipeline.arg(keys::mail(call.mailbox)).arg(keys::companion(call.mailbox));
    pipeline.arg(millis(MAILBOX_LIVES)).arg(millis(COMPANION_LIVES)).arg(budget);
    pipeline.arg(micros(RENEW_AFTER)).arg(era).arg(keys::channel(call.mailbox));
    for (_, envelope) in &call.mail {
        pipeline.arg([envelope.id.as_bytes(), &envelope.sealed].concat());
    }
}

fn numbers(answer: &Value) -> Option<Vec<i64>> {
    let Value::Array(items) = answer else { return None };
    let number = |item: &Value| if let Value::Int(number) = item { Some(*number) } else { None };
    items.iter().map(number).collect()
}

/// The script's word for an envelope.
fn outcome_of(number: i64, max: u64) -> PutOutcome {
    match number {
        0 => PutOutcome::AlreadyThere,
        1.. => PutOutcome::Stored,
        full => PutOutcome::MailboxFull { used: u64::try_from(-1 - full).unwrap_or_default(), max },
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::conformance::{envelope, mailbox};

    #[test]
    fn mail_is_parted_by_mailbox_count_and_bytes_and_keeps_its_order() {
        let mut items: Vec<(Mailbox, Envelope)> = (0..130).map(|number| (mailbox(1), envelope(number, 10))).collect();
        items.push((mailbox(2), envelope(1, MAX_SEALED + 1)));
        items.extend((0..3).map(|number| (mailbox(3), envelope(number, 200 << 10))));
        let parts: Vec<(Mailbox, usize)> = calls(&items).iter().map(|call| (call.mailbox, call.mail.len())).collect();
        let (one, three) = (mailbox(1), mailbox(3));
        assert_eq!(parts, [(one, 128), (one, 2), (three, 1), (three, 1), (three, 1)]);
        let order: Vec<usize> = calls(&items).iter().flat_map(|call| call.mail.iter().map(|(at, _)| *at)).collect();
        assert!(order.is_sorted() && !order.contains(&130), "{order:?}");
    }

    #[test]
    fn the_largest_envelope_has_room() {
        const { assert!(crate::seal::envelope::MAX_ENVELOPE <= MAX_SEALED) };
    }
}
