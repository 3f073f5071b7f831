"""LMDBs for BasicSR's own dataset classes, read as ours are: each page is checked."""

from __future__ import annotations

from basicsr.utils.file_client import BaseStorageBackend

from enhancement.compat import repair_file_client

from .sources import LmdbSource


class LmdbBackend(BaseStorageBackend):
    """What BasicSR's backend of this name does, without the library that trusts the file.

    Args:
        db_paths: The LMDBs.
        client_keys: What each is called in `get`.

    Raises:
        UserError: One of them is no LMDB, cannot be read, or is damaged.
    """

    def __init__(self, db_paths: list[str], client_keys: list[str]):
        self._sources = {
            key: LmdbSource(path) for key, path in zip(client_keys, db_paths, strict=True)
        }

    def get(self, filepath: str, client_key: str) -> bytes:
        """The encoded image of a key, which BasicSR calls its path."""
        return self._sources[client_key].encoded(filepath)

    def get_text(self, filepath: str) -> str:
        """Not offered, as in BasicSR."""
        raise NotImplementedError


repair_file_client(LmdbBackend)
