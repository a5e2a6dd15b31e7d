"""VAE: the scikit-learn face of minamo."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from minamo import model_file, words
from minamo.data import Dataset, Prepare, Rows, as_dataset
from minamo.data.dataset import divisor_for
from minamo.errors import ConfigError, DataError, RunError, one_line
from minamo.evidence import (
    INFORMATION_ROWS,
    MEMORY,
    Comparison,
    Evidence,
    Gaps,
    Kept,
    chunks,
    compare,
    gaps,
    reference,
    rows_at_once,
    summarize,
    surgery,
    weigh,
)
from minamo.evidence.weights import Progress
from minamo.model import LatentVariableModel
from minamo.plan import Plan, build, make_plan, refuse_unsupported, with_prior_alone
from minamo.randomness import drawing_from, stream
from minamo.schema import Schema
from minamo.training import State, computing_on, device_for, device_or_cpu, train
from minamo.training.weighing import fastest
from minamo.warm_start import go_on

ROWS_AT_ONCE = 1024
OF_THE_PRIOR = (
    "prior",
    "components",
    "weighted",
    "max_epochs",
    "learning_rate",
    "clip",
    "batch_size",
    "patience",
    "schedule",
    "compile",
    "precision",
    "device",
)
"""What may be said when a prior is fitted after training."""


class VAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A variational autoencoder, fitted until its validation ELBO, or what else it maximizes, has stopped improving.

    p(z) = N(0, I); a decoder net gives p(x|z); q(z|x) comes from an encoder, unless `posterior` says otherwise.
    Maximizes ELBO = E_q[log p(x|z)] - KL(q(z|x) || p(z)) <= log p(x), nats per datum, summed over columns
    ("Auto-Encoding Variational Bayes", Kingma, Welling, 2013).

    Args:
        latent_dim: width of z; None takes 32, or half the columns where there are fewer than 64.
        likelihood: "auto" looks at the data and takes "bernoulli" for 0/1 or "normal". Continuous: "normal",
            "normal-by-feature", "heteroscedastic-normal", "laplace", "student-t"; in [0, 1]: "continuous-bernoulli";
            8-bit: "logistic"; codes: "categorical"; counts: "poisson", "negative-binomial", either of them
            "zero-inflated-", "beta-binomial".
        scale: sigma of a Normal likelihood, in model units: a positive number is kept (1 is the literature's
            N(xhat, I)), "shared" learns one for all columns, "analytic" sets it to the root mean squared error.
        prior: p(z): "normal" is N(0, I); "mixture" of learned Gaussians; "vamp", a mixture of the posteriors of learned
            pseudo-inputs, which start at data; "coupling" or "autoregressive", a learned flow.
        components: of a mixture or vamp prior.
        weighted: whether a vamp prior learns the weights of its components, too; a mixture always does.
        posterior: "amortized": one encoder names q(z|x); "semi-amortized": a few gradient steps on the row's own ELBO
            follow; "per-datum": every row has a q of its own, no encoder; "exact": p(z|x) itself, for a linear net and
            a Normal likelihood.
        family: of q: "diagonal", "full-covariance" or "flow" (a coupling flow).
        posterior_steps: gradient steps on q for each row of a batch; None takes 5 if semi-amortized, 2 if per-datum.
        objective: what training maximizes, and what judges its epochs: "elbo" = J1 - J2, reconstruction less KL; the
            tighter importance-weighted bound with its plain gradient ("iwae") or the one whose noise vanishes at the
            exact posterior ("dreg"); "beta": J1 - `beta` J2; "free-bits": J1 - sum_j max(`free_bits`, KL_j);
            "capacity": J1 - `beta` |J2 - `capacity`|. The KL_j of latent j, and J2 in the last, are averaged over a
            batch. Whatever it is, `evidence` and `score` report bounds on log p(x).
        beta: weight of the KL for "beta", None takes 4; of its distance for "capacity", None takes 10: the KL comes
            down to the capacity unless J1 would lose more than so many nats with the last one. More slows J1 down.
        free_bits: nats that each latent may carry at no price; None takes 0.1.
        capacity: nats per datum that the KL is led to; None takes 25.
        draws: of z for every row of a step, and of a watched row for "iwae" and "dreg".
        net: "mlp", "gated" (every hidden unit times a sigmoid), "residual", "conv" or "residual-conv" for images, or
            "linear" for an affine encoder and decoder.
        hidden: widths of the hidden layers of the encoder, or channels; the decoder has them in reverse. None takes
            (400, 400), for a gated net (300, 300), for a convolutional one (32, 64).
        binarize: "dynamic" reads grey values in [0, 1] as probabilities and draws 0/1 afresh for every batch,
            "fixed" draws once, "none" leaves the data alone.
        preprocess: "standardize" gives each column mean 0 and variance 1 (densities stay in the units of the
            data), "none" does not, "auto" does it unless all values lie in [0, 1].
        validation: rows held out to judge convergence: a share below 1, or a number; 0 judges on training rows.
        batch_size: rows in a gradient step.
        learning_rate: Adam's; None takes 1e-3, or 6e-3 for a linear net. It falls tenfold at the first two
            plateaus; the third is convergence.
        clip: the largest norm of a step's gradient, that of the mean bound in nats by all weights together: a longer
            one is shortened. None takes it as it is. For runs that diverge; calm ones of the recipes have 10 to 60.
        max_epochs: a cap, for when patience runs out first.
        patience: epochs (but no fewer than 2000 gradient steps) without a clear improvement that make a plateau;
            None trains for max_epochs.
        schedule: of the learning rate: "plateau", or "cosine", which ignores patience: constant for half of max_epochs,
            then down to 1 % along half a cosine.
        warmup: epochs in which the weight of the KL in training rises from 0 to 1, or the capacity from 0 to its
            value; what is judged and reported has its full weight.
        compile: "on" compiles the training step (seconds, once), "off" does not, "auto" does where the steps ahead
            repay it and there is a C++ compiler.
        precision: of the large matrix products in training: "float32", "bf16", which takes a compiled step, or
            "auto", which measures; "tf32" on a graphics card. All else, and everything reported, is float32 or better.
        device: where training and `evidence` are computed: "cpu"; "cuda" or "cuda:1", a graphics card; "auto", a
            card where there is one. The fitted model is on the CPU, and its other methods are, too. A model that
            was fitted on a card is evaluated on the CPU where there is none.
        random_state: seed of split, weights, noise and samples.
        warm_start: `fit` and `plan` of a fitted model go on from its weights with a new optimizer and schedule, so that
            one objective can follow another. Data are read in the units of the first fit; with its `validation` and
            `random_state` the same rows stay held out. What shapes the model must be as it was. The
            weights stay where no epoch is better.

    Attributes:
        model_: the `minamo.model.LatentVariableModel`, float32, holding the best weights.
        notes_: what was chosen from the data, and why.
        stopped_: "converged", or "max_epochs" if the cap came first.
        n_epochs_: how many were trained.
        evidence_: what `evidence` measured last, or None.

    >>> X = np.random.default_rng(0).normal(size=(200, 3)) @ np.diag([3.0, 1.0, 0.1])
    >>> vae = VAE(latent_dim=1, net="linear", max_epochs=5, patience=None).fit(X)
    >>> vae.transform(X).shape, vae.sample(4).shape
    ((200, 1), (4, 3))
    """

    model_: LatentVariableModel
    schema_: Schema
    prepare_: Prepare

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        likelihood: str = "auto",
        scale: float | str = "shared",
        prior: str = "normal",
        components: int = 500,
        weighted: bool = False,
        posterior: str = "amortized",
        family: str = "diagonal",
        posterior_steps: int | None = None,
        objective: str = "elbo",
        beta: float | None = None,
        free_bits: float | None = None,
        capacity: float | None = None,
        draws: int = 1,
        net: str = "mlp",
        hidden: tuple[int, ...] | None = None,
        binarize: str = "none",
        preprocess: str = "auto",
        validation: float = 0.1,
        batch_size: int = 128,
        learning_rate: float | None = None,
        clip: float | None = None,
        max_epochs: int = 10_000,
        patience: int | None = 5,
        schedule: str = "plateau",
        warmup: int = 0,
        compile: str = "auto",
        precision: str = "auto",
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
        warm_start: bool = False,
    ):
        self.latent_dim = latent_dim
        self.likelihood = likelihood
        self.scale = scale
        self.prior = prior
        self.components = components
        self.weighted = weighted
        self.posterior = posterior
        self.family = family
        self.posterior_steps = posterior_steps
        self.objective = objective
        self.beta = beta
        self.free_bits = free_bits
        self.capacity = capacity
        self.draws = draws
        self.net = net
        self.hidden = hidden
        self.binarize = binarize
        self.preprocess = preprocess
        self.validation = validation
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.clip = clip
        self.max_epochs = max_epochs
        self.patience = patience
        self.schedule = schedule
        self.warmup = warmup
        self.compile = compile
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.warm_start = warm_start

    def __sklearn_tags__(self):
        """Declare that float32 in gives float32 out."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _repr_html_(self) -> str | None:
        """Return the card that a notebook shows, or None where scikit-learn is told to display text."""
        if get_config()["display"] != "diagram":
            return None
        from minamo.report.card import card

        return card(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """Return text and card: a notebook asks for these first, and scikit-learn would give its diagram."""
        html = self._repr_html_()
        return {"text/plain": repr(self)} | ({} if html is None else {"text/html": html})

    # -- fitting -------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> VAE:
        """Fit to X, [N, D] or, for images, [N, height, width]; 8-bit values are read as x / 255.

        Raises:
            DataError, ConfigError: the data or a parameter cannot be used (both are ValueErrors).
            TrainingError: the bound was not finite twice.
        """
        # On a copy: where the data or a parameter are refused a fitted model stays what it is.
        plan = self.plan(copy.copy(self)._checked(X, reset=True))
        for note in plan.warnings:
            warnings.warn(note, UserWarning, stacklevel=2)
        for _ in self.train(plan):
            pass
        if self.stopped_ == "max_epochs" and self.patience is not None and self.schedule == "plateau":
            warnings.warn(
                f"stopped by max_epochs={self.max_epochs} before convergence", ConvergenceWarning, stacklevel=2
            )
        return self

    def plan(self, data: Dataset, engine: dict[str, Any] | None = None) -> Plan:
        """Look at the data, choose what is "auto", build the model or take up its weights; nothing is trained yet.

        Args:
            data: all rows.
            engine: `description["engine"]` of a run that goes on, so that it does with the same arithmetic.
        """
        if self.warm_start and hasattr(self, "model_"):
            plan = go_on(self.get_params(), data, self.description_, self.model_, engine)
        else:
            plan = make_plan(self.get_params(), data, engine)
        self._adopt(plan.description, plan.model)
        return plan

    def refit_prior(self, X: Any, prior: str = "mixture", **how: Any) -> VAE:
        """Return a model with this one's decoder and encoder, and another prior fitted to its latents on X.

        An ex-post density: where the aggregated posterior of the training data is not N(0, I), samples of the new
        prior look better and the ELBO of X is higher. It is another model, and its evidence says so.

        Args:
            X: the data that this model was fitted on.
            prior: "mixture", "vamp", "coupling" or "autoregressive".
            how: `components`, and how to train: `max_epochs`, `learning_rate`, `batch_size`, `patience`, `schedule`.

        Raises:
            ConfigError: `how` names what would change the decoder or the encoder, or q is not amortized.
            DataError: X is other data than this model was fitted on.
        """
        check_is_fitted(self)
        vae, plan = self.refit_plan(self._checked(X), {"prior": prior, **how})
        for _ in vae.train(plan):
            pass
        return vae

    def refit_plan(self, data: Dataset, given: dict[str, Any]) -> tuple[VAE, Plan]:
        """Return the model to be, and its plan; see `refit_prior`."""
        params = {k: tuple(v) if isinstance(v, list) else v for k, v in self.description_["params"].items()}
        other = sorted(set(given) - set(OF_THE_PRIOR))
        if other:
            raise ConfigError(f"a prior is refitted with {', '.join(OF_THE_PRIOR)}; leave out {', '.join(other)}")
        if given.get("prior", "normal") == "normal":
            raise ConfigError("prior normal has nothing to be fitted: say mixture, vamp, coupling or autoregressive")
        if params["posterior"] != "amortized":
            # The others look for q under the prior at hand: it would move with it.
            raise ConfigError(f"a prior is refitted where q is amortized; posterior {params['posterior']} would move")
        if data.fingerprint() != self.description_["fingerprint"]:
            raise DataError(f"{data.name} is not the data that the model was fitted on (its fingerprint differs)")
        held = {"likelihood": self.description_["likelihood"], "weighted": False, "warmup": 0, "warm_start": False}
        bound = {"objective": "elbo", "draws": 1, "beta": None, "free_bits": None, "capacity": None}
        vae = VAE(**{**params, **held, **bound, **given})
        plan = with_prior_alone(vae.plan(data), self.model_)
        vae._adopt(plan.description, plan.model)
        return vae, plan

    def train(self, plan: Plan, state: State | None = None) -> Generator[State]:
        """Train `plan`, yielding the state after every epoch; see `minamo.training.train`."""
        last, (objective, judge) = state, words.objective(self.objective, self.get_params())
        device = device_for(self.device)
        how = plan.settings, state, plan.watch_name, objective, judge
        try:
            watched = None if plan.watched is None else plan.watched.on(device)
            with closing(train(plan.model.to(device), plan.rows.on(device), watched, *how)) as running:
                for last in running:
                    yield last
        finally:
            # Interrupted or failed, the model has the best weights so far all the same.
            plan.model.cpu()
            if last is not None:
                self._adopt({**plan.description, "stopped": last.stopped, "epochs": last.epoch}, plan.model)

    def _adopt(self, description: dict[str, Any], model: LatentVariableModel) -> None:
        self.description_ = description
        self.schema_ = Schema.from_json(description["schema"])
        self.prepare_ = Prepare.from_json(description["prepare"])
        self.notes_ = tuple(description["notes"])
        self.seed_ = description["seed"]
        self.stopped_ = description.get("stopped") or "max_epochs"
        self.n_epochs_ = description.get("epochs", 0)
        self.evidence_: Evidence | None = None
        self.model_ = model
        self.n_features_in_ = self.schema_.n_columns
        self._n_features_out = description["latent_dim"]
        if self.schema_.names and all(isinstance(n, str) for n in self.schema_.names):
            self.feature_names_in_ = np.asarray(self.schema_.names, dtype=object)
        else:
            self.__dict__.pop("feature_names_in_", None)

    # -- use -----------------------------------------------------------------------------------------------------

    def transform(self, X: Any) -> np.ndarray:
        """Return posterior means E_q[z], [N, latent_dim]; the same rows give the same answers."""
        rows, model = self.rows(X), self._exact()
        with torch.no_grad():
            size = rows_at_once(model, 1, rows.n_columns)
            means = [model.infer(batch).mean for batch in rows.batches(size, dtype=torch.float64)]
        return _like(torch.cat(means), rows.single)

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Decode z [N, latent_dim] to the mean of p(x|z), [N, D], in data units."""
        check_is_fitted(self)
        given = np.asarray(Z)
        if given.ndim != 2 or given.shape[1] != self._n_features_out or given.dtype.kind not in "fiu":
            raise DataError(f"z must be numbers of shape [N, {self._n_features_out}], got {given.dtype} {given.shape}")
        if not np.isfinite(given).all():
            raise DataError("z must be finite; it holds NaN or infinity")
        model = self._exact()
        with torch.no_grad():
            blocks = [model.likelihood(z).mean for z in torch.from_numpy(given).double().split(ROWS_AT_ONCE)]
        return _like(self.prepare_.to_data(torch.cat(blocks)), given.dtype == np.float32)

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return the decoder mean at the posterior mean of every row, [N, D], in data units."""
        return self.inverse_transform(self.transform(X))

    def sample(self, n: int = 1, *, draw: bool = False, seed: int | None = None) -> np.ndarray:
        """Draw z ~ p(z) and decode, [n, D], in data units.

        Args:
            n: how many.
            draw: False returns decoder means E[x|z], True draws x ~ p(x|z).
            seed: of the draws; default `random_state`.
        """
        check_is_fitted(self)
        if n < 1:
            raise DataError(f"n must be at least 1, got {n}")
        with torch.no_grad(), drawing_from(stream(self.seed_ if seed is None else seed, "sample")):
            # A chunk at a time: the decoder's layers are never held for all n.
            model = self._resting()
            chunks = [model.sample(min(ROWS_AT_ONCE, n - i)) for i in range(0, n, ROWS_AT_ONCE)]
            return torch.cat([self.prepare_.to_data(x.sample() if draw else x.mean) for x in chunks]).numpy()

    def score_samples(self, X: Any, k: int = 100) -> np.ndarray:
        """Return an estimate of log p(x) for each row, [N], nats in data units: IWAE-k, a lower bound in expectation.

        All rows share the k draws of noise, so a row's answer does not depend on its neighbors. For a mean
        over rows with a standard error see `evidence`, where every row has noise of its own.
        """
        rows, model = self.rows(X), self._exact()
        noise = torch.randn(k, 1, self._n_features_out, dtype=torch.float64, generator=stream(self.seed_, "score"))
        found, done = torch.empty(len(rows), dtype=torch.float64), 0
        with torch.no_grad():
            size = rows_at_once(model, k, rows.n_columns)
            for batch in rows.batches(size, dtype=torch.float64):
                q = model.infer(batch)
                log_w = torch.empty(k, len(batch.x), dtype=torch.float64)
                for some in chunks(model, k, batch):
                    log_w[some] = model.draw(batch, some.stop - some.start, noise=noise[some], q=q).log_w
                found[done : done + len(batch.x)] = torch.logsumexp(log_w, 0)
                done += len(batch.x)
        return (found - math.log(k) + rows.log_det).numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`, nats per datum: higher is better."""
        return float(self.score_samples(X).mean())

    def evidence(
        self,
        X: Any,
        k: int | Sequence[int] = 100,
        *,
        seed: int | None = None,
        memory: int = MEMORY,
        progress: Progress | None = None,
        kept: Callable[[str], Kept] | None = None,
    ) -> Evidence:
        """Measure the fitted model on X: ELBO, J1, J2, IWAE-k, active units, with standard errors.

        Args:
            X: the data, or `Rows` that are ready.
            k: draws of z for each row, or a list of such numbers: the bound is reported for each.
            seed: of the draws; default `random_state`.
            memory: bytes that may be held beside model and data.
            progress: see `minamo.evidence.weigh`.
            kept: given the arithmetic in words, where the evaluation goes on from if it is interrupted.
        """
        rows, ks = self.rows(X), sorted({int(each) for each in np.atleast_1d(np.asarray(k))})
        base: int = self.seed_ if seed is None else seed
        with self._on_device(rows) as rows:
            fast, arithmetic = fastest(self.model_, rows, ks[-1], memory, base)
            found = weigh(
                self.model_,
                rows,
                ks,
                seed=base,
                memory=memory,
                progress=progress,
                log_px_z=fast,
                kept=kept(arithmetic) if kept else None,
            )
            with drawing_from(stream(base, "evidence", device=rows.device)):
                carved = surgery(self.model_, rows.spread(INFORMATION_ROWS))
        assert found.per_datum is not None
        self.evidence_ = summarize(
            found.per_datum,
            carved.information,
            ks[-1],
            rows.n_columns,
            self.model_.likelihood,
            self.schema_.unit,
            self.description_.get("forecast"),
            self.description_["params"]["prior"] if self.description_.get("ex_post") else None,
            weighed=found,
            samples=ks,
            marginal=carved.marginal,
            arithmetic=arithmetic,
        )
        return self.evidence_

    def compare(
        self, other: VAE, X: Any, k: int = 100, *, names: tuple[str, str] = ("A", "B"), seed: int | None = None
    ) -> Comparison:
        """Compare this model with another by IWAE-k of the same rows of X, paired; see `minamo.evidence.compare`.

        Raises:
            DataError: X is not the same data to both, see `same_rows`.
        """
        first, second = self.paired([other], X, k, names=names, seed=seed)
        return compare(first, second, names, f"iwae-{k}")

    def paired(
        self,
        others: Sequence[VAE],
        X: Any,
        k: int = 100,
        *,
        names: Sequence[str],
        seed: int | None = None,
        memory: int = MEMORY,
        progress: Progress | None = None,
        known: Tensor | None = None,
    ) -> list[Tensor]:
        """Return IWAE-k of every row of X under this model and each of the others, [N] each, nats in data units.

        All see the same values, and weigh the same noise.

        Args:
            others: models of the same data.
            X: the data, or this model's `Rows`.
            k: draws of z for each row.
            names: of this model and the others, for what is refused.
            seed: of the draws; default `random_state` of this model.
            memory: bytes that may be held beside models and data.
            progress: see `minamo.evidence.weigh`; called for one model after the other.
            known: what `evidence(X, k)` found of this model's rows with the same seed: they are not weighed again.

        Raises:
            DataError: X is not the same data to all, see `same_rows`.
        """
        rows = self.rows(X)
        served = [rows, *(self.same_rows(o, rows, (names[0], name)) for o, name in zip(others, names[1:], strict=True))]
        base: int = self.seed_ if seed is None else seed
        found = [] if known is None else [known]
        for vae, of in list(zip((self, *others), served, strict=True))[len(found) :]:
            with vae._on_device(of) as of:
                found.append(weigh(vae.model_, of, [k], seed=base, memory=memory, progress=progress).bounds[0])
        return found

    def same_rows(self, other: VAE, X: Any, names: tuple[str, str] = ("A", "B")) -> Rows:
        """Serve X to another model so that the densities of both are of the same values.

        The other may standardize otherwise; binarization is drawn once, by this model's seed.

        Raises:
            DataError: see `refuse_unlike`; X is rows that this model was fitted on or held out, if it says which.
        """
        rows = self.rows(X)
        self.refuse_unlike(other, names, own=rows.numbers is not None)
        drawn = other.prepare_.binarize != "none"
        prepare = rows.prepare if drawn else replace(other.prepare_, divisor=rows.prepare.divisor)
        theirs = Rows(rows.x, prepare, rows.index.numpy())
        # The same data have the same numbers, by which a per-datum posterior finds what it knows of a row.
        theirs.numbers = rows.numbers
        return theirs

    def refuse_unlike(self, other: VAE, names: tuple[str, str] = ("A", "B"), own: bool = False) -> None:
        """Refuse a comparison with another model whose numbers would be of something else.

        Args:
            other: the model.
            names: of this one and the other.
            own: the rows are some that this model was fitted on or held out: they must be the other's, too.

        Raises:
            DataError: the columns differ, their names or their order, or the shapes of images; or densities are over
                other units, or only one of the two binarizes; or the data that the models were fitted on.
        """
        prints = [vae.description_["fingerprint"][:16] for vae in (self, other)]
        if own and prints[0] != prints[1]:
            raise DataError(
                f"the rows of {names[0]} are not those of {names[1]}, whose data differ (fingerprint {prints[0]} and "
                f"{prints[1]}): name a SOURCE that neither was trained on, minamo evidence RUN SOURCE --against OTHER"
            )
        mine, theirs = self.schema_, other.schema_
        for what, (first, second) in {
            "columns": [mine.n_columns, theirs.n_columns] if mine.n_columns != theirs.n_columns else mine.apart(theirs),
            "images": [mine.shape, theirs.shape] if len(mine.shape) > 1 < len(theirs.shape) else [None, None],
            "a density over": [reference(vae.model_.likelihood, vae.schema_.unit) for vae in (self, other)],
            "binarization": ["none" if vae.prepare_.binarize == "none" else "drawn" for vae in (self, other)],
        }.items():
            if first != second:
                raise DataError(
                    f"the two models do not see the same data, so their numbers cannot be compared: {names[0]} has "
                    f"{what}: {first}, {names[1]} has {what}: {second}"
                )

    def gaps(
        self, X: Any, k: int = 100, *, seed: int | None = None, progress: Callable[[int], object] | None = None
    ) -> Gaps:
        """Split log p - ELBO on X into approximation and amortization gap, rung by rung; see `minamo.evidence.gaps`."""
        with drawing_from(stream(self.seed_ if seed is None else seed, "gaps")):
            return gaps(self._resting(), self.rows(X), k, progress=progress)

    def seen(self, X: Any) -> np.ndarray:
        """Return X as the model sees it, in data units [N, D]: after binarization, where there is any."""
        rows = self.rows(X)
        if rows.prepare.binarize == "none":
            # Not through the model's units and back: a 0 would come out as -1e-8, a date without its last digits.
            return (rows.x[rows.index].double() / rows.prepare.divisor).numpy()
        return torch.cat([self.prepare_.to_data(batch.x) for batch in rows.batches(ROWS_AT_ONCE)]).numpy()

    def rows(self, X: Any, index: np.ndarray | None = None, own: bool = False) -> Rows:
        """Serve X (or its rows `index`) in model units; binarization is drawn once, by `random_state`.

        Args:
            X: an array, a `Dataset`, or `Rows` that are ready.
            index: which rows, int64; default all.
            own: X is the very data the model was fitted on, so that a per-datum posterior knows its rows.

        Raises:
            SupportError: a value lies outside the support of the likelihood.
        """
        check_is_fitted(self)
        if isinstance(X, Rows):
            return X
        data = self._checked(X)
        refuse_unsupported(
            data, self.description_["likelihood"], self.model_.likelihood.support, self.prepare_.binarize
        )
        prepare = replace(self.prepare_, divisor=data.schema.divisor)
        return Rows(data.x, prepare, index, own).drawn_once(stream(self.seed_, "binarize", data.part))

    # -- files ---------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one safetensors file, whole or not at all."""
        check_is_fitted(self)
        model_file.write(path, self.model_.state_dict(), {"kind": "model", **self.description_})

    @classmethod
    def load(cls, path: str | Path) -> VAE:
        """Read a model from a file that `save` wrote.

        Raises:
            RunError: the file is missing, cut short, not a model, or written by a newer minamo.
        """
        tensors, description = model_file.read(path, "model")
        try:
            params: Any = description["params"]
            hidden = params["hidden"]
            vae = cls(**{**params, "hidden": None if hidden is None else tuple(hidden)})
            # A file may be older than some parameters: their defaults are what it was fitted with.
            description["params"] = {**vae.get_params(), **params}
            model = build(description)
            model.load_state_dict(tensors)
            vae._adopt({k: v for k, v in description.items() if k not in ("kind", "format")}, model)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RunError(f"{path} does not describe a model that this minamo can build: {one_line(error)}") from error
        return vae

    # -- inside --------------------------------------------------------------------------------------------------

    def _checked(self, X: Any, reset: bool = False) -> Dataset:
        """scikit-learn's checks, then ours."""
        if isinstance(X, Dataset):
            return X
        shape = X.shape[1:] if isinstance(X, np.ndarray) else ()
        flat: Any = X.reshape(len(X), -1) if len(shape) > 1 else X
        x: Any = validate_data(self, flat, reset=reset, ensure_min_samples=2 if reset else 1, dtype="numeric")
        if len(shape) > 1:
            x = x.reshape(len(x), *shape)
        names = tuple(getattr(self, "feature_names_in_", ()))
        data = as_dataset(x, "X", kind="table" if names else "array", names=names, divisor=1.0 if names else None)
        if reset:
            return data
        divisor = divisor_for(data, self.schema_, self.description_["range"][1])
        return replace(data, schema=replace(data.schema, divisor=divisor))

    def _exact(self) -> LatentVariableModel:
        """The model in float64: answers for a row then do not depend on which rows stand beside it."""
        return copy.deepcopy(self.model_).cpu().double()

    def _resting(self) -> LatentVariableModel:
        """The model on the CPU: itself, or a copy where training has it on a card at the moment."""
        on_cpu = next(self.model_.parameters()).device.type == "cpu"
        return self.model_ if on_cpu else copy.deepcopy(self.model_).cpu()

    @contextmanager
    def _on_device(self, rows: Rows) -> Iterator[Rows]:
        """Model and rows on the device that was asked for, if it is here, for as long as the block lasts."""
        device, before = device_or_cpu(self.device), next(self.model_.parameters()).device
        self.model_.to(device)
        try:
            with computing_on(device):
                yield rows.on(device)
        finally:
            self.model_.to(before)


def _like(values: Tensor, single: bool) -> np.ndarray:
    """float32 in, float32 out; float64 otherwise."""
    return values.numpy().astype(np.float32 if single else np.float64, copy=False)
