"""The scores of masks, by hand."""

import pytest
import torch

from enhancement.errors import UserError
from enhancement.scoring.masks import dice, miou


def masks(*rows):
    return torch.tensor(rows, dtype=torch.bool)


class TestMaskMetrics:
    a = masks([1, 1, 0, 0], [1, 0, 0, 0])
    b = masks([1, 0, 0, 0], [1, 1, 0, 0])

    def test_by_hand(self):
        assert dice(self.a, self.b).item() == pytest.approx(2 * 2 / 6)
        assert miou(self.a, self.b).item() == pytest.approx((2 / 4 + 4 / 6) / 2)

    def test_equal_masks_score_one_and_opposite_ones_nothing(self):
        assert dice(self.a, self.a) == miou(self.a, self.a) == 1
        assert dice(self.a, ~self.a) == miou(self.a, ~self.a) == 0

    def test_both_empty_and_both_full_agree(self):
        empty = torch.zeros(4, 4, dtype=torch.bool)
        assert dice(empty, empty) == miou(empty, empty) == 1
        assert dice(~empty, ~empty) == miou(~empty, ~empty) == 1
        assert dice(empty, ~empty) == miou(empty, ~empty) == 0

    def test_one_empty(self):
        empty = torch.zeros_like(self.a)
        assert dice(self.a, empty) == 0
        assert miou(self.a, empty).item() == pytest.approx(5 / 8 / 2)

    def test_a_batch_gives_each_masks_score(self):
        x, y = torch.stack((self.a, self.a)), torch.stack((self.b, self.a))
        assert dice(x, y).tolist() == [dice(self.a, self.b).item(), 1]
        assert miou(x, y).tolist() == [miou(self.a, self.b).item(), 1]

    @pytest.mark.parametrize("metric", [dice, miou])
    @pytest.mark.parametrize("wrong", [torch.zeros(2, 3).bool(), torch.zeros(2, 4)])
    def test_other_shapes_and_types_are_refused(self, metric, wrong):
        with pytest.raises(UserError, match="two boolean masks of one shape"):
            metric(self.a, wrong)
