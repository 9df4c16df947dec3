"""What README and docs/write-an-app.md show of Python works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

from device import PATIENCE, WithDevices

PACKAGE = Path(__file__).resolve().parents[1]


class Docs(WithDevices):
    def run_blocks(self, paper: Path) -> str:
        """Runs the blocks of a paper one after the other, as one program; gives what it prints."""
        program = "\n".join(re.findall(r"```python\n(.*?)```", paper.read_text(encoding="utf-8"), re.DOTALL))
        self.assertIn("import kinfolk", program)
        environ = {**self.first().environ, "PYTHONPATH": str(PACKAGE / "src")}
        command = [sys.executable, "-c", program]
        done = subprocess.run(
            command, env=environ, cwd=self.directory, capture_output=True, text=True, timeout=PATIENCE
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_the_guide_for_apps_does_what_it_says(self) -> None:
        said = self.run_blocks(PACKAGE.parents[1] / "docs/write-an-app.md").splitlines()
        self.assertIn("milk 1", [re.sub(r"\d+$", "1", line) for line in said])
        self.assertIn("['who brings the cake?']", said)
        self.assertIn("1 pushed", said)
        self.assertTrue(said[-1].startswith("not_found "), said)

    def test_the_readme_does_what_it_says(self) -> None:
        self.assertIn("shopping {'count': 3, 'title': 'milk'}", self.run_blocks(PACKAGE / "README.md"))
