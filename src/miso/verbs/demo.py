"""stub while the phantom is being made"""
NAME="demo"
def command() -> None:
    """."""
