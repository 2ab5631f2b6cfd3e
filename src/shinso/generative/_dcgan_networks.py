"""The two convolutional networks of DCGAN for any size that is 2 to 7 doubled a few times.

Radford, Metz and Chintala 2015, arXiv:1511.06434, section 3: strides instead of pooling, batch normalisation except at
the generator's output and the discriminator's input, no hidden dense layers, ReLU against LeakyReLU(0.2), tanh.
"""

from torch import nn


def doublings(size: int) -> int:
    """How many times the smallest map, at most 7 wide, is doubled to reach `size`."""
    return 0 if size <= 7 or size % 2 else 1 + doublings(size // 2)


def generator_network(latent: int, width: int, channels: int, size: int, kernel: int) -> nn.Sequential:
    """Codes (n, latent) -> pictures (n, channels, size, size) in -1..1; `width` maps before the output."""
    times = doublings(size)
    base, maps = size >> times, width << (times - 1)
    layers: list[nn.Module] = [nn.Unflatten(1, (latent, 1, 1)), nn.ConvTranspose2d(latent, maps, base, bias=False)]
    layers += [nn.BatchNorm2d(maps), nn.ReLU()]
    for _ in range(times - 1):
        layers += [_up(maps, maps // 2, kernel), nn.BatchNorm2d(maps // 2), nn.ReLU()]
        maps //= 2
    return nn.Sequential(*layers, _up(maps, channels, kernel), nn.Tanh())


def discriminator_network(width: int, channels: int, size: int, kernel: int) -> nn.Sequential:
    """Pictures (n, channels, size, size) -> log-odds (n,) that they are real; `width` maps after the input."""
    layers: list[nn.Module] = [_down(channels, width, kernel), nn.LeakyReLU(0.2)]
    maps = width
    for _ in range(doublings(size) - 1):
        layers += [_down(maps, 2 * maps, kernel), nn.BatchNorm2d(2 * maps), nn.LeakyReLU(0.2)]
        maps *= 2
    return nn.Sequential(*layers, nn.Conv2d(maps, 1, size >> doublings(size), bias=False), nn.Flatten(0))


def _up(maps_in: int, maps_out: int, kernel: int) -> nn.ConvTranspose2d:
    """Doubles height and width."""
    padding = (kernel - 1) // 2
    return nn.ConvTranspose2d(maps_in, maps_out, kernel, 2, padding, output_padding=kernel % 2, bias=False)


def _down(maps_in: int, maps_out: int, kernel: int) -> nn.Conv2d:
    """Halves height and width."""
    return nn.Conv2d(maps_in, maps_out, kernel, 2, (kernel - 1) // 2, bias=False)


def initialise(network: nn.Module) -> None:
    """Kernels N(0, 0.02^2); batch normalisation with gains N(1, 0.02^2) and no shift."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)


def count(network: nn.Module) -> int:
    """Trainable numbers."""
    return sum(weight.numel() for weight in network.parameters())
