"""Frozen classifiers whose features are compared, and where their published weights are.

VGG and EfficientNet-Lite serve losses; Inception and LPIPS serve tables.
"""

from __future__ import annotations

from retouche.weights.store import Weights

_TORCHVISION = "torchvision's weights (code: BSD-3-Clause; ImageNet's own terms)"
_LPIPS = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1"


def _imagenet(file: str, sha256: str, size_bytes: int) -> Weights:
    """A classifier of torchvision's."""
    url = f"https://download.pytorch.org/models/{file}"
    return Weights("imagenet", file, url, sha256, _TORCHVISION, "ImageNet", "torchvision", size_bytes=size_bytes)


def _heads(file: str, of: str, sha256: str, size_bytes: int) -> Weights:
    """LPIPS's weights of a classifier's features."""
    url, remark = f"{_LPIPS}/{file}", f"heads for {of}"
    return Weights("v0.1", file, url, sha256, "BSD-2-Clause", "BAPPS", "lpips", remark, size_bytes)


# Each hash below is one that many third parties print and that agrees with the start in the publisher's own file name,
# where that has one; VGG19's in full is printed by one third party.
PUBLISHED: dict[str, Weights] = {
    "vgg16": _imagenet(
        "vgg16-397923af.pth", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", 553_433_881
    ),
    "vgg19": _imagenet(
        "vgg19-dcbb9e9d.pth", "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44", 574_673_361
    ),
    "alexnet": _imagenet(
        "alexnet-owt-7be5be79.pth", "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02", 244_408_911
    ),
    "lpips-alex": _heads(
        "alex.pth", "alexnet", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0", 6009
    ),
    "lpips-vgg": _heads("vgg.pth", "vgg16", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868", 7289),
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
