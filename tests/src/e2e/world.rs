//! One scenario's world: a directory with a shared folder as relay, and devices beside it. It goes away with the scenario.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::device::Device;
use super::{Failed, Programs};

/// A world.
#[derive(Debug)]
pub(super) struct World {
    dir: TempDir,
    programs: Programs,
}

impl World {
    /// An empty world with an empty relay folder.
    pub(super) fn new(programs: &Programs) -> Result<Self, Failed> {
        let dir = tempfile::Builder::new().prefix("kin").tempdir().map_err(Failed::io("making a directory"))?;
        let world = Self { dir, programs: programs.clone() };
        fs::create_dir(world.relay()).map_err(Failed::io("making the relay folder"))?;
        Ok(world)
    }

    /// The shared folder.
    pub(super) fn relay(&self) -> PathBuf {
        self.path("relay")
    }

    /// The shared folder as a relay URL.
    pub(super) fn relay_url(&self) -> String {
        format!("file://{}", self.relay().display())
    }

    /// A path in the world.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The person's commands on a device whose daemon is somebody else's affair.
    pub(super) fn client(&self, name: &str) -> Device {
        Device::new(name, self.path(name), &self.programs)
    }

    /// A device whose daemon runs and which is not set up.
    pub(super) fn blank(&self, name: &str) -> Result<Device, Failed> {
        let mut device = Device::new(name, self.path(name), &self.programs);
        device.start()?;
        Ok(device)
    }

    /// A first device: set up, on the shared folder.
    pub(super) fn first(&self, name: &str) -> Result<Device, Failed> {
        self.first_on(name, &[self.relay_url()])
    }

    /// A first device: set up, on these relays.
    pub(super) fn first_on(&self, name: &str, relays: &[String]) -> Result<Device, Failed> {
        let device = self.blank(name)?;
        let relays = relays.iter().flat_map(|relay| ["--relay", relay]);
        let args: Vec<&str> = ["init", "--name", name].into_iter().chain(relays).collect();
        device.ok(&args)?;
        Ok(device)
    }

    /// A device that joined `inviter`'s.
    pub(super) fn sibling(&self, name: &str, inviter: &Device) -> Result<Device, Failed> {
        let device = self.blank(name)?;
        inviter.pair_with(&device)?;
        Ok(device)
    }

    /// Two paired devices on the shared folder.
    pub(super) fn pair(&self) -> Result<(Device, Device), Failed> {
        self.pair_on(&[self.relay_url()])
    }

    /// Two paired devices on these relays.
    pub(super) fn pair_on(&self, relays: &[String]) -> Result<(Device, Device), Failed> {
        let a = self.first_on("a", relays)?;
        let b = self.sibling("b", &a)?;
        Ok((a, b))
    }
}
