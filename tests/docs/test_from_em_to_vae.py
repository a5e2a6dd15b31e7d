"""What docs/from-em-to-vae.md shows is what its code prints and draws, in both languages; its commands run.

`python -m tests.docs.test_from_em_to_vae` writes the code of the English page, what it prints and draws, into both.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"
NAME = "from-em-to-vae"
PAGES = {"en": DOCS / f"{NAME}.md", "ja": DOCS / "ja" / f"{NAME}.md"}
PICTURES = DOCS / "pictures" / NAME

BLOCK = re.compile(r"```python\n(.*?)```\n(?:```text([^\n]*)\n(.*?)```\n)?", re.DOTALL)
PICTURE = re.compile(rf"!\[([^\]]+)\]\((?:\.\./)?pictures/{NAME}/([\w-]+\.png)\)")
COMMANDS = re.compile(r"```sh\n(.*?)```\n", re.DOTALL)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
SHORT = {"fit": ["--max-epochs", "1", "--latent", "2", "--hidden", "16"], "evidence": ["--rows", "20"]}
"""What is added to a command, for it to end soon."""

RUNNER = """
import contextlib, io, json, linecache, sys
blocks, names, printed = json.load(sys.stdin), {"__name__": "page"}, []
for i, code in enumerate(blocks, 1):
    name, out = f"<block {i} of the page>", io.StringIO()
    linecache.cache[name] = (len(code), None, code.splitlines(True), name)
    with contextlib.redirect_stdout(out):
        exec(compile(code, name, "exec"), names)
    printed.append(out.getvalue())
json.dump(printed, sys.stdout)
"""


class Block(NamedTuple):
    """A block of code and the text below it."""

    code: str
    within: str
    """How far a number may lie from the one shown, "5%" or "0.1"; empty: one unit of its last digit."""
    shown: str


class Ran(NamedTuple):
    """What became of the code."""

    printed: list[str]
    """By each block."""
    pictures: Path
    """The folder it drew into."""


def blocks_of(page: str) -> list[Block]:
    return [
        Block(code, within.removeprefix(" within "), shown)
        for code, within, shown in BLOCK.findall(PAGES[page].read_text(encoding="utf-8"))
    ]


def run_in(folder: Path) -> Ran:
    """Run the English page in `folder`, as if that were docs/: the committed pictures stay as they are."""
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps([block.code for block in blocks_of("en")]),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"},
    )
    assert done.returncode == 0, done.stderr
    return Ran(json.loads(done.stdout), folder / "pictures" / NAME)


def differences(printed: str, shown: str, within: str = "") -> list[str]:
    """How what was printed differs from what the page shows: words exactly, spaces not at all, numbers by tolerance."""
    words, expected = (NUMBER.sub("#", text).split() for text in (printed, shown))
    if words != expected:
        return [f"expected {shown!r}, got {printed!r}"]
    found = []
    for number, target in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
        if abs(float(number) - float(target)) > tolerance(target, within):
            found.append(f"expected {target}, got {number}")
    return found


def tolerance(target: str, within: str) -> float:
    """One unit of the last digit, none for a whole number; or what the page grants, if that is more."""
    mantissa, _, exponent = target.partition("e")
    decimals = len(mantissa.partition(".")[2])
    last = 1.001 * 10.0 ** (int(exponent or 0) - decimals) if decimals else 0.0
    if not within:
        return last
    share = float(within.removesuffix("%"))
    return max(last, share / 100 * abs(float(target)) if within.endswith("%") else share)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    return run_in(tmp_path_factory.mktemp("docs"))


def test_every_block_prints_what_stands_below_it(ran):
    blocks = blocks_of("en")
    assert len(blocks) > 10
    wrong = {}
    for i, (block, printed) in enumerate(zip(blocks, ran.printed, strict=True), 1):
        found = differences(printed, block.shown, block.within)
        if found:
            wrong[f"block {i}"] = found
    assert not wrong


def test_the_code_draws_the_pictures_that_the_page_shows(ran):
    shown = [name for _, name in PICTURE.findall(PAGES["en"].read_text(encoding="utf-8"))]
    assert len(shown) == 4
    assert sorted(shown) == sorted(path.name for path in ran.pictures.iterdir())
    assert sorted(shown) == sorted(path.name for path in PICTURES.iterdir())
    for name in shown:
        assert Image.open(PICTURES / name).size == Image.open(ran.pictures / name).size


def test_the_japanese_page_shows_the_same():
    assert blocks_of("ja") == blocks_of("en")
    english, japanese = (path.read_text(encoding="utf-8") for path in PAGES.values())
    assert COMMANDS.findall(japanese) == COMMANDS.findall(english)
    assert [name for _, name in PICTURE.findall(japanese)] == [name for _, name in PICTURE.findall(english)]
    assert headings(japanese) == headings(english)
    assert f"](ja/{NAME}.md)" in english
    assert f"](../{NAME}.md)" in japanese


def headings(page: str) -> list[str]:
    """The levels of its headings, in order."""
    return re.findall(r"^(#+) ", re.sub(r"```.*?```", "", page, flags=re.DOTALL), re.MULTILINE)


def test_the_commands_run(tmp_path):
    lines = "".join(COMMANDS.findall(PAGES["en"].read_text(encoding="utf-8"))).splitlines()
    commands = [line.partition("#")[0].split() for line in lines]
    assert len(commands) > 4
    for program, *arguments in commands:
        assert program == "minamo"
        done = subprocess.run(
            [sys.executable, "-m", "minamo", *arguments, *SHORT.get(arguments[0], [])],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("printed", "within", "is_fine"),
    [
        ("E  log p -3.06  of 150", "", True),
        ("E log p -3.07 of 150", "", True),
        ("E log p -3.08 of 150", "", False),
        ("E log p -3.06 of 151", "", False),
        ("M log p -3.06 of 150", "", False),
        ("E log p -3.20 of 150", "5%", True),
        ("E log p -3.30 of 150", "5%", False),
        ("E log p -3.06 of 152", "2", True),
    ],
)
def test_a_difference_is_noticed(printed, within, is_fine):
    assert (not differences(printed, "E  log p -3.06  of 150\n", within)) is is_fine


def rewrite() -> None:
    """Write the code of the English page, what it prints and what it draws into both pages."""
    with tempfile.TemporaryDirectory() as folder:
        ran = run_in(Path(folder))
        shutil.rmtree(PICTURES, ignore_errors=True)
        shutil.copytree(ran.pictures, PICTURES)
    written = []
    for block, printed in zip(blocks_of("en"), ran.printed, strict=True):
        within = f" within {block.within}" if block.within else ""
        text = f"```text{within}\n{printed}```\n" if printed else ""
        written.append(f"```python\n{block.code}```\n{text}")
    for path in PAGES.values():
        blocks = iter(written)
        page = BLOCK.sub(lambda _, blocks=blocks: next(blocks), path.read_text(encoding="utf-8"))
        path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    rewrite()
