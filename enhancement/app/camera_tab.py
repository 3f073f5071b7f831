"""The tab Camera: the visitor's own camera, enhanced live."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

import cv2
import gradio as gr
from gradio.data_classes import ImageData

from enhancement.app.photograph_tab import strength_slider
from enhancement.app.video_tab import network_list
from enhancement.app.videos import Rate
from enhancement.app.workplace import PRIVATE, Workplace, status
from enhancement.errors import UserError
from enhancement.inference.frames import Frame
from enhancement.weights.shipped import DEFAULT_FOR_VIDEO

INVITATION = "Allow the camera, and press the round button to begin."
EVERY = 0.04  # seconds between two frames, at least
AT_ONCE = 8  # cameras


def frames_alone(preprocess: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What an image component makes of a camera's frames, and None of a file that a request names.

    Args:
        preprocess: Of the component.
    """

    def take(payload: ImageData | None) -> Any:
        if payload is None or payload.path or not (payload.url or "").startswith("data:"):
            return None
        return preprocess(payload)

    return take


def camera_tab(place: Workplace) -> None:
    """Build the tab."""
    with gr.Row():
        network = network_list(place, DEFAULT_FOR_VIDEO)
        strength = strength_slider()
    said = gr.HTML(status(INVITATION), elem_id="camera-status")
    with gr.Row():
        camera = gr.Image(
            label="Camera",
            sources=["webcam"],
            streaming=True,
            webcam_options=gr.WebcamOptions(mirror=False),
            elem_id="camera",
        )
        camera.preprocess = frames_alone(camera.preprocess)  # type: ignore[method-assign, assignment]
        live = gr.HTML("<p>Enhanced frames come here.</p>", container=True, elem_id="live")
    rate = gr.State(None)

    def enhance(frame: Frame | None, network: str, strength: float, rate: Rate | None) -> Any:
        rate = rate or Rate()
        if frame is None:
            return gr.skip(), gr.skip(), rate
        try:
            done = place.networks[network](frame, strength)
        except UserError as error:
            return gr.skip(), status("", [str(error)]), rate
        text = f"{rate.count(time.perf_counter()):.1f} frames a second"
        return as_html(done), status(text), rate

    camera.stream(
        enhance,
        [camera, network, strength, rate],
        [live, said, rate],
        stream_every=EVERY,
        time_limit=None,
        concurrency_limit=AT_ONCE,
        show_progress="hidden",
        **PRIVATE,
    )


def as_html(frame: Frame) -> str:
    """A frame inside the page itself, so that no file of it is made."""
    _, data = cv2.imencode(".jpg", frame[..., ::-1])
    encoded = base64.b64encode(data.tobytes()).decode()
    return f'<img src="data:image/jpeg;base64,{encoded}" alt="Enhanced frame">'
