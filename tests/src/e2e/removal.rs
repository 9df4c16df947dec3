//! A device that is removed: the others go on under a new epoch, and it hears nothing new and changes nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::device::Device;
use super::faults::files;
use super::pairing::{converged, messages, names};
use super::world::World;
use super::{Failed, Programs, expect, same};

pub(super) fn revoked(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b) = world.pair()?;
    let mut c = world.sibling("c", &b)?;
    c.ok(&["msg", "post", "family", "from c, before", "--id", "m-c"])?;
    converged(&[&a, &b, &c])?;

    c.stop()?;
    let told = a.json(&["devices", "revoke", "c", "--yes"])?;
    same("the removed device", told["device"]["name"].clone(), "c".into())?;
    a.refuses(&["devices", "revoke", "c", "--yes"], 8, "not_found")?;
    a.refuses(&["devices", "revoke", "a", "--yes"], 1, "invalid_argument")?;
    for device in [&a, &b] {
        lives_in(device, 2)?;
        same("the devices", names(device)?, vec!["a".into(), "b".into()])?;
        let list = device.json(&["devices", "list"])?;
        same("the removed devices", list["removed"][0]["name"].clone(), "c".into())?;
    }

    // What lies on the relay now and stays is for the removed device. Nothing is added to it: all that comes is fetched.
    let left = mail(&world)?;
    for n in 0..5 {
        b.ok(&["msg", "post", "family", "from b, after", "--id", &format!("m-b{n}")])?;
        a.ok(&["put", "notes", "after", &format!("title=from a, {n}")])?;
    }
    converged(&[&a, &b])?;
    until(|| Ok(mail(&world)?.is_subset(&left)), "nothing to be left in a mailbox of the removed device")?;

    // It comes back, knows of nothing, and writes to everybody as it always did.
    c.start()?;
    for n in 0..20 {
        c.ok(&["msg", "post", "family", "from c, after", "--id", &format!("m-late{n}")])?;
    }
    c.ok(&["sync", "now"])?;
    a.ok(&["msg", "post", "family", "from a, after", "--id", "m-a"])?;
    a.ok(&["sync", "now"])?;
    b.ok(&["sync", "now"])?;
    converged(&[&a, &b])?;
    let wanted: BTreeSet<String> =
        ["m-a", "m-c", "m-b0", "m-b1", "m-b2", "m-b3", "m-b4"].into_iter().map(str::to_owned).collect();
    for device in [&a, &b] {
        same("what counts", messages(device, "family")?.into_iter().collect(), wanted.clone())?;
        same("what is set aside", device.json(&["status"])?["quarantine"].as_u64(), Some(0))?;
    }
    let heard = messages(&c, "family")?;
    expect(heard.iter().all(|id| id == "m-c" || id.starts_with("m-late")), || {
        format!("the removed device to hear nothing new: {heard:?}")
    })?;

    // A device that joins now joins the others, in their epoch.
    let d = world.sibling("d", &b)?;
    d.ok(&["msg", "post", "family", "from d", "--id", "m-d"])?;
    converged(&[&a, &b, &d])?;
    lives_in(&d, 2)?;
    same("the devices", names(&d)?, vec!["a".into(), "b".into(), "d".into()])
}

/// Waits until all others have shown this device that they live in epoch `number`.
fn lives_in(device: &Device, number: u64) -> Result<(), Failed> {
    let shown = || {
        let status = device.json(&["status"])?;
        let siblings = status["siblings"].as_array().cloned().unwrap_or_default();
        Ok(!siblings.is_empty() && siblings.iter().all(|sibling| sibling["epoch_seen"].as_u64() == Some(number)))
    };
    until(shown, &format!("all siblings of {} to show epoch {number}", device.name))
}

/// The files of mail on the relay.
fn mail(world: &World) -> Result<BTreeSet<PathBuf>, Failed> {
    Ok(files(&world.relay())?.into_iter().collect())
}

/// How long devices may take to say and fetch what there is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until something holds.
pub(super) fn until(holds: impl Fn() -> Result<bool, Failed>, what: &str) -> Result<(), Failed> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        expect(Instant::now() < deadline, || what.to_owned())?;
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
