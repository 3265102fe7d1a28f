"""Computations that are no layers of a network: linear systems, membranes, structure pictures, patch search."""
