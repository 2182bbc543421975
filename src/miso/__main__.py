"""`python -m miso`, the same as `miso`; `torchrun -m miso train …` starts it on several devices."""

from miso.cli import main

if __name__ == "__main__":
    main()
