"""Ways out of an HDF5 file, and round in circles: links, storage outside, datasets of other files' parts."""

from pathlib import Path

import h5py

REMEDY = "write it again with what they point to inside"


class LinkError(ValueError):
    """A file reaches outside itself, or into itself; worded on one line."""


def check_hdf5(path: Path) -> None:
    """Refuse a file that reaches outside itself; see `check_links`.

    Raises
    ------
    LinkError
        Naming the first such place.
    OSError
        If it is no HDF5 file.
    """
    with h5py.File(path, "r") as file:
        check_links(file)


def check_links(file: h5py.File) -> None:
    """Refuse soft and external links, groups with two names, and values that lie in other files.

    Nothing is followed. A file's author chooses where links and storage point: to a file of whoever opens
    it, or back to a group that they lie in.

    Raises
    ------
    LinkError
        Naming the first such place.
    """
    groups, seen = [file["/"]], {_address(file["/"])}
    while groups:
        group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a soft link"
                raise LinkError(f"{_shown(group, name)} is {kind}, which is not followed; {REMEDY}")
            if group.get(name, getclass=True) is h5py.Dataset:
                _check_dataset(group[name])
            elif group.get(name, getclass=True) is h5py.Group:
                if (address := _address(group[name])) in seen:
                    raise LinkError(f"the group {_shown(group, name)} is there twice, or within itself")
                seen.add(address)
                groups.append(group[name])


def _check_dataset(dataset: h5py.Dataset) -> None:
    if dataset.external or dataset.is_virtual:
        raise LinkError(f"the values of {_shown(dataset.parent, dataset.name)} lie in other files; {REMEDY}")


def _address(group: h5py.Group) -> int:
    return int(h5py.h5o.get_info(group.id).addr)


def _shown(group: h5py.Group, name: str) -> str:
    return ascii(f"{group.name.rstrip('/')}/{name.rpartition('/')[2]}"[:80])
