"""Hydra configurations of `miso train`."""
