"""Networks: tensor -> tensor, with no idea of what the numbers mean."""

from minamo.nets.mlp import Mlp as Mlp
