"""`make quickstart`: train on embedded photographs, test on others, say where everything is."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from enhancement.errors import command_line
from enhancement.testing import command as test_from_dataset
from enhancement.training import command as train
from enhancement.units import duration

OPTION_FILE = "options/quickstart.yml"
RUN = Path("experiments/quickstart")


@command_line
def main() -> int:
    """Train (or go on with) the quickstart run, then score it on held-out photographs."""
    began = time.perf_counter()
    status = train.run_training(train.parse(["--opt", OPTION_FILE, "--auto_resume"]))
    if status:
        return status
    weights = RUN / "models" / "net_g_best.pth"
    print()
    arguments = test_from_dataset.parse(["--opt", OPTION_FILE, "--weights", str(weights)])
    scores, folder = test_from_dataset.test(arguments)
    gain = (scores.mean()["psnr"] or 0) - (scores.mean("input")["psnr"] or 0)
    print(
        f"\nFinished in {duration(time.perf_counter() - began)}: "
        f"{gain:+.2f} dB over the input ({scores.protocol}).\n"
        f"  scores       {folder / 'scores.csv'}\n"
        f"  picture      {folder / 'comparison.png'}\n"
        f"  weights      {weights}\n"
        f"  TensorBoard  .venv/bin/tensorboard --logdir {RUN.parent}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
