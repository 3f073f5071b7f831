"""Package metadata. `archs`, `models` and `data` import as `enhancement.archs` and so on."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "enhancement/__init__.py").read_text())[1]
PLUG_INS = ("archs", "data", "models")  # top-level folders that import as parts of `enhancement`
WITHOUT_CODE = {"options": ["*.yml", "*/*.yml"], "pretrained_weights": ["*.pth", "*.safetensors"]}
packages = ["enhancement", *(f"enhancement.{p}" for p in find_packages("enhancement"))]
for folder in PLUG_INS:
    packages += [
        f"enhancement.{p}" for p in (folder, *(f"{folder}.{q}" for q in find_packages(folder)))
    ]
packages += [f"enhancement.{folder}" for folder in WITHOUT_CODE]

setup(
    name="enhancement",
    version=VERSION,
    description="Low-light and endoscopy image enhancement networks behind one BasicSR registry",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.13",
    packages=packages,
    package_dir={
        "enhancement": "enhancement",
        **{f"enhancement.{folder}": folder for folder in (*PLUG_INS, *WITHOUT_CODE)},
    },
    package_data={
        "enhancement": ["py.typed"],
        "enhancement.app": ["assets/*"],
        "enhancement.archs": ["networks.json"],
        "enhancement.comparison": ["assets/*"],
        **{f"enhancement.{folder}": files for folder, files in WITHOUT_CODE.items()},
    },
    # TensorBoard and OpenCV are not named here: basicsr requires tb-nightly and opencv-python,
    # and a second copy of either beside them breaks both (enhancement/compat.py).
    install_requires=[
        "basicsr==1.4.2",
        "torch>=2.6,!=2.13.0",
        "torchvision>=0.21",
        "einops>=0.7",
        "timm>=1.0",
        "spandrel>=0.4.1,<0.5",
        "lmdb>=1.4",
        "docstring-parser>=0.16",
        "numpy>=1.26",
        "pillow>=10.1",
        "pydantic>=2.6",
        "pyyaml>=6.0",
        "scikit-image>=0.22",
        "scipy<2",  # basicsr imports scipy.ndimage.filters
        "lpips>=0.1.4",
        "numba>=0.60",
        "setuptools<81",
        "tqdm>=4.66",
        "segmentation-models-pytorch>=0.4",
        "safetensors>=0.4",
        "av>=16",
        "imagehash>=4.3",
        "onnx>=1.16",
        "onnxruntime>=1.18",
        "onnxscript>=0.1",
        "shtab>=1.7",
        "psutil>=7.2",
        "matplotlib>=3.8",
        "tabulate>=0.10",
    ],
    entry_points={"console_scripts": ["enhance = enhancement.commands.main:main"]},
    extras_require={
        "app": ["gradio>=6.31,<7"],
        "dev": [
            "gradio>=6.31,<7",
            "hypothesis",
            "jsonschema>=4.18",
            "mypy",
            "playwright",
            "pycocotools>=2.0.8",
            "pre-commit",
            "pytest",
            "pytest-xdist",
            "ruff",
            "torchmetrics>=1.4",
            "types-PyYAML",
            "types-tqdm",
            "uv",
        ],
        "detection": ["torchmetrics>=1.4", "pycocotools>=2.0.8"],
    },
)
