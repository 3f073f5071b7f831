"""`enhance app` without a browser: what it offers, enhances and refuses; whose files are whose."""

import asyncio
import base64
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import make_clip, picture

from enhancement.app.jobs import UNEXPECTED, Job
from enhancement.app.networks import Networks, classic_choices, file_choices, shipped_choices
from enhancement.app.photographs import SHOWN, enhance_photograph
from enhancement.app.videos import Progress, Rate, enhance_video_file, target_for
from enhancement.app.visitors import Visitors
from enhancement.data.images import read_image, write_image
from enhancement.errors import UserError
from enhancement.inference.strength import blend
from enhancement.inference.video_source import VideoSource
from enhancement.memory import PeakUsage
from enhancement.weights.shipped import PURPOSES, shipped_weights


@pytest.fixture(scope="module")
def networks():
    return Networks({"shipped": shipped_choices(), "classics": classic_choices()}, "cpu")


class TestCamera:
    def test_it_takes_frames_and_no_file(self, networks, in_tmp):
        gr = pytest.importorskip("gradio", reason="enhance app needs Gradio")
        from gradio.data_classes import ImageData

        from enhancement.app.camera_tab import camera_tab
        from enhancement.app.workplace import Workplace

        write_image(in_tmp / "secret.png", picture(0))
        encoded = base64.b64encode((in_tmp / "secret.png").read_bytes()).decode()
        address, path = f"data:image/png;base64,{encoded}", str(in_tmp / "secret.png")
        with gr.Blocks() as page:
            camera_tab(Workplace(networks, Visitors(in_tmp)))
        camera = next(b for b in page.blocks.values() if getattr(b, "elem_id", "") == "camera")
        np.testing.assert_array_equal(camera.preprocess(ImageData(url=address)), picture(0))
        for given in ({"path": path}, {"path": path, "url": address}, {"url": path}, {}):
            assert camera.preprocess(ImageData(**given)) is None
        assert camera.preprocess(None) is None

    def test_the_page_takes_no_path_outside_its_folder(self, networks, in_tmp):
        pytest.importorskip("gradio", reason="enhance app needs Gradio")
        from enhancement.app.page import build_page
        from enhancement.app.workplace import Workplace

        page = build_page(Workplace(networks, Visitors(in_tmp)), "1MB")
        assert page.has_launched


def test_a_port_that_is_none_is_refused():
    pytest.importorskip("gradio", reason="enhance app needs Gradio")
    from enhancement.app.server import bind

    with pytest.raises(UserError, match="--port: expected 0 to 65535, but got 99999"):
        bind("127.0.0.1", 99999)


class TestChoices:
    def test_every_shipped_file_is_offered_with_what_it_is_for(self):
        assert PURPOSES.keys() == shipped_weights().keys()
        assert [one.name for one in shipped_choices()] == list(PURPOSES)
        assert shipped_choices()[0].label.startswith("photo: any photograph")

    def test_classics_are_offered(self):
        names = [one.name for one in classic_choices()]
        assert names == ["CAP", "CLAHE", "DCP", "Gamma", "LIME", "MSRCR"]

    def test_files_of_a_folder_are_recognised_or_named(self, in_tmp):
        content = shipped_weights()["lnet_gie_gastroscopy"].read_bytes()
        (in_tmp / "mine.pth").write_bytes(content)
        (in_tmp / "broken.pth").write_bytes(content[:100])
        (in_tmp / "notes.txt").write_text("x")
        torch.save({"strange": torch.zeros(3)}, in_tmp / "strange.pth")
        found, left_out = file_choices(in_tmp)
        assert [one.label for one in found] == ["mine.pth: LNetGIE"]
        assert len(left_out) == 2
        assert "broken.pth" in left_out[0]
        assert "strange.pth: neither names its network" in left_out[1]

    def test_a_folder_that_is_not_there(self, in_tmp):
        with pytest.raises(UserError, match="--folder nowhere: cannot be read"):
            file_choices(Path("nowhere"))

    def test_a_network_that_is_not_offered(self, networks):
        with pytest.raises(UserError, match=r"fhoto: not among the networks here; did you mean"):
            networks["fhoto"]


