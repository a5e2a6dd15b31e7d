"""What the explorer says is what the model says."""

from __future__ import annotations

import io
import math
import threading

import numpy as np
import pytest
from PIL import Image

from minamo import VAE, load
from minamo.errors import DataError
from minamo.explorer.going import has_ended, how_it_goes, model_shown
from minamo.explorer.session import path
from minamo.explorer.uploads import read_image, read_row
from minamo.report import open_run
from minamo.report.summary import curves


@pytest.fixture(scope="module")
def vae(digits):
    return VAE.load(digits / "model.safetensors")


def pixels(url: str) -> np.ndarray:
    import base64

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))).convert("L"))


def test_what_is_shown_is_the_decoded_mean(session, vae):
    z = np.linspace(-1, 1, 6)
    image = pixels(session.decode([z.tolist()])["shown"][0])
    inside = image[2:-2, 2:-2][::7, ::7]
    assert np.abs(inside / 255 - np.clip(vae.inverse_transform(z[None]).reshape(8, 8), 0, 1)).max() < 0.01


def test_the_map_is_the_encoder(session, vae):
    told = session.map(0, 3)
    z = vae.transform(load("digits"))
    assert np.abs(np.array(told["x"]) - z[:, 0]).max() < 1e-3
    assert np.abs(np.array(told["y"]) - z[:, 3]).max() < 1e-3
    assert len(told["label"]) == 1797


def test_a_point_has_its_bounds(session, vae):
    told = session.datum(5)
    x = load("digits").take(np.array([5]))
    assert told["log_p"] == pytest.approx(float(vae.score_samples(x, 1000)[0]), abs=0.5)
    assert told["elbo"] == pytest.approx(told["reconstruction"] - told["kl"])
    assert told["elbo"] < told["log_p"]
    assert told["z"] == pytest.approx(vae.transform(x)[0], abs=1e-4)


def test_an_image_of_ones_own_lands_where_its_row_does(session):
    """Row 5 as a PNG, its 0..16 brought to 0..255, is encoded as row 5 is but for rounding; noise is surprising."""
    stored = load("digits").x[5].reshape(8, 8)
    file = io.BytesIO()
    Image.fromarray((stored / 16 * 255).round().astype(np.uint8)).save(file, "PNG")
    again = session.encode_image(read_image(file.getvalue(), (8, 8)))
    told = session.datum(5)
    assert again["z"] == pytest.approx(told["z"], abs=0.05)
    assert again["log_p"] == pytest.approx(told["log_p"], abs=1.0)
    noise = np.random.default_rng(0).integers(0, 2, (8, 8)).astype(np.uint8) * 255
    assert session.encode_image(noise)["lower_than"] > 0.95


def test_temperature_scales_the_spread_of_z(session):
    cold, warm = (np.array(session.sample(200, t, False, 3)["z"]) for t in (0.5, 1.0))
    assert cold.std() == pytest.approx(0.5 * warm.std(), rel=0.05)
    assert np.array(session.sample(3, 0.0, False, 0)["z"]).std(0).max() == pytest.approx(0)


