//! Where everything lies: one answer for daemon, client and scripts.
//!
//! `KINFOLK_HOME` puts all of it under one directory, so that several daemons live on one machine. Else each system's
//! own places:
//!
//! | | Linux and other Unix | macOS | Windows |
//! |---|---|---|---|
//! | config | `$XDG_CONFIG_HOME/kinfolk` or `~/.config/kinfolk` | `~/Library/Application Support/kinfolk/config` | `%LOCALAPPDATA%\kinfolk\config` |
//! | state  | `$XDG_STATE_HOME/kinfolk` or `~/.local/state/kinfolk` | `~/Library/Application Support/kinfolk/state` | `%LOCALAPPDATA%\kinfolk\state` |
//! | log    | `log` in the state directory | same | same |
//!
//! XDG variables that are empty or relative count as unset (XDG Base Directory Specification).
//!
//! The socket is the first of: `--socket` or `KINFOLK_SOCKET`; `$KINFOLK_HOME/run/kinfolk.sock`;
//! `$XDG_RUNTIME_DIR/kinfolk/kinfolk.sock` when that directory is ours; `/run/user/UID/kinfolk/kinfolk.sock` when that
//! directory is ours; `run/kinfolk.sock` in the state directory. On Windows it is a named pipe instead, named after the
//! state directory. A socket that a service manager handed over comes before all of these; only the daemon sees it, and
//! clients learn of it from `endpoint.json` ([`crate::endpoint`]).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The places of one installation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Paths {
    /// Settings, and the key file: small, worth a backup.
    pub config: PathBuf,
    /// The database, the lock, `endpoint.json` and `admin.token`.
    pub state: PathBuf,
    /// Log files.
    pub log: PathBuf,
    /// The socket, or the name of the pipe.
    pub socket: PathBuf,
    /// Whether `socket` was named by `--socket` or `KINFOLK_SOCKET`: then clients ask nowhere else.
    pub socket_is_explicit: bool,
}

/// Why there are no paths.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum PathError {
    /// Neither `KINFOLK_HOME` nor a home directory.
    #[error("no home directory is known; set HOME or KINFOLK_HOME")]
    NoHome,
    /// A Unix socket address holds only so much.
    #[error("the socket path {} has {length} bytes and may have {limit}; set KINFOLK_SOCKET to a shorter one", path.display())]
    SocketTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// What the system allows, in bytes.
        limit: usize,
    },
}

impl Paths {
    /// The paths of this process's environment. `socket` is the value of `--socket`.
    pub fn discover(socket: Option<&Path>) -> Result<Self, PathError> {
        let mut environment = Environment::of_process();
        if let Some(socket) = socket {
            environment.kinfolk_socket = Some(socket.as_os_str().to_owned());
        }
        Self::resolve(System::current(), &environment)
    }

    /// The paths that `KINFOLK_HOME=home` gives, whatever this process's environment says.
    pub fn in_home(home: &Path) -> Result<Self, PathError> {
        let environment = Environment { kinfolk_home: Some(home.as_os_str().to_owned()), ..Environment::default() };
        Self::resolve(System::current(), &environment)
    }

    /// The file with what a person has set; there need be none.
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// The file in which the daemon says where it listens.
    pub fn endpoint_file(&self) -> PathBuf {
        self.state.join("endpoint.json")
    }

    /// The file that a daemon keeps locked while it uses the state directory.
    pub fn lock_file(&self) -> PathBuf {
        self.state.join("lock")
    }

    /// The file with the token of the owner's own programs.
    pub fn credential_file(&self) -> PathBuf {
        self.state.join("admin.token")
    }

