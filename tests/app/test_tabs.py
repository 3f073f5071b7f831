"""What the tabs of `enhance app` do when their buttons are pressed, without a browser."""

from types import SimpleNamespace

import pytest
from helpers import make_clip, picture

from enhancement.app.networks import Networks, classic_choices, shipped_choices
from enhancement.app.visitors import COOKIE, Visitors
from enhancement.data.images import read_image, write_image

REQUEST = SimpleNamespace(cookies={COOKIE: "me"}, session_hash="page")


@pytest.fixture
def place(in_tmp):
    pytest.importorskip("gradio", reason="enhance app needs Gradio")
    from enhancement.app.workplace import Workplace

    (in_tmp / "server").mkdir()
    networks = Networks({"shipped": shipped_choices(), "classics": classic_choices()}, "cpu")
    return Workplace(networks, Visitors(in_tmp / "server"))


def press(tab, place, *given):
    """Each update that pressing the tab's button gives, by the components' `elem_id`."""
    import gradio as gr

    with gr.Blocks() as page:
        tab(place, "1MB")
    button = next(event.fn for event in page.fns.values() if event.name == "enhance")
    return [{part.elem_id: value for part, value in update.items()} for update in button(*given)]


class TestPhotographs:
    def test_two_photographs_by_two_networks(self, place, in_tmp):
        from enhancement.app.photograph_tab import photograph_tab

        write_image(in_tmp / "a.png", picture(0))
        (in_tmp / "b.png").write_text("no image")
        paths = [str(in_tmp / name) for name in ("a.png", "b.png")]
        place.visitors.uploaded("me", paths)
        *_, last = press(photograph_tab, place, paths, 1.0, REQUEST, ["Gamma"], ["CLAHE"])
        captions = [caption.split(",")[0] for _, caption in last["side-by-side"]["value"]]
        assert captions == ["a.png", "Gamma", "CLAHE"]
        assert [read_image(path).shape for path in last["downloads"]["value"]] == [(48, 64, 3)] * 2
        assert "2 of 4 done" in last["status"]
        assert last["status"].count("b.png: cannot be read as an image") == 1
        assert str(in_tmp) not in last["status"]
        assert last["enhance"]["interactive"]

    @pytest.mark.parametrize(
        ("given", "ticked", "said"),
        [
            ([], ["Gamma"], "choose at least one photograph and one network"),
            (["a.png"], [], "choose at least one photograph and one network"),
            (["another.png"], ["Gamma"], "the files are not here any more"),
        ],
    )
    def test_what_is_missing_is_said(self, place, in_tmp, given, ticked, said):
        from enhancement.app.photograph_tab import photograph_tab

        write_image(in_tmp / "a.png", picture(0))
        place.visitors.uploaded("me", [str(in_tmp / "a.png")])
        paths = [str(in_tmp / name) for name in given]
        (only,) = press(photograph_tab, place, paths, 1.0, REQUEST, ticked)
        assert said in only["status"]


class TestVideo:
    @pytest.mark.parametrize(("sampling", "played"), [("420", True), ("444", False)])
    def test_a_video_is_offered_and_shown_if_browsers_play_it(
        self, place, in_tmp, sampling, played
    ):
        from enhancement.app.video_tab import video_tab

        path = in_tmp / "in.mp4"
        make_clip(path, [picture(i) for i in range(3)], pixels=f"yuv{sampling}p")
        place.visitors.uploaded("me", [str(path)])
        *_, last = press(video_tab, place, str(path), "Gamma", 1.0, 0.0, REQUEST)
        assert "Done: 3 frames" in last["video-status"]
        assert last["video-download"]["value"].endswith("in_Gamma.mp4")
        assert last["player"]["visible"] is played

    def test_what_is_no_video_is_named(self, place, in_tmp):
        from enhancement.app.video_tab import video_tab

        (in_tmp / "in.mp4").write_text("no video")
        place.visitors.uploaded("me", [str(in_tmp / "in.mp4")])
        *_, last = press(video_tab, place, str(in_tmp / "in.mp4"), "Gamma", 1.0, 0.0, REQUEST)
        assert "in.mp4: cannot be read as a video" in last["video-status"]
        assert not last["player"]["visible"]
