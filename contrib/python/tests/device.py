"""Real devices for the tests: each a home directory with `kinfolkd` in it, and `kin` as the person's hand."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

import kinfolk

PROGRAMS = Path(os.environ.get("KINFOLK_PROGRAMS") or Path(__file__).resolve().parents[3] / "target/debug")
# How long anything that is waited for may take, in seconds: it only turns a hang into a failure.
PATIENCE = 60.0


class Device:
    """One device."""

    def __init__(self, name: str, home: Path) -> None:
        self.name, self.home = name, home
        self.environ = {**os.environ, "KINFOLK_HOME": str(home)}
        for variable in ("KINFOLK_SOCKET", "KINFOLK_TOKEN_FILE"):
            self.environ.pop(variable, None)
        self.daemon: subprocess.Popen[bytes] | None = None

    def start(self, **environ: str) -> None:
        """Starts the daemon, and waits until it answers."""
        self.spawn(**environ)
        self.kin("wait", "--for", "ready", "--timeout", f"{PATIENCE:.0f}s", **environ)

    def spawn(self, **environ: str) -> None:
        """Starts the daemon and does not wait."""
        self.home.mkdir(exist_ok=True)
        with open(self.home / "daemon.log", "ab") as log:
            command = [str(PROGRAMS / "kinfolkd")]
            self.daemon = subprocess.Popen(
                command, env={**self.environ, **environ}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Ends the daemon, as a power cut would unless another signal is named, and waits for its end."""
        if self.daemon is not None:
            self.daemon.send_signal(how)
            self.daemon.wait(PATIENCE)
            self.daemon = None

    def signal(self, how: signal.Signals) -> None:
        """Sends the daemon a signal."""
        assert self.daemon is not None
        self.daemon.send_signal(how)

    def kin(self, *args: str, input: str = "", **environ: str) -> str:
        """Runs a command that must succeed; gives its output."""
        command = [str(PROGRAMS / "kin"), *args]
        done = subprocess.run(
            command, env={**self.environ, **environ}, input=input, capture_output=True, text=True, timeout=2 * PATIENCE
        )
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} on {self.name} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def synced(self) -> None:
        """Waits until every sibling has confirmed everything."""
        self.kin("wait", "--for", "synced", "--timeout", f"{PATIENCE:.0f}s")

    @property
    def paths(self) -> kinfolk.Paths:
        """Where everything of it lies."""
        return kinfolk.Paths.in_home(self.home)

    def connect(self, **options: object) -> kinfolk.Client:
        """A client of its daemon."""
        return kinfolk.connect("tests", paths=self.paths, **{"patience": PATIENCE, **options})  # type: ignore[arg-type]

    def pair_with(self, other: "Device") -> None:
        """Adds `other` as a sibling, as a person with both in front of them."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        show = subprocess.Popen([str(PROGRAMS / "kin"), "pair", "show", "--json"], env=self.environ, **pipes)  # type: ignore[call-overload]
        card = _until(show, "card")
        join_command = [str(PROGRAMS / "kin"), "join", "-", "--name", other.name, "--json"]
        join = subprocess.Popen(join_command, env=other.environ, **pipes)  # type: ignore[call-overload]
        with show, join:
            join.stdin.write(f"{card}\n")
            join.stdin.close()
            self.kin("pair", "confirm", _until(join, "check_code"), "--yes")
            for process in (join, show):
                process.stdout.read()
                if process.wait(PATIENCE) != 0:
                    raise AssertionError(f"pairing {self.name} with {other.name} failed")


class WithDevices(unittest.TestCase):
    """A test with a directory of its own, and devices that end with it."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="kin"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        (self.directory / "relay").mkdir()
        self.devices: list[Device] = []

    def blank(self, name: str = "a") -> Device:
        """A device whose daemon runs and which is not set up."""
        device = self.away(name)
        device.start()
        return device

    def away(self, name: str = "a") -> Device:
        """A device without a daemon."""
        device = Device(name, self.directory / name)
        self.devices.append(device)
        self.addCleanup(device.end)
        return device

    def first(self, name: str = "a") -> Device:
        """A device that is set up, with the shared folder as its relay."""
        device = self.blank(name)
        device.kin("init", "--name", name, "--relay", f"file://{self.directory}/relay")
        return device

    def client(self, device: Device, **options: object) -> kinfolk.Client:
        """A client of a device, closed with the test."""
        client = device.connect(**options)
        self.addCleanup(client.close)
        return client


def _until(process: "subprocess.Popen[str]", key: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        found = json.loads(line)
        if key in found:
            return str(found[key])
    raise AssertionError(f"no line with {key}")