    fn resolve(system: System, environment: &Environment) -> Result<Self, PathError> {
        let (config, state) = match (set(&environment.kinfolk_home), system) {
            (Some(home), System::Unix | System::MacOs | System::Windows) => (home.join("config"), home.join("state")),
            (None, System::Unix) => (
                environment.base(&environment.xdg_config_home, ".config")?.join("kinfolk"),
                environment.base(&environment.xdg_state_home, ".local/state")?.join("kinfolk"),
            ),
            (None, System::MacOs) => {
                let own = environment.base(&None, "Library/Application Support")?.join("kinfolk");
                (own.join("config"), own.join("state"))
            }
            (None, System::Windows) => {
                let own = environment.base(&environment.local_app_data, "AppData/Local")?.join("kinfolk");
                (own.join("config"), own.join("state"))
            }
        };
        let explicit = set(&environment.kinfolk_socket);
        let socket_is_explicit = explicit.is_some();
        let socket = match (explicit, system) {
            (Some(socket), _) => socket,
            (None, System::Windows) => PathBuf::from(format!(r"\\.\pipe\kinfolk-{:016x}", fnv1a(&state))),
            (None, System::Unix | System::MacOs) => match (set(&environment.kinfolk_home), &environment.runtime_dir) {
                (Some(home), _) => home.join("run/kinfolk.sock"),
                (None, Some(runtime)) => runtime.join("kinfolk/kinfolk.sock"),
                (None, None) => state.join("run/kinfolk.sock"),
            },
        };
        let length = socket.as_os_str().len();
        match system.socket_limit() {
            Some(limit) if length > limit => Err(PathError::SocketTooLong { path: socket, length, limit }),
            _ => Ok(Self { log: state.join("log"), config, state, socket, socket_is_explicit }),
        }
    }
}

/// What decides the places, read once.
#[derive(Clone, Debug, Default)]
struct Environment {
    home: Option<OsString>,
    kinfolk_home: Option<OsString>,
    kinfolk_socket: Option<OsString>,
    xdg_config_home: Option<OsString>,
    xdg_state_home: Option<OsString>,
    local_app_data: Option<OsString>,
    /// The first runtime directory that exists and is ours.
    runtime_dir: Option<PathBuf>,
}

impl Environment {
    fn of_process() -> Self {
        let read = |name| std::env::var_os(name);
        Self {
            home: read("HOME").or_else(|| read("USERPROFILE")),
            kinfolk_home: read("KINFOLK_HOME"),
            kinfolk_socket: read("KINFOLK_SOCKET"),
            xdg_config_home: read("XDG_CONFIG_HOME"),
            xdg_state_home: read("XDG_STATE_HOME"),
            local_app_data: read("LOCALAPPDATA"),
            runtime_dir: owned_runtime_dir(read("XDG_RUNTIME_DIR")),
        }
    }

    /// The directory that a variable names, or its default below the home directory.
    fn base(&self, variable: &Option<OsString>, default: &str) -> Result<PathBuf, PathError> {
        let named = variable.as_ref().map(PathBuf::from).filter(|path| path.is_absolute());
        match (named, self.home.as_ref().map(PathBuf::from).filter(|path| path.is_absolute())) {
            (Some(named), _) => Ok(named),
            (None, Some(home)) => Ok(home.join(default)),
            (None, None) => Err(PathError::NoHome),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum System {
    Unix,
    MacOs,
    Windows,
}

impl System {
    fn current() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else if cfg!(target_os = "macos") {
            Self::MacOs
        } else {
            Self::Unix
        }
    }

    /// Longest socket path in bytes: `sun_path` less its closing zero. 108 on Linux, 104 on macOS and the BSDs.
    fn socket_limit(self) -> Option<usize> {
        match self {
            Self::Unix if cfg!(target_os = "linux") => Some(107),
            Self::Unix | Self::MacOs => Some(103),
            Self::Windows => None,
        }
    }
}

/// A variable that names a path of ours: empty counts as unset, relative is taken from the current directory.
fn set(variable: &Option<OsString>) -> Option<PathBuf> {
    let path = variable.as_ref().filter(|value| !value.is_empty())?;
    Some(std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path)))
}

#[cfg(unix)]
fn owned_runtime_dir(xdg_runtime_dir: Option<OsString>) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;

    let uid = rustix::process::geteuid().as_raw();
    let ours = |path: &PathBuf| {
        path.is_absolute() && std::fs::symlink_metadata(path).is_ok_and(|dir| dir.is_dir() && dir.uid() == uid)
    };
    let named = xdg_runtime_dir.map(PathBuf::from);
    named.filter(ours).or_else(|| Some(PathBuf::from(format!("/run/user/{uid}"))).filter(ours))
}

