"""Data sets with a name: digits ships with scikit-learn; MNIST and Fashion-MNIST are fetched once."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from minamo.data import arrays
from minamo.data.dataset import Dataset, as_dataset
from minamo.errors import DataError
from minamo.files import write_atomically

NAMES = ("digits", "mnist", "fashion-mnist")

ADDRESSES = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
}
"""Folders with the four gzipped IDX files of each."""

CHECKSUMS = {
    ("mnist", "train"): "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    ("mnist", "test"): "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    ("fashion-mnist", "train"): "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
    ("fashion-mnist", "test"): "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
}
"""SHA-256 of the pixels, row by row."""

IDX = {"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"}
IDX_HEADER = 16
"""Bytes before the pixels: magic number, count, height, width."""


def read(name: str, part: str | None = None) -> Dataset:
    """Read a built-in data set; `part` as in `minamo.data.load`."""
    if name == "digits":
        if part not in (None, "all"):
            raise DataError(f"digits has no {part} part, only all its rows")
        from sklearn.datasets import load_digits

        bunch: Any = load_digits()
        x = bunch.images.astype(np.uint8)
        return as_dataset(x, name, kind="image", divisor=16.0)
    if part == "all":
        raise DataError(f"{name} comes in two parts: say train or test")
    path = found(name)
    if path is None:
        path = fetch(name)
    x = arrays.read_npz(path, part).x.reshape(-1, 28, 28)
    return as_dataset(x, name, kind="image", divisor=255.0, part=part or "train")


def cache() -> Path:
    """The folder named by MINAMO_DATA, else ~/.cache/minamo (or XDG_CACHE_HOME/minamo)."""
    named = os.environ.get("MINAMO_DATA")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minamo"


def found(name: str) -> Path | None:
    """Return the file of a data set that is at hand, or None."""
    paths = [cache() / f"{spelling}.npz" for spelling in (name, name.replace("-", "_"))]
    return next((p for p in paths if p.exists()), None)


def fetch(name: str) -> Path:
    """Download a data set to the cache, check it, and keep it as one .npz."""
    parts = {}
    for part, file in IDX.items():
        url = ADDRESSES[name] + file
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                pixels = gzip.decompress(response.read())[IDX_HEADER:]
        except (urllib.error.URLError, http.client.HTTPException, OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{name} is not in {cache()} and could not be downloaded ({error}): "
                f"put {name}.npz (arrays x_train, x_test) there, or name its folder in MINAMO_DATA"
            ) from error
        if hashlib.sha256(pixels).hexdigest() != CHECKSUMS[name, part]:
            raise DataError(f"{url} is not the {part} part of {name}: its checksum differs; nothing was kept")
        parts[f"x_{part}"] = np.frombuffer(pixels, np.uint8).reshape(-1, 28, 28)
    cache().mkdir(parents=True, exist_ok=True)
    path = cache() / f"{name}.npz"
    write_atomically(path, lambda file: np.savez_compressed(file, **parts))
    return path
