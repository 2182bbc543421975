"""The commands, one a file: the only place that knows Typer or Hydra.

Each has a `NAME` and a `command`; what needs torch is imported inside it, so that `miso --help` is instant.
"""
