"""Training by losses that name what they take: the output, the input, a network's inner results."""

from __future__ import annotations

from torch import Tensor, nn

from enhancement.archs.contract import contract_of
from enhancement.config.needs import NAMED, Needs, taken_by
from enhancement.inference.run import autocast, pad_for
from enhancement.registry import MODEL_REGISTRY

from .enhancement_model import EnhancementModel
from .losses import NamedLoss


class Outputs(nn.Module):
    """A network whose forward pass gives all of `Network.outputs`.

    `DistributedDataParallel` averages the gradients of what went through its own forward pass.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, lq: Tensor, gt: Tensor | None) -> dict[str, Tensor]:
        """By name, for images and ground truths (B, 3, H, W) in [0, 1]."""
        return contract_of(self.network).outputs(lq, gt)


@MODEL_REGISTRY.register()
class NamedLossModel(EnhancementModel):
    """As `EnhancementModel`, with losses that name what they take (`NamedLoss`) beside the others.

    A named loss takes `lq`, `gt`, `output` and what the network declares in `extra_outputs`.
    """

    needs = Needs(losses=("image", NAMED))

    def _prepare(self, network: nn.Module) -> nn.Module:
        return super()._prepare(Outputs(network))

    @property
    def network(self) -> nn.Module:
        """The trained network itself."""
        return self.get_bare_model(self.net_g).network

    def run(self, lq: Tensor) -> Tensor:
        """The trained network's fp32 output, computed in `train.precision`."""
        return self._outputs(lq, None)["output"]

    def named_tensors(self) -> dict[str, Tensor]:
        """What losses may take of the fed batch, by name; all float32."""
        given = {"lq": self.lq} if self.gt is None else {"lq": self.lq, "gt": self.gt}
        return given | self._outputs(self.lq, self.gt)

    def _outputs(self, lq: Tensor, gt: Tensor | None) -> dict[str, Tensor]:
        """What the network gives for images of any size, by name; float32."""
        height, width = lq.shape[-2:]
        padded = pad_for(self.network, lq)
        truth = None if gt is None else pad_for(self.network, gt)
        with autocast(self.device, self.train_options.precision):
            outputs = self.net_g(padded, truth)
        return {
            name: (
                value[..., :height, :width] if value.shape[-2:] == padded.shape[-2:] else value
            ).float()
            for name, value in outputs.items()
        }

    def compute_losses(self) -> dict[str, Tensor]:
        """The weighted loss terms of the fed batch, by name."""
        tensors = self.named_tensors()
        return self.terms(
            lambda loss: (
                loss(**{name: tensors[name] for name in taken_by(type(loss))})
                if isinstance(loss, NamedLoss)
                else loss(tensors["output"], tensors["gt"])
            )
        )


@MODEL_REGISTRY.register()
class IlluminationModel(NamedLossModel):
    """`NamedLossModel` for networks that give an illumination map."""

    needs = Needs(outputs=("illumination",), losses=("image", NAMED))
