"""Records of the fills without networks; their formulas are in `retouche.fills`."""

from __future__ import annotations

from retouche.fills import classical, exemplar, harmonic, mean
from retouche.methods.method import Fill, Method, Scope

EXEMPLAR = Method(
    title="Exemplar synthesis after Wexler et al. 2007, Barnes et al. 2009, Newson et al. 2014",
    source="https://doi.org/10.1109/TPAMI.2007.60, https://doi.org/10.1145/1531326.1531330, arXiv 1503.05528",
    fill=exemplar.fill,
    scope=lambda config: Scope(side=1024, hole=400, context=1.0, pixel_bytes=700.0),
)


def _whole(title: str, source: str, fill: Fill, context: float = 0.25, pixel_bytes: float = 100.0) -> Method:
    """The record of a fill that sees pictures whole, as large as they are."""
    scope = Scope(side=1 << 20, hole=1 << 20, context=context, pixel_bytes=pixel_bytes)
    return Method(title=title, source=source, fill=fill, scope=lambda config: scope)


_DOI = "https://doi.org/"
HARMONIC = _whole(
    "Harmonic (membrane) interpolation, Perez et al. 2003",
    f"{_DOI}10.1145/882262.882269",
    harmonic.fill,
    pixel_bytes=350.0,
)
MEAN = _whole("Mean colour", "the mean of the known pixels", mean.fill, context=1.0, pixel_bytes=60.0)
TELEA = _whole("Fast marching, Telea 2004 (OpenCV)", f"{_DOI}10.1080/10867651.2004.10487596", classical.telea)
NAVIER_STOKES = _whole(
    "Navier-Stokes, Bertalmio et al. 2001 (OpenCV)", f"{_DOI}10.1109/CVPR.2001.990497", classical.navier_stokes
)
FSR = _whole(
    "Frequency selective reconstruction, Genser et al. 2018 (OpenCV contrib)",
    "https://docs.opencv.org/4.x/dc/d2f/tutorial_xphoto_inpainting.html",
    classical.fsr,
    context=1.0,
)
