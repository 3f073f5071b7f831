"""The other streams of a video file: sound, subtitles, attachments and chapters."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from enhancement.data.clips import open_video
from enhancement.errors import UserError
from enhancement.inference.video_source import VideoSource

TEXTS = ("language", "title", "handler_name", "filename", "mimetype")  # others are statistics
ATTACHING = (".mkv",)  # formats that hold files such as fonts
WITHOUT_CHAPTERS = (".avi",)


class Companions:
    """Copies a video file's other streams, packet by packet, without decoding them.

    Args:
        source: The video.
        target: The container to copy to, before its first packet.
        suffix: Of the target's name.
        origin: The time of the source, in seconds, at which the target begins.

    Attributes:
        left_out: A description of each stream that the container does not take.

    Raises:
        UserError: The container does not take the sound.
    """

    def __init__(
        self, source: VideoSource, target: Any, suffix: str, origin: Fraction = Fraction(0)
    ) -> None:
        self.container, self.target, self.origin = open_video(source.path), target, origin
        self.targets: dict[int, Any] = {}
        self.left_out: list[str] = []
        try:
            for stream in self.container.streams:
                if stream.index != source.stream.index:
                    self._take(stream, suffix)
            self._take_chapters(suffix)
        except Exception:
            self.close()
            raise
        streams = [s for s in self.container.streams if s.index in self.targets]
        flowing = [s for s in streams if s.type != "attachment"]
        self.packets = (
            packet
            for packet in (self.container.demux(*flowing) if flowing else ())
            if packet.dts is not None
        )
        self.waiting = next(self.packets, None)

    def _take(self, stream: Any, suffix: str) -> None:
        """Give the target a stream like this one."""
        takes = {"audio": True, "subtitle": True, "attachment": suffix in ATTACHING}
        if not takes.get(stream.type):
            self.left_out.append(_described(stream))
            return
        try:
            made = self.target.add_stream_from_template(stream)
        except ValueError:
            if stream.type == "audio":
                raise UserError(
                    f"{suffix} does not take {_described(stream)}; name an .mkv file, which does"
                ) from None
            self.left_out.append(_described(stream))
            return
        copy_description(stream, made)
        self.targets[stream.index] = made

    def _take_chapters(self, suffix: str) -> None:
        chapters = self.container.chapters()
        if chapters and suffix in WITHOUT_CHAPTERS:
            self.left_out.append("chapters")
        elif chapters:
            self.target.set_chapters(chapters)

    def copy_until(self, seconds: float) -> None:
        """Copy the packets that begin before a time."""
        while self.waiting and (self.waiting.dts or 0) * self.waiting.time_base <= seconds:
            self.waiting.stream = self.targets[self.waiting.stream_index]
            if self.origin:
                _move(self.waiting, -self.origin)
            self.target.mux(self.waiting)
            self.waiting = next(self.packets, None)

    def close(self) -> None:
        """Close the file that the streams come from."""
        self.container.close()


def _move(packet: Any, seconds: Fraction) -> None:
    """Move a packet's times."""
    ticks = round(seconds / packet.time_base)
    packet.dts += ticks
    packet.pts = None if packet.pts is None else packet.pts + ticks


def copy_description(stream: Any, made: Any) -> None:
    """Give a stream another's language, title and disposition (default, forced, comment, ...)."""
    made.metadata.update({k: v for k, v in stream.metadata.items() if k.lower() in TEXTS})
    made.disposition = stream.disposition


def _described(stream: Any) -> str:
    """A stream in words: "subtitle 3 (srt, fra)"."""
    codec = stream.codec_context.name if stream.codec_context else None
    said = [codec, *(stream.metadata.get(name) for name in ("language", "filename"))]
    known = ", ".join(text for text in said if text)
    return f"{stream.type} {stream.index}" + (f" ({known})" if known else "")