def test_paths():
    a, b = np.array([3.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    line, circle = path(a, b, 5), path(a, b, 5, "circle")
    assert np.allclose(line[2], (a + b) / 2)
    assert np.allclose(np.linalg.norm(circle, axis=1), np.linspace(3, 1, 5))
    angles = np.arctan2(circle[:, 1], circle[:, 0])
    assert np.allclose(angles, np.linspace(0, math.pi / 2, 5))
    assert np.allclose(path(a, -a, 3, "circle"), path(a, -a, 3))
    assert np.allclose(path(a, 0 * a, 3, "circle"), path(a, 0 * a, 3))


def test_the_download_holds_what_is_shown(session, vae):
    z = [[0.0] * 6, [1.0] * 6]
    with np.load(io.BytesIO(session.npz(z))) as found:
        assert found["x"].shape == (2, 8, 8)
        assert np.allclose(found["x"].reshape(2, -1), vae.inverse_transform(z), atol=1e-5)
        assert np.array_equal(found["z"], z)


@pytest.mark.parametrize(
    "z", [[[1, 2]], [["a"] * 6], [[float("nan")] * 6], [[1e9] * 6], [], None, "x", [[0.0] * 6] * 999]
)
def test_a_bad_z_is_refused(session, z):
    with pytest.raises(DataError):
        session.decode(z)


def test_non_images_are_refused():
    bomb = io.BytesIO()
    Image.new("L", (5000, 10)).save(bomb, "PNG")
    for content in (
        b"",
        b"hello",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        bomb.getvalue(),
        b"GIF89a" + b"\xff" * 50,
        b"%PDF-1.4",
    ):
        with pytest.raises(DataError):
            read_image(content, (8, 8))
    with pytest.raises(DataError, match="expected 3 numbers, got 2"):
        read_row("1,2", 3)
    with pytest.raises(DataError, match="finite"):
        read_row("1,2,nan", 3)


def test_draws_are_of_the_law_whose_mean_is_shown(session):
    """The mean of 256 draws is the mean, within 5 standard errors; a seed gives the same draw again."""
    z = [0.3, -0.2, 0.5, 0.0, 0.1, -0.4]
    with np.load(io.BytesIO(session.npz([z] * 256, True, 1))) as found:
        draws = found["x"].reshape(256, -1)
    with np.load(io.BytesIO(session.npz([z]))) as found:
        mean = found["x"].reshape(-1)
    error = draws.std(0, ddof=1) / 16
    assert 0 < error.max() < 0.1
    assert (np.abs(draws.mean(0) - mean) <= 5 * error + 1e-6).all()
    assert session.decode([z], True, 1) == session.decode([z], True, 1) != session.decode([z], True, 2)


def test_a_path_honors_draws(session):
    ends = [[1.0] * 6, [-1.0] * 6]
    mean, draw = (session.path_between(*ends, "line", 4, drawn, 7) for drawn in (False, True))
    assert mean["z"] == draw["z"]
    with np.load(io.BytesIO(session.npz(draw["z"], True, 7))) as found:
        assert session._pictured(found["x"].reshape(4, -1))["sheet"] == draw["sheet"] != mean["sheet"]


def test_the_nearest_datum_is_the_nearest_in_all_latents(session, vae):
    means = vae.transform(load("digits"))
    for row in (0, 5, 1000):
        near = session.decode([(means[row] + 0.01).tolist()])["near"][0]
        apart = np.linalg.norm(means - means[row] - 0.01, axis=1)
        assert near["row"] == apart.argmin()
        assert near["distance"] == pytest.approx(apart.min(), abs=1e-4)
        assert near["label"] == session.datum(near["row"])["label"]


def test_the_rank_of_a_surprise_is_that_of_equals(session):
    """The rows that are compared, given as one's own, rank among themselves as they do, but for Monte Carlo."""
    usual = session._usual_log_p()
    rows = session.found.served.judged.spread(len(usual))
    x = session.vae.prepare_.to_data(next(rows.batches(len(usual))).x).numpy()
    some = usual.argsort()[::20]
    told = [session.encode(row) for row in x[some]]
    true = [(usual > v).mean() for v in usual[some]]
    assert [t["lower_than"] for t in told] == pytest.approx(true, abs=0.1)
    assert told[0]["compared"] == len(usual) == 180


def test_how_training_goes(digits):
    found = open_run(digits)
    assert found.vae is not None
    assert has_ended(found)
    assert model_shown(found) == "Shown is the model saved after epoch 3: the weights of epoch 3, the best."
    found.vae.description_["params"]["max_epochs"] = 9
    assert not has_ended(found)
    found.history = [{"epoch": 1, "seconds": 4.0}, {"epoch": 2, "seconds": 14.0}]
    assert how_it_goes(found, 69.0) == "Training: 2 epochs so far, the last 69 s ago."
    assert "none for 71 s, where the last took 10.0 s: interrupted" in how_it_goes(found, 71.0)
    assert how_it_goes(found, None) == "No epoch has ended yet."
    found.vae.n_epochs_ = 0
    assert model_shown(found) == "Shown is the model before any training."


def test_the_weights_that_are_shown_are_not_those_of_a_later_line_of_the_log(digits):
    found = open_run(digits)
    found.history.append({**found.history[-1], "epoch": 4, "best_epoch": 4})
    assert "weights of epoch 3" in model_shown(found)


def test_a_poll_builds_no_model_and_says_what_the_model_would(session, digits, monkeypatch):
    """The header alone has it; building a model would take torch's generator from an answer under way."""
    whole = open_run(digits)
    monkeypatch.setattr(VAE, "load", None)
    told = session.history()
    assert (told["epochs"], told["ended"], told["missing"]) == (3, True, [])
    assert told["epochs"] == whole.epochs
    assert told["curves"] == curves(whole)
    assert told["state"] == "Stopped by the cap of 3 epochs, before any convergence was seen."


def test_samples_are_of_their_seed_while_the_page_polls(session):
    once, polled, over = session.sample(16, 1.0, True, 5), [], threading.Event()

    def poll() -> None:
        while not over.is_set():
            polled.append(session.history()["epochs"])

    page = threading.Thread(target=poll)
    page.start()
    again = [session.sample(16, 1.0, True, 5) for _ in range(150)]
    over.set()
    page.join()
    assert set(polled) == {3}
    assert sum(one != once for one in again) == 0
