"""Folders of Space Ranger, of any version, Visium and Visium HD."""
