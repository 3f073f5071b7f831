"""What `--auto_resume` goes on from, and what it refuses (docs/reliability.md)."""

import math
import shutil
import time
from pathlib import Path

import pytest
import torch
from helpers import events, run, run_until, weights

from enhancement.errors import UserError
from enhancement.weights import state_dicts, storage


class TestResuming:
    def options(self, tiny, **changes):
        scheduler = {"type": "CosineAnnealingLR"}
        return tiny(
            train={
                "total_iter": 6,
                "ema_decay": 0.9,
                "scheduler": scheduler,
                "warmup_iter": 3,
                "mixing_augs": {"mixup_beta": 1.2, "use_identity": False},
                **changes,
            },
            val={"val_freq": 3},
        )

    def test_a_continued_run_equals_an_unbroken_one(self, tiny):
        path = self.options(tiny)
        run("--opt", path, "--force_yml", "name=whole")
        state = run_until(path, "broken", 4)
        assert state["iteration"] == 4
        assert run("--opt", path, "--auto_resume", "--force_yml", "name=broken") == 0
        for key in ("params", "params_ema"):
            a, b = (
                state_dicts.read_weights(f"experiments/{n}/models/net_g_latest.pth", key)[0]
                for n in ("whole", "broken")
            )
            assert all(torch.equal(a[k], b[k]) for k in a)
        curves = [
            [(e.step, e.value) for e in events(f"experiments/{n}").Scalars("losses/l_pixel")]
            for n in ("whole", "broken")
        ]
        assert curves[0] == curves[1]

    def test_it_equals_it_where_the_dataset_draws_from_the_processs_random_numbers(self, tiny):
        folder = "datasets/high_low/train"
        block = {
            "type": "PairedImageDataset",
            "dataroot_lq": f"{folder}/low",
            "use_hflip": True,
            "dataroot_gt": f"{folder}/high",
            "io_backend": {"type": "disk"},
            "use_rot": True,
            "layout": None,
            "split": None,
            "val_fraction": None,
        }
        path = tiny(
            datasets={"train": block}, train={"total_iter": 6}, logger={"save_checkpoint_freq": 100}
        )
        run("--opt", path, "--force_yml", "name=whole")
        run_until(path, "broken", 3)
        assert run("--opt", path, "--auto_resume", "--force_yml", "name=broken") == 0
        assert all(torch.equal(v, weights("whole")[k]) for k, v in weights("broken").items())

    def test_a_finished_run_is_left_as_it_is(self, tiny):
        path = self.options(tiny)
        run("--opt", path)
        before = weights()
        assert run("--opt", path, "--auto_resume") == 0
        assert all(torch.equal(before[k], v) for k, v in weights().items())

    def test_an_existing_run_is_never_overwritten_unasked(self, tiny):
        run("--opt", tiny())
        with pytest.raises(UserError, match=r"experiments/tiny: holds a run already; go on with"):
            run("--opt", tiny())

    def test_a_damaged_state_is_named_and_the_one_before_used(self, tiny, in_tmp, capsys):
        path = self.options(tiny)
        run("--opt", path, "--force_yml", "name=whole")
        run_until(path, "tiny", 4)
        states = in_tmp / "experiments/tiny/training_states"
        latest = states / "latest.state"
        latest.write_bytes(latest.read_bytes()[:200])
        assert run("--opt", path, "--auto_resume") == 0
        out = capsys.readouterr().out
        assert "latest.state: is damaged" in out
        assert "Going on from iteration 3" in out
        assert all(torch.equal(v, weights("whole")[k]) for k, v in weights("tiny").items())
        for state in states.glob("*.state"):
            state.write_bytes(b"no")
        with pytest.raises(UserError, match=r"latest\.state: (.|\n)*previous\.state: "):
            run("--opt", path, "--auto_resume")

    def test_total_iter_may_grow_where_the_learning_rate_does_not_follow_it(self, tiny):
        longer = ["--force_yml", "train:total_iter=8"]
        path = tiny(train={"total_iter": 4})
        run("--opt", path)
        assert run("--opt", path, "--auto_resume", *longer) == 0
        run("--opt", path, *longer, "name=whole")
        assert all(torch.equal(v, weights("whole")[k]) for k, v in weights("tiny").items())

    @pytest.mark.parametrize(
        "scheduler",
        [
            {"type": "CosineAnnealingLR", "eta_min": 1e-5},
            {"type": "OneCycleLR", "max_lr": 0.01},
            {"type": "PolynomialLR"},
        ],
        ids=lambda options: options["type"],
    )
    def test_a_schedule_is_stretched_where_it_is_asked_for(self, tiny, capsys, scheduler):
        path = self.options(tiny, scheduler=scheduler, warmup_iter=-1)
        longer = ["--force_yml", "train:total_iter=12"]
        run("--opt", path)
        assert run("--opt", path, "--auto_resume", "--extend", *longer) == 0
        said = capsys.readouterr().out
        assert said.count("The schedule is stretched to train.total_iter 12 from iteration 6") == 1
        run("--opt", path, *longer, "name=whole")
        extended, whole = (
            storage.read(f"experiments/{name}/training_states/latest.state")["optimizers"][0]
            for name in ("tiny", "whole")
        )
        rates = [state["param_groups"][0]["lr"] for state in (extended, whole)]
        assert rates[0] == pytest.approx(rates[1])
        assert run("--opt", path, "--auto_resume", *longer) == 0  # and now it is that long
        assert "stretched" not in capsys.readouterr().out

    def test_an_extension_that_is_killed_at_once_is_stretched_all_the_same(self, tiny, capsys):
        path = self.options(tiny)
        run("--opt", path)
        states = Path("experiments/tiny/training_states")
        shutil.copytree(states, "before")
        longer = ["--auto_resume", "--force_yml", "train:total_iter=12"]
        run("--opt", path, "--extend", *longer)
        shutil.copytree("before", states, dirs_exist_ok=True)
        capsys.readouterr()
        assert run("--opt", path, *longer) == 0
        assert "stretched to train.total_iter 12" in capsys.readouterr().out

    def test_only_a_longer_run_is_an_extension(self, tiny):
        path = self.options(tiny)
        run("--opt", path)
        given = ["--opt", path, "--auto_resume", "--force_yml"]
        with pytest.raises(UserError, match=r"was 6, is 12; --extend stretches the schedule to it"):
            run(*given, "train:total_iter=12")
        with pytest.raises(UserError, match=r"total_iter: was 6, is 5$"):
            run(*given, "train:total_iter=5", "--extend")
        with pytest.raises(UserError, match=r"optim_g\.lr: was 0\.001, is 0\.5$"):
            run(*given, "train:total_iter=12", "train:optim_g:lr=0.5", "--extend")
        with pytest.raises(UserError, match=r"--extend: .* add --auto_resume"):
            run("--opt", path, "--extend")

    @pytest.mark.parametrize(
        "change",
        [
            "train:total_iter=12",
            "train:optim_g:lr=0.5",
            "network_g:type=LNetGIE",
            "train:ema_decay=0",
            "train:scheduler=null",
            "datasets:train:gt_size=16",
            "logger:weights_format=safetensors",
        ],
    )
    def test_other_options_are_refused_and_listed(self, tiny, in_tmp, change):
        path = self.options(tiny)
        run("--opt", path)
        before = (in_tmp / "experiments/tiny/options.yml").read_text()
        key = change.split("=")[0].replace(":", ".")
        with pytest.raises(UserError, match=rf"cannot be continued with other(.|\n)*{key}.*: was"):
            run("--opt", path, "--auto_resume", "--force_yml", change)
        assert (in_tmp / "experiments/tiny/options.yml").read_text() == before

    def test_another_runs_state_must_fit(self, tiny):
        run("--opt", tiny(train={"total_iter": 2}))
        state = "path:resume_state=experiments/tiny/training_states/latest.state"
        with pytest.raises(UserError, match="is at iteration 2, which leaves nothing to train"):
            run("--opt", tiny(), "--force_yml", "name=b", state)
        longer = ["name=c", "train:total_iter=4", state]
        assert run("--opt", tiny(), "--force_yml", *longer) == 0
        with pytest.raises(UserError, match="does not fit this run's options"):
            run("--opt", tiny(), "--force_yml", "network_g:type=LNetGIE", "name=d", *longer[1:])

    def test_another_runs_state_goes_on_at_this_ones_rates(self, tiny):
        run_until(self.options(tiny), "first", 4)
        kept = "path:resume_state=experiments/first/training_states/latest.state"
        path = self.options(tiny, optim_g={"lr": 1e-5}, warmup_iter=-1)
        assert run("--opt", path, "--force_yml", "name=second", kept) == 0
        rates = [e.value for e in events("experiments/second").Scalars("train/learning_rate")]
        cosine = [1e-5 * (1 + math.cos(math.pi * done / 6)) / 2 for done in (4, 5)]
        assert rates == pytest.approx(cosine)
        best = state_dicts.read_weights("experiments/second/models/net_g_best.pth")[1]["best"]
        assert best["iteration"] == 6
        more = self.options(tiny, optim_g={"amsgrad": True})
        with pytest.raises(UserError, match=r"does not fit this .*had another amsgrad"):
            run("--opt", more, "--force_yml", "name=fourth", kept)
        sgd = self.options(tiny, optim_g={"type": "SGD", "lr": 0.1})
        with pytest.raises(UserError, match=r"does not fit this .*its optimiser is no SGD"):
            run("--opt", sgd, "--force_yml", "name=third", kept)

    def test_another_runs_state_without_momentum_does_not_go_on_with_it(self, tiny):
        plain = {"type": "RMSprop", "lr": 1e-4}
        run_until(self.options(tiny, optim_g=plain), "first", 4)
        kept = "path:resume_state=experiments/first/training_states/latest.state"
        path = self.options(tiny, optim_g={**plain, "momentum": 0.9})
        with pytest.raises(UserError, match=r"does not fit this .*had another momentum"):
            run("--opt", path, "--force_yml", "name=second", kept)

    def test_another_runs_state_with_the_same_options_changes_nothing(self, tiny):
        path = self.options(tiny)
        run("--opt", path, "--force_yml", "name=whole")
        run_until(path, "first", 4)
        kept = "path:resume_state=experiments/first/training_states/latest.state"
        assert run("--opt", path, "--force_yml", "name=second", kept) == 0
        assert all(torch.equal(v, weights("whole")[k]) for k, v in weights("second").items())

    def test_another_measure_starts_a_new_best(self, tiny):
        path = self.options(tiny)
        run_until(path, "tiny", 4)
        run("--opt", path, "--auto_resume", "--force_yml", "val:select_by=ssim")
        best = state_dicts.read_weights("experiments/tiny/models/net_g_best.pth")[1]["best"]
        assert (best["metric"], best["iteration"]) == ("ssim", 6)

    @pytest.mark.parametrize("setting", ["val:self_ensemble=true", "val:window_size=8"])
    def test_another_way_to_validate_starts_a_new_best(self, tiny, setting):
        path = self.options(tiny)
        run_until(path, "tiny", 4)
        latest = Path("experiments/tiny/training_states/latest.state")
        state = storage.read(latest)
        state["best"]["value"] = 99.0  # which the same way would never reach
        storage.save(latest, state)
        run("--opt", path, "--auto_resume", "--force_yml", setting)
        best = state_dicts.read_weights("experiments/tiny/models/net_g_best.pth")[1]["best"]
        assert best["value"] < 99

    def test_other_images_are_refused(self, tiny):
        path = self.options(tiny)
        run_until(path, "tiny", 4)
        for side in ("low", "high"):
            folder = Path("datasets/high_low/train", side)
            shutil.copy(next(folder.iterdir()), folder / "new.png")
        with pytest.raises(UserError, match=r"was trained on \d+ images and finds \d+ now; a run"):
            run("--opt", path, "--auto_resume")

    def test_another_validation_set_starts_a_new_best(self, tiny):
        shutil.copytree("datasets/high_low/test", "datasets/high_low/val")
        val = {"name": "mine", "type": "PairedDataset", "layout": "high_low", "split": "val"}
        sets = {"train": {"val_fraction": None}, "val": val}
        path = tiny(datasets=sets, train={"total_iter": 6}, val={"val_freq": 3})
        run_until(path, "tiny", 4)
        for side in ("low", "high"):
            folder = Path("datasets/high_low/val", side)
            shutil.copy(next(folder.iterdir()), folder / "new.png")
        latest = Path("experiments/tiny/training_states/latest.state")
        state = storage.read(latest)
        state["best"]["value"] = 99.0  # which the same set would never reach
        storage.save(latest, state)
        assert run("--opt", path, "--auto_resume") == 0
        best = state_dicts.read_weights("experiments/tiny/models/net_g_best.pth")[1]["best"]
        assert best["value"] < 99
        assert best["iteration"] == 6

    def test_what_does_not_touch_the_weights_may_change(self, tiny):
        path = self.options(tiny)
        run("--opt", path)
        free = ["logger:print_freq=7", "val:val_freq=2", "datasets:train:num_worker_per_gpu=1"]
        assert run("--opt", path, "--auto_resume", "--force_yml", *free) == 0

    def test_basicsrs_own_models_cannot_be_continued(self, tiny):
        path = tiny(model_type="SRModel", val={"metrics": None}, logger={"keep_last": 1})
        run("--opt", path)
        assert [p.name for p in Path("experiments/tiny/models").glob("*.pth")] == ["net_g_2.pth"]
        with pytest.raises(UserError, match="holds weights but no training state"):
            run("--opt", path, "--auto_resume")


