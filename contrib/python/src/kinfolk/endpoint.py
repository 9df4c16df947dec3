"""`endpoint.json`: where a running daemon says how to reach it.

The daemon writes it after its socket listens and removes it at a clean end. After a crash it stays, so it is a hint, never a proof:
only an answered call says that a daemon is there.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Endpoint:
    """One run of a daemon."""

    address: Path
    """Its socket."""
    pid: int
    """Its process."""

    @classmethod
    def read(cls, file: Path) -> Endpoint | None:
        """Reads the file; `None` when it is not there or not understood: a hint that cannot be read is no hint."""
        try:
            with open(file, "rb") as opened:
                found = json.loads(opened.read(_MAX_BYTES))
            return cls(Path(os.fsdecode(str(found["address"]))), int(found["pid"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def process_exists(self) -> bool:
        """Whether the process still exists. It may be another one by now."""
        if not 0 < self.pid < 2**31:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            # It exists and is not ours.
            return True
        return True


# An endpoint file has some 300 bytes and one path.
_MAX_BYTES = 16 * 1024
