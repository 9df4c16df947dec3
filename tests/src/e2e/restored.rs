//! State that was copied and is put back later.

use std::fs;

use super::image::copy;
use super::pairing::converged;
use super::world::World;
use super::{Failed, Programs, expect};

pub(super) fn put_back(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (mut a, b) = world.pair()?;
    a.ok(&["msg", "post", "family", "before the copy", "--id", "first"])?;
    converged(&[&a, &b])?;
    a.stop()?;
    let (state, image) = (a.home.join("state"), world.path("image"));
    copy(&state, &image)?;
    a.start()?;
    a.ok(&["msg", "post", "family", "after the copy", "--id", "second"])?;
    a.ok(&["put", "notes", "n", "title=after the copy"])?;
    converged(&[&a, &b])?;
    let mut wanted = vec!["before the copy".to_owned(), "after the copy".to_owned(), "title".to_owned()];
    for round in 1..=2 {
        a.stop()?;
        fs::remove_dir_all(&state).map_err(Failed::io("removing the state"))?;
        copy(&image, &state)?;
        a.start()?;
        // At once, before any sibling can have spoken.
        let text = format!("written after restore {round}");
        a.ok(&["msg", "post", "family", &text, "--id", &format!("restored-{round}")])?;
        wanted.push(text);
        converged(&[&a, &b])?;
        for device in [&a, &b] {
            let export = device.ok(&["export"])?;
            let missing: Vec<&String> = wanted.iter().filter(|text| !export.contains(*text)).collect();
            expect(missing.is_empty(), || format!("{} to hold {missing:?} after restore {round}", device.name))?;
            device.ok(&["store", "verify"])?;
        }
    }
    Ok(())
}
