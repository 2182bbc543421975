"""A slide with its maps and spots in a browser: a live server on loopback, or a folder to host."""
