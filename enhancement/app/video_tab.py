"""The tab Video: one file by one network, with frames a second while it works."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from enhancement.app.jobs import Job, named
from enhancement.app.photograph_tab import strength_slider
from enhancement.app.videos import Progress, enhance_video_file, plays_in_browsers, target_for
from enhancement.app.workplace import PRIVATE, WAITING, Workplace, status
from enhancement.data.clips import VIDEO_EXTENSIONS
from enhancement.errors import UserError
from enhancement.units import duration
from enhancement.weights.shipped import DEFAULT_FOR_VIDEO

INVITATION = "Drop a video, choose a network, and press Enhance."
KINDS = [*VIDEO_EXTENSIONS]  # that the dialogue for files offers


def video_tab(place: Workplace, max_upload: str) -> None:
    """Build the tab."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            file = gr.File(
                label=f"A video, of at most {max_upload}",
                file_types=KINDS,
                height=150,
                elem_id="video",
            )
            network = network_list(place, DEFAULT_FOR_VIDEO)
            strength = strength_slider()
            smoothing = gr.Slider(
                0, 0.95, 0, step=0.05, label="Steadiness", info="of the brightness; HDRNet only"
            )
            with gr.Row():
                go = gr.Button("Enhance", variant="primary", elem_id="enhance-video")
                stop = gr.Button("Cancel", interactive=False, elem_id="cancel-video")
        with gr.Column(scale=3, min_width=300):
            said = gr.HTML(status(INVITATION), elem_id="video-status")
            player = gr.Video(
                label="Enhanced", visible=False, interactive=False, buttons=[], elem_id="player"
            )
            download = gr.File(
                label="Download", visible=False, interactive=False, elem_id="video-download"
            )

    def enhance(
        given: str | None, network: str, strength: float, smoothing: float, request: gr.Request
    ) -> Iterator[dict[Any, Any]]:
        progress = Progress()
        try:
            if not given:
                raise UserError("choose a video")
            (path,) = place.own_files(request, [given])
            target = target_for(path, network, place.page(request).new_folder("video"))
        except UserError as error:
            yield {said: status("", [str(error)])}
            return

        def work(job: Job) -> None:
            enhance_video_file(
                path, network, place.networks, strength, smoothing, target, progress, job
            )

        job = place.start(request, work)
        yield {
            go: gr.update(interactive=False),
            stop: gr.update(interactive=True),
            player: gr.update(value=None, visible=False),
            download: gr.update(value=None, visible=False),
        }
        for _ in job.followed():
            text = how_far(progress) if job.working else WAITING
            yield {said: status(text, share=progress.share)}
        whole = target.exists()
        played = whole and plays_in_browsers(target)
        yield {
            said: ended(job, progress, named(job.fault, path)),
            go: gr.update(interactive=True),
            stop: gr.update(interactive=False),
            player: gr.update(value=str(target) if played else None, visible=played),
            download: gr.update(value=str(target) if whole else None, visible=whole),
        }

    outputs = [said, player, download, go, stop]
    given = [file, network, strength, smoothing]
    go.click(enhance, given, outputs, show_progress="hidden", **PRIVATE)
    stop.click(place.stop, queue=False, **PRIVATE)


def network_list(place: Workplace, chosen: str) -> gr.Dropdown:
    """One network out of all."""
    every = [one for group in place.networks.groups.values() for one in group]
    return gr.Dropdown([(one.label, one.name) for one in every], value=chosen, label="Network")


def how_far(progress: Progress) -> str:
    """Frames done, frames a second, and the time left where the file says how long it is."""
    if not progress.frames:
        return "Loading"
    done = f"{progress.frames} of {progress.expected}" if progress.expected else progress.frames
    text = f"{done} frames, {progress.rate:.1f} a second"
    left = progress.expected - progress.frames
    return f"{text}, {duration(left / progress.rate)} left" if left > 0 else text


def ended(job: Job, progress: Progress, fault: str) -> str:
    """What is said at the end."""
    if fault:
        return status("", [fault])
    if job.cancelled:
        return status(f"Cancelled after {progress.frames} frames; nothing is kept")
    return status(f"Done: {progress.frames} frames, {progress.rate:.1f} a second")
