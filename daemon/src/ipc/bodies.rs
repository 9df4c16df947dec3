//! Bodies that are not on this device: fetched for whoever looks at them, else told with who keeps them.
//!
//! A page is read, what it lacks is asked of other devices ([`kinfolk_core::contents`]), and it is read again: what came by then is in it, within the same
//! limits as if it had been here. The app sees nothing of it but the time it takes, at most until [`MARGIN`] before its deadline. Of what did not
//! come the message says why.

use std::collections::BTreeMap;
use std::time::Duration;

use ipc_proto::v1::{BodyReach, Message, SearchHit};
use kinfolk_core::contents::Wanted;
use kinfolk_core::ids::DeviceId;
use kinfolk_core::step::Missed;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::page::{MAX_PAGE_BYTES, Page};
use super::{error, read};
use crate::driver::Picture;
use crate::node::Node;
use crate::store::{Reader, StoreError};

/// How long before a call's deadline bodies are waited for no longer: what is here must still be read and sent.
const MARGIN: Duration = Duration::from_millis(250);
/// Longest wait for a caller without a deadline. The engine gives up before.
const LONGEST: Duration = Duration::from_secs(30);

/// Until when bodies may be fetched.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fetch {
    /// They are not.
    Not,
    /// By then the call must be answered.
    Until(Instant),
}

impl Fetch {
    /// As the caller has it.
    pub(super) fn new(only_here: bool, deadline: Option<Instant>) -> Self {
        match only_here {
            true => Self::Not,
            false => Self::Until(deadline.unwrap_or_else(|| Instant::now() + LONGEST)),
        }
    }
}

/// An item of a page that shows a message.
pub(super) trait Shows {
    /// The message.
    fn message(&mut self) -> Option<&mut Message>;
}

impl Shows for Message {
    fn message(&mut self) -> Option<&mut Message> {
        Some(self)
    }
}

impl Shows for SearchHit {
    fn message(&mut self) -> Option<&mut Message> {
        self.message.as_mut()
    }
}

/// Reads a page with the bodies of its messages, from other devices if they are not here.
pub(super) async fn whole<T: Shows + Send + 'static>(
    node: &Node,
    fetch: Fetch,
    read_page: impl Fn(&Reader) -> Result<Page<T>, StoreError> + Clone + Send + 'static,
) -> Result<Page<T>, Status> {
    let mut page = read(&node.reader, read_page.clone()).await?;
    let lean = page.items.iter_mut().filter_map(Shows::message).filter(|message| message.elsewhere.is_some());
    let lean: Vec<String> = lean.map(|message| message.id.clone()).collect();
    if lean.is_empty() {
        return Ok(page);
    }
    let mut missed = BTreeMap::new();
    if let Fetch::Until(deadline) = fetch {
        let wanted = read(&node.reader, move |reader| reader.wanted(&lean, MAX_PAGE_BYTES)).await?;
        missed = ask(node, wanted, deadline).await?;
        page = read(&node.reader, read_page).await?;
    }
    let keepers = keepers(&node.driver.picture().borrow());
    for message in page.items.iter_mut().filter_map(Shows::message) {
        if let Some(elsewhere) = &mut message.elsewhere {
            elsewhere.kept_by.clone_from(&keepers);
            elsewhere.reach = missed.get(&message.id).copied().unwrap_or(BodyReach::Unspecified).into();
        }
    }
    Ok(page)
}

/// Asks for bodies; why each message that is still without one is so.
async fn ask(node: &Node, wanted: Vec<Wanted>, deadline: Instant) -> Result<BTreeMap<String, BodyReach>, Status> {
    let until = deadline.checked_sub(MARGIN).unwrap_or(deadline);
    let asked = wanted.clone();
    let Ok(answer) = timeout_at(until, node.driver.seek(wanted)).await else {
        return Ok(asked.into_iter().map(|wanted| (wanted.id, BodyReach::NoAnswer)).collect());
    };
    let missed = answer.map_err(|fault| error::driver(&fault))?;
    Ok(missed.into_iter().map(|(wanted, why)| (wanted.id, reach(why))).collect())
}

fn reach(missed: Missed) -> BodyReach {
    match missed {
        Missed::Nobody => BodyReach::NoDevice,
        Missed::Silent => BodyReach::NoAnswer,
        Missed::Gone => BodyReach::Gone,
    }
}

/// Names the devices that keep all bodies, in the messages that lack theirs.
pub(super) fn tell_keepers<'m>(node: &Node, messages: impl Iterator<Item = &'m mut Message>) {
    let lean: Vec<_> = messages.filter_map(|message| message.elsewhere.as_mut()).collect();
    if lean.is_empty() {
        return;
    }
    let kept_by = keepers(&node.driver.picture().borrow());
    lean.into_iter().for_each(|elsewhere| elsewhere.kept_by.clone_from(&kept_by));
}

/// The devices that keep all bodies.
pub(super) fn keepers(picture: &Picture) -> Vec<String> {
    names(picture, &picture.status.kept_by)
}

/// What the person calls devices, in order.
pub(super) fn names(picture: &Picture, devices: &[DeviceId]) -> Vec<String> {
    let siblings = picture.status.siblings.iter().filter(|sibling| devices.contains(&sibling.device));
    let mut names: Vec<String> = siblings.map(|sibling| sibling.name.clone()).collect();
    names.sort();
    names
}