#[cfg(not(unix))]
fn owned_runtime_dir(_: Option<OsString>) -> Option<PathBuf> {
    None
}

/// FNV-1a, 64 bits: names a pipe after a directory. Not for security; the pipe's access list is.
fn fnv1a(path: &Path) -> u64 {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinfolk_home_holds_everything_on_every_system() {
        let environment = Environment { kinfolk_home: os("/k"), runtime_dir: Some("/run/user/7".into()), ..user() };
        for system in [System::Unix, System::MacOs] {
            let paths = Paths::resolve(system, &environment).unwrap();
            assert_eq!((paths.config, paths.state), ("/k/config".into(), "/k/state".into()));
            assert_eq!((paths.log, paths.socket), ("/k/state/log".into(), "/k/run/kinfolk.sock".into()));
        }
        let windows = Paths::resolve(System::Windows, &environment).unwrap();
        assert!(windows.socket.to_string_lossy().starts_with(r"\\.\pipe\kinfolk-"));
        let other = Environment { kinfolk_home: os("/l"), ..user() };
        assert_ne!(Paths::resolve(System::Windows, &other).unwrap().socket, windows.socket);
    }

    #[test]
    fn empty_or_relative_xdg_directories_count_as_unset() {
        for useless in ["", "relative/dir"] {
            let environment = Environment { xdg_config_home: os(useless), xdg_state_home: os(useless), ..user() };
            let paths = Paths::resolve(System::Unix, &environment).unwrap();
            assert_eq!(paths.config, PathBuf::from("/home/u/.config/kinfolk"));
            assert_eq!(paths.state, PathBuf::from("/home/u/.local/state/kinfolk"));
        }
        let environment = Environment { xdg_state_home: os("/s"), ..user() };
        assert_eq!(Paths::resolve(System::Unix, &environment).unwrap().state, PathBuf::from("/s/kinfolk"));
    }

    #[test]
    fn the_socket_is_the_explicit_one_then_the_runtime_dir_then_the_state_dir() {
        let in_state = Paths::resolve(System::Unix, &user()).unwrap();
        assert_eq!(in_state.socket, PathBuf::from("/home/u/.local/state/kinfolk/run/kinfolk.sock"));
        let mut environment = Environment { runtime_dir: Some("/run/user/7".into()), ..user() };
        let in_runtime = Paths::resolve(System::Unix, &environment).unwrap();
        assert_eq!(in_runtime.socket, PathBuf::from("/run/user/7/kinfolk/kinfolk.sock"));
        assert!(!in_runtime.socket_is_explicit);
        environment.kinfolk_socket = os("/tmp/mine.sock");
        let explicit = Paths::resolve(System::Unix, &environment).unwrap();
        assert_eq!((explicit.socket, explicit.socket_is_explicit), ("/tmp/mine.sock".into(), true));
    }

    #[test]
    fn a_socket_path_beyond_sun_path_is_refused_with_both_numbers() {
        let fits = format!("/{}", "x".repeat(102));
        let environment = Environment { kinfolk_socket: os(&fits), ..user() };
        assert!(Paths::resolve(System::MacOs, &environment).is_ok());
        let long = format!("/{}", "x".repeat(107));
        let environment = Environment { kinfolk_socket: os(&long), ..user() };
        let error = Paths::resolve(System::MacOs, &environment).unwrap_err();
        assert_eq!(error, PathError::SocketTooLong { path: long.into(), length: 108, limit: 103 });
    }

    #[test]
    fn without_any_home_there_is_an_error_and_no_guess() {
        let nobody = Environment::default();
        assert_eq!(Paths::resolve(System::Unix, &nobody), Err(PathError::NoHome));
    }

    fn user() -> Environment {
        Environment { home: os("/home/u"), ..Environment::default() }
    }

    fn os(text: &str) -> Option<OsString> {
        Some(text.into())
    }
}
