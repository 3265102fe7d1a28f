"""Parts of the networks that ship with Retouche: residual blocks, attention on a coarse map, sub-pixel enlargement."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.layers import near

SLOPE = 0.1
"""Of the leaky ReLUs on their negative side."""


def activate(x: Tensor, fresh: bool = False) -> Tensor:
    """Leaky ReLU; in place where nobody else needs `x` as it is (a convolution's output, a sum)."""
    return functional.leaky_relu(x, SLOPE, inplace=fresh)


class ResidualBlock(nn.Module):
    """x + conv(activate(conv(activate(x)))), 3x3; the first convolution is dilated."""

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.second(activate(self.first(activate(x)), fresh=True))
        return added.add_(x)

    def at_cells(self, rows: Tensor, cells: near.Spots, between: near.Spots, wanted: near.Spots) -> Tensor:
        """The block's result (K' + SPARE, C) at the wanted cells.

        Args:
            rows: (K + SPARE, C), of `cells`, which hold all that the first convolution reads for those `between`
            between: what the second convolution reads for the wanted ones
        """
        result = near.convolved(activate(rows), cells, between, self.first, slope=SLOPE)
        return near.convolved(result, between, wanted, self.second, onto=(rows, cells))


class AttentionBlock(nn.Module):
    """Self-attention over all positions, then a feed-forward part with a 3x3 depthwise filter; both residual.

    The depthwise filter's zero padding tells positions apart, so that no size is built in.
    Source: Vaswani et al. 2017 (arXiv 1706.03762), pre-normalised; the filter as in Wu et al. 2021 (arXiv 2103.15808)
    """

    def __init__(self, width: int, heads: int, expansion: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.GroupNorm(1, width)
        self.queries_keys_values = nn.Conv2d(width, 3 * width, 1)
        self.merge = nn.Conv2d(width, width, 1)
        self.between = nn.GroupNorm(1, width)
        self.widen = nn.Conv2d(width, expansion * width, 1)
        self.filter = nn.Conv2d(expansion * width, expansion * width, 3, padding=1, groups=expansion * width)
        self.narrow = nn.Conv2d(expansion * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        q, k, v = (
            part.reshape(n, self.heads, c // self.heads, h * w).transpose(2, 3)
            for part in self.queries_keys_values(self.before(x)).chunk(3, 1)
        )
        scale = 1 / math.sqrt(c // self.heads)  # a number to exported graphs, which would compute it
        seen = functional.scaled_dot_product_attention(q, k, v, scale=scale).transpose(2, 3).reshape(n, c, h, w)
        x = x + self.merge(seen)
        return x + self.narrow(activate(self.filter(activate(self.widen(self.between(x)), fresh=True)), fresh=True))


class Doubled(nn.Module):
    """Twice the size by a 1x1 convolution to four times the channels, laid out as 2x2 pixels (arXiv 1609.05158)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(inputs, 4 * outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(self.spread(x), 2)


@torch.no_grad()
def initialise_residual(network: nn.Module, last: nn.Conv2d, share: float = 0.1) -> None:
    """Kernels as of He et al. 2015 (arXiv 1502.01852) and biases 0; branches and the last layer start small.

    Args:
        network: every convolution in it is drawn anew
        last: the convolution that makes the picture
        share: of the usual deviation, for the last layer and for those that close a residual branch
    """
    small: set[nn.Module] = {last}
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            small.add(module.second)
        elif isinstance(module, AttentionBlock):
            small |= {module.merge, module.narrow}
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, a=SLOPE)
            if module in small:
                module.weight.mul_(share)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
