"""Convolution whose kernel is divided by its largest singular value.

Source: Miyato et al. 2018 (arXiv 1802.05957). Names (`weight_orig`, `weight_u`, `weight_v`) and rules are those of
torch.nn.utils.spectral_norm, which published files follow: one power iteration per forward in training, none in
evaluation; u and v carry no gradient, sigma does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-12


class SpectralConv2d(nn.Module):
    """A 2-D convolution with spectral normalisation; the image is padded by whoever calls, or with zeros by `padding`.

    Args:
        inputs, outputs: channels
        kernel, stride, padding: as in nn.Conv2d, in pixels
        bias: whether a bias (not normalised) is added
    """

    weight_orig: nn.Parameter
    weight_u: Tensor
    weight_v: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, bias: bool = True
    ) -> None:
        super().__init__()
        plain = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=bias)
        self.stride, self.padding = stride, padding
        self.weight_orig = nn.Parameter(plain.weight.detach())
        self.bias = nn.Parameter(plain.bias.detach()) if plain.bias is not None else None
        self._kept: tuple[list[tuple[int, int, torch.dtype]], list[Tensor], Tensor] | None = None
        matrix = self.weight_orig.flatten(1)
        self.register_buffer("weight_u", functional.normalize(torch.randn(matrix.shape[0]), dim=0, eps=EPSILON))
        self.register_buffer("weight_v", functional.normalize(torch.randn(matrix.shape[1]), dim=0, eps=EPSILON))

    def weight(self) -> Tensor:
        """The normalised kernel; in training one power iteration moves u and v first.

        In evaluation without gradients it is divided once and kept for as long as its three tensors stay as they are.
        """
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._divided()
        tensors = [tensor.detach() for tensor in (self.weight_orig, self.weight_u, self.weight_v)]
        if any(tensor.is_inference() for tensor in tensors):  # these do not record their changes
            return self._divided()
        state = [(tensor.data_ptr(), tensor._version, tensor.dtype) for tensor in tensors]
        if self._kept is None or self._kept[0] != state:
            # the tensors are kept too: no other can get their address
            self._kept = state, tensors, self._divided()
        return self._kept[2]

    @torch.no_grad()
    def export_form(self) -> nn.Module:
        """A plain convolution with the kernel already divided; see `layers.exporting`."""
        outputs, inputs, kernel, _ = self.weight_orig.shape
        plain = nn.Conv2d(inputs, outputs, kernel, self.stride, self.padding, bias=self.bias is not None)
        plain.weight.copy_(self.eval()._divided())
        if plain.bias is not None and self.bias is not None:
            plain.bias.copy_(self.bias)
        return plain.eval()

    def _divided(self) -> Tensor:
        matrix = self.weight_orig.flatten(1)
        if self.training:
            with torch.no_grad():
                v = functional.normalize(matrix.t() @ self.weight_u, dim=0, eps=EPSILON)
                self.weight_u.copy_(functional.normalize(matrix @ v, dim=0, eps=EPSILON))
                self.weight_v.copy_(v)
        # clones: a later forward moves u and v in place while this graph still needs them
        sigma = self.weight_u.clone() @ matrix @ self.weight_v.clone()
        return self.weight_orig / sigma

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight(), self.bias, self.stride, self.padding)
