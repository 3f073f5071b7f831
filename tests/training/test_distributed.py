"""Several processes of one run: what they share, and how they end together."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import ROOT, make_pairs, run, weights
from processes import free_port, two

from enhancement.errors import EXIT_RESUMABLE, UserError
from enhancement.training.run_folder import locked
from enhancement.weights import storage

PEER = "error: another process of this run has failed; its own message says why\n"
SCRIPT = str(ROOT / "basicsr/train.py")


def torchrun(*arguments):
    """The command that starts two training processes."""
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node=2",
        f"--master_port={free_port()}",
        SCRIPT,
        "--launcher",
        "pytorch",
        *arguments,
    ]


def train_by_two(*arguments):
    return two(SCRIPT, "--launcher", "pytorch", "--opt", *arguments)


def latest(name="tiny"):
    return storage.read(f"experiments/{name}/training_states/latest.state")


def test_a_launcher_without_its_environment_says_so(tiny):
    with pytest.raises(UserError, match=r"--launcher pytorch: RANK, .*torchrun"):
        run("--opt", tiny(), "--launcher", "pytorch")


NAMED_LOSSES = {
    "model_type": "NamedLossModel",
    "network_g": {"type": "HDRNet", "low_resolution": 64, "mode": "illumination"},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "losses"),
    [({}, {}), (NAMED_LOSSES, {"smooth_opt": {"type": "IlluminationSmoothnessLoss"}})],
    ids=["images", "named_losses"],
)
def test_two_processes_equal_one_with_twice_the_batch(tiny, model, losses):
    path = tiny(**model, train={"total_iter": 3, "optim_g": {"type": "SGD", "lr": 0.1}, **losses})
    run("--opt", path, "--force_yml", "name=one")
    half = ["--force_yml", "name=two", "datasets:train:batch_size_per_gpu=1"]
    done = subprocess.run(
        torchrun("--opt", path, *half), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    one, two = weights("one"), weights("two")
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=0)


SCORING = """
import sys
from argparse import Namespace
from enhancement import distributed
from enhancement.config.context import RunContext
from enhancement.config.load import load_config
from enhancement.data.loader import eval_loader
from enhancement.scoring.evaluation import evaluate
from enhancement.scoring.protocols import get_protocol
from enhancement.training.setup import set_up
from enhancement.training.validation import score
rank, world = distributed.start("pytorch", cuda=False)
context = RunContext(load_config(sys.argv[1]), rank, world)
run = set_up(context, Namespace(auto_resume=False, extend=False, debug=False, profile=None))
run.iteration = 1
average = run.model.tested_network
for buffer in average.buffers():
    buffer.add_(rank)  # each process's running statistics follow its own batches
block = context.config.datasets["test"]
scores = score(run, run.model, eval_loader(block, rank, world))
if rank == 0:
    protocol = get_protocol("basicsr")
    whole = evaluate(average, eval_loader(block), protocol, "x", run.model.device)
    assert [row.name for row in scores.rows] == ["0.png", "1.png", "2.png"]
    for row in scores.rows:
        del row.output["y"], row.input["y"]
    assert scores.rows == whole.rows, (scores.rows, whole.rows)
else:
    assert scores.rows == []
run.close()
run.model = average = None
distributed.stop()
"""


@pytest.mark.slow
def test_validation_is_shared_out_and_scores_as_in_one_process(tiny, in_tmp):
    make_pairs(in_tmp / "datasets/high_low", "test/low", "test/high", count=3)
    network = {"type": "HDRNet", "low_resolution": 64, "batch_norm": True}
    path = tiny(
        network_g=network,
        train={"ema_decay": 0.9},
        val={"save_img": True, "metrics": {"y": {"type": "calculate_psnr", "crop_border": 0}}},
    )
    for status, _, errors in two("-c", SCORING, path):
        assert status == 0, errors
    pictures = in_tmp.glob("experiments/tiny/visualization/pairs/1/*.png")
    assert {p.name for p in pictures} == {"0.png", "1.png", "2.png"}


THREADS_LEFT = """
import os, sys
from enhancement.training import command as train
status = train.main()
for task in os.listdir("/proc/self/task"):
    with open(f"/proc/self/task/{task}/comm") as name:
        sys.stdout.write("left: " + name.read())
