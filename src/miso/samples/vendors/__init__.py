"""Readers of what vendors and other tools deliver; each ends in a `VendorSection`."""
