"""Numbers that no model can reach: the entropy that binarizing grey values adds."""

from __future__ import annotations

from minamo.errors import EvidenceError
from minamo.evidence.measures import Measure

FLOORS = {"mnist": (45.53, 0.11), "fashion-mnist": (189.86, 0.72)}
"""Mean over the test images of sum_j H(x_j / 255), nats, and its standard error. The bits of a binarized image are
drawn independently given its grey values, so their entropy is part of that of the data, whatever is known besides."""
TOLERANCE = 5.0
"""Standard errors by which a mean over data may pass its floor by chance."""


def refuse_below_floor(name: str, log_p: Measure) -> None:
    """Raise EvidenceError if -log p of binarized data is below the entropy that binarization has put there.

    Args:
        name: of a built-in data set; others have no known floor.
        log_p: a bound on the mean log p(x), nats per datum, of rows that the model was not trained on.
    """
    if name not in FLOORS:
        return
    floor, se = FLOORS[name]
    slack = TOLERANCE * ((log_p.se or 0.0) ** 2 + se**2) ** 0.5
    if -log_p.value < floor - slack:
        raise EvidenceError(
            f"-log p of {-log_p.value:.2f} nats/datum is below {floor:.2f}, the entropy that binarization alone adds "
            f"to {name}: no model can do that, so the number is a bug; check the likelihood and the binarization"
        )
