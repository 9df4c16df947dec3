//! How far this device has caught up with its siblings, as a bar: `kin wait`, `kin join`.

use std::time::Duration;

use indicatif::ProgressBar;
use ipc_proto::Client;
use ipc_proto::v1::{Status, WatchStatusRequest};
use tokio::time::timeout;
use tokio_stream::StreamExt;

use crate::progress;

/// A bar that follows the status of the daemon. Draws nothing when nobody looks.
pub(crate) struct Catching {
    bar: ProgressBar,
}

impl Catching {
    pub(crate) fn new(json: bool) -> Self {
        Self { bar: progress::steps(json) }
    }

    /// Shows how far it is now.
    pub(crate) fn show(&self, status: &Status) {
        match &status.catch_up {
            Some(under_way) if under_way.total > 0 => {
                self.bar.set_length(under_way.total);
                self.bar.set_position(under_way.done.min(under_way.total));
            }
            Some(_) | None => self.bar.unset_length(),
        }
        self.bar.set_message(words(status));
    }
}

impl Drop for Catching {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// What is under way, in a few words.
fn words(status: &Status) -> String {
    match &status.catch_up {
        Some(under_way) => format!("catching up with {}", under_way.from),
        None => format!("{} to send, {} to fetch", status.pending_up, status.pending_down),
    }
}

/// Follows a device that has just joined until it holds what its siblings have, or nothing has happened for [`QUIET`]. Only on a terminal: scripts go on at once.
pub(crate) async fn follow(client: &Client) {
    if !progress::is_shown(false) {
        return;
    }
    let catching = Catching::new(false);
    // It has joined, whatever becomes of this.
    let Ok(changes) = client.admin().watch_status(WatchStatusRequest {}).await else { return };
    let mut changes = changes.into_inner();
    while let Ok(Some(Ok(status))) = timeout(QUIET, changes.next()).await {
        catching.show(&status);
        if status.synced {
            break;
        }
    }
}

/// How long nothing may happen before nobody is kept waiting any more: 10 s. It goes on in the background.
const QUIET: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use ipc_proto::v1::CatchUp;

    use super::*;

    #[test]
    fn a_bar_has_a_length_while_a_snapshot_comes_and_words_at_any_time() {
        let catching = Catching::new(true);
        let snapshot = CatchUp { from: "server".into(), done: 43, total: 100 };
        let status = Status { catch_up: Some(snapshot), ..Status::default() };
        catching.show(&status);
        assert_eq!((catching.bar.length(), catching.bar.position()), (Some(100), 43));
        assert_eq!(words(&status), "catching up with server");
        let begun = CatchUp { from: "server".into(), ..CatchUp::default() };
        catching.show(&Status { catch_up: Some(begun), ..Status::default() });
        assert_eq!(catching.bar.length(), None, "nobody has said yet how far it goes");
        let status = Status { pending_up: 2, pending_down: 3, ..Status::default() };
        catching.show(&status);
        assert_eq!((catching.bar.length(), words(&status)), (None, "2 to send, 3 to fetch".to_owned()));
    }
}
