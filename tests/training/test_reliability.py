"""Runs lose nothing: signals, kills, disks, locks, not-a-numbers (docs/reliability.md)."""

import contextlib
import math
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from copy import deepcopy

import numpy as np
import pytest
import torch
from helpers import ROOT, events, merge, run, run_until, weights

from enhancement.errors import UserError
from enhancement.registry import MODEL_REGISTRY, lookup
from enhancement.training import command as train
from enhancement.training import state
from enhancement.training.interrupt import Interrupt
from enhancement.training.progress import Progress
from enhancement.training.run_folder import locked
from enhancement.weights import state_dicts, storage
from enhancement.weights.state_dicts import read_weights

THREADS = torch.get_num_threads()  # the suite's, which conftest.py sets


class TestNothingIsLost:
    def test_a_loss_that_is_not_a_number_stops_the_run(self, tiny):
        path = tiny(
            train={"total_iter": 20, "optim_g": {"type": "SGD", "lr": 1e30}},
            val={"val_freq": 1},
            logger={"save_checkpoint_freq": 1},
        )
        with pytest.raises(UserError, match=r"iteration \d+: .*10 updates in a row .*is whole"):
            run("--opt", path)
        assert all(v.isfinite().all() for v in weights().values())

    def test_a_bad_image_found_late_loses_no_iteration(self, tiny, in_tmp):
        broken = in_tmp / "datasets/high_low/train/low/2.png"
        whole = broken.read_bytes()
        path = tiny(
            datasets={"train": {"val_fraction": None, "batch_size_per_gpu": 1}},
            logger={"save_checkpoint_freq": 1000},
            train={"total_iter": 9},
        )
        broken.write_bytes(whole[:-60])
        with pytest.raises(UserError, match=r"low/2\.png: cannot be read as an image"):
            run("--opt", path)
        broken.write_bytes(whole)
        assert run("--opt", path, "--auto_resume") == 0

    def test_a_folder_that_holds_nothing_yet_is_free(self, tiny, in_tmp):
        with pytest.raises(UserError, match="leave none for 'val'"):
            run("--opt", tiny(datasets={"train": {"val_fraction": 0.01}}))
        assert not (in_tmp / "experiments").exists()
        assert run("--opt", tiny()) == 0

    def test_super_resolution_by_mistake_is_told(self, tiny):
        edsr = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1}
        with pytest.raises(UserError, match="a super-resolution network needs `upscale: 1`"):
            run("--opt", tiny(network_g=edsr))
        assert run("--opt", tiny(network_g={**edsr, "upscale": 1})) == 0

    def test_warm_up_needs_no_scheduler(self, tiny):
        assert run("--opt", tiny(train={"warmup_iter": 2})) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_clusters_warning_saves_and_says_that_it_can_go_on(tiny, monkeypatch, capsys, number):
    path = tiny(train={"total_iter": 6}, logger={"save_checkpoint_freq": 100})
    step, before = Progress.advance, signal.getsignal(number)

    def advance(self, current):
        if current == 3:
            os.kill(os.getpid(), number)
        return step(self, current)

    monkeypatch.setattr(Progress, "advance", advance)
    assert run("--opt", path) == train.EXIT_RESUMABLE == 75
    assert f"Stopped by {number.name} at iteration 3" in capsys.readouterr().out
    assert signal.getsignal(number) == before
    state = storage.read("experiments/tiny/training_states/latest.state")
    assert state["iteration"] == 3


def test_ctrl_c_finishes_the_iteration_and_says_so(tiny, capsys):
    run_until(tiny(train={"total_iter": 50}), "stopped", 3)
    assert "Stopped by Ctrl-C at iteration 3" in capsys.readouterr().out
    assert weights("stopped")


class KilledError(BaseException):
    """Stands for a kill."""


BOTH = ("whole", "tiny")


