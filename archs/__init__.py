"""Every network, one a file. A new network is one line in `__all__`."""

from importlib import import_module

__all__ = [
    "aod_net_arch",
    "blgm_arch",
    "ded_net_arch",
    "dual_generalization_arch",
    "hdrnet_arch",
    "iglfm_arch",
    "lnet_gie_arch",
    "retinexformer_arch",
    "retinexnet_arch",
    "segmentation_arch",
    "uretinexnet_arch",
    "wsgm_arch",
    "wtnet_arch",
]

for _name in __all__:
    import_module(f"{__name__}.{_name}")
