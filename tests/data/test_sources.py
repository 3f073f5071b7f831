"""Folders and LMDBs of images."""

import numpy as np
import pytest
import torch
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from dataset_blocks import paired, paired_block, synthesis

from enhancement.data.images import read_image
from enhancement.data.loader import train_loader
from enhancement.errors import UserError


def test_lmdb_reads_like_the_folder(pairs):
    for side in ("low", "high"):
        names = [f"{i}" for i in range(6)]
        make_lmdb_from_imgs(
            str(pairs / side), str(pairs / f"{side}.lmdb"), [f"{n}.png" for n in names], names
        )
    roots = {f"dataroot_{k}": str(pairs / f"{v}.lmdb") for k, v in (("lq", "low"), ("gt", "high"))}
    for a, b in zip(paired(pairs), paired(pairs, **roots), strict=True):
        assert torch.equal(a["lq"], b["lq"])
        assert torch.equal(a["gt"], b["gt"])


class TestLmdb:
    @pytest.fixture
    def lmdb(self, pairs):
        names = [f"{i}" for i in range(6)]
        for side in ("low", "high"):
            files = [f"{n}.png" for n in names]
            make_lmdb_from_imgs(str(pairs / side), str(pairs / f"{side}.lmdb"), files, names)
        return {"dataroot_lq": str(pairs / "low.lmdb"), "dataroot_gt": str(pairs / "high.lmdb")}

    def test_two_datasets_share_it(self, pairs, lmdb):
        parts = [paired(pairs, "val", **lmdb, val_fraction=0.3, subset=s) for s in ("train", "val")]
        assert sum(map(len, parts)) == 6
        assert {s["name"] for part in parts for s in part} == {f"{i}.png" for i in range(6)}

    @pytest.mark.parametrize("workers", [0, 2])
    def test_workers_open_their_own(self, pairs, lmdb, workers):
        loading = {"batch_size_per_gpu": 3, "num_worker_per_gpu": workers}
        block = paired_block(pairs, "train", **lmdb, gt_size=16, **loading)
        paired(pairs, **lmdb)[0]  # opened before the fork
        assert len(list(train_loader(block, 4, 0, 0, 0, 1))) == 4

    def test_it_fills_the_ram_cache(self, pairs, lmdb):
        dataset = synthesis(pairs, "val", dataroot_gt=lmdb["dataroot_gt"], cache="ram")
        assert torch.equal(dataset[3]["gt"], paired(pairs)[3]["gt"])

    def test_what_is_none_is_named(self, tmp_path):
        (tmp_path / "a.lmdb").mkdir()
        with pytest.raises(UserError, match=r"a\.lmdb/meta_info\.txt: no such file"):
            synthesis(tmp_path, dataroot_gt=str(tmp_path / "a.lmdb"))


def test_a_folder_of_arrays_says_so(tmp_path):
    (tmp_path / "high/pair1").mkdir(parents=True)
    np.save(tmp_path / "high/pair1/0001.npy", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UserError, match=r"no images in this folder, only \.npy arrays; save them"):
        synthesis(tmp_path)


@pytest.mark.data
def test_real_files_of_every_kind_read(real_data):
    for name in ("LOLv1/Train/input/10.webp", "LOLv1/Test/input/1.png"):
        assert read_image(real_data / name).shape == (400, 600, 3)
    frame = next((real_data / "KvasirSEG/images").iterdir())
    assert read_image(frame).ndim == 3