@pytest.mark.parametrize("val_freq", [2, 1000])
def test_a_run_killed_before_its_first_checkpoint_goes_on(tiny, monkeypatch, val_freq):
    often = {"val": {"val_freq": val_freq}, "logger": {"save_checkpoint_freq": 1000}}
    path = tiny(train={"total_iter": 4}, **often)
    run("--opt", path, "--force_yml", "name=whole")

    def die(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("enhancement.training.validation.keep_best", die)
        with pytest.raises(KilledError):
            run("--opt", path)
    assert run("--opt", path, "--auto_resume") == 0
    assert all(torch.equal(v, weights("whole")[k]) for k, v in weights().items())
    for label in ("latest", "best"):
        best = [read_weights(f"experiments/{n}/models/net_g_{label}.pth")[1]["best"] for n in BOTH]
        assert best[0] == best[1] is not None
    tag = "metrics/pairs_val/basicsr/psnr"
    curves = [{e.step: e.value for e in events(f"experiments/{n}").Scalars(tag)} for n in BOTH]
    assert curves[0] == curves[1]
    assert curves[0].keys() == ({2, 4} if val_freq == 2 else {4})


def test_a_kill_between_the_last_state_and_its_weights(tiny, monkeypatch):
    path = tiny(train={"total_iter": 4})
    run("--opt", path, "--force_yml", "name=whole")

    def die(saved, label):
        if saved.iteration == 4:
            raise KilledError
        return save_weights(saved, label)

    save_weights = state.save_weights
    with monkeypatch.context() as patch:
        patch.setattr(state, "save_weights", die)
        with pytest.raises(KilledError):
            run("--opt", path)
    assert read_weights("experiments/tiny/models/net_g_latest.pth")[1]["iteration"] == 3
    assert run("--opt", path, "--auto_resume") == 0
    assert all(torch.equal(v, weights("whole")[k]) for k, v in weights().items())


@pytest.mark.parametrize("ignore", [True, False])
def test_a_second_signal_ends_the_process_unless_a_launcher_repeats_them(ignore):
    interrupt = Interrupt(ignore_repeats=ignore)
    try:
        os.kill(os.getpid(), signal.SIGINT)
        with contextlib.nullcontext() if ignore else pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked == "Ctrl-C"
    finally:
        interrupt.close()


def test_a_dead_trainers_workers_do_not_hold_its_lock(in_tmp):
    """A process forked while the lock was held outlives its parent."""
    code = (
        "import os, signal, sys, time\nfrom pathlib import Path\n"
        "from enhancement.training.run_folder import locked\n"
        "with locked(Path('run')):\n"
        "    if os.fork() == 0:\n        time.sleep(8); os._exit(0)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, stdout=subprocess.DEVNULL)
    with locked(in_tmp / "run"):
        pass


def test_two_runs_cannot_share_a_folder(tiny, in_tmp):
    with (
        locked(in_tmp / "experiments/tiny"),
        pytest.raises(UserError, match="experiments/tiny: another process is training in it"),
    ):
        run("--opt", tiny())
    assert not (in_tmp / "experiments").exists()
    assert run("--opt", tiny()) == 0


class TestDisk:
    FULL = (
        "import resource, sys, torch\nfrom enhancement.training import command as train\n"
        "from enhancement.training.progress import Progress\n"
        f"torch.set_num_threads({THREADS})\n"  # sums depend on it in their last bit
        "advance = Progress.advance\n"
        "def fills(self, iteration):\n"
        "    if iteration == 4:\n"  # from now on every write beyond 512 bytes fails
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (512, resource.RLIM_INFINITY))\n"
        "    return advance(self, iteration)\n"
        "Progress.advance = fills\n"
        "sys.exit(train.main())\n"
    )

    def script(self, *command):
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    @pytest.mark.slow
    def test_a_full_one_ends_log_and_curves_with_a_line_and_the_run_at_its_next_save(self, tiny):
        path = tiny(
            train={"total_iter": 8}, val={"val_freq": 3}, logger={"save_checkpoint_freq": 3}
        )
        done = self.script(sys.executable, "-c", self.FULL, "--opt", path)
        assert done.returncode == 2, done.stderr
        assert done.stdout.count("train.log: cannot be written") == 1
        assert done.stdout.count("TensorBoard's file cannot be written") == 1
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("error: experiments/tiny/models/net_g_best.pth: cannot be")
        state = storage.read("experiments/tiny/training_states/latest.state")
        assert state["iteration"] == 3
        run("--opt", path, "--force_yml", "name=whole")
        assert run("--opt", path, "--auto_resume") == 0
        assert all(torch.equal(v, weights("whole")[k]) for k, v in weights().items())

    @pytest.mark.slow
    def test_a_folder_that_is_read_only_is_told_and_nothing_in_it_changes(self, tiny, in_tmp):
        mount = "mount --bind experiments experiments && mount -o remount,bind,ro experiments"
        (in_tmp / "experiments").mkdir()
        if (
            shutil.which("unshare") is None
            or self.script("unshare", "-Urm", "sh", "-c", mount).returncode
        ):
            pytest.skip("no folder can be made read-only here")
        path = tiny(train={"total_iter": 4})
        run_until(path, "tiny", 2)
        before = {p: p.read_bytes() for p in in_tmp.rglob("experiments/**/*") if p.is_file()}
        done = self.script(
            "unshare",
            "-Urm",
            "sh",
            "-c",
            f'{mount} && exec "$@"',
            "sh",
            sys.executable,
            str(ROOT / "basicsr/train.py"),
            "--opt",
            path,
            "--auto_resume",
        )
        assert done.returncode == 2
        assert re.fullmatch(r"error: experiments/tiny: cannot be written \(.*\)\n", done.stderr)
        assert {p: p.read_bytes() for p in before} == before
        assert run("--opt", path, "--auto_resume") == 0


@pytest.mark.slow
def test_the_death_of_a_data_worker_loses_no_iteration(tiny, monkeypatch):
    path = tiny(
        train={"total_iter": 30},
        val={"val_freq": 30},
        logger={"save_checkpoint_freq": 30},
        datasets={"train": {"num_worker_per_gpu": 1}},
    )
    run("--opt", path, "--force_yml", "name=whole")
    step = Progress.advance

    def advance(self, iteration):
        if iteration == 3:
            (worker,) = multiprocessing.active_children()
            worker.kill()
        return step(self, iteration)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "advance", advance)
        with pytest.raises(UserError, match=r"a process that reads images has ended \("):
            run("--opt", path)
    state = storage.read("experiments/tiny/training_states/latest.state")
    assert state["iteration"] >= 3
    assert run("--opt", path, "--auto_resume") == 0
    assert all(torch.equal(v, weights("whole")[k]) for k, v in weights().items())


