//! A whole home that was copied: two devices that believe that they are one.

use std::thread;
use std::time::{Duration, Instant};

use super::device::Device;
use super::image::copy;
use super::pairing::converged;
use super::world::World;
use super::{Failed, Programs, expect};

/// How long four devices may take to agree, two of which take mail out of each other's mailbox.
const PATIENCE: Duration = Duration::from_secs(180);
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

pub(super) fn running_at_once(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b) = world.pair()?;
    let mut c = world.sibling("c", &a)?;
    c.ok(&["msg", "post", "family", "before the copy", "--id", "before"])?;
    c.ok(&["put", "notes", "n", "title=before"])?;
    converged(&[&a, &b, &c])?;
    c.stop()?;
    copy(&c.home, &world.path("copy"))?;
    let mut twin = world.client("copy");
    c.start()?;
    twin.start()?;
    let mut wanted = vec!["before the copy".to_owned()];
    for round in 1..=3 {
        for device in [&c, &twin] {
            let text = format!("written on {} in round {round}", device.name);
            device.ok(&["msg", "post", "family", &text])?;
            device.ok(&["put", "notes", &format!("{}-{round}", device.name), &format!("title={text}")])?;
            wanted.push(text);
        }
    }
    let all = [&a, &b, &c, &twin];
    let since = Instant::now();
    while !agree(&all, &wanted)? {
        expect(since.elapsed() < PATIENCE, || format!("all four to hold {wanted:?} and one digest: {:?}", told(&all)))?;
        thread::sleep(BETWEEN_LOOKS);
    }
    for device in all {
        device.ok(&["store", "verify"])?;
        let status = device.ok(&["status"])?;
        let said = if device.name == "a" || device.name == "b" {
            "a history of c ends"
        } else {
            "a history of this device ends"
        };
        expect(status.contains(said) && status.contains("it was written twice"), || {
            format!("the status of {} to say what happened: {status}", device.name)
        })?;
    }
    // The person stops one of them, as the status says, and life goes on.
    twin.stop()?;
    a.ok(&["msg", "post", "family", "after all", "--id", "after"])?;
    c.ok(&["msg", "post", "family", "after all that", "--id", "after-that"])?;
    converged(&[&a, &b, &c])
}

/// Whether all hold everything, and the same.
fn agree(devices: &[&Device], wanted: &[String]) -> Result<bool, Failed> {
    let mut digests = Vec::new();
    for device in devices {
        let export = device.ok(&["export"])?;
        if !wanted.iter().all(|text| export.contains(text)) {
            device.ok(&["sync", "now"])?;
            return Ok(false);
        }
        digests.push(device.json(&["status"])?["digest"].take());
    }
    Ok(digests.windows(2).all(|pair| pair[0] == pair[1]))
}

fn told(devices: &[&Device]) -> Vec<String> {
    devices.iter().map(|device| device.ok(&["status"]).unwrap_or_else(|error| error.to_string())).collect()
}
