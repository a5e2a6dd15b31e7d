"""benchmarks/RESULTS.md: one page, a section for each benchmark."""

from __future__ import annotations

import platform
import re
import time
from pathlib import Path

import torch

PAGE = Path(__file__).parent / "RESULTS.md"


def write(title: str, text: str) -> str:
    """Put `text` under `## title`, in place of what stood there, or last; return the section."""
    section = f"## {title}\n\n{text.strip()}\n"
    top, *sections = re.split(r"(?m)^(?=## )", PAGE.read_text() if PAGE.exists() else "# Side by side\n")
    titles = [old.partition("\n")[0] for old in sections]
    if f"## {title}" in titles:
        sections[titles.index(f"## {title}")] = section
    else:
        sections.append(section)
    PAGE.write_text("\n\n".join(part.strip() for part in (top, *sections)) + "\n")
    return section


def circumstances(command: str = "make bench") -> str:
    """When, on what processor and threads, and with what, as the first words of a section."""
    n = torch.get_num_threads()
    threads = f"{n} thread{'s' * (n != 1)}"
    return (
        f"`{command}`, {time.strftime('%Y-%m-%d')}, {_processor()}, {threads}, torch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )


def _processor() -> str:
    """Its name, and what of its instructions matrix products may use."""
    path = Path("/proc/cpuinfo")
    told = path.read_text() if path.exists() else ""
    name = re.search(r"model name\s*: (.*)", told)
    flags = set(told.split())
    extra = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return " ".join([name[1].strip() if name else platform.processor() or platform.machine(), *extra])