sys.exit(status)
"""


class TestAFaultOfOne:
    """It ends all processes: each by a line, with status 2, and none of them hangs."""

    @pytest.mark.slow
    def test_an_image_that_one_cannot_read(self, tiny, in_tmp):
        broken = in_tmp / "datasets/high_low/train/low/3.png"  # the second process's second
        whole = broken.read_bytes()
        path = tiny(
            datasets={
                "train": {"val_fraction": None, "batch_size_per_gpu": 1, "use_shuffle": False}
            },
            logger={"save_checkpoint_freq": 1000},
            train={"total_iter": 4},
        )
        broken.write_bytes(whole[:-60])
        (first, _, peer), (second, _, reason) = train_by_two(path)
        assert (first, second) == (2, 2)
        assert peer == PEER
        assert "low/3.png: cannot be read as an image" in reason
        assert "Traceback" not in reason
        assert latest()["iteration"] == 1
        broken.write_bytes(whole)
        assert run("--opt", path, "--auto_resume") == 0
        assert latest()["iteration"] == 4

    @pytest.mark.slow
    @pytest.mark.skipif(sys.platform != "linux", reason="finds threads in /proc")
    def test_the_connection_ends_before_the_interpreter(self, tiny, in_tmp):
        broken = in_tmp / "datasets/high_low/train/low/3.png"
        broken.write_bytes(broken.read_bytes()[:-60])
        path = tiny(datasets={"train": {"val_fraction": None, "use_shuffle": False}})
        for status, output, _ in two("-c", THREADS_LEFT, "--launcher", "pytorch", "--opt", path):
            assert status == 2
            assert "left: python" in output
            assert "gloo" not in output

    @pytest.mark.slow
    def test_a_folder_that_the_first_cannot_have(self, tiny, in_tmp):
        with locked(in_tmp / "experiments/tiny"):
            (first, _, reason), (second, _, peer) = train_by_two(tiny())
        assert (first, second) == (2, 2)
        assert "another process is training in it" in reason
        assert peer == PEER

    @pytest.mark.slow
    def test_an_image_that_one_cannot_score_and_torchruns_status(self, tiny, in_tmp):
        make_pairs(in_tmp / "datasets/high_low", "val/low", "val/high", count=3)
        broken = in_tmp / "datasets/high_low/val/low/1.png"
        broken.write_bytes(broken.read_bytes()[:-60])
        val = {"name": "v", "type": "PairedDataset", "layout": "high_low", "split": "val"}
        path = tiny(datasets={"train": {"val_fraction": None}, "val": val}, val={"val_freq": 2})
        done = subprocess.run(torchrun("--opt", path), capture_output=True, text=True, timeout=120)
        assert done.returncode == 1  # torchrun's own
        assert "low/1.png: cannot be read as an image" in done.stderr
        assert PEER in done.stderr, done.stderr
        assert done.stderr.count("Traceback") == 1  # torchrun's own
        assert latest()["iteration"] == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds torchrun's processes in /proc")
def test_a_signal_to_torchrun_and_to_its_processes_saves_before_they_end(tiny):
    path = tiny(
        train={"total_iter": 100_000},
        val={"val_freq": 100_000},
        logger={"print_freq": 5, "save_checkpoint_freq": 100_000},
    )
    with subprocess.Popen(
        torchrun("--opt", path), text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as launcher:
        for line in launcher.stdout:
            if line.startswith("iteration 5/"):
                children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
                for process in (*map(int, children.split()), launcher.pid):
                    os.kill(process, signal.SIGTERM)  # as a cluster does; torchrun repeats it
                break
        text = launcher.stdout.read()
    assert launcher.returncode == 1
    assert "Stopped by SIGTERM at iteration" in text
    assert latest()["iteration"] >= 5


@pytest.mark.slow
def test_each_process_ends_with_the_status_that_says_try_again_and_goes_on_exactly(tiny):
    interrupted = (
        "import os, signal, sys\nfrom enhancement.training import command as train\n"
        "from enhancement.training.progress import Progress\n"
        "advance = Progress.advance\n"
        "def asked(self, iteration):\n"
        "    if iteration == 3 and os.environ['RANK'] == '1':\n"
        "        os.kill(os.getpid(), signal.SIGUSR1)\n"
        "    return advance(self, iteration)\n"
        "Progress.advance = asked\n"
        "sys.exit(train.main())\n"
    )
    mixed = {"mixing_augs": {"mixup_beta": 1.2, "use_identity": True}}  # drawn by each process
    path = tiny(train={"total_iter": 6, **mixed})
    done = two("-c", interrupted, "--launcher", "pytorch", "--opt", path)
    assert [status for status, *_ in done] == [EXIT_RESUMABLE, EXIT_RESUMABLE]
    assert "Stopped by another process at iteration 3" in done[0][1]
    assert latest()["iteration"] == 3
    for name, *more in (("tiny", "--auto_resume"), ("whole",)):
        assert not any(s for s, *_ in train_by_two(path, "--force_yml", f"name={name}", *more))
    assert all(torch.equal(v, weights("whole")[k]) for k, v in weights().items())
