"""The package as pip installs it."""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


class Package(unittest.TestCase):
    def test_pip_installs_it_from_the_folder_with_its_types(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            # What the build leaves behind stays out of the tree.
            source, target = Path(scratch, "source"), Path(scratch, "target")
            shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
            install = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
            subprocess.run([sys.executable, "-m", "pip", *install, "--target", target, source], check=True)
            files = {path.relative_to(target / "kinfolk").as_posix() for path in (target / "kinfolk").rglob("*")}
            self.assertLessEqual({"py.typed", "client.py", "v1/records_pb2.py", "v1/records_pb2.pyi"}, files)
            code = "import kinfolk; print(kinfolk.__file__, kinfolk.PROTOCOL_MAX)"
            path = {"PYTHONPATH": str(target)}
            said = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=True)
            self.assertEqual(said.stdout, f"{target / 'kinfolk/__init__.py'} 1\n")
