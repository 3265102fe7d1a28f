"""Fills without networks, as functions (image, mask, seed) -> filled; their records are in `methods/fills.py`."""
