//! Pushes that count once, however often they are sent.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tonic::Code;

use crate::client::Client;
use crate::error::Error;
use crate::v1::error_detail::Payload;
use crate::v1::{ErrorCode, PushRequest, PushResponse};

/// How long one attempt of a push may take: a commit of the largest bundle on a slow disk takes a small part of it.
pub const ONE_PUSH: Duration = Duration::from_secs(30);

/// Between two attempts: the first pause, doubled each time up to the last.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(20);
pub(crate) const LAST_PAUSE: Duration = Duration::from_secs(1);

impl Client {
    /// Writes one bundle: all of its ops or none. When it answers, the bundle is on disk and on its way to the siblings.
    ///
    /// With a `source_id` the push counts once however often it is sent, so after failures that pass (the daemon restarts, is busy, or
    /// its answer was lost) it is sent again, for as long as `patience`. After any error, also in the next run of the program, send the
    /// same request again. Without a `source_id` it is sent once. A `stamp` that runs backwards is set beyond the stored one, twice at most.
    ///
    /// Errors: those of `Records.Push` as [`Error::Refused`], [`Error::Failed`], [`Error::Deadline`].
    ///
    /// ```no_run
    /// # async fn example(client: ipc_proto::Client) -> Result<(), ipc_proto::Error> {
    /// use ipc_proto::v1::{Op, PushRequest, PutRecord, op};
    ///
    /// let put = PutRecord { collection: "notes".into(), key: "shopping".into(), ..PutRecord::default() };
    /// let ops = vec![Op { op: Some(op::Op::PutRecord(put)) }];
    /// let request = PushRequest { ops, source_id: "5d3c…, kept with the number".into(), source_bundle_id: 1, ..Default::default() };
    /// let answer = client.push(request, std::time::Duration::from_secs(10)).await?;
    /// println!("on disk at {}", answer.bundle_seq);
    /// # Ok(()) }
    /// ```
    pub async fn push(&self, request: PushRequest, patience: Duration) -> Result<PushResponse, Error> {
        let begin = Instant::now();
        let mut pause = FIRST_PAUSE;
        let (mut request, mut set_forward) = (request, 0);
        loop {
            let mut records = self.records();
            let error = match timeout(ONE_PUSH, records.push(request.clone())).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => Error::from(status),
                Err(_) => Error::Deadline,
            };
            let beyond = stored_stamp(&error).and_then(|stored| stored.checked_add(1));
            if let Some(stamp) = beyond.filter(|_| set_forward < MAX_SET_FORWARD) {
                request.stamp = Some(stamp);
                set_forward += 1;
                continue;
            }
            if request.source_id.is_empty() || !passes(&error) || begin.elapsed() + pause > patience {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

/// How often the stamp of one push is set beyond the stored one: another program that uses the same source may be faster.
const MAX_SET_FORWARD: u32 = 2;

/// The stored stamp, when it is why a push was refused.
fn stored_stamp(error: &Error) -> Option<u64> {
    match error {
        Error::Refused(detail) => match &detail.payload {
            Some(Payload::Stamp(stands)) => Some(stands.stored_max),
            Some(_) | None => None,
        },
        Error::Unreachable { .. }
        | Error::NotReady { .. }
        | Error::TurnedAway { .. }
        | Error::ForeignSocket { .. }
        | Error::Credential { .. }
        | Error::VersionMismatch { .. }
        | Error::Failed(_)
        | Error::Deadline => None,
    }
}

/// Whether the same call may do better in a moment. Whether it has happened already is not known.
pub(crate) fn passes(error: &Error) -> bool {
    match error {
        Error::Refused(_) => {
            [ErrorCode::Busy, ErrorCode::ShuttingDown, ErrorCode::TooSlow].contains(&error.error_code())
        }
        Error::Failed(status) => status.code() != Code::Unimplemented,
        Error::Unreachable { .. } | Error::NotReady { .. } | Error::TurnedAway { .. } | Error::Deadline => true,
        Error::ForeignSocket { .. } | Error::Credential { .. } | Error::VersionMismatch { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;
    use crate::v1::ErrorDetail;

    #[test]
    fn only_what_passes_by_itself_is_tried_again() {
        let refused = |code| Error::from(ErrorDetail::new(code, "no").into_status());
        for code in [ErrorCode::Busy, ErrorCode::ShuttingDown] {
            assert!(passes(&refused(code)), "{code:?}");
        }
        // A disk that is full, and keys that are locked, wait for a person.
        for code in [ErrorCode::Conflict, ErrorCode::OutOfOrder, ErrorCode::StoreFull, ErrorCode::Locked] {
            assert!(!passes(&refused(code)), "{code:?}");
        }
        assert!(passes(&Error::from(Status::unavailable("gone"))) && passes(&Error::Deadline));
        assert!(!passes(&Error::from(Status::unimplemented("what?"))));
    }
}
