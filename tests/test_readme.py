"""What the README shows runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

from minamo.cli.main import app

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_python_lines_run(tmp_path):
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code) == 1
    assert len(code[0].strip().splitlines()) <= 12
    done = subprocess.run([sys.executable, "-c", code[0]], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "elbo" in done.stdout
    assert "likelihood normal" in done.stdout


def test_every_command_it_names_exists():
    named = set(re.findall(r"^minamo (\w+)", README, re.MULTILINE))
    assert named == {command.name for command in app.registered_commands}


def test_pictures_it_shows_are_there():
    for path in re.findall(r'(?:\]\(|src=")(docs/[^)"]+)', README):
        assert (Path(__file__).parents[1] / path).exists(), path
