"""Sections in AnnData and SpatialData files, read element by element."""
