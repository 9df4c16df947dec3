"""The example apps, in Python and in Rust, on two devices, each with its own daemon, over a shared folder: what their texts promise."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from device import PATIENCE, PROGRAMS, Device, WithDevices

PACKAGE = Path(__file__).resolve().parents[1]
IN_PYTHON = [sys.executable, "-u", str(PACKAGE / "examples/todo.py")]
IN_RUST = [str(PROGRAMS / "examples/todo")]


class App:
    """A running app, and its person."""

    def __init__(self, program: list[str], device: Device) -> None:
        environ = {**device.environ, "PYTHONPATH": str(PACKAGE / "src")}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = [*program, str(device.home / "todo.outbox")]
        self.process = subprocess.Popen(command, env=environ, bufsize=0, **pipes)  # type: ignore[call-overload]
        self.heard()

    def heard(self) -> list[str]:
        """What it says until it asks for something."""
        said = b""
        while not said.endswith(b"> "):
            more = self.process.stdout.read(1)
            if not more:
                raise AssertionError(f"it ended, and said {said!r}")
            said += more
        return said.decode().splitlines()[:-1] + [line for line in [said.decode().splitlines()[-1][:-2]] if line]

    def say(self, command: str) -> list[str]:
        """Gives it a command, or an answer; gives what it says."""
        self.start(command)
        return self.heard()

    def start(self, command: str) -> None:
        """Gives it a command that takes its time."""
        self.process.stdin.write(f"{command}\n".encode())

    def end(self) -> None:
        """Ends it, as closing its window would."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process.stdin.close()
        self.process.stdout.close()


class Todo(WithDevices):
    def app(self, program: list[str], device: Device) -> App:
        app = App(program, device)
        self.addCleanup(app.end)
        return app

    def hears(self, device: Device) -> Callable[[], object]:
        """Waits until the device has the next edit of another one, without its app looking at it."""
        client = self.client(device)
        watch = client.records.watch(collections=["todo"])
        return lambda: next(bundle for bundle in watch if bundle.device_id != client.info.device_id)

    def test_two_devices_share_a_list_offline_too_and_resolve_a_conflict(self) -> None:
        self.share(IN_PYTHON, IN_PYTHON)

    def test_so_they_do_when_the_app_is_written_in_rust(self) -> None:
        self.share(IN_RUST, IN_RUST)

    def test_an_app_in_rust_and_one_in_python_share_a_list(self) -> None:
        self.share(IN_RUST, IN_PYTHON)

    def share(self, first: list[str], second: list[str]) -> None:
        desk, laptop = self.first("desk"), self.blank("laptop")
        desk.pair_with(laptop)
        a, b = self.app(first, desk), self.app(second, laptop)
        a_hears, b_hears = self.hears(desk), self.hears(laptop)

        # What one adds, the other sees by itself.
        self.assertEqual(b.say("list"), [])
        b.start("wait")
        self.assertEqual(a.say("add milk"), [])
        self.assertEqual(b.heard(), ["1. [ ] milk"])
        b_hears()
        self.assertEqual(a.say("list"), ["1. [ ] milk"])

        # Both offline: each goes on, and afterwards both have everything.
        for device in (desk, laptop):
            device.kin("sync", "mode", "off")
        self.assertEqual(a.say("done 1"), [])
        self.assertEqual(b.say("add bread"), [])
        self.assertEqual(b.say("list"), ["1. [ ] milk", "2. [ ] bread"])
        for device in (desk, laptop):
            device.kin("sync", "mode", "realtime")
        a_hears()
        b_hears()
        both = ["1. [x] milk", "2. [ ] bread"]
        self.assertEqual((a.say("list"), b.say("list")), (both, both))

        # Without its daemon, the app keeps what is edited, even if it is ended.
        laptop.end()
        (later,) = b.say("add eggs")
        self.assertTrue(later.startswith("kept for later: "), later)
        self.assertEqual(b.say("list")[1:], [*both, "3. [ ] eggs  (not pushed yet)"])
        b.end()
        laptop.start()
        b = self.app(second, laptop)
        self.assertEqual(b.say("sync"), [])
        three = [*both, "3. [ ] eggs"]
        self.assertEqual(b.say("list"), three)
        a_hears()
        self.assertEqual(a.say("list"), three)

        # Both rename the same item: the second one, who saw the old name, is asked.
        self.assertEqual(a.say("name 2 rye bread"), [])
        b_hears()
        question = ["you saw [ ] bread", "theirs: [ ] rye bread", "mine:   [ ] white bread", "mine or theirs? "]
        self.assertEqual(b.say("name 2 white bread"), question)
        self.assertEqual(b.say("mine"), [])
        a_hears()
        resolved = ["1. [x] milk", "2. [ ] white bread", "3. [ ] eggs"]
        self.assertEqual((a.say("list"), b.say("list")), (resolved, resolved))

        # And the other way round; an edit of what was deleted is dropped.
        self.assertEqual(b.say("name 2 toast"), [])
        self.assertEqual(b.say("rm 3"), [])
        a_hears()
        a_hears()
        self.assertEqual(a.say("name 2 rolls")[-1], "mine or theirs? ")
        self.assertEqual(a.say("theirs"), [])
        self.assertEqual(a.say("done 3"), ["[ ] eggs was deleted elsewhere: your edit of it is dropped"])
        self.assertEqual(a.say("list"), ["1. [x] milk", "2. [ ] toast"])
        self.assertEqual(a.say("dance"), ["that is no command, or no item of the list; see the top of this program"])