class TestNotANumber:
    def poison(self, monkeypatch, iterations):
        """Make the loss NaN at these iterations."""
        model = lookup(MODEL_REGISTRY, "EnhancementModel")
        step, seen = model.optimize_parameters, []

        def optimize(self, iteration):
            if iteration in iterations:
                self.lq = self.lq * math.nan
            seen.append({k: v.clone() for k, v in self.net_g.state_dict().items()})
            step(self, iteration)

        monkeypatch.setattr(model, "optimize_parameters", optimize)
        return seen

    def test_a_bad_update_is_skipped_counted_and_logged(self, tiny, monkeypatch, capsys):
        seen = self.poison(monkeypatch, {3})
        run("--opt", tiny(train={"total_iter": 5, "ema_decay": 0.5}, val={"val_freq": 5}))
        text = capsys.readouterr().out
        assert "iteration 3: l_pixel is nan (batch: datasets/high_low/train/low/" in text
        assert "update skipped, 1 in this run" in text
        assert all(torch.equal(seen[2][k], seen[3][k]) for k in seen[2])
        assert not all(torch.equal(seen[3][k], seen[4][k]) for k in seen[3])
        assert all(v.isfinite().all() for v in weights().values())
        assert storage.read("experiments/tiny/training_states/latest.state")["skipped"] == [1, 0]

    def test_running_statistics_are_not_poisoned(self, tiny, monkeypatch):
        self.poison(monkeypatch, {3})
        network = {"type": "HDRNet", "low_resolution": 64, "batch_norm": True}
        run("--opt", tiny(network_g=network, train={"total_iter": 5}))
        assert all(v.isfinite().all() for v in weights().values())

    def test_many_in_a_row_stop_the_run_with_the_last_checkpoint_whole(self, tiny, monkeypatch):
        self.poison(monkeypatch, range(4, 100))
        path = tiny(train={"total_iter": 50, "max_skipped": 3}, val={"val_freq": 50})
        with pytest.raises(UserError, match=r"iteration 6: .*low/.*; 3 updates in a row had to"):
            run("--opt", path)
        state = storage.read("experiments/tiny/training_states/latest.state")
        assert state["iteration"] == 5
        assert all(v.isfinite().all() for v in state["net_g"].values())


