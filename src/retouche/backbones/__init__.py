"""Frozen classifiers whose features are compared, and where their published weights are.

VGG and EfficientNet-Lite serve losses; Inception and LPIPS serve tables.
"""

from __future__ import annotations

from retouche.weights.store import Weights

_TORCHVISION = "torchvision's weights (code: BSD-3-Clause; ImageNet's own terms)"
_LPIPS = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1"
# Each hash below is one that many third parties print and that agrees with the start in the publisher's own file name,
# where that has one; VGG19's in full is printed by one third party.
PUBLISHED: dict[str, Weights] = {
    "vgg16": Weights(
        tag="imagenet",
        file="vgg16-397923af.pth",
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        licence=_TORCHVISION,
        trained_on="ImageNet",
        layout="torchvision",
        size_bytes=553_433_881,
    ),
    "vgg19": Weights(
        tag="imagenet",
        file="vgg19-dcbb9e9d.pth",
        url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        licence=_TORCHVISION,
        trained_on="ImageNet",
        layout="torchvision",
        size_bytes=574_673_361,
    ),
    "alexnet": Weights(
        tag="imagenet",
        file="alexnet-owt-7be5be79.pth",
        url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        licence=_TORCHVISION,
        trained_on="ImageNet",
        layout="torchvision",
        size_bytes=244_408_911,
    ),
    "lpips-alex": Weights(
        tag="v0.1",
        file="alex.pth",
        url=f"{_LPIPS}/alex.pth",
        sha256="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        licence="BSD-2-Clause",
        trained_on="BAPPS",
        layout="lpips",
        remark="heads for alexnet",
        size_bytes=6009,
    ),
    "lpips-vgg": Weights(
        tag="v0.1",
        file="vgg.pth",
        url=f"{_LPIPS}/vgg.pth",
        sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        licence="BSD-2-Clause",
        trained_on="BAPPS",
        layout="lpips",
        remark="heads for vgg16",
        size_bytes=7289,
    ),
    "inception": Weights(
        tag="tensorflow-2015",
        file="pt_inception-2015-12-05-6726825d.pth",
        url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        licence="Apache-2.0 (code; ImageNet's own terms)",
        trained_on="ImageNet",
        layout="torchvision's names",
        remark="the network that defines FID",
        size_bytes=95_628_359,
    ),
}
"""Names that `retouche download` takes beside the methods' -> the file."""
