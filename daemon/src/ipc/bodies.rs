//! Bodies that are not on this device: who keeps them.

use ipc_proto::v1::Message;
use kinfolk_core::ids::DeviceId;

use crate::driver::Picture;
use crate::node::Node;

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