class TestKilled:
    """A killed run that is continued equals one that was never killed, bit for bit."""

    DYING = (
        "import os, signal, sys, torch\n"
        f"torch.set_num_threads({THREADS})\n"  # sums depend on it in their last bit
        "from pathlib import Path\n"
        "from enhancement.training import command as train\n"
        "from enhancement.training.progress import Progress\n"
        "place, at = sys.argv[1], int(sys.argv[2])\n"
        "kind, name = {'iteration': (Progress, 'advance'),\n"
        "              'save': (Path, 'replace')}[place]\n"
        "step, calls = getattr(kind, name), []\n"
        "def dying(*arguments):\n"
        "    calls.append(1)\n"
        "    if len(calls) == at:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return step(*arguments)\n"
        "setattr(kind, name, dying)\n"
        "sys.exit(train.run_training(train.parse(sys.argv[3:])))\n"
    )

    FOREIGN = {
        "type": "PairedImageDataset",
        "io_backend": {"type": "disk"},
        "gt_size": 32,
        "dataroot_lq": "datasets/high_low/train/low",
        "dataroot_gt": "datasets/high_low/train/high",
        "use_hflip": True,
        "use_rot": True,
        "layout": None,
        "split": None,
        "val_fraction": None,
    }
    MODELS = {
        "EnhancementModel": {"network_g": {"type": "HDRNet", "low_resolution": 64}},
        "IlluminationModel": {
            "network_g": {
                "type": "HDRNet",
                "low_resolution": 64,
                "mode": "illumination",
                "batch_norm": True,
            },
            "train": {"smooth_opt": {"type": "IlluminationSmoothnessLoss"}},
        },
    }

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("model", "workers", "dataset"),
        [
            ("EnhancementModel", 0, {}),
            ("IlluminationModel", 2, {}),
            ("EnhancementModel", 0, FOREIGN),
            ("EnhancementModel", 2, FOREIGN),
        ],
        ids=["0_workers", "2_workers", "BasicSR_0_workers", "BasicSR_2_workers"],
    )
    def test_at_random_iterations_and_during_a_save(self, tiny, model, workers, dataset):
        changes = merge(
            deepcopy(self.MODELS[model]),
            {
                "train": {
                    "total_iter": 12,
                    "ema_decay": 0.9,
                    "scheduler": {"type": "CosineAnnealingLR"},
                    "mixing_augs": {"mixup_beta": 1.2, "use_identity": False},
                }
            },
        )
        options = tiny(
            model_type=model,
            **changes,
            val={"val_freq": 5},
            logger={"save_checkpoint_freq": 2},
            datasets={"train": {**dataset, "num_worker_per_gpu": workers}},
        )
        run("--opt", options, "--force_yml", "name=whole")
        random = np.random.default_rng()
        kills = [("iteration", int(random.integers(1, 13))), ("save", int(random.integers(1, 20)))]
        for place, at in kills:
            name = f"{place}{at}"
            started = [*("--opt", options, "--force_yml", f"name={name}"), "--auto_resume"]
            done = subprocess.run(
                [sys.executable, "-c", self.DYING, place, str(at), *started],
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == -signal.SIGKILL, (name, done.stderr)
            assert run(*started) == 0, name
            for key in ("params", "params_ema"):
                a, b = (
                    state_dicts.read_weights(f"experiments/{n}/models/net_g_latest.pth", key)[0]
                    for n in ("whole", name)
                )
                assert all(torch.equal(a[k], b[k]) for k in a), name
            curves = [
                {
                    tag: [(e.step, e.value) for e in log.Scalars(tag)]
                    for tag in log.Tags()["scalars"]
                    if not tag.startswith("time/")
                }
                for log in (events(f"experiments/{n}") for n in ("whole", name))
            ]
            assert curves[0] == curves[1], name
