import pytest
import torch

from lorae.models.networks import build_networks
from lorae.models.resnet import CropSides, PadSides, ResidualBlock


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 5, 7), (3, 32, 40), (1, 8, 17)])
@pytest.mark.parametrize("depth", [1, 2])
def test_images_of_any_sides_go_through_and_come_back(shape, depth):
    encoder, decoder = build_networks("resnet", shape, 6, width=0.25, depth=depth)
    z = encoder(torch.rand(2, *shape))
    assert z.shape == (2, 6)
    assert decoder(z).shape == (2, *shape)


def test_cropping_undoes_padding():
    x = torch.rand(2, 3, 13, 9)
    padded = PadSides()(x)
    assert padded.shape[2:] == (16, 16)
    assert torch.equal(CropSides((13, 9))(padded), x)


def test_a_block_starts_as_the_identity_up_to_a_bias():
    block = ResidualBlock(6)
    x = torch.randn(2, 6, 4, 4)
    change = block(x) - x
    assert torch.allclose(change, change[:1, :, :1, :1].expand_as(change), atol=1e-6)


def test_depth_and_width_change_the_number_of_weights():
    def count(**options):
        pair = build_networks("resnet", (1, 16, 16), 4, **options)
        return sum(parameter.numel() for network in pair for parameter in network.parameters())

    # A block more in each of two networks at 32, 64 and 128 channels.
    blocks = sum(2 * 2 * (9 * c * c + c + 2 * c) for c in (32, 64, 128))
    assert count(depth=2) - count(depth=1) == blocks
    assert count(width=0.5) < count(width=1.0)


def test_a_sigmoid_bounds_pixels_where_asked():
    _, decoder = build_networks("resnet", (1, 16, 16), 4, width=0.25, output="sigmoid")
    pixels = decoder(100 * torch.randn(8, 4))
    assert 0 <= pixels.min() <= pixels.max() <= 1
