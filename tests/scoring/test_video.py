"""The protocol `video`: flicker and warping error by hand, and the two commands that use it."""

import json
import math

import numpy as np
import pytest
import torch
from helpers import make_clip, picture

from enhancement.errors import UserError
from enhancement.scoring.clips import score_clips
from enhancement.scoring.evaluation import Scorer, Scores
from enhancement.scoring.protocols import VIDEO
from enhancement.scoring.temporal import Clip, Motion, MotionTracker, flicker, warping_error
from enhancement.testing import command as tester

SCENE = torch.from_numpy(picture(0, 96, 140) / 255).permute(2, 0, 1)[None].float()


def moving(step, count=4):
    """A window that slides over a scene."""
    return [SCENE[..., 8:88, i * step : i * step + 112] for i in range(count)]


def gathered(frames, truth):
    clip, motions = Clip(), MotionTracker()
    for frame, gt in zip(frames, truth, strict=True):
        clip.add(frame, motions.follow(gt))
    return clip


def scored(frames, truth):
    score, scores = Scorer(VIDEO, torch.device("cpu")), Scores("video", "made")
    pairs = zip(frames, truth, strict=True)
    named = [(f"a.mp4/{i:06d}.png", {"output": f, "gt": g}) for i, (f, g) in enumerate(pairs)]
    score_clips(named, score, scores)
    return scores


def test_flicker_is_the_variance_of_frame_means_over_the_truths():
    truth = [torch.full((1, 3, 16, 16), level / 255) for level in (100, 104, 100, 104)]
    louder = [torch.full((1, 3, 16, 16), level / 255) for level in (90, 98, 90, 98)]
    assert flicker(gathered(louder, truth), gathered(truth, truth)) == pytest.approx(4)
    still = gathered(truth[:1] * 4, truth)
    assert flicker(still, still) == 1
    assert flicker(gathered(truth, truth), still) == math.inf


def test_motion_explains_a_sliding_window_but_not_flicker():
    truth = moving(3)
    own = warping_error(gathered(truth, truth))
    unaligned = (255 * (truth[1] - truth[0])).square().mean().sqrt().item()
    assert own < 0.25 * unaligned
    blinking = [frame * (1 - 0.2 * (i % 2)) for i, frame in enumerate(truth)]
    assert warping_error(gathered(blinking, truth)) > 3 * own


def test_a_change_of_brightness_of_a_still_scene_is_its_warping_error():
    truth = [SCENE] * 3
    changed = [SCENE * 0.5, SCENE * 0.5 + 10 / 255, SCENE * 0.5]
    assert warping_error(gathered(truth, truth)) == pytest.approx(0, abs=1e-6)
    assert warping_error(gathered(changed, truth)) == pytest.approx(10, abs=0.05)


def test_what_comes_into_view_is_no_warping_error():
    rows, columns = torch.meshgrid(
        torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 8), indexing="ij"
    )
    trusted = torch.ones(1, 8, 8, dtype=torch.bool)
    trusted[0, 2:4, 2:4] = False
    still = Motion(torch.stack((columns, rows), -1)[None].double(), trusted)
    clip, after = Clip(), torch.zeros(1, 3, 8, 8)
    after[..., 2:4, 2:4] = 1
    clip.add(torch.zeros(1, 3, 8, 8), None)
    clip.add(after, still)
    assert warping_error(clip) == 0


def test_a_clip_is_a_row_of_means_over_its_frames():
    truth = moving(2)
    output = [(frame * 0.8).clamp(0, 1) for frame in truth]
    scores = scored(output, truth)
    (row,) = scores.rows
    assert (row.name, list(row.output), row.input) == ("a.mp4", list(VIDEO.names), {})
    each = [VIDEO.score(f, g) for f, g in zip(output, truth, strict=True)]
    assert row.output["psnr"] == pytest.approx(np.mean([one["psnr"] for one in each]))
    assert row.output["ssim"] == pytest.approx(np.mean([one["ssim"] for one in each]))
    assert row.output["flicker"] == pytest.approx(0.64, rel=0.05)
    assert "the ground truth's own warping error is" in scores.notes[0]


def test_what_is_no_clip_is_refused():
    with pytest.raises(UserError, match="expected a clip of two frames or more, but it has one"):
        scored(moving(1, 1), moving(1, 1))
    with pytest.raises(UserError, match="expected frames of one size in a clip"):
        scored([SCENE, SCENE[..., 1:]], [SCENE, SCENE[..., 1:]])


@pytest.fixture
def clips(in_tmp):
    """Two dark clips and their truths, as the layout `surgical_video` has them."""
    for side, factor in (("low", 4), ("high", 1)):
        for name in ("a", "b"):
            frames = [picture(i, 104, 200) // factor for i in range(4)]
            make_clip(in_tmp / "test" / side / f"{name}.mp4", frames)
    return in_tmp


def test_score_takes_two_videos_or_two_folders_of_them(clips, enhance):
    status, out, _ = enhance("score", "test/low/a.mp4", "test/high/b.mp4", "--json")
    found = json.loads(out)
    assert (status, found["protocol"]) == (0, "video")
    assert list(found["mean"]) == list(VIDEO.names)
    status, out, _ = enhance("score", "test/low", "test/high", "--protocol", "video")
    assert "Protocol video, dataset test/high, 2 clips" in out
    make_clip(clips / "short.mp4", [picture(0, 104, 200)] * 3)
    status, _, err = enhance("score", "short.mp4", "test/high/a.mp4")
    assert status == 2
    assert "expected two videos of one length, but short.mp4 has 3 frames, test/high/a.mp4 4" in err


def test_clips_of_a_dataset_are_scored_by_it(clips, capsys):
    given = ["--network", "Gamma", "--dataset", "surgical_video", "--data_root", str(clips)]
    scores, folder = tester.test(tester.parse(given))
    assert [row.name for row in scores.rows] == ["a.mp4", "b.mp4"]
    assert scores.mean()["psnr"] > scores.mean("input")["psnr"]
    assert folder.parent.name == "video"
    scores, _ = tester.test(tester.parse([*given, "--protocol", "basicsr", "--no_reference"]))
    assert len(scores.rows) == 8
    capsys.readouterr()
    for flag in ("--no_reference", "--brightness_levels=0.5"):
        with pytest.raises(UserError, match="is for images one by one, not for protocol video"):
            tester.test(tester.parse([*given, flag]))
