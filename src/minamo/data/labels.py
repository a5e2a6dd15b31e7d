"""Labels that come beside the rows of a source: they color a map, and no model ever sees them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from minamo.data import builtin
from minamo.data.arrays import PARTS

NAMES = {
    "train": ("y_train", "Y_train", "labels_train", "train_labels"),
    "test": ("y_test", "Y_test", "labels_test", "test_labels"),
    "all": ("y", "Y", "labels", "label", "target"),
}
"""What an .npz calls the labels of its parts."""


def labels(source: str, part: str, n: int) -> np.ndarray | None:
    """Return one label for each row, [n], numbers or text; None where the source has none that fit.

    Args:
        source: what `minamo.data.load` takes.
        part: the `Dataset.part` that was loaded.
        n: its rows.
    """
    if source == "digits":
        from sklearn.datasets import load_digits

        found = np.asarray(load_digits(return_X_y=True)[1])
    else:
        name, _, key = source.partition(".npz:")
        path = builtin.found(source) if source in builtin.NAMES else Path(name + ".npz" * bool(key))
        if path is None or path.suffix.lower() != ".npz" or not path.is_file():
            return None
        if key:
            # An array that was named may be a part by its name.
            part = next((p for p, options in PARTS.items() if key in options), part)
        found = _read(path, NAMES.get(part, ()))
    return found if found is not None and found.shape == (n,) and found.dtype.kind in "iufbUS" else None


def _read(path: Path, names: tuple[str, ...]) -> np.ndarray | None:
    try:
        with np.load(path, allow_pickle=False) as archive:
            name = next((n for n in names if n in archive.files), None)
            return None if name is None else archive[name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
