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

    /// A device whose daemon runs and which is not set up.
    pub(super) fn blank(&self, name: &str) -> Result<Device, Failed> {
        let mut device = Device::new(name, self.path(name), &self.programs);
        device.start()?;
        Ok(device)
    }

    /// A first device: set up, on the shared folder.
    pub(super) fn first(&self, name: &str) -> Result<Device, Failed> {
        let device = self.blank(name)?;
        device.ok(&["init", "--name", name, "--relay", &self.relay_url()])?;
        Ok(device)
    }

    /// A device that joined `inviter`'s.
    pub(super) fn sibling(&self, name: &str, inviter: &Device) -> Result<Device, Failed> {
        let device = self.blank(name)?;
        inviter.pair_with(&device)?;
        Ok(device)
    }

    /// Two paired devices.
    pub(super) fn pair(&self) -> Result<(Device, Device), Failed> {
        let a = self.first("a")?;
        let b = self.sibling("b", &a)?;
        Ok((a, b))
    }
}
