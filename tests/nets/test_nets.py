"""Shapes, sizes and symmetries of the nets."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from minamo.nets import ConvDecoder, ConvEncoder, GatedMlp, ResidualMlp
from minamo.randomness import drawing_from, stream


@pytest.fixture(autouse=True)
def weights_from_a_stream():
    with drawing_from(stream(0, "nets")):
        yield


@pytest.mark.parametrize("shape", [(28, 28), (7, 13), (1, 5), (9, 6, 3)])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("channels", [(), (4,), (4, 6, 8)])
def test_convolutions_fit_any_image(shape, residual, channels):
    """Any height and width, odd ones too; leading axes are kept; every output has its bias."""
    n = torch.Size(shape).numel()
    encoder = ConvEncoder(shape, 5, channels, residual=residual)
    decoder = ConvDecoder(5, shape, 2, channels[::-1], residual=residual)
    assert encoder(torch.randn(2, 3, n)).shape == (2, 3, 5)
    assert decoder(torch.randn(2, 3, 5)).shape == (2, 3, 2 * n)
    assert decoder.last.bias.shape == (2 * n,)


def test_leading_axes_are_rows():
    """A [K, B, ...] input is K times B rows: each alone gives the same numbers."""
    encoder, decoder = ConvEncoder((6, 5, 3), 4, (3, 4)), ConvDecoder(4, (6, 5, 3), 1, (4, 3))
    x, z = torch.randn(2, 3, 90), torch.randn(2, 3, 4)
    torch.testing.assert_close(encoder(x)[1, 2], encoder(x[1, 2][None])[0])
    torch.testing.assert_close(decoder(z)[1, 2], decoder(z[1, 2][None])[0])


def test_a_color_image_is_read_pixel_by_pixel():
    """Values lie as (height, width, color): a change of one pixel moves only what is near it."""
    encoder = ConvEncoder((32, 32, 3), 4, (3, 3))
    x = torch.zeros(1, 32, 32, 3)
    before = encoder.stages(x.movedim(-1, 1))
    x[0, 2, 29, 1] = 1.0
    moved = (encoder.stages(x.movedim(-1, 1)) - before).abs().sum(1)[0]
    rows, columns = torch.nonzero(moved, as_tuple=True)
    assert rows.max() <= 2
    assert columns.min() >= 6
    # And the flat datum is that image.
    torch.testing.assert_close(encoder(x.flatten(1)), encoder.last(encoder.stages(x.movedim(-1, 1)).flatten(1)))


def test_a_decoder_puts_values_where_an_encoder_reads_them():
    """One latent, one stage: the four sub-pixels of a place lie together, in order."""
    decoder = ConvDecoder(1, (8, 8), 1, (16,))
    with torch.no_grad():
        for p in decoder.parameters():
            p.zero_()
        first: torch.Tensor = decoder.first.bias
        first.view(4, 4, 16)[1, 2, 0] = 50.0  # one place of the small image
        decoder.stages[0][1].subpixels.weight[:, 0, 1, 1] = torch.tensor([1.0, 2.0, 3.0, 4.0])  # type: ignore[index]
    image = decoder(torch.zeros(1, 1)).view(8, 8).detach()
    assert image[2:4, 4:6].flatten().tolist() == [50.0, 100.0, 150.0, 200.0]
    assert float(image.sum()) == 500.0


def test_the_first_number_of_every_pixel_comes_first():
    decoder = ConvDecoder(2, (3, 3, 2), 4, (5,))
    with torch.no_grad():
        decoder.last.bias.copy_(torch.arange(72.0))
        for name, p in decoder.named_parameters():
            if not name.startswith("last"):
                p.zero_()
    parts = decoder(torch.zeros(1, 2)).unflatten(-1, (4, -1))[0]
    assert parts[:, 0].tolist() == [0.0, 18.0, 36.0, 54.0]


def test_a_gated_layer_is_its_formula():
    net = GatedMlp(3, 2, (4,))
    x = torch.randn(5, 3)
    a, b = net.body[0].weight.chunk(2)  # type: ignore[union-attr]
    bias_a, bias_b = net.body[0].bias.chunk(2)  # type: ignore[union-attr]
    h = (x @ a.T + bias_a) * torch.sigmoid(x @ b.T + bias_b)
    torch.testing.assert_close(net(x), net.last(h))


def test_a_residual_layer_is_its_formula():
    net = ResidualMlp(4, 2, (4,))
    x = torch.randn(5, 4)
    block = net.body[0]
    h = x + block.out(functional.silu(block.up(functional.silu(x))))  # type: ignore[operator]
    torch.testing.assert_close(net(x), net.last(functional.silu(h)))
