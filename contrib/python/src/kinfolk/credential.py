"""What a client shows the daemon with each call: the metadata `authorization: Bearer TOKEN`.

An app shows the token that `kin apps authorize` gave it, from the file that `KINFOLK_TOKEN_FILE` names. The owner's own programs show the one that the daemon
keeps in its state directory; where that cannot be read, as in a sandbox, nothing is shown.
"""

from __future__ import annotations

import os
from pathlib import Path

from kinfolk.errors import ConfigurationError
from kinfolk.paths import Paths

# Names the file with an app's token.
TOKEN_FILE = "KINFOLK_TOKEN_FILE"
# Most characters of a token; today's have 53.
_MAX_CHARACTERS = 256


def metadata(paths: Paths, token: str | None) -> tuple[tuple[str, str], ...]:
    """What every call carries: `token`, none when that is empty; without it what the environment says."""
    if token is None:
        named = os.environ.get(TOKEN_FILE)
        token = _read(Path(named)) if named else _read(paths.credential_file)
        if named and not token:
            raise ConfigurationError(f"{named} holds no token that can be read", hint=f"look at {TOKEN_FILE}")
    elif token and not _fits(token):
        raise ConfigurationError("that is no token", hint="give it as `kin apps authorize` printed it")
    return (("authorization", f"Bearer {token}"),) if token else ()


def _read(path: Path) -> str:
    """The token in a file; empty when there is none."""
    try:
        with open(path, encoding="ascii") as file:
            token = file.read(2 * _MAX_CHARACTERS).rstrip()
    except (OSError, ValueError):
        return ""
    return token if _fits(token) else ""


def _fits(token: str) -> bool:
    return 0 < len(token) <= _MAX_CHARACTERS and all("!" <= character <= "~" for character in token)
