"""How a filled picture differs from the true one, as pure functions; units and ranges stand in each docstring.

Pictures are arrays (H, W, 3) in RGB, uint8 (0..255) or floats in 0..1, and holes (H, W) booleans, True = hole. They are
compared in double precision with NumPy alone, without linear algebra libraries, so the same pictures give the same
digits whatever the number of threads. Figures of learned features: `features`, `inception`, `lpips`.
"""

from retouche.metrics.bands import band_error
from retouche.metrics.features import frechet_distance, kernel_distance
from retouche.metrics.pixels import PSNR_CAP, l1, l2, psnr, relative_l1, total_variation
from retouche.metrics.seams import seam_score
from retouche.metrics.similarity import MS_SSIM_SMALLEST, ms_ssim, ssim

__all__ = [
    "MS_SSIM_SMALLEST",
    "PSNR_CAP",
    "band_error",
    "frechet_distance",
    "kernel_distance",
    "l1",
    "l2",
    "ms_ssim",
    "psnr",
    "relative_l1",
    "seam_score",
    "ssim",
    "total_variation",
]