class TestPhotographs:
    def test_an_image_is_enhanced_in_full_with_time_and_memory(self, in_tmp, networks):
        write_image(in_tmp / "dark.png", picture(0, 60, 2 * SHOWN) // 6)
        done = enhance_photograph(in_tmp / "dark.png", "Gamma", networks, 1.0, in_tmp)
        assert done.whole.name == "dark_Gamma.png"
        whole = read_image(done.whole)
        assert whole.shape[:2] == (60, 2 * SHOWN)
        assert read_image(done.after).shape[:2] == (30, SHOWN)
        assert read_image(done.before).mean() < read_image(done.after).mean()
        assert done.seconds > 0
        assert done.memory >= 0

    def test_strength_blends(self, in_tmp, networks):
        dark = picture(0) // 6
        write_image(in_tmp / "dark.png", dark)
        full, half, none = (
            networks["Gamma"](dark, strength=strength) for strength in (1.0, 0.5, 0.0)
        )
        assert np.array_equal(half, blend(dark, full, 0.5))
        assert np.array_equal(none, dark)

    def test_what_is_no_image(self, in_tmp, networks):
        (in_tmp / "text.png").write_text("text")
        with pytest.raises(UserError, match=r"text\.png: cannot be read as an image"):
            enhance_photograph(in_tmp / "text.png", "Gamma", networks, 1.0, in_tmp)

    def test_the_memory_limit_is_kept(self, in_tmp):
        limited = Networks({"all": shipped_choices()}, "cpu", "1MB")
        with pytest.raises(UserError, match=r"--max_memory is 1\.0 MB"):
            limited["photo"]


class TestVideo:
    def test_a_video_with_its_progress(self, in_tmp, networks):
        make_clip(in_tmp / "clip.mkv", [picture(i) // 6 for i in range(5)])
        target, progress = target_for(in_tmp / "clip.mkv", "Gamma", in_tmp), Progress()
        job = Job(lambda job: None, threading.Lock())
        enhance_video_file(in_tmp / "clip.mkv", "Gamma", networks, 1.0, 0.0, target, progress, job)
        assert target.name == "clip_Gamma.mkv"
        assert len(list(VideoSource(target))) == 5
        assert (progress.frames, progress.share) == (5, 1.0)
        assert progress.rate > 0

    def test_cancelling_keeps_nothing(self, in_tmp, networks):
        make_clip(in_tmp / "clip.mp4", [picture(i) // 6 for i in range(5)])
        target = target_for(in_tmp / "clip.mp4", "Gamma", in_tmp)

        def work(job):
            job.cancel()
            enhance_video_file(
                in_tmp / "clip.mp4", "Gamma", networks, 1.0, 0.0, target, Progress(), job
            )

        job = Job(work, threading.Lock())
        assert list(job.followed())
        assert not job.fault
        assert [path.name for path in in_tmp.iterdir()] == ["clip.mp4"]

    def test_smoothing_needs_a_grid(self, in_tmp, networks):
        with pytest.raises(UserError, match="or leave smoothing at 0"):
            networks.load("Gamma", smoothing=0.5)

    def test_other_formats_become_mp4(self, in_tmp):
        assert target_for(in_tmp / "a.wmv", "x.pth", in_tmp).name == "a_x.mp4"

    def test_a_cameras_rate_is_that_of_the_last_frames(self):
        rate = Rate()
        assert rate.count(0.0) == 0
        for i in range(1, 100):
            last = rate.count(i / 10)
        assert last == pytest.approx(10)


class TestJobs:
    def test_one_after_the_other(self):
        turn, working, most = threading.Lock(), [], []

        def work(job):
            working.append(job)
            most.append(len(working))
            time.sleep(0.05)
            working.remove(job)

        jobs = [Job(work, turn) for _ in range(3)]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        assert most == [1, 1, 1]

    def test_one_that_waits_can_be_cancelled(self):
        turn, done = threading.Lock(), []
        with turn:
            job = Job(done.append, turn)
            job.start()
            job.cancel()
            job.join(5)
        assert not job.is_alive()
        assert not done

    def test_faults_are_a_line_and_defects_have_no_traceback_on_the_page(self, capsys):
        def mistake(job):
            raise UserError("not an image")

        def defect(job):
            raise KeyError("secret")

        faults = []
        for work in (mistake, defect):
            job = Job(work, threading.Lock())
            list(job.followed())
            faults.append(job.fault)
        assert faults == ["not an image", UNEXPECTED]
        assert "KeyError: 'secret'" in capsys.readouterr().err


class TestVisitors:
    def test_files_belong_to_the_browser_that_brought_or_got_them(self, in_tmp):
        visitors = Visitors(in_tmp)
        mine = visitors.session("me", "1").new_folder("photographs") / "out.png"
        assert visitors.may_read("me", str(mine))
        assert not visitors.may_read("you", str(mine))
        visitors.uploaded("me", [str(in_tmp / "abc/in.png")])
        assert visitors.may_read("me", str(in_tmp / "abc/in.png"))
        assert not visitors.may_read("you", str(in_tmp / "abc/in.png"))

    @pytest.mark.parametrize("path", ["/etc/passwd", "http://host/x", "", "{own}/../../other/x"])
    def test_nothing_else_can_be_read(self, in_tmp, path):
        visitors = Visitors(in_tmp)
        own = visitors.session("me", "1").folder
        assert not visitors.may_read("me", path.format(own=own))

    def test_a_session_of_the_same_name_is_another_browsers_own(self, in_tmp):
        visitors = Visitors(in_tmp)
        assert visitors.session("me", "1").folder != visitors.session("you", "1").folder

    def test_closing_the_page_removes_its_files(self, in_tmp):
        visitors = Visitors(in_tmp)
        shared, own = in_tmp / "a/shared.png", in_tmp / "b/own.png"
        for path in (shared, own):
            path.parent.mkdir()
            path.write_text("")
        for who in ("me", "you"):
            visitors.session(who, "1").new_folder("video")
            visitors.uploaded(who, [str(shared)])
        visitors.uploaded("me", [str(own)])
        visitors.session("me", "2")
        visitors.leave("me", "1")
        assert own.exists()  # another page of the same browser is open
        visitors.leave("me", "2")
        assert not own.exists()
        assert shared.exists()
        visitors.leave("you", "1")
        assert not shared.exists()
        assert {path.name for path in in_tmp.iterdir()} == {"a", "b"}

    def test_closing_a_page_removes_what_is_left_of_broken_uploads(self, in_tmp):
        visitors, long_ago = Visitors(in_tmp), time.time() - 3600
        for name in ("broken", "arriving", "whole/a.png"):
            (in_tmp / name).parent.mkdir(exist_ok=True)
            (in_tmp / name).write_text("")
        for name in ("broken", "whole/a.png"):
            os.utime(in_tmp / name, (long_ago, long_ago))
        visitors.session("me", "1")
        visitors.leave("me", "1")
        assert not (in_tmp / "broken").exists()
        assert (in_tmp / "arriving").exists()
        assert (in_tmp / "whole/a.png").exists()

    def test_jobs_end_before_the_server_does(self, in_tmp):
        visitors, begun = Visitors(in_tmp), threading.Event()

        def work(job):
            begun.set()
            while True:
                job.check()
                time.sleep(0.01)

        page = visitors.session("me", "1")
        page.job = Job(work, threading.Lock())
        page.job.start()
        assert begun.wait(10)
        visitors.close()
        assert not page.job.is_alive()
        assert not page.folder.exists()

    def test_a_new_run_replaces_the_one_before(self, in_tmp):
        page = Visitors(in_tmp).session("me", "1")
        old, other = page.new_folder("photographs"), page.new_folder("video")
        new = page.new_folder("photographs")
        assert (old.exists(), new.exists(), other.exists()) == (False, True, True)


def test_peak_usage_sees_what_was_freed_again():
    with PeakUsage(torch.device("cpu")) as usage:
        np.ones(8 << 20, np.uint8).sum()
        big = np.ones(64 << 20, np.uint8)
        time.sleep(0.05)
        del big
    assert 60 << 20 < usage.bytes < 200 << 20


class TestServer:
    def test_an_address_instead_of_an_upload_is_not_fetched(self, in_tmp, networks, monkeypatch):
        pytest.importorskip("gradio", reason="enhance app needs Gradio")
        import safehttpx
        from gradio import Image, processing_utils

        from enhancement.app.server import build_app

        asked = []
        monkeypatch.setattr(safehttpx, "get", lambda url, **_: asked.append(url))
        monkeypatch.setattr(
            processing_utils, "async_ssrf_protected_get", processing_utils.async_ssrf_protected_get
        )
        monkeypatch.setenv("GRADIO_TEMP_DIR", "")
        build_app(networks, in_tmp, "1MB")
        address = "http://example.com/a.png"
        with pytest.raises(UserError, match="this server fetches no addresses"):
            processing_utils.save_url_to_cache(address, str(in_tmp))
        with pytest.raises(UserError, match="this server fetches no addresses"):
            asyncio.run(Image().async_move_resource_to_block_cache(address))
        assert asked == []


class TestCommand:
    def test_without_gradio(self, enhance, monkeypatch):
        monkeypatch.setattr("enhancement.commands.app.find_spec", lambda name: None)
        status, out, err = enhance("app")
        assert (status, out) == (2, "")
        assert err == "error: enhance app needs Gradio: pip install -e '.[app]'\n"

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            (["--max_upload", "big"], "expected memory as 4GB or 500MB, but got 'big'"),
            (["--device", "tpu"], "--device: expected auto, cpu"),
            (["--folder", "nowhere"], "--folder nowhere: cannot be read"),
        ],
    )
    def test_a_mistake_is_one_line(self, in_tmp, enhance, flags, said):
        pytest.importorskip("gradio", reason="enhance app needs Gradio")
        status, _, err = enhance("app", *flags)
        assert status == 2
        assert said in err
        assert err.count("\n") == 1

    def test_the_help_needs_no_gradio(self):
        code = "import sys; import enhancement.commands.app; sys.exit('gradio' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
