import gzip
import pickle
import zipfile

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from minamo import VAE
from minamo.data import arrays, builtin, load
from minamo.errors import DataError

X = np.arange(12.0).reshape(4, 3)


def refused(source, *words, **options):
    """The message of the refusal: one line that holds every word."""
    with pytest.raises(DataError) as caught:
        load(str(source), **options)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


def test_arrays_come_back_as_they_were_saved(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "a.npz", only=X.astype(np.float32))
    assert np.array_equal(load(str(tmp_path / "a.npy")).x, X)
    found = load(str(tmp_path / "a.npz"))
    assert found.x.dtype == np.float32
    assert found.name == "a.npz:only"


def test_an_archive_of_several_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=X, x_test=X[:2], y_train=X[:, 0])
    np.savez(tmp_path / "b.npz", left=X, right=X)
    np.savez(tmp_path / "c.npz", values=X, labels=np.arange(4))
    path = tmp_path / "a.npz"
    assert (len(load(str(path))), load(str(path)).part) == (4, "train")
    assert (len(load(str(path), "test")), load(str(path), "test").part) == (2, "test")
    assert len(load(f"{tmp_path}/b.npz:left")) == 4
    assert load(f"{tmp_path}/c.npz").name == "c.npz:values"
    refused(tmp_path / "b.npz", "left", "right", "b.npz:NAME")
    refused(f"{tmp_path}/b.npz:middle", "no array 'middle'")


def test_images_keep_their_bytes_shape_and_units(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (5, 7), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    found = load(str(tmp_path))
    assert (found.schema.shape, found.x.dtype, found.schema.divisor) == ((5, 7), np.uint8, 255.0)
    assert np.array_equal(found.x[1].reshape(5, 7), np.asarray(Image.open(tmp_path / "1.png")))
    Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).save(tmp_path / "3.png")
    assert load(str(tmp_path)).schema.shape == (5, 7, 3)
    Image.fromarray(np.zeros((5, 8), np.uint8)).save(tmp_path / "4.png")
    refused(tmp_path, "4.png", "8 x 5", "7 x 5", "one size")


def test_an_image_that_is_none(tmp_path):
    (tmp_path / "a.png").write_text("not a picture")
    refused(tmp_path, "a.png", "not an image")


def test_tables_by_name(tmp_path):
    (tmp_path / "a.csv").write_text("age,height\n1,2.5\n3,4\n")
    found = load(str(tmp_path / "a.csv"))
    assert found.schema.names == ("age", "height")
    assert found.x.tolist() == [[1, 2.5], [3, 4]]
    parquet.write_table(pa.table({"age": [1, 3], "tall": [True, False]}), tmp_path / "a.parquet")
    assert load(str(tmp_path / "a.parquet")).x.tolist() == [[1, 1], [3, 0]]


def test_a_table_without_names(tmp_path):
    (tmp_path / "a.csv").write_text("1,2.5\n3,4\n5,6\n")
    assert load(str(tmp_path / "a.csv")).x.tolist() == [[1, 2.5], [3, 4], [5, 6]]


def test_small_integers_of_a_table_are_not_image_bytes(tmp_path):
    parquet.write_table(pa.table({"n": pa.array([1, 200], pa.uint8())}), tmp_path / "a.parquet")
    assert load(str(tmp_path / "a.parquet")).schema.divisor == 1.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,x\n", ("'x'", "row 0", "'b'", "number")),
        ("a,b\n1,2\n3,\n", ("row 1", "'b'", "no value")),
        ("a,b\n1,2\n3,nan\n", ("NaN", "row 1", "column 'b'")),
        ("a,b\n1,2\n3\n", ("cannot be read",)),
        ("", ("cannot be read",)),
        ("a,b\n", ("empty",)),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, words):
    (tmp_path / "bad.csv").write_text(text)
    refused(tmp_path / "bad.csv", "bad.csv", *words)


def test_arrays_that_cannot_be_used(tmp_path):
    for name, array, words in [
        ("nan", np.array([[1.0, 2.0], [3.0, np.nan]]), ("nan", "row 1", "column 1")),
        ("inf", np.array([[1.0, -np.inf]]), ("-inf", "row 0", "column 1")),
        ("empty", np.zeros((0, 3)), ("empty", "0 rows")),
        ("thin", np.zeros((3, 0)), ("empty",)),
        ("flat", np.zeros(3), ("rows and columns",)),
        ("words", np.array([["a", "b"]]), ("needs numbers",)),
        ("complex", np.array([[1j]]), ("needs numbers",)),
    ]:
        np.save(tmp_path / f"{name}.npy", array)
        refused(tmp_path / f"{name}.npy", f"{name}.npy", *words)


