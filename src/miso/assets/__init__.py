"""Facts that ship with the product."""
