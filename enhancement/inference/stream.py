"""Streams of frames or files: reading, enhancing and writing overlap, in bounded memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def read_ahead(items: Iterable[T], ahead: int = 4) -> Generator[T, None, None]:
    """The same items, fetched ahead by a thread, at most `ahead` of them waiting.

    An error of the source is raised where its item would have come. Closing the iterator ends the
    thread as soon as the source yields its next item.
    """
    waiting: queue.Queue[tuple[str, Any]] = queue.Queue(max(1, ahead))
    stopped = threading.Event()

    def put(message: tuple[str, Any]) -> bool:
        while not stopped.is_set():
            with suppress(queue.Full):
                waiting.put(message, timeout=0.1)
                return True
        return False

    source = iter(items)

    def fetch() -> None:
        try:
            for item in source:
                if not put(("item", item)):
                    return
            put(("end", None))
        except BaseException as error:
            put(("error", error))
        finally:
            getattr(source, "close", lambda: None)()

    thread = threading.Thread(target=fetch, daemon=True, name="read_ahead")
    thread.start()
    try:
        while True:
            kind, value = waiting.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        stopped.set()
        thread.join(timeout=1)


def enhance_frames(
    frames: Iterable[T], enhancer: Callable[[T], R], ahead: int = 4
) -> Generator[R, None, None]:
    """Enhance a stream of frames, in order, in bounded memory.

    Decoding runs in one thread, enhancing in another, and whatever the caller does with a frame
    (encoding it, say) in the caller's own; all three overlap.

    Args:
        frames: RGB frames, from a decoder for example; each its own array, not a reused buffer.
        enhancer: Maps a frame to an enhanced one, a `FrameEnhancer` for example.
        ahead: How many frames may wait before and after the enhancer.

    Raises:
        Exception: Whatever decoding or enhancing raises, in the caller's thread.
    """
    decoded = read_ahead(frames, ahead)
    yield from read_ahead((enhancer(frame) for frame in decoded), ahead)
