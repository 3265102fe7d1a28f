"""The encoder of a scene parser: ResNet50 whose last two stages keep their resolution, the judge of LaMa's training.

Network: He et al. 2015 (arXiv 1512.03385) with a stem of three 3x3 convolutions, dilated as in Yu et al. 2017
(arXiv 1705.09914) by CSAILVision/semantic-segmentation-pytorch, whose tensor names these are. The published weights,
`encoder_epoch_20.pth` of `ade20k-resnet50dilated-ppm_deepsup`, were trained on ADE20K.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, for pictures in 0..1; red, green, blue."""
ADDRESS = "http://sceneparsing.csail.mit.edu/model/pytorch/ade20k-resnet50dilated-ppm_deepsup/encoder_epoch_20.pth"


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut."""

    def __init__(self, inputs: int, inner: int, stride: int, dilation: int, widened: bool) -> None:
        super().__init__()
        outputs = 4 * inner
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            if widened
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        result = functional.relu(self.bn1(self.conv1(x)))
        result = functional.relu(self.bn2(self.conv2(result)))
        result = self.bn3(self.conv3(result))
        return functional.relu(result + (x if self.downsample is None else self.downsample(x)))


STAGES = ((64, 3, 1, 1, 1), (128, 4, 2, 1, 1), (256, 6, 1, 1, 2), (512, 3, 1, 2, 4))
"""Inner channels, blocks, stride, dilation of the first block, of the others."""


class SceneEncoder(nn.Module):
    """The frozen encoder.

    Attributes:
        origin: which weights these are
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.origin = "unfilled"
        widths = (3, 64, 64, 128)
        for i in (1, 2, 3):
            self.add_module(f"conv{i}", nn.Conv2d(widths[i - 1], widths[i], 3, 2 if i == 1 else 1, 1, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(widths[i]))
        inputs = widths[-1]
        for number, (inner, blocks, stride, first, others) in enumerate(STAGES, 1):
            result = []
            for block in range(blocks):
                alone = block == 0
                result.append(Bottleneck(inputs, inner, stride if alone else 1, first if alone else others, alone))
                inputs = 4 * inner
            self.add_module(f"layer{number}", nn.Sequential(*result))
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> SceneEncoder:
        """Stays in evaluation: its statistics are those of its weights."""
        return super().train(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of the four stages.

        Args:
            image: (N, 3, H, W), RGB, -1..1

        Returns: (N, 256, H/4, W/4), then 512, 1024 and 2048 channels at an eighth of the size
        """
        x = ((image + 1) / 2 - self.mean) / self.deviation
        for i in (1, 2, 3):
            x = functional.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
        x = functional.max_pool2d(x, 3, 2, 1)
        found = []
        for number in range(1, len(STAGES) + 1):
            x = getattr(self, f"layer{number}")(x)
            found.append(x)
        return found


def random_scene(seed: int = 0) -> SceneEncoder:
    """The encoder with seeded random weights: another judge than the published one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SceneEncoder()
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")
            elif isinstance(layer, Bottleneck):
                nn.init.constant_(layer.bn3.weight, 0.25)  # else features double from block to block
    network.origin = "random"
    return network


class ByResolution(nn.Module):
    """A backbone of five resolutions in the encoder's place, by its last four maps; another loss than the published."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, image: Tensor) -> list[Tensor]:
        """Image (N, 3, H, W), -1..1 -> four maps."""
        return list(self.backbone(image)[1:])