def test_a_large_finite_value_is_not_called_infinite(tmp_path):
    np.save(tmp_path / "big.npy", np.full((4, 2), 1e308))
    assert len(load(str(tmp_path / "big.npy"))) == 4


class Trap:
    """Would leave a file behind if it were ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "trap.npy", np.array([Trap(tmp_path / "sprung")], dtype=object), allow_pickle=True)
    (tmp_path / "plain.npy").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    np.savez(tmp_path / "trap.npz", x=np.array([[Trap(tmp_path / "sprung")]], dtype=object))
    for name in ("trap.npy", "plain.npy", "trap.npz"):
        refused(tmp_path / name, "pickle")
    assert not (tmp_path / "sprung").exists()


def test_files_cut_short(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(100, 5)))
    np.save(tmp_path / "a.npy", X)
    for name in ("a.npz", "a.npy"):
        whole = (tmp_path / name).read_bytes()
        for cut in (0, 20, len(whole) // 2, len(whole) - 3):
            (tmp_path / name).write_bytes(whole[:cut])
            refused(tmp_path / name, name)


def test_an_archive_with_a_damaged_member(tmp_path):
    np.savez(tmp_path / "a.npz", x=X)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        place = archive.infolist()[0].header_offset + 150
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[place] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(content)
    refused(tmp_path / "a.npz", "damaged")


def test_what_is_not_there(tmp_path):
    refused(tmp_path / "none.npy", "there is no file")
    refused("mnits", "did you mean 'mnist'?")
    (tmp_path / "a.txt").write_text("1")
    refused(tmp_path / "a.txt", "a.txt", ".csv")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "no images")
    refused("digits", "no test part", part="test")


def test_digits_are_scaled_by_16():
    digits = load("digits")
    assert (len(digits), digits.schema.shape, digits.schema.divisor, digits.x.dtype) == (1797, (8, 8), 16.0, np.uint8)


def _idx(folder, pixels):
    for part, file in builtin.IDX.items():
        (folder / file).write_bytes(gzip.compress(bytes(builtin.IDX_HEADER) + pixels[part].tobytes()))


def test_downloads_are_checked_and_kept(tmp_path, monkeypatch):
    """From a folder of its own in place of the network, with the checksums of what lies there."""
    import hashlib

    pixels = {p: np.random.default_rng(i).integers(0, 256, (3, 28, 28), np.uint8) for i, p in enumerate(builtin.IDX)}
    _idx(tmp_path, pixels)
    monkeypatch.setenv("MINAMO_DATA", str(tmp_path / "cache"))
    monkeypatch.setitem(builtin.ADDRESSES, "mnist", tmp_path.as_uri() + "/")
    refused("mnist", "checksum differs", "nothing was kept")
    assert builtin.found("mnist") is None
    for part, x in pixels.items():
        monkeypatch.setitem(builtin.CHECKSUMS, ("mnist", part), hashlib.sha256(x.tobytes()).hexdigest())
    assert np.array_equal(load("mnist", "test").x, pixels["test"].reshape(3, -1))
    monkeypatch.setitem(builtin.ADDRESSES, "mnist", (tmp_path / "gone").as_uri() + "/")
    assert np.array_equal(load("mnist").x, pixels["train"].reshape(3, -1))


def test_no_network_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MINAMO_DATA", str(tmp_path))
    monkeypatch.setitem(builtin.ADDRESSES, "mnist", (tmp_path / "gone").as_uri() + "/")
    refused("mnist", "could not be downloaded", "MINAMO_DATA", "mnist.npz")


def test_a_large_file_is_mapped_and_gives_the_bits_of_a_small_one(tmp_path, monkeypatch):
    """The array of a mapped file is not read into memory; rows, checks and training see the same numbers."""
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (300, 4, 3)).astype(np.uint8))
    read = load(str(path))
    monkeypatch.setattr(arrays, "MAPPED", 1)
    mapped = load(str(path))
    assert isinstance(mapped.x.base, np.memmap) or isinstance(mapped.x, np.memmap)
    assert not isinstance(read.x, np.memmap)
    assert mapped.fingerprint() == read.fingerprint()
    how = {"latent_dim": 2, "hidden": (8,), "max_epochs": 2, "patience": None, "binarize": "dynamic"}
    weights = []
    for data in (read, mapped):
        vae = VAE(**how)
        *_, last = vae.train(vae.plan(data))
        weights.append(last.weights)
    assert all(torch.equal(a, b) for a, b in zip(weights[0].values(), weights[1].values(), strict=True))
