//! What a daemon does to its surroundings when it starts: it takes the lock, says where it listens, and closes its memory to others.

use std::fs::File;
use std::path::Path;

use ipc_proto::endpoint::Endpoint;
use ipc_proto::paths::Paths;
use tracing::warn;

use super::{DaemonError, Instance, io_error};

/// One daemon for each state directory: the lock lies there, not beside the socket, whose place differs between logins.
pub(super) fn lock(paths: &Paths) -> Result<File, DaemonError> {
    let path = paths.lock_file();
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(|source| io_error(format!("cannot open {}", path.display()), source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(DaemonError::Running(paths.state.clone())),
        Err(std::fs::TryLockError::Error(source)) => Err(io_error(format!("cannot lock {}", path.display()), source)),
    }
}

/// Tells clients where this daemon listens.
pub(super) fn announce(paths: &Paths, instance: &Instance) -> Result<(), DaemonError> {
    let endpoint = Endpoint {
        address: paths.socket.clone(),
        pid: instance.pid,
        instance_id: instance.id.clone(),
        protocol_min: ipc_proto::PROTOCOL_MIN,
        protocol_max: ipc_proto::PROTOCOL_MAX,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at_ms: instance.started.0,
    };
    let file = paths.endpoint_file();
    endpoint.write(&file).map_err(|source| io_error(format!("cannot write {}", Path::new(&file).display()), source))
}

/// No core dumps and no peeking by other processes of this user: the memory holds keys.
pub(super) fn forbid_dumps() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        warn!(%error, "the process could not be made undumpable");
    }
}
