"""Networks: tensor -> tensor, with no idea of what the numbers mean."""

from minamo.nets.base import Net as Net
from minamo.nets.conv import ConvDecoder as ConvDecoder
from minamo.nets.conv import ConvEncoder as ConvEncoder
from minamo.nets.conv import Convolution as Convolution
from minamo.nets.flows import autoregressive as autoregressive
from minamo.nets.flows import coupling as coupling
from minamo.nets.flows import held as held
from minamo.nets.gated import GatedMlp as GatedMlp
from minamo.nets.mlp import Mlp as Mlp
from minamo.nets.residual import ResidualMlp as ResidualMlp
