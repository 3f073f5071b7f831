"""Subsets by scene, and images by name."""

import subprocess
import sys

import numpy as np
import pytest
from dataset_blocks import synthesis

from enhancement.data.blocks import DatasetBlock
from enhancement.data.images import write_image
from enhancement.data.sources import FolderSource
from enhancement.data.splits import folds_of, split_by_scene
from enhancement.errors import UserError


class TestSubsets:
    def scenes(self, root):
        """Eight scenes of two near-duplicates each."""
        rng = np.random.default_rng(0)
        for i in range(8):
            base = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
            image = np.kron(base, np.ones((8, 8, 1), np.uint8))
            write_image(root / f"high/{i}a.png", image)
            write_image(root / f"high/{i}b.png", image // 8 * 7)
        return root

    def test_near_duplicates_stay_together_and_nothing_is_lost(self, tmp_path):
        source = FolderSource(self.scenes(tmp_path) / "high")
        subsets = split_by_scene(source, source.names, {"test": 0.25, "val": 0.25})
        assert sorted(i for part in subsets.values() for i in part) == list(range(16))
        assert {k: len(v) for k, v in subsets.items()} == {"test": 4, "val": 4, "train": 8}
        for part in subsets.values():
            names = [source.names[i] for i in part]
            assert {n[0] + "a.png" for n in names} | {n[0] + "b.png" for n in names} == set(names)

    @pytest.mark.parametrize("share", [0.2, 0.25, 0.3])
    def test_folds_test_every_image_once_and_never_train_on_it(self, tmp_path, share):
        source = FolderSource(self.scenes(tmp_path) / "high")
        fractions = {"test": share, "val": 0.2}
        tested = []
        for fold in range(folds_of(share)):
            subsets = split_by_scene(source, source.names, fractions, fold)
            assert sorted(i for part in subsets.values() for i in part) == list(range(16))
            assert all(subsets.values())
            tested += subsets["test"]
        assert sorted(tested) == list(range(16))
        assert split_by_scene(source, source.names, fractions, 0) == split_by_scene(
            source, source.names, fractions
        )

    def test_a_fold_that_there_is_not_says_which_there_are(self, pairs):
        with pytest.raises(UserError, match="test_fold: expected 0 to 4 with test_fraction"):
            synthesis(pairs, "test", test_fraction=0.2, subset="test", test_fold=5)

    def test_another_process_divides_alike(self, tmp_path):
        root = self.scenes(tmp_path)
        options = {"val_fraction": 0.3, "subset": "val"}
        here = [s["gt_path"] for s in synthesis(root, "val", **options)]
        code = (
            "import enhancement; from enhancement.data.blocks import DatasetBlock\n"
            f"options = {{'type': 'SynthesisDataset', 'dataroot_gt': {str(root / 'high')!r},"
            f"'phase': 'val', 'val_fraction': 0.3, 'subset': 'val'}}\n"
            "d = DatasetBlock.of('val', options).build()\n"
            "print(*[s['gt_path'] for s in d], sep='\\n')"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": "5"},
        )
        assert done.stdout.split() == here

    def test_an_empty_subset_says_so(self, pairs):
        with pytest.raises(UserError, match="6 images leave none for 'val'"):
            synthesis(pairs, "val", val_fraction=0.01, subset="val")

    def test_include_takes_names_with_or_without_extension(self, pairs):
        dataset = synthesis(pairs, include=["1", "4.png"])
        assert [s["gt_path"].split("/")[-1] for s in dataset] == ["1.png", "4.png"]
        with pytest.raises(UserError, match=r"no image '11'; did you mean '1'"):
            synthesis(pairs, include=["11"])

    def test_include_takes_names_with_their_folder(self, pairs):
        for folder in ("a", "b"):
            write_image(pairs / f"high/{folder}/1.png", np.zeros((48, 64, 3), np.uint8))
        dataset = synthesis(pairs, include=["a/1"])
        assert [s["gt_path"].split("/")[-2:] for s in dataset] == [["a", "1.png"]]
        with pytest.raises(UserError, match=r"'1' names .* and .*; say which"):
            synthesis(pairs, include=["1"])

    @pytest.mark.data
    def test_lol_v1_leaves_a_tenth_of_its_scenes_out(self, real_data):
        from enhancement.data.splits import scenes

        folder = real_data / "LOLv1"
        block = {"type": "PairedDataset", "layout": "LOL_v1", "dataroot": str(folder)}
        block |= {"split": "train", "val_fraction": 0.1}
        parts = [
            DatasetBlock.of("val", {**block, "subset": s}).build().samples for s in ("train", "val")
        ]
        assert sum(map(len, parts)) == 350
        assert 35 <= len(parts[1]) <= 45
        source = FolderSource(folder / "Train/target")
        names = [gt for part in parts for _, gt in part]
        numbers = scenes(source, names)
        cut = len(parts[0])
        assert not set(numbers[:cut]) & set(numbers[cut:])
