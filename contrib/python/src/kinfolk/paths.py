"""Where everything of an installation lies: the same answer that `kinfolkd` and `kin` give.

`KINFOLK_HOME` puts all of it under one directory. Else each system's own places: the XDG directories on Linux and other Unix,
`~/Library/Application Support/kinfolk` on macOS. XDG variables that are empty or relative count as unset.

The socket is the first of: the one that is asked for, or `KINFOLK_SOCKET`; `$KINFOLK_HOME/run/kinfolk.sock`;
`$XDG_RUNTIME_DIR/kinfolk/kinfolk.sock` when that directory is ours; `/run/user/UID/kinfolk/kinfolk.sock` when that directory is ours;
`run/kinfolk.sock` in the state directory. One that a service manager handed to the daemon comes before these; it stands in
`endpoint.json`, see `kinfolk.endpoint`.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kinfolk.errors import ConfigurationError


@dataclass(frozen=True)
class Paths:
    """The places of one installation."""

    config: Path
    """Settings, and the key file."""
    state: Path
    """The database, the lock and `endpoint.json`."""
    log: Path
    """Log files."""
    socket: Path
    """The daemon's socket."""
    socket_is_explicit: bool
    """Whether the socket was named by the caller or by `KINFOLK_SOCKET`: then nothing else is asked."""

    @classmethod
    def discover(
        cls, socket: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None
    ) -> Paths:
        """The paths of this process's environment. With `socket`, the daemon behind that socket and no other."""
        environ = os.environ if environ is None else environ
        home = _set(environ.get("KINFOLK_HOME"))
        if home is not None:
            config, state = home / "config", home / "state"
        elif sys.platform == "darwin":
            own = _base(environ, None, "Library/Application Support") / "kinfolk"
            config, state = own / "config", own / "state"
        else:
            config = _base(environ, "XDG_CONFIG_HOME", ".config") / "kinfolk"
            state = _base(environ, "XDG_STATE_HOME", ".local/state") / "kinfolk"
        explicit = _set(os.fspath(socket) if socket is not None else environ.get("KINFOLK_SOCKET"))
        if explicit is not None:
            path = explicit
        elif home is not None:
            path = home / "run/kinfolk.sock"
        else:
            runtime = _runtime_dir(environ)
            path = state / "run/kinfolk.sock" if runtime is None else runtime / "kinfolk/kinfolk.sock"
        length = len(os.fsencode(path))
        if length > _SOCKET_LIMIT:
            raise ConfigurationError(
                f"the socket path {path} has {length} bytes and may have {_SOCKET_LIMIT}",
                hint="set KINFOLK_SOCKET to a shorter one",
            )
        return cls(config, state, state / "log", path, explicit is not None)

    @classmethod
    def in_home(cls, home: str | os.PathLike[str]) -> Paths:
        """The paths that `KINFOLK_HOME=home` gives, whatever this process's environment says."""
        return cls.discover(environ={"KINFOLK_HOME": os.fspath(home)})

    @property
    def endpoint_file(self) -> Path:
        """The file in which the daemon says where it listens."""
        return self.state / "endpoint.json"

    @property
    def credential_file(self) -> Path:
        """The file with the token of the owner's own programs."""
        return self.state / "admin.token"


# Longest socket path in bytes: `sun_path` less its closing zero. 108 on Linux, 104 on macOS and the BSDs.
_SOCKET_LIMIT = 107 if sys.platform == "linux" else 103


def _set(value: str | None) -> Path | None:
    """A variable that names a path of ours: empty counts as unset, relative is taken from the current directory."""
    return Path(os.path.abspath(value)) if value else None


def _base(environ: Mapping[str, str], variable: str | None, default: str) -> Path:
    """The directory that a variable names, or its default below the home directory."""
    named = environ.get(variable, "") if variable else ""
    if os.path.isabs(named):
        return Path(named)
    home = environ.get("HOME", "")
    if not os.path.isabs(home):
        raise ConfigurationError("no home directory is known", hint="set HOME or KINFOLK_HOME")
    return Path(home) / default


def _runtime_dir(environ: Mapping[str, str]) -> Path | None:
    """The first runtime directory that exists and is ours."""
    uid = os.geteuid()
    for candidate in (environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{uid}"):
        try:
            found = os.lstat(candidate) if os.path.isabs(candidate) else None
        except OSError:
            continue
        if found is not None and stat.S_ISDIR(found.st_mode) and found.st_uid == uid:
            return Path(candidate)
    return None
