"""Every network, one a file. A new network is one line in `__all__`."""

from importlib import import_module

if __name__ == "archs":  # networks are registered once
    raise ImportError("this folder is the package `enhancement.archs`; import it by that name")

__all__ = [
    "aod_net_arch",
    "blgm_arch",
    "c2pnet_arch",
    "cap_arch",
    "clahe_arch",
    "cpga_net_arch",
    "darkir_arch",
    "dcp_arch",
    "ded_net_arch",
    "dehazeformer_arch",
    "dped_arch",
    "dual_generalization_arch",
    "fecnet_arch",
    "feqe_arch",
    "ffa_net_arch",
    "flol_arch",
    "flw_net_arch",
    "fourllie_arch",
    "gamma_arch",
    "gca_net_arch",
    "grid_dehaze_net_arch",
    "hdrnet_arch",
    "hdrnet_unet_arch",
    "iat_arch",
    "iglfm_arch",
    "light_dehaze_net_arch",
    "lime_arch",
    "lnet_gie_arch",
    "lyt_net_arch",
    "mobile_ie_arch",
    "msbdn_arch",
    "msrcr_arch",
    "pairlie_arch",
    "retinexformer_arch",
    "retinexnet_arch",
    "ruas_arch",
    "sci_arch",
    "segmentation_arch",
    "snrnet_arch",
    "uretinexnet_arch",
    "wsgm_arch",
    "wtnet_arch",
    "zero_dce_arch",
]

for _name in __all__:
    import_module(f"{__name__}.{_name}")
