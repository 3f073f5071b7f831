"""Every network, one a file. A new network is one line in this list."""

from . import (
    aod_net_arch,
    ded_net_arch,
    hdrnet_arch,
    lnet_gie_arch,
    retinexformer_arch,
)

__all__ = [
    "aod_net_arch",
    "ded_net_arch",
    "hdrnet_arch",
    "lnet_gie_arch",
    "retinexformer_arch",
]
