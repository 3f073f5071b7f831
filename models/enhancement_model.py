"""The training wrapper that every network shares: losses, optimiser, one update, evaluation."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from enhancement import distributed
from enhancement.archs.contract import contract_of
from enhancement.compat import BaseModel
from enhancement.config.needs import Needs
from enhancement.data.images import to_8_bit
from enhancement.errors import UserError
from enhancement.inference.run import autocast, enhance
from enhancement.paths import locate
from enhancement.registry import MODEL_REGISTRY
from enhancement.scoring.evaluation import Scores, Watch, evaluate
from enhancement.scoring.protocols import NO_REFERENCE, SEGMENTATION, Protocol, get_protocol
from enhancement.weights.parts import load_part
from enhancement.weights.shipped import find_weights
from enhancement.weights.state_dicts import load_weights, read_weights, weights_hash

from .average import WeightAverage
from .mixup import Mixup

if TYPE_CHECKING:
    from enhancement.config.blocks import Block
    from enhancement.config.context import RunContext


@MODEL_REGISTRY.register()
class EnhancementModel(BaseModel):
    """Trains one network on pairs.

    A subclass overrides `compute_losses`, what a batch's loss is; `evaluate`, where it is not
    scored by comparing outputs with ground truths alone; and declares in `needs` what it trains
    with. `build_frozen` builds frozen networks other than the trained one.

    Args:
        context: The run.

    Attributes:
        needs: What option files are checked against.
        pictures: What the columns of validation's pictures are.
        net_g: The trained network, in `DistributedDataParallel` where there are several processes.
        average: The moving average of its weights, or None.
        frozen: The file and the weights' hash of each frozen part.
        skipped, skipped_in_a_row: Updates that were not made, since a value was not finite.
    """

    needs: ClassVar[Needs] = Needs()
    pictures: ClassVar[str] = "input | output | ground truth"

    def __init__(self, context: RunContext) -> None:
        super().__init__(context.as_basicsr())
        self.context, self.config = context, context.config
        self.train_options = self.config.training
        self.frozen: dict[str, dict[str, str]] = {}
        self.log_dict: dict[str, Tensor] = {}
        self.skipped = self.skipped_in_a_row = 0
        with distributed.synchronised_errors():  # before `model_to_device` synchronises weights
            network = self._build_network().to(self.device)
            parts = self._freeze_parts(network)
            self.build_frozen()
        decay = self.train_options.ema_decay
        self.average = WeightAverage(network, decay, parts) if decay else None
        self.net_g = self.model_to_device(self._prepare(network))
        with distributed.synchronised_errors():
            self._build_training()
        self.net_g.train()
        for name in parts:
            self.network.get_submodule(name).eval()

    def _build_network(self) -> nn.Module:
        network, path = self.config.network_g.build(), self.config.path
        if path.pretrain_network_g:
            weights = find_weights(locate(path.pretrain_network_g))
            load_weights(network, weights, path.param_key_g, path.strict_load_g)
        if path.init_network_g:
            state, _ = read_weights(find_weights(locate(path.init_network_g)))
            contract_of(network).initialise_from(state)
        return network

    def _freeze_parts(self, network: nn.Module) -> list[str]:
        """Load and freeze the parts of the network that `train.frozen` names; their names."""
        files = self.config.frozen
        parts = [name for name in files if name not in self.needs.frozen]
        for name in parts:
            load_part(network, files[name], name)
            part = network.get_submodule(name).requires_grad_(False)
            self.record_frozen(name, part)
        return parts

    def build_frozen(self) -> None:
        """Build what `needs.frozen` names; nothing here."""

    def record_frozen(self, name: str, part: nn.Module) -> None:
        """Note which weights a frozen part has, for the checkpoint."""
        self.frozen[name] = {"file": str(self.config.frozen[name]), "sha256": weights_hash(part)}

    def _prepare(self, network: nn.Module) -> nn.Module:
        """The network in the memory layout, and compiled, as the options say."""
        if self.train_options.channels_last:
            network = network.to(memory_format=torch.channels_last)
        if self.train_options.compile:
            network.compile()
        return network

    def _build_training(self) -> None:
        """Losses, optimiser, schedule, mixed precision."""
        losses = self.config.training.losses
        self.losses = nn.ModuleDict({name: _build_loss(name, b) for name, b in losses.items()})
        self.losses.to(self.device)
        mixing = self.train_options.mixing_augs
        self.mixup = Mixup(**mixing.model_dump()) if mixing else None
        trained = [p for p in self.net_g.parameters() if p.requires_grad]
        self.optimizers = [self.train_options.optim_g.build(trained)]
        fp16 = self.train_options.precision == "fp16"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=fp16)
        self.setup_schedulers()

    @property
    def network(self) -> nn.Module:
        """The trained network itself."""
        return self.get_bare_model(self.net_g)

    @property
    def tested_network(self) -> nn.Module:
        """What validation and inference use: the average where there is one."""
        return self.average.module if self.average else self.network

    @property
    def protocol(self) -> str:
        """The name of the protocol that the model is scored by."""
        return self.config.val.protocol

    def run(self, lq: Tensor) -> Tensor:
        """The trained network's fp32 output, computed in `train.precision`."""
        with autocast(self.device, self.train_options.precision):
            return enhance(self.net_g, lq).float()

    def feed_data(self, data: dict[str, Any]) -> None:
        """Move a batch to the device."""

        def move(name: str) -> Tensor:
            return data[name].to(self.device, non_blocking=True)

        self.lq: Tensor = move("lq")
        if self.train_options.channels_last:
            self.lq = self.lq.contiguous(memory_format=torch.channels_last)
        self.gt: Tensor | None = move("gt") if "gt" in data else None
        self.mask: Tensor | None = move("mask") if "mask" in data else None

    def compute_losses(self) -> dict[str, Tensor]:
        """The weighted loss terms of the fed batch, by name."""
        output = self.run(self.lq)
        return self.terms(lambda loss: loss(output, self.gt))

    def terms(self, apply: Callable[[nn.Module], Any]) -> dict[str, Tensor]:
        """What `apply` gives for every loss of the option file, by the name that is logged."""
        terms: dict[str, Tensor] = {}
        for name, loss in self.losses.items():
            value = apply(loss)
            if isinstance(value, tuple):  # BasicSR's PerceptualLoss: (perceptual, style)
                names = (f"l_{name}", f"l_{name}_style")
                terms |= {n: v for n, v in zip(names, value, strict=True) if v is not None}
            else:
                terms[f"l_{name}"] = value
        return terms

    def optimize_parameters(self, current_iter: int) -> None:
        """One update: losses, gradients, clipping, weights, average.

        A loss or gradient that is not finite leaves weights, optimiser and average as they are, and
        is counted in `skipped` and `skipped_in_a_row`.
        """
        optimizer = self.optimizers[0]
        if self.mixup and self.gt is not None:
            self.lq, self.gt = self.mixup(self.lq, self.gt)
        optimizer.zero_grad(set_to_none=True)
        buffers = [b.clone() for b in self.net_g.buffers()]  # running statistics
        self.log_dict = self._backward(self.train_options.accumulate)
        self.scaler.unscale_(optimizer)
        trained = [p for p in self.net_g.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
        if self.train_options.grad_clip:
            nn.utils.clip_grads_with_norm_(trained, self.train_options.grad_clip, norm)
        self.log_dict["grad_norm"] = norm
        finite = bool((self.log_dict["l_total"] + norm).isfinite())
        if distributed.any_process(not finite):
            for buffer, before in zip(self.net_g.buffers(), buffers, strict=True):
                buffer.copy_(before)
            self.skipped += 1
            self.skipped_in_a_row += 1
            self.scaler.update()
            return
        self.skipped_in_a_row = 0
        self.scaler.step(optimizer)
        self.scaler.update()
        if self.average:
            self.average.update_parameters(self.network)

    def _backward(self, parts: int) -> dict[str, Tensor]:
        """Gradients of the fed batch, computed in so many parts; its mean loss terms."""
        whole = {name: getattr(self, name) for name in ("lq", "gt", "mask")}
        logged: dict[str, Tensor] = {}
        for index in range(parts):
            if parts > 1:
                for name, value in whole.items():
                    setattr(self, name, None if value is None else value.chunk(parts)[index])
            terms = self.compute_losses()
            if parts > 1:
                terms = {n: v if self._is_sum(n) else v / parts for n, v in terms.items()}
            total = terms["l_total"] = reduce(torch.add, terms.values())
            self.scaler.scale(total).backward()
            for name, value in terms.items():
                share = value.detach()
                logged[name] = logged[name] + share if name in logged else share
        self.lq, self.gt, self.mask = whole.values()
        return logged

    def _is_sum(self, term: str) -> bool:
        """Whether a loss term adds up what a batch's images give, and is no mean of it."""
        loss = term.removeprefix("l_").removesuffix("_style")
        return loss in self.losses and getattr(self.losses[loss], "reduction", "mean") == "sum"

    def get_current_log(self) -> dict[str, float]:
        """The last iteration's loss terms, read back from the device only here."""
        return {name: value.item() for name, value in self.log_dict.items()}

    def evaluate(self, loader: Any, watch: Watch) -> Scores:
        """Score the images of a loader by the protocol, and by `val.metrics`.

        A set without ground truths is scored by the protocol `no_reference` alone.

        Args:
            loader: From `eval_loader`; this process's share of a set.
            watch: Called with (name, lq, output as scored, gt) for each image.
        """
        val = self.config.val
        protocol = get_protocol(self.protocol) if loader.gives_truth else NO_REFERENCE
        metrics = metrics_beside(protocol, val.metrics or {})
        extra: list[dict[str, float]] = []

        def watch_all(name: str, lq: Tensor, output: Tensor, *gt: Tensor) -> None:
            watch(name, lq, output, *gt)
            found = metrics.items() if gt else ()
            extra.append({label: basicsr_score(m, output, *gt) for label, m in found})

        scores = evaluate(
            self.tested_network,
            loader,
            protocol,
            loader.name,
            self.device,
            metrics=protocol.names_for_validation(val.select_by),
            ensemble=val.self_ensemble,
            watch=watch_all,
            multiple=val.window_size,
            precision=self.train_options.precision,
        )
        for row, values in zip(scores.rows, extra, strict=True):
            row.output |= values
            row.input |= dict.fromkeys(values)
        return scores


def _build_loss(name: str, block: Block) -> nn.Module:
    at = f"train.{name}_opt"
    try:
        return block.build()
    except OSError as error:
        raise UserError(
            f"{at}: {block.type} needs weights that could not be downloaded ({error})"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{at}: {block.type} cannot be built ({error})") from error


def metrics_beside(protocol: Protocol, metrics: dict[str, Block]) -> dict[str, Block]:
    """`val.metrics` by the names of their scores: BasicSR's PSNR is not the protocol's `psnr`."""
    own = {*protocol.names, *SEGMENTATION.names}
    return {f"{name}_by_{m.type}" if name in own else name: m for name, m in metrics.items()}


def basicsr_score(metric: Block, output: Tensor, gt: Tensor) -> float:
    """A score of an entry of `val.metrics`, of two images (1, 3, H, W) in [0, 1]."""
    arguments = {"crop_border": 0, **metric.arguments}
    arguments.pop("better", None)
    # BasicSR's metrics take BGR
    a, b = (to_8_bit(x)[0].flip(0).permute(1, 2, 0).cpu().numpy() for x in (output, gt))
    return float(metric.kind(a, b, **arguments))
