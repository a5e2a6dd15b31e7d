"""What a fitted model is seen to do: its map, its pictures, its columns, and the data it explains worst."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from minamo.estimator import VAE
from minamo.evidence import Measure, PerDatum, evaluate
from minamo.evidence.collapse import ACTIVE
from minamo.priors import Mixture, Vamp
from minamo.randomness import drawing_from, stream
from minamo.report.opened import Served, at
from minamo.report.values import DIGITS, column_names, fitting, is_picture, plain, sheet

SCREEN_DRAWS = 10
"""Draws of z by which the worst data are found..."""
WORST_DRAWS = 1000
"""...and by which those few are then measured."""
WORST = 8
PAIRS = 32
SAMPLES = 64
TRAVERSED = 8
"""Latents that are traversed, the most active ones."""
STEPS = 9
ROWS = 8
"""Rows of a table shown as numbers."""
COLUMNS = 12
"""Columns of a table shown as numbers, and those whose distributions are drawn."""
BINS = 24
PRIOR_DRAWS = 500
"""Draws of the prior that stand for the data where there are none."""


def judge(vae: VAE, served: Served) -> PerDatum:
    """Bounds of every judged row, from few draws."""
    with drawing_from(stream(vae.seed_, "report", "judge")):
        return evaluate(vae.model_, served.judged, SCREEN_DRAWS)


def latents(judged: PerDatum) -> list[dict[str, Any]]:
    """Every latent, most active first: by its KL, or by the variance of its mean where the KL is not known."""
    variance = judged.z_mean.var(0, correction=0)
    kl = judged.kl_per_latent.mean(0)
    known = not bool(kl.isnan().any())
    order = (kl if known else variance).argsort(descending=True).tolist()
    return [
        {
            "latent": j,
            "kl": float(kl[j]) if known else None,
            "variance": float(variance[j]),
            "active": bool(variance[j] > ACTIVE),
        }
        for j in order
    ]


def prior_latents(vae: VAE) -> np.ndarray:
    """Draws of z ~ p(z), [PRIOR_DRAWS, latent_dim]."""
    with torch.no_grad(), drawing_from(stream(vae.seed_, "report", "prior")):
        return vae.model_.prior().sample(torch.Size([PRIOR_DRAWS])).double().numpy()


def spread_latents(vae: VAE, served: Served) -> np.ndarray:
    """Posterior means of the spread rows, [N, latent_dim]."""
    return vae.transform(served.spread).astype(np.float64)


def latent_map(vae: VAE, served: Served, z: np.ndarray, order: list[int]) -> dict[str, Any]:
    """The aggregated posterior, seen along its two most active latents."""
    first, second = (order * 2)[:2]
    numbers = served.spread.numbers
    return {
        "latents": [first, second],
        "x": plain(z[:, first], 4),
        "y": plain(z[:, second] if second != first else np.zeros(len(z)), 4),
        "row": plain(numbers.numpy()) if numbers is not None else list(range(len(z))),
        "label": served.labels_at(served.spread),
    }


def reconstructions(vae: VAE, served: Served) -> dict[str, Any]:
    """Real data beside their reconstructions."""
    if is_picture(vae):
        rows = served.judged.spread(fitting(vae, PAIRS * 2) // 2 or 1)
        x, again = vae.seen(rows), vae.reconstruct(rows)
        return {"real": sheet(vae, x, len(x)), "again": sheet(vae, again, len(x))}
    rows = served.judged.spread(ROWS)
    names = column_names(vae)[:COLUMNS]
    x, again = vae.seen(rows)[:, :COLUMNS], vae.reconstruct(rows)[:, :COLUMNS]
    return {
        "names": names,
        "more_columns": vae.schema_.n_columns - len(names),
        "row": plain(rows.numbers.numpy()) if rows.numbers is not None else list(range(len(x))),
        "real_values": plain(x, DIGITS),
        "again_values": plain(again, DIGITS),
    }


def samples(vae: VAE) -> dict[str, Any]:
    """New data: means of p(x|z) as pictures, draws as numbers."""
    if is_picture(vae):
        return sheet(vae, vae.sample(fitting(vae, SAMPLES)))
    return {"names": column_names(vae)[:COLUMNS], "values": plain(vae.sample(ROWS, draw=True)[:, :COLUMNS], DIGITS)}


def traversals(vae: VAE, z: np.ndarray, order: list[int]) -> dict[str, Any]:
    """What the decoder says while one latent moves through its own range and the others stay at their mean."""
    chosen = order[:TRAVERSED]
    if is_picture(vae):
        chosen = chosen[: max(1, fitting(vae, TRAVERSED * STEPS) // STEPS)]
    ends = np.percentile(z[:, chosen], [1, 99], axis=0)
    steps = np.linspace(ends[0], ends[1], STEPS, axis=1)
    at_mean = np.repeat(z.mean(0)[None], len(chosen) * STEPS, 0)
    for i, j in enumerate(chosen):
        at_mean[i * STEPS : (i + 1) * STEPS, j] = steps[i]
    x = vae.inverse_transform(at_mean)
    told = {"latents": chosen, "z": plain(steps, 4)}
    if is_picture(vae):
        return {**told, "sheet": sheet(vae, x, len(x))}
    x = x.reshape(len(chosen), STEPS, -1)
    one, prepare = np.ones(x.shape[2]), vae.prepare_
    center = 0 * one if prepare.center is None else prepare.center.numpy()
    spread = one if prepare.spread is None else prepare.spread.numpy()
    moved = ((x.max(1) - x.min(1)) / spread).max(0)
    kept = np.sort(np.argsort(-moved, kind="stable")[:COLUMNS])
    return {
        **told,
        "names": [column_names(vae)[j] for j in kept],
        "values": plain(x[:, :, kept]),
        "center": plain(center[kept]),
        "spread": plain(spread[kept]),
        "standardized": prepare.spread is not None,
    }


def components(vae: VAE) -> dict[str, Any] | None:
    """Pseudo-inputs of a VampPrior, or the decoded means of a mixture's components, heaviest first; else None."""
    prior = vae.model_.prior
    if isinstance(prior, Vamp):
        what, logits = "pseudo-inputs", prior.logits.detach()
    elif isinstance(prior, Mixture):
        what, logits = "decoded means of the components", prior.logits.detach()
    else:
        return None
    weights = torch.softmax(logits.double(), 0)
    order = weights.argsort(descending=True, stable=True)
    most = fitting(vae, SAMPLES) if is_picture(vae) else ROWS
    if isinstance(prior, Vamp):
        x = vae.prepare_.to_data(prior.heaviest(most)).numpy()
    else:
        x = vae.inverse_transform(prior.loc.detach().double()[order[:most]].numpy())
    told = {
        "what": what,
        "of": len(weights),
        "weights": plain(weights[order[:most]].numpy(), 4),
        "used": float(torch.exp(-(weights * weights.clamp_min(1e-300).log()).sum())),
    }
    if is_picture(vae):
        return {**told, "sheet": sheet(vae, x, len(x))}
    return {**told, "names": column_names(vae)[:COLUMNS], "values": plain(x[:, :COLUMNS], DIGITS)}


