//! Devices: outwards, and the names by which people choose one.

use ipc_proto::v1::{self, ErrorCode, ErrorDetail};
use kinfolk_core::ids::{DeviceId, Millis};
use kinfolk_core::roster::{Member, Roster};
use kinfolk_core::step::Status as Standing;
use tonic::Status;

use super::invalid;

/// Fewest digits of an id that choose a device.
const MIN_DIGITS: usize = 4;

/// A member of the roster, with what is known of it from its mail.
pub(in crate::ipc) fn show(member: &Member, status: &Standing) -> v1::Device {
    let id = member.device.id;
    let this_device = id == status.me;
    let sibling = status.siblings.iter().find(|sibling| sibling.device == id);
    let prekey_slot = if this_device { Some(status.prekey_slot) } else { sibling.map(|sibling| sibling.prekey.slot) };
    v1::Device {
        id: id.to_string(),
        name: member.device.name.clone(),
        this_device,
        live: this_device || sibling.is_some_and(|sibling| sibling.live),
        last_seen_ms: sibling.and_then(|sibling| sibling.heard).map(|Millis(at)| at),
        added_at_ms: member.added.millis().0,
        added_by: if member.added_by == id { String::new() } else { member.added_by.to_string() },
        roster_seen: this_device || sibling.is_some_and(|sibling| sibling.roster_known && sibling.epoch_known),
        prekey_slot: prekey_slot.unwrap_or_default(),
    }
}

/// The whole roster: this device first, then by name.
pub(in crate::ipc) fn show_all(roster: &Roster, status: &Standing) -> Vec<v1::Device> {
    let mut devices: Vec<_> = roster.members().map(|member| show(member, status)).collect();
    devices.sort_by(|a, b| (!a.this_device, &a.name, &a.id).cmp(&(!b.this_device, &b.name, &b.id)));
    devices
}

/// The devices that were removed, by name.
pub(in crate::ipc) fn show_removed(roster: &Roster, status: &Standing) -> Vec<v1::Device> {
    let mut devices: Vec<_> = roster.removed().map(|(_, removed)| show(&removed.member, status)).collect();
    devices.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    devices
}

/// One device of the roster.
pub(in crate::ipc) fn show_one(roster: &Roster, status: &Standing, id: DeviceId) -> Option<v1::Device> {
    roster.member(id).map(|member| show(member, status))
}

/// The device that a person means: by id, by an unambiguous beginning of it, or by a name that only one bears.
pub(in crate::ipc) fn find(roster: &Roster, called: &str) -> Result<DeviceId, Status> {
    let ids: Vec<_> = roster.members().map(|member| member.device.id).collect();
    let devices = roster.members().map(|member| (member.device.id.to_string(), member.device.name.as_str()));
    choose(devices, called).map(|at| ids.get(at).copied().unwrap_or_default())
}

/// Which of these ids and names is meant.
fn choose<'n>(devices: impl Iterator<Item = (String, &'n str)>, called: &str) -> Result<usize, Status> {
    let begins = called.to_ascii_lowercase();
    let meant = |id: &str, name: &str| name == called || begins.len() >= MIN_DIGITS && id.starts_with(&begins);
    let meant = devices.enumerate().filter(|(_, (id, name))| meant(id, name)).map(|(at, _)| at);
    match meant.collect::<Vec<_>>().as_slice() {
        [one] => Ok(*one),
        [] => Err(ErrorDetail::new(ErrorCode::NotFound, format!("no device is called {called:?}"))
            .hint("`kin devices list` shows names and ids")
            .into()),
        several => Err(invalid(format!("{} devices are called {called:?}", several.len()))
            .hint("name it by its id; `kin devices list` shows them")
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::error::code;

    #[test]
    fn a_device_is_chosen_by_id_beginning_or_name_and_never_by_guess() {
        let devices = [("aaaa0000", "laptop"), ("aaaa1111", "phone"), ("bbbb2222", "phone"), ("cccc3333", "aaaa")];
        let choose = |called: &str| choose(devices.iter().map(|(id, name)| (id.to_string(), *name)), called);
        assert_eq!(choose("laptop").unwrap(), 0);
        assert_eq!(choose("aaaa1111").unwrap(), 1);
        assert_eq!(choose("BBBB").unwrap(), 2);
        assert_eq!(code(&choose("phone").unwrap_err()), "invalid_argument", "two bear the name");
        assert_eq!(code(&choose("aaaa").unwrap_err()), "invalid_argument", "two begin so, a third is called so");
        assert_eq!(code(&choose("bbb").unwrap_err()), "not_found", "too short");
        assert_eq!(code(&choose("").unwrap_err()), "not_found");
    }
}
