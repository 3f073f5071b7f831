"""The training wrapper that every network shares: losses, optimiser, EMA, validation, saving."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar

import torch
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY
from torch import Tensor, nn

from enhancement import distributed
from enhancement.compat import BaseModel
from enhancement.config.schema import LOSS_SUFFIX, loss_options
from enhancement.data.images import save_picture, to_8_bit
from enhancement.errors import UserError
from enhancement.inference.run import autocast, enhance
from enhancement.randomness import random_states, restore_random_states
from enhancement.registry import build, lookup
from enhancement.scoring.evaluation import Scores, evaluate
from enhancement.scoring.metrics import get_metric
from enhancement.scoring.protocols import get_protocol
from enhancement.weights.parts import load_part
from enhancement.weights.provenance import git_commit
from enhancement.weights.state_dicts import load_weights, on_cpu, read_weights, weights_hash
from enhancement.weights.storage import save

from .frozen import average_of
from .mixup import Mixup

IMAGES_SHOWN = 4


@MODEL_REGISTRY.register()
class EnhancementModel(BaseModel):
    """Trains one network on pairs; a subclass overrides `compute_losses` and nothing else.

    Args:
        opt: Resolved options (enhancement/options.py).

    Attributes:
        own_frozen: Entries of `train.frozen` that are no parts of the network.
        frozen: The file and the weights' hash of each frozen part.
    """

    own_frozen: ClassVar[tuple[str, ...]] = ()
    protocol: ClassVar[str | None] = None  # where it is not the option file's

    def __init__(self, opt: dict[str, Any]):
        super().__init__(opt)
        self.frozen: dict[str, dict[str, str]] = {}
        with distributed.together():  # before the processes meet in model_to_device
            network = self._build_network().to(self.device)
            parts = self._freeze(network) if self.is_train else []
        if self.is_train and self.opt["train"]["ema_decay"]:
            self.net_g_ema = average_of(network, parts)
        if self.is_train:
            network = self._as_computed(network)
        self.net_g = self.model_to_device(network)
        self.frozen_parts = [self.get_bare_model(self.net_g).get_submodule(name) for name in parts]
        self.log_dict: dict[str, Tensor] = {}
        self.best: dict[str, Any] | None = None
        self.skipped = self.skipped_in_a_row = 0
        if self.is_train:
            with distributed.together():
                self._init_training()

    def _build_network(self) -> nn.Module:
        network = build(ARCH_REGISTRY, self.opt["network_g"])
        path = self.opt["path"]
        if path.get("pretrain_network_g"):
            load_weights(
                network, path["pretrain_network_g"], path["param_key_g"], path["strict_load_g"]
            )
        if path.get("init_network_g"):
            network.initialise_from(read_weights(path["init_network_g"])[0])
        return network

    def _freeze(self, network: nn.Module) -> list[str]:
        """Load and freeze the parts of the network that `train.frozen` names; their names."""
        files = self.opt["train"]["frozen"] or {}
        parts = [name for name in files if name not in self.own_frozen]
        for name in parts:
            part = network.get_submodule(name)
            load_part(part, files[name], name)
            part.requires_grad_(False)
            self.record_frozen(name, files[name], part)
        return parts

    def record_frozen(self, name: str, path: str, part: nn.Module) -> None:
        """Note which weights a frozen part has, for the checkpoint."""
        self.frozen[name] = {"file": str(path), "sha256": weights_hash(part)}

    def _train_mode(self) -> None:
        """Training mode for everything that is trained."""
        self.net_g.train()
        for part in self.frozen_parts:
            part.eval()

    def _as_computed(self, network: nn.Module) -> nn.Module:
        """The network in the memory layout, and compiled, as the options say."""
        train = self.opt["train"]
        if train["channels_last"]:
            network = network.to(memory_format=torch.channels_last)
        if train["compile"]:
            network.compile()
        return network

    def run(self, lq: Tensor, **arguments: Any) -> Any:
        """The trained network's fp32 output, computed in `train.precision`."""
        if self.opt["train"]["channels_last"]:
            lq = lq.contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self.opt["train"]["precision"]):
            output = self.net_g(lq, **arguments) if arguments else enhance(self.net_g, lq)
        return tuple(o.float() for o in output) if arguments else output.float()

    def _init_training(self) -> None:
        train = self.opt["train"]
        self._train_mode()
        self.losses = nn.ModuleDict()
        for name, options in loss_options(train).items():
            at = f"train.{name}{LOSS_SUFFIX}"
            try:
                self.losses[name] = build(LOSS_REGISTRY, options)
            except OSError as error:
                raise UserError(
                    f"{at}: {options['type']} needs weights that could not be downloaded ({error})"
                ) from error
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{at}: {options['type']} cannot be built ({error})") from error
        self.losses.to(self.device)
        try:
            get_metric(self.opt["val"]["select_by"]).prepare(self.device)
        except UserError as error:
            raise UserError(f"val.select_by: {error}") from error
        self.mixup = Mixup(**train["mixing_augs"]) if train["mixing_augs"] else None
        arguments = deepcopy(train["optim_g"])
        kind = getattr(torch.optim, arguments.pop("type"))
        trained = [p for p in self.net_g.parameters() if p.requires_grad]
        self.optimizers = [kind(trained, **arguments)]
        fp16 = train["precision"] == "fp16"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=fp16)
        self.setup_schedulers()

    def feed_data(self, data: dict[str, Any]) -> None:
        """Move a batch to the device."""
        self.lq: Tensor = data["lq"].to(self.device, non_blocking=True)
        self.gt: Tensor | None = None
        self.mask: Tensor | None = None
        for name in ("gt", "mask"):
            if name in data:
                setattr(self, name, data[name].to(self.device, non_blocking=True))

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
        """One iteration: losses, gradients, clipping, update, EMA.

        A loss or gradient that is not finite leaves weights, optimiser and average as they are, and
        counts in `skipped` and `skipped_in_a_row`.
        """
        train, optimizer = self.opt["train"], self.optimizers[0]
        if self.mixup and self.gt is not None:
            self.lq, self.gt = self.mixup(self.lq, self.gt)
        optimizer.zero_grad(set_to_none=True)
        buffers = [b.clone() for b in self.net_g.buffers()]  # running statistics
        self.log_dict = self._backward(train["accumulate"])
        self.scaler.unscale_(optimizer)
        trained = [p for p in self.net_g.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
        if train["grad_clip"]:
            nn.utils.clip_grads_with_norm_(trained, train["grad_clip"], norm)
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
        if train["ema_decay"]:
            self._update_ema(train["ema_decay"], current_iter)

    def _backward(self, parts: int) -> dict[str, Tensor]:
        """Gradients of the fed batch, computed in so many parts; its mean loss terms."""
        whole = {name: getattr(self, name) for name in ("lq", "gt", "mask")}
        logged: dict[str, Tensor] = {}
        for index in range(parts):
            if parts > 1:
                for name, value in whole.items():
                    setattr(self, name, None if value is None else value.chunk(parts)[index])
            terms = self.compute_losses()
            total = terms["l_total"] = reduce(torch.add, terms.values())
            self.scaler.scale(total / parts if parts > 1 else total).backward()
            for name, value in terms.items():
                share = value.detach() / parts if parts > 1 else value.detach()
                logged[name] = logged[name] + share if name in logged else share
        self.lq, self.gt, self.mask = whole.values()
        return logged

    @torch.no_grad()
    def _update_ema(self, decay: float, current_iter: int) -> None:
        """Move the average; early on it follows faster, so that its start is soon forgotten."""
        decay = min(decay, current_iter / (current_iter + 10))
        network = self.get_bare_model(self.net_g)
        pairs = zip(self.net_g_ema.parameters(), network.parameters(), strict=True)
        moved: list[tuple[Tensor, Tensor]] = [(a, v) for a, v in pairs if a is not v]  # not frozen
        averages, values = [a for a, _ in moved], [v for _, v in moved]
        torch._foreach_lerp_(averages, values, 1 - decay)
        for average, value in zip(self.net_g_ema.buffers(), network.buffers(), strict=True):
            average.copy_(value)

    def get_current_log(self) -> dict[str, float]:
        """The last iteration's loss terms, read back from the device only here."""
        return {name: value.item() for name, value in self.log_dict.items()}

    @property
    def tested_network(self) -> nn.Module:
        """What validation and inference use: the average where there is one."""
        return getattr(self, "net_g_ema", None) or self.get_bare_model(self.net_g)

    def validation(
        self, dataloader: Any, current_iter: int, tb_logger: Any, save_img: bool = False
    ) -> Scores:
        """Score a set by `val.protocol`; log its means and a grid of pictures.

        Each process scores its share of the set, which its loader holds.

        Args:
            dataloader: From `eval_loader`.
            current_iter: Iterations done.
            tb_logger: Takes the means and pictures, in the first process; else None.
            save_img: Write the output images, each process its share's.

        Returns:
            The scores: in the first process of every image, in the set's order. Those of
            `val.metrics` (BasicSR's registry) stand beside the protocol's.
        """
        name = dataloader.dataset.opt["name"]
        shown: list[Tensor] = []
        extra: dict[str, list[float]] = {}

        def watch(image_name: str, lq: Tensor, output: Tensor, gt: Tensor) -> None:
            if len(shown) < IMAGES_SHOWN:
                shown.append(torch.cat((lq, output, gt), 3).float().clamp(0, 1).cpu())
            if save_img:
                folder = Path(self.opt["path"]["visualization"], name, str(current_iter))
                save_picture(folder / Path(image_name).with_suffix(".png"), output)
            for metric, value in self._extra_metrics(output, gt):
                extra.setdefault(metric, []).append(value)

        protocol = get_protocol(self.opt["val"]["protocol"])
        distributed.same_everywhere(self.tested_network)
        with distributed.together():
            scores = evaluate(
                self.tested_network,
                dataloader,
                protocol,
                name,
                self.device,
                metrics=protocol.names_for_validation(self.opt["val"]["select_by"]),
                ensemble=self.opt["val"]["self_ensemble"],
                watch=watch,
                multiple=self.opt["val"]["window_size"],
                precision=self.opt["train"].get("precision", "fp32"),
            )
            for metric, values in extra.items():
                for row, value in zip(scores.rows, values, strict=True):
                    row.output[metric], row.input[metric] = value, None
            self.score_further(scores, dataloader)
        scores.rows = distributed.gather(scores.rows)
        if tb_logger:
            log_means(tb_logger, scores, current_iter)
            tb_logger.add_pictures(f"{name}: input | output | ground truth", shown, current_iter)
        return scores

    def score_further(self, scores: Scores, dataloader: Any) -> None:
        """Where a subclass adds scores to the rows of this process's share."""

    def _extra_metrics(self, output: Tensor, gt: Tensor) -> Iterable[tuple[str, float]]:
        for label, options in (self.opt["val"].get("metrics") or {}).items():
            arguments = {k: v for k, v in options.items() if k not in ("type", "better")}
            arguments.setdefault("crop_border", 0)
            # BasicSR's metrics take BGR
            a, b = (to_8_bit(x)[0].flip(0).permute(1, 2, 0).cpu().numpy() for x in (output, gt))
            yield label, float(lookup(METRIC_REGISTRY, options["type"])(a, b, **arguments))

    def save(self, epoch: int, current_iter: int, label: str = "latest") -> Path:
        """Write the weights file `net_g_{label}`, from which the network can be rebuilt.

        Args:
            epoch: Not used; BasicSR's loop passes it.
            current_iter: Recorded.
            label: "latest", "best" or an iteration.
        """
        content: dict[str, Any] = {"params": on_cpu(self.get_bare_model(self.net_g))}
        if hasattr(self, "net_g_ema"):
            own = tuple(f"{name}." for name in self.frozen)  # stored once, under both names
            once = {k: v for k, v in content["params"].items() if k.startswith(own)}
            content["params_ema"] = on_cpu(self.net_g_ema) | once
        content["meta"] = {
            "network_g": self.opt["network_g"],
            "name": self.opt["name"],
            "iteration": current_iter,
            "commit": git_commit(),
            "protocol": self.protocol or self.opt["val"]["protocol"],
            "best": self.best,
            "frozen": self.frozen,
            "selected": "best" if label == "best" else None,
        }
        suffix = self.opt["logger"]["weights_format"]
        path = Path(self.opt["path"]["models"], f"net_g_{label}.{suffix}")
        save(path, content)
        return path

    def training_state(self) -> dict[str, Any]:
        """Everything that the next iteration depends on, as tensors and plain values."""
        return {
            "net_g": self.get_bare_model(self.net_g).state_dict(),
            "net_g_ema": self.net_g_ema.state_dict() if hasattr(self, "net_g_ema") else None,
            "optimizers": [o.state_dict() for o in self.optimizers],
            "schedulers": [s.state_dict() for s in self.schedulers],
            "scaler": self.scaler.state_dict(),
            "best": self.best,
            "skipped": [self.skipped, self.skipped_in_a_row],
            "frozen": {name: about["sha256"] for name, about in self.frozen.items()},
            "rng": random_states(),
        }

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Take over what `training_state` returned."""
        frozen = resume_state.get("frozen", {})
        if frozen.keys() != self.frozen.keys():
            raise UserError(
                f"train.frozen: was {', '.join(frozen) or 'nothing'} and is "
                f"{', '.join(self.frozen) or 'nothing'}; a run that is continued freezes the same"
            )
        for name, digest in frozen.items():
            if digest != self.frozen[name]["sha256"]:
                raise UserError(
                    f"{self.frozen[name]['file']}: train.frozen.{name} holds other weights than "
                    f"the run was trained with; bring the file back, or start another run"
                )
        self.get_bare_model(self.net_g).load_state_dict(resume_state["net_g"])
        if hasattr(self, "net_g_ema"):
            self.net_g_ema.load_state_dict(resume_state["net_g_ema"])
        for optimizer, state in zip(self.optimizers, resume_state["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        for scheduler, state in zip(self.schedulers, resume_state["schedulers"], strict=True):
            scheduler.load_state_dict(state)
        self.best = resume_state["best"]
        self.scaler.load_state_dict(resume_state.get("scaler", {}) or self.scaler.state_dict())
        self.skipped, self.skipped_in_a_row = resume_state.get("skipped", (0, 0))
        restore_random_states(resume_state["rng"])


def log_means(tb_logger: Any, scores: Scores, current_iter: int) -> None:
    """Each metric's mean, under its dataset and protocol."""
    for metric, mean in scores.mean().items():
        tag = f"metrics/{scores.dataset}/{scores.protocol_of(metric)}/{metric}"
        tb_logger.add_scalar(tag, mean, current_iter)
