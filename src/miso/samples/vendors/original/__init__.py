"""The original MISO's folder of `.npy` files, read and written."""