def worst(vae: VAE, served: Served, judged: PerDatum) -> dict[str, Any]:
    """The rows with the lowest log p, measured again with many draws: the few that found them were unlucky too."""
    order = judged.iwae.argsort()[: fitting(vae, WORST * 2) // 2 or 1 if is_picture(vae) else WORST]
    rows = at(served.judged, order.numpy())
    with drawing_from(stream(vae.seed_, "report", "worst")):
        again = evaluate(vae.model_, rows, WORST_DRAWS)
    x, mean = vae.seen(rows), vae.reconstruct(rows)
    spread = np.maximum(vae.seen(served.spread).std(0), 1e-12)
    names, labels = column_names(vae), served.labels_at(rows)
    told = []
    for i in range(len(rows)):
        far = np.argsort(-np.abs(x[i] - mean[i]) / spread, kind="stable")[:3]
        told.append(
            {
                "row": int(rows.numbers[i]) if rows.numbers is not None else int(order[i]),
                "label": labels[i] if labels else None,
                "elbo": float(again.elbo[i]),
                "iwae": float(again.iwae[i]),
                "reconstruction": float(again.reconstruction[i]),
                "kl": float(again.kl[i]),
                "columns": []
                if is_picture(vae)
                else [
                    {"name": names[j], "real": plain(x[i, j], DIGITS), "again": plain(mean[i, j], DIGITS)} for j in far
                ],
            }
        )
    told.sort(key=lambda one: one["iwae"])
    n = len(judged.iwae)
    kept = {"rows": told, "of": n, "draws": WORST_DRAWS, "mean_iwae": float(judged.iwae.mean())}
    if is_picture(vae):
        place = {int(r): i for i, r in enumerate(rows.numbers.tolist() if rows.numbers is not None else order.tolist())}
        by = [place[one["row"]] for one in told]
        kept |= {"real": sheet(vae, x[by], len(x)), "again": sheet(vae, mean[by], len(x))}
    return kept


def columns(vae: VAE, served: Served) -> dict[str, Any] | None:
    """Distribution of each column: data beside as many draws from the model, the least alike first."""
    if is_picture(vae):
        return None
    x = vae.seen(served.spread)
    new = vae.sample(len(x), draw=True, seed=vae.seed_)
    distance = np.array([_distance(x[:, j], new[:, j]) for j in range(x.shape[1])])
    names, told = column_names(vae), []
    for j in np.argsort(-distance, kind="stable")[:COLUMNS]:
        low, high = (
            min(x[:, j].min(), *np.percentile(new[:, j], [0.5])),
            max(x[:, j].max(), *np.percentile(new[:, j], [99.5])),
        )
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
        told.append(
            {
                "name": names[j],
                "mean": [_mean(x[:, j]), _mean(new[:, j])],
                "spread": plain([x[:, j].std(), new[:, j].std()], 4),
                "distance": float(distance[j]),
                "edges": plain(edges, 5),
                "data": plain(np.histogram(x[:, j], edges)[0] / len(x), 4),
                "model": plain(np.histogram(new[:, j], edges)[0] / len(new), 4),
            }
        )
    return {"columns": told, "of": x.shape[1], "rows": len(x), "by_chance": 1.36 * math.sqrt(2 / len(x))}


def _mean(x: np.ndarray) -> dict[str, Any]:
    """A mean with its standard error."""
    return Measure.mean_of(torch.from_numpy(x), "data units").to_json()


def _distance(x: np.ndarray, y: np.ndarray) -> float:
    """Largest difference of the two distribution functions (Kolmogorov-Smirnov)."""
    every = np.sort(np.concatenate([x, y]))
    one, two = (np.searchsorted(np.sort(v), every, side="right") / len(v) for v in (x, y))
    return float(np.abs(one - two).max())