def test_another_number_of_processes_may_go_on_and_says_what_that_means(tiny, capsys):
    path = tiny(train={"total_iter": 4})
    run_until(path, "tiny", 2)
    state = storage.read("experiments/tiny/training_states/latest.state")
    file = Path("experiments/tiny/training_states/latest.state")
    storage.save(file, state | {"world_size": 2})
    assert run("--opt", path, "--auto_resume") == 0
    assert "was saved by 2 processes and goes on with 1" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_numbered_checkpoints_are_kept_and_pruned(tiny, in_tmp, kind):
    run("--opt", tiny(train={"total_iter": 12}, logger={"keep_last": 2, "weights_format": kind}))
    folder = in_tmp / "experiments/tiny"
    kept = {
        p.name for p in [*folder.glob("models/net_g*"), *folder.glob("training_states/*.state")]
    }
    assert kept == {
        *(f"net_g_{label}.{kind}" for label in ("best", "latest", 11, 12)),
        "latest.state",
        "previous.state",
        "11.state",
        "12.state",
    }


def test_curves_go_on_in_a_file_that_tensorboard_reads_last(tmp_path):
    """TensorBoard reads the files of a run by name, and names begin with the second."""
    from enhancement.training.tracking import after_event_files

    now = int(time.time())
    (tmp_path / f"events.out.tfevents.{now}.host.99999.0").touch()
    (tmp_path / "events.out.tfevents.odd").touch()
    after_event_files(tmp_path)
    assert int(time.time()) > now
