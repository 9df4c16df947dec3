"""Generates the stubs of the local API: `generate.py DIRECTORY` writes `kinfolk/v1/*_pb2*` below DIRECTORY.

`cargo gen-protos` runs it and keeps the result in `src/`. protoc and the gRPC plugin come with grpcio-tools, the types and
the comments of the `.proto` files with mypy-protobuf; all are pinned in requirements-dev.txt, so the output is always the same.
"""

import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]

PROTOS = Path(__file__).resolve().parents[2] / "ipc-proto" / "proto"
# Name of the plugin -> the function of mypy_protobuf.main that is its program.
PLUGINS = {"mypy": "main", "mypy_grpc": "grpc"}


def plugin(directory: str, name: str, function: str) -> str:
    """A program that protoc can start. The ones that pip installs name the interpreter by a path that may have moved."""
    path = Path(directory) / f"protoc-gen-{name}"
    code = f"from mypy_protobuf.main import {function}; {function}()"
    path.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{code}'\n")
    path.chmod(0o700)
    return f"--plugin=protoc-gen-{name}={path}"


def main(directory: str) -> int:
    names = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.glob("kinfolk/v1/*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        plugins = [plugin(scratch, name, function) for name, function in PLUGINS.items()]
        options = [f"--{kind}_out={directory}" for kind in ("python", "grpc_python")]
        options += [f"--{kind}_out=quiet:{directory}" for kind in PLUGINS]
        imports = [f"-I{PROTOS}", f"-I{resources.files('grpc_tools') / '_proto'}"]
        status = protoc.main(["protoc", *imports, *plugins, *options, *names])
    for stub in Path(directory).glob("kinfolk/v1/*_pb2_grpc.py"):
        # A file without a service gets an empty one.
        if "class " not in stub.read_text():
            stub.unlink()
            stub.with_suffix(".pyi").unlink()
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
