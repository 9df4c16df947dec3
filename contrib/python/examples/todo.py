"""A todo list that is the same on all of your devices, also when they are offline for a while. Usage: todo.py FILE

FILE keeps what was edited and not pushed yet. Commands, one a line:

    list            the list as it is, with what you edited here
    add TEXT        a new item
    name N TEXT     another text for item N
    done N          item N is done
    rm N            item N is not needed any more
    sync            pushes what could not be pushed before
    wait            waits until another device changes the list, and shows it
    quit

The daemon of this device keeps the list and exchanges it with your other devices, whenever they are there. What this program adds is in `Outbox`: an
edit is on disk before the daemon is asked, and says which version of its item you saw. So nothing is lost when the daemon is away, and when
somebody changed the item meanwhile you are asked.
"""

import sys
import time
import uuid

import kinfolk

COLLECTION = "todo"
Item = kinfolk.Record


class Todo:
    def __init__(self, outbox: kinfolk.Outbox) -> None:
        self.outbox = outbox
        self.client: kinfolk.Client | None = None
        self.watch: kinfolk.Watch | None = None
        self.kept: list[Item] = []
        self.shown: list[Item] = []

    def connect(self) -> kinfolk.Client:
        """The connection to the daemon. It outlives the daemon's restarts; only the first time there must be one."""
        if self.client is None:
            self.client = kinfolk.connect("todo/1.0", patience=1)
            self.watch = self.client.records.watch(collections=[COLLECTION], patience=None)
        return self.client

    def list(self) -> None:
        try:
            self.kept = list(self.connect().records.list(COLLECTION))
        except kinfolk.Error as error:
            print(f"as it was last seen: {error.message}")
        self.show()

    def show(self) -> None:
        self.shown = self.outbox.over(COLLECTION, self.kept)
        waiting = {edit.key for edit in self.outbox.edits()}
        for number, item in enumerate(self.shown, 1):
            print(f"{number}. {text(item)}{'  (not pushed yet)' if item.key in waiting else ''}")

    def add(self, title: str) -> None:
        # Keys in the order in which items were made, and never the same on two devices.
        key = f"{time.time_ns():020}-{uuid.uuid4()}"
        self.outbox.put(COLLECTION, key, {"title": title, "done": False}, base=0)
        self.sync()

    def name(self, number: str, title: str) -> None:
        item = self.shown[int(number) - 1]
        self.outbox.put(COLLECTION, item.key, {"title": title}, base=item)
        self.sync()

    def done(self, number: str) -> None:
        item = self.shown[int(number) - 1]
        self.outbox.put(COLLECTION, item.key, {"done": True}, base=item)
        self.sync()

    def rm(self, number: str) -> None:
        item = self.shown[int(number) - 1]
        self.outbox.delete(COLLECTION, item.key, base=item)
        self.sync()

    def sync(self) -> None:
        try:
            self.outbox.flush(self.connect().records, self.resolve)
        except kinfolk.Error as error:
            print(f"kept for later: {error.message}")

    def wait(self) -> None:
        own = self.connect().info.device_id
        assert self.watch is not None
        next(bundle for bundle in self.watch if bundle.device_id != own)
        self.list()

    def resolve(self, clash: kinfolk.Clash) -> kinfolk.Choice:
        """Asks what is to become of an edit whose item was changed by another device meanwhile."""
        if clash.theirs is None:
            print(f"{text(clash.mine.base)} was deleted elsewhere: your edit of it is dropped")
            return kinfolk.THEIRS
        mine = clash.mine.over(clash.theirs)
        print(f"you saw {text(clash.mine.base)}")
        print(f"theirs: {text(clash.theirs)}")
        print(f"mine:   {text(mine)}")
        return kinfolk.MINE if input("mine or theirs? > ") == "mine" else kinfolk.THEIRS


def text(item: Item | None) -> str:
    if item is None:
        return "nothing"
    return f"[{'x' if item.fields.get('done') else ' '}] {item.fields.get('title')!s}"


def main(file: str) -> None:
    todo = Todo(kinfolk.Outbox(file))
    commands = {name: getattr(todo, name) for name in ("list", "add", "name", "done", "rm", "sync", "wait")}
    while True:
        try:
            command, *rest = input("> ").split(maxsplit=1) or [""]
            if command == "quit":
                return
            # Only `name` has a number before its text.
            arguments = " ".join(rest).split(maxsplit=1) if command == "name" else rest
            commands[command](*arguments)
        except EOFError:
            return
        except (KeyError, TypeError, ValueError, IndexError):
            print("that is no command, or no item of the list; see the top of this program")
        except kinfolk.Error as error:
            print(f"{error.message}; {error.hint}")


if __name__ == "__main__":
    main(sys.argv[1])
