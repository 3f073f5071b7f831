"""Datasets rewritten: into an LMDB, or divided into training, validation and test folders."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from enhancement.data.images import decode_image
from enhancement.data.sources import FolderSource
from enhancement.data.splits import split_by_scene
from enhancement.dataset_tools.image_sets import ImageSet
from enhancement.errors import UserError

Progress = Callable[[Any], Iterable[Any]]
AT_ONCE = 500  # images a transaction
ROOM = 1 << 26  # of an LMDB, for what is not images


def new_folder(path: Path) -> Path:
    """A path that nothing is in yet.

    Raises:
        UserError: Something is.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path}: is there already, and not empty; name a new folder")
    return path


def lmdb_keys(source: FolderSource) -> dict[str, str]:
    """Each image's key: its name without the extension.

    Raises:
        UserError: Two images differ in their extension only, or a name has another dot, which
            BasicSR would take for the extension's.
    """
    keys: dict[str, str] = {}
    for name in source.names:
        key = name.rsplit(".", 1)[0]
        if "." in key:
            raise UserError(
                f"{source.where(name)}: BasicSR reads an LMDB's keys up to the first dot; rename it"
            )
        if key in keys:
            raise UserError(f"{source.where(name)}: has the same key as {keys[key]}; rename one")
        keys[key] = name
    return keys


def write_lmdb(folder: str, output: Path, progress: Progress = iter) -> int:
    """Write a folder's images, as they are encoded, with the meta_info.txt that BasicSR reads.

    Args:
        folder: Of images.
        output: A new folder; its name must end in .lmdb.
        progress: Wraps the list of keys, to show how far it is.

    Returns:
        How many images.

    Raises:
        UserError: An image cannot be read, a name does not do, or `output` cannot be written.
    """
    import lmdb

    if output.suffix != ".lmdb":
        raise UserError(f"{output}: expected a name that ends in .lmdb")
    source, output = FolderSource(folder), new_folder(output)
    keys = lmdb_keys(source)
    size = sum(Path(source.where(name)).stat().st_size + 2 * 4096 for name in source.names)
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    lines: list[str] = []
    try:
        partial.mkdir(parents=True)
        with lmdb.open(str(partial), map_size=2 * size + ROOM, writemap=False) as environment:
            transaction = environment.begin(write=True)
            for key in progress(sorted(keys)):
                name = keys[key]
                data = source.encoded(name)
                height, width, channels = decode_image(data, source.where(name)).shape
                transaction.put(key.encode(), data)
                lines.append(f"{name} ({height},{width},{channels}) 1")
                if len(lines) % AT_ONCE == 0:
                    transaction.commit()
                    transaction = environment.begin(write=True)
            transaction.commit()
        (partial / "meta_info.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if output.exists():
            output.rmdir()
        partial.rename(output)
    except (OSError, lmdb.Error) as error:
        raise UserError(f"{output}: cannot be written ({error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(lines)


def split_set(
    chosen: ImageSet, output: Path, shares: dict[str, float], link: bool, progress: Progress = iter
) -> dict[str, int]:
    """Divide a set by scene into OUTPUT/{train,val,test}, pairs and masks together.

    Args:
        chosen: From enhancement/image_sets.py.
        output: A new folder. Each subset keeps the names of the set's own folders ("low", "high"),
            and split.csv says where each image went.
        shares: Subset name to its share; "train" takes the rest.
        link: Make symbolic links instead of copies.
        progress: Wraps the list of samples, to show how far it is.

    Returns:
        Subset name to its number of samples.

    Raises:
        UserError: The set has faults, leaves nothing for a subset, or cannot be written.
    """
    if not all(isinstance(source, FolderSource) for source in chosen.sources):
        raise UserError(f"{chosen.sources[0].root}: an LMDB cannot be divided; name a folder")
    if chosen.faults:
        raise UserError("\n".join(chosen.faults[:10]))
    wanted = {subset: share for subset, share in shares.items() if share}
    if not wanted or min(shares.values()) < 0 or sum(shares.values()) >= 1:
        raise UserError(
            "--val and --test: expected shares from 0 that leave something to train on, but got "
            + " and ".join(str(share) for share in shares.values())
        )
    new_folder(output)
    subsets = split_by_scene(chosen.sources[-1], chosen.scene_names, wanted)
    empty = [subset for subset, indices in subsets.items() if not indices]
    if empty:
        raise UserError(
            f"{chosen.sources[-1].root}: {len(chosen.samples)} images leave none for '{empty[0]}'"
        )
    jobs = [(subset, chosen.samples[i]) for subset, found in subsets.items() for i in found]
    folders = [Path(s.root).name for s in chosen.sources] if len(chosen.sources) > 1 else [""]
    try:
        for subset, sample in progress(jobs):
            for source, name, folder in zip(chosen.sources, sample, folders, strict=True):
                target = output / subset / folder / PurePosixPath(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                if link:
                    target.symlink_to(Path(source.where(name)).resolve())
                else:
                    shutil.copy2(source.where(name), target)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["subset", *chosen.sides])
        writer.writerows([subset, *sample] for subset, sample in jobs)
        (output / "split.csv").write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error})") from error
    return {subset: len(indices) for subset, indices in subsets.items()}
