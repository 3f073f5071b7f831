"""The order of training samples."""

from dataset_blocks import paired_block

from enhancement.data.loader import train_loader
from enhancement.data.sampler import IterationSampler, Stage


class TestSampler:
    def test_epochs_are_permutations_and_batches_run_on(self):
        batches = list(IterationSampler(5, [Stage(3)], total_iter=10, seed=1))
        flat = [i for batch in batches for i in batch]
        assert sorted(flat[:5]) == sorted(flat[5:10]) == list(range(5))
        assert [i.epoch for i in flat[:10]] == [0] * 5 + [1] * 5
        assert flat[:5] != flat[5:10]

    def test_resuming_continues_the_same_order(self):
        whole = list(IterationSampler(7, [Stage(2)], total_iter=20, seed=3))
        rest = list(IterationSampler(7, [Stage(2)], total_iter=20, start_iter=13, seed=3))
        assert whole[13:] == rest
        assert [i.epoch for b in whole[13:] for i in b] == [i.epoch for b in rest for i in b]

    def test_processes_share_each_global_batch(self):
        whole = list(IterationSampler(8, [Stage(4)], total_iter=6))
        parts = [list(IterationSampler(8, [Stage(2)], 6, rank=r, world_size=2)) for r in (0, 1)]
        assert [a + b for a, b in zip(*parts, strict=True)] == whole

    def test_without_shuffling_the_order_is_the_datasets(self):
        batches = list(IterationSampler(3, [Stage(2)], total_iter=3, shuffle=False))
        assert batches == [[0, 1], [2, 0], [1, 2]]

    def test_progressive_patches_switch_at_the_right_iteration(self):
        stages = [Stage(4, 8, 3), Stage(2, 16, 2), Stage(1, 32, 1)]
        batches = list(IterationSampler(50, stages, total_iter=8, seed=1))
        assert [(len(b), b[0].gt_size) for b in batches] == (
            [(4, 8)] * 3 + [(2, 16)] * 2 + [(1, 32)] * 3
        )
        flat = [i for batch in batches for i in batch]
        assert len(set(flat)) == len(flat)  # no sample twice in an epoch
        assert list(IterationSampler(50, stages, 8, start_iter=4, seed=1)) == batches[4:]

    def test_progressive_patches_reach_the_batches(self, pairs):
        sizes = {"gt_sizes": [16, 24], "iters": [1, 1], "mini_batch_sizes": [3, 2]}
        block = paired_block(pairs, "train", gt_size=40, batch_size_per_gpu=4, **sizes)
        shapes = [tuple(b["lq"].shape) for b in train_loader(block, 3, 0, 0, 0, 1)]
        assert shapes == [(3, 3, 16, 16), (2, 3, 24, 24), (2, 3, 24, 24)]
