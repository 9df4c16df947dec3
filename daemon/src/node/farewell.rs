//! Taking leave of a relay that a person takes out.

use std::time::Duration;

use kinfolk_core::ids::RelayId;
use kinfolk_core::step::Input;

use super::Node;
use super::links::Link;

impl Node {
    /// Before a relay is taken out: tells siblings that mail is not looked for there any more, while they can hear it there, and fetches
    /// what lies there. A device that does not send by itself only fetches. What is not fetched is sent again over another relay.
    pub(super) async fn take_leave(&self, id: RelayId) {
        tokio::time::timeout(FAREWELL, self.say_farewell(id)).await.ok();
    }

    async fn say_farewell(&self, id: RelayId) {
        if *self.live.borrow() {
            self.driver.tell(Input::RelayLeaving(id)).await.ok();
            // What was under way may have kept the word back: it leaves with the second pass.
            for _ in 0..2 {
                self.driver.pass(false).await.ok();
            }
        }
        let last = {
            let links = self.links.lock().await;
            let worker = links.iter().filter_map(Link::served).find(|worker| worker.id == id && worker.report().ok);
            worker.and_then(|worker| worker.ask_pass(false))
        };
        if let Some(last) = last {
            last.await.ok();
        }
    }
}

/// How long taking leave of a relay may take: 10 s.
const FAREWELL: Duration = Duration::from_secs(10);
