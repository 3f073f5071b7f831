"""The page, of Gradio's components."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from enhancement.app.camera_tab import camera_tab
from enhancement.app.photograph_tab import photograph_tab
from enhancement.app.video_tab import video_tab
from enhancement.app.workplace import PRIVATE, Workplace

STYLE = Path(__file__).parent / "assets" / "page.css"
HEADING = """
<h1>enhancement</h1>
<p>Brightens dark photographs and video. Everything is computed on the machine that this page comes
from, and removed from it when you close the page.</p>
"""
FONTS = ("system-ui", "sans-serif")  # of the visitor's machine: nothing is fetched
STALE = (600, 4 * 3600)  # seconds: how often uploads are looked through, and how old they get


def build_page(place: Workplace, max_upload: str) -> gr.Blocks:
    """The page.

    Args:
        place: Where the work is done.
        max_upload: The largest upload, as text.
    """
    with gr.Blocks(title="enhancement", analytics_enabled=False, delete_cache=STALE) as page:
        gr.HTML(HEADING, elem_id="heading")
        with gr.Tab("Photographs"):
            photograph_tab(place, max_upload)
        with gr.Tab("Video"):
            video_tab(place, max_upload)
        with gr.Tab("Camera"):
            camera_tab(place)

        def arrive(request: gr.Request) -> None:
            place.page(request)

        page.load(arrive, queue=False, **PRIVATE)
        page.has_launched = True  # or Gradio takes any path on this disk as an input
        page.unload(place.leave)
    page.queue(api_open=False, default_concurrency_limit=None)
    return page


def theme_options() -> dict[str, Any]:
    """What `gr.mount_gradio_app` is told of fonts and colours, which contrast by 4.5 at least."""
    theme = gr.themes.Default(
        primary_hue="teal", neutral_hue="slate", font=FONTS, font_mono=("ui-monospace", "monospace")
    ).set(
        color_accent="*primary_700",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        slider_color="*primary_700",
        checkbox_background_color_selected="*primary_700",
        checkbox_border_color_selected="*primary_700",
        body_text_color_subdued="*neutral_600",
        block_info_text_color="*neutral_600",
        block_label_text_color="*neutral_600",
        block_title_text_color="*neutral_700",
    )
    return {"theme": theme, "css_paths": STYLE}
