"""Frozen classifiers whose features losses and metrics compare."""
