"""The phantom cohort as vendors deliver it: one file a layout, listed in `catalog`."""
