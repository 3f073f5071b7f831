"""What changes along a run: learning rates, mixup."""

import math

import pytest
import torch
from helpers import model_of, run

from enhancement.compat import scheduler_types
from enhancement.config.load import load_config
from enhancement.errors import UserError
from enhancement.models.mixup import Mixup


class TestLearningRate:
    def model(self, tiny, **changes):
        return model_of(tiny(train=changes))

    def rates(self, model, iterations, warmup=-1):
        found = []
        for iteration in range(1, iterations + 1):
            model.update_learning_rate(iteration, warmup)
            found.append(model.get_current_learning_rate()[0])
            model.optimizers[0].step()
        return found

    def test_cosine_spans_the_run_by_default(self, tiny):
        scheduler = {"type": "CosineAnnealingLR", "eta_min": 1e-5}
        rates = self.rates(self.model(tiny, total_iter=11, scheduler=scheduler), 11)
        assert rates[0] == pytest.approx(1e-3)
        assert rates[5] == pytest.approx(1e-5 + (1e-3 - 1e-5) * 0.5 * (1 + 0.1423148), rel=1e-3)
        assert rates[10] == pytest.approx(1e-5 + (1e-3 - 1e-5) * 0.5 * (1 - 0.9594930), rel=1e-3)

    def test_basicsrs_multi_step(self, tiny):
        scheduler = {"type": "MultiStepLR", "milestones": [2, 4], "gamma": 0.5}
        rates = self.rates(self.model(tiny, total_iter=6, scheduler=scheduler), 6)
        assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4, 2.5e-4])

    def test_warm_up_does_not_disturb_what_follows(self, tiny):
        scheduler = {"type": "ExponentialLR", "gamma": 0.9}
        model = self.model(tiny, total_iter=8, scheduler=scheduler)
        rates = self.rates(model, 8, warmup=4)
        assert rates[:3] == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3])
        assert rates[3:] == pytest.approx([1e-3 * 0.9**n for n in range(3, 8)])

    def test_retinexformers_cycles(self, tiny):
        """Rates by the published formula at the ends of both cycles."""
        scheduler = {
            "type": "CosineAnnealingRestartCyclicLR",
            "periods": [46000, 104000],
            "restart_weights": [1, 1],
            "eta_mins": [3e-4, 1e-6],
        }
        optim = {"type": "Adam", "lr": 2e-4}
        model = self.model(tiny, total_iter=150000, scheduler=scheduler, optim_g=optim)
        model.optimizers[0].step()
        expected = {
            1: 2e-4,
            23001: 2.5e-4,
            46000: 3e-4 - 1e-4 * 0.5 * (1 - math.cos(math.pi / 46000)),
            46001: 3e-4,
            46002: 1e-6 + (2e-4 - 1e-6) * 0.5 * (1 + math.cos(math.pi / 104000)),
            150000: 1e-6 + (2e-4 - 1e-6) * 0.5 * (1 - math.cos(math.pi / 104000)),
        }
        for iteration, rate in expected.items():
            model.schedulers[0].last_epoch = iteration - 1
            found = model.schedulers[0].get_lr()[0]
            assert found == pytest.approx(rate, rel=1e-9), iteration

    def test_cycles_of_different_lengths_are_refused(self, tiny):
        scheduler = {
            "type": "CosineAnnealingRestartCyclicLR",
            "periods": [2, 3],
            "restart_weights": [1],
            "eta_mins": [0, 0],
        }
        with pytest.raises(UserError, match=r"scheduler: Expected `periods`, .* of one length"):
            load_config(tiny(train={"scheduler": scheduler}))

    def test_every_scheduler_is_a_class_with_a_name(self):
        assert {
            "CosineAnnealingLR",
            "CosineAnnealingRestartLR",
            "MultiStepLR",
            "OneCycleLR",
            "StepLR",
        } <= scheduler_types().keys()
        assert "ReduceLROnPlateau" not in scheduler_types()


class TestMixup:
    def test_targets_stay_paired(self):
        torch.manual_seed(0)
        mixup, lq = Mixup(use_identity=False), torch.rand(4, 3, 5, 6)
        mixed_lq, mixed_gt = mixup(lq, lq * 3)
        torch.testing.assert_close(mixed_gt, mixed_lq * 3)
        assert not torch.equal(mixed_lq, lq)

    def test_identity_leaves_half_of_the_batches_alone(self):
        torch.manual_seed(0)
        mixup, lq = Mixup(), torch.rand(4, 3, 2, 2)
        alone = sum(torch.equal(mixup(lq, lq)[0], lq) for _ in range(400))
        assert 160 < alone < 260  # and a few whose partners are themselves

    def test_trains_and_can_be_off(self, tiny):
        augs = {"mixup": True, "mixup_beta": 1.2, "use_identity": True}
        assert run("--opt", tiny(train={"mixing_augs": augs})) == 0
        with pytest.raises(UserError, match=r"mixing_augs\.mixup_beta: expected greater than 0"):
            load_config(tiny(train={"mixing_augs": {"mixup_beta": 0}}))
