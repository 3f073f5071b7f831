"""The tab Photographs: one or several, by one or several networks."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

import gradio as gr

from enhancement.app.photographs import Batch, Enhanced
from enhancement.app.workplace import PRIVATE, WAITING, Workplace, status
from enhancement.errors import UserError
from enhancement.inference.pictures import FORMATS
from enhancement.units import readable_bytes
from enhancement.weights.shipped import DEFAULT

KINDS = [*FORMATS, ".avif", ".gif", ".heic", ".heif"]  # that the dialogue for files offers
INVITATION = "Drop photographs, choose networks, and press Enhance."


def photograph_tab(place: Workplace, max_upload: str) -> None:
    """Build the tab."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            files = gr.File(
                label=f"Photographs, of at most {max_upload} each",
                file_count="multiple",
                file_types=KINDS,
                height=150,
                elem_id="photographs",
            )
            chosen = network_boxes(place)
            strength = strength_slider()
            with gr.Row():
                go = gr.Button("Enhance", variant="primary", elem_id="enhance")
                stop = gr.Button("Stop", interactive=False)
        with gr.Column(scale=3, min_width=300):
            said = gr.HTML(status(INVITATION), elem_id="status")
            slider = gr.ImageSlider(
                label="Input and output",
                show_label=False,
                type="filepath",
                interactive=False,
                visible=False,
                max_height=560,
                buttons=["fullscreen"],
                elem_id="comparison",
            )
            border = gr.Slider(
                0,
                100,
                50,
                step=1,
                label="Input to the left, output to the right",
                info="choose a picture below to see it above",
                visible=False,
                elem_id="border",
            )
            gallery = gr.Gallery(
                label="Side by side",
                show_label=False,
                visible=False,
                allow_preview=False,
                height="auto",
                object_fit="contain",
                buttons=[],
                interactive=False,
                elem_id="side-by-side",
            )
            table = gr.HTML(visible=False)
            downloads = gr.File(
                label="Full resolution, PNG", visible=False, interactive=False, elem_id="downloads"
            )
    done = gr.State([])
    outputs = [said, gallery, slider, border, table, downloads, done, go, stop]

    def enhance(
        given: list[str] | None, strength: float, request: gr.Request, *ticked: list[str]
    ) -> Iterator[dict[Any, Any]]:
        wanted = [name for group in ticked for name in group]
        try:
            paths = place.own_files(request, given or [])
            if not paths or not wanted:
                raise UserError("choose at least one photograph and one network")
            folder = place.page(request).new_folder("photographs")
            batch = Batch(paths, wanted, strength, folder)
        except UserError as error:
            yield {said: status("", [str(error)])}
            return

        job = place.start(request, lambda job: batch.enhance(place.networks, job))
        yield {go: gr.update(interactive=False), stop: gr.update(interactive=True)}
        shown = -1
        for _ in job.followed():
            text = batch.current or WAITING
            update: dict[Any, Any] = {said: status(text, batch.faults, batch.share)}
            if len(batch.results) != shown:
                shown = len(batch.results)
                update |= shown_results(batch.results[:shown], len(wanted))
            yield update
        stopped = "Stopped; " if job.cancelled else ""
        ended = f"{stopped}{len(batch.results)} of {batch.total} done"
        yield {  # all of it again: a page in the background may skip what came before
            **shown_results(batch.results, len(wanted)),
            said: status(ended, batch.faults + [job.fault] * bool(job.fault)),
            go: gr.update(interactive=True),
            stop: gr.update(interactive=False),
        }

    def shown_results(results: list[Enhanced], networks: int) -> dict[Any, Any]:
        some, pictures = bool(results), tiles(results)
        last = (str(results[-1].before), str(results[-1].after)) if results else None
        return {
            gallery: gr.update(
                value=[(file, caption) for file, caption, _ in pictures],
                columns=min(4, networks + 1),
                visible=some,
            ),
            slider: gr.update(value=last, visible=some),
            border: gr.update(visible=some),
            table: gr.update(value=as_table(results), visible=some),
            downloads: gr.update(value=[str(one.whole) for one in results], visible=some),
            done: results,
        }

    def choose(results: list[Enhanced], event: gr.SelectData) -> tuple[str, str]:
        one = tiles(results)[event.index][2]
        return str(one.before), str(one.after)

    go.click(enhance, [files, strength, *chosen], outputs, show_progress="hidden", **PRIVATE)
    stop.click(place.stop, queue=False, **PRIVATE)
    gallery.select(choose, done, slider, show_progress="hidden", **PRIVATE)
    border.input(
        lambda at: gr.update(slider_position=at), border, slider, show_progress="hidden", **PRIVATE
    )


def network_boxes(place: Workplace) -> list[gr.CheckboxGroup]:
    """Boxes to tick for every network, those without a file of ours folded away."""
    first, *others = place.networks.groups.items()
    boxes = [_boxes(*first, [DEFAULT])]
    with gr.Accordion("More networks", open=False):
        boxes += [_boxes(heading, choices, []) for heading, choices in others if choices]
    return boxes


def _boxes(heading: str, choices: list[Any], ticked: list[str]) -> gr.CheckboxGroup:
    return gr.CheckboxGroup(
        [(one.label, one.name) for one in choices], value=ticked, label=heading, elem_classes="list"
    )


def strength_slider() -> gr.Slider:
    """How strongly to enhance."""
    return gr.Slider(
        0, 1, 1, step=0.05, label="Strength", info="0 leaves the input as it is, 1 is the output"
    )


def tiles(results: list[Enhanced]) -> list[tuple[str, str, Enhanced]]:
    """The gallery's pictures, each photograph before its outputs: file, caption, whose it is."""
    found: list[tuple[str, str, Enhanced]] = []
    for one in results:
        if not found or found[-1][2].before != one.before:
            found.append((str(one.before), f"{one.name}, input", one))
        found.append((str(one.after), f"{one.network}, {one.seconds:.2f} s", one))
    return found


def as_table(results: list[Enhanced]) -> str:
    """Time and memory of each output, as HTML."""
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(one.name)}</th><td>{html.escape(one.network)}</td>"
        f"<td>{one.seconds:.2f} s</td><td>{readable_bytes(one.memory)}</td></tr>"
        for one in results
    )
    heads = "".join(
        f"<th scope='col'>{head}</th>" for head in ("Photograph", "Network", "Time", "Peak memory")
    )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<div class='scroll'>{table}</div>"
