"""Detection: ExDark's files, average precision by hand, torchvision's weights, an ONNX graph."""

import json

import numpy as np
import pytest
import torch
from helpers import make_pairs
from torch import nn
from torch.nn import functional as F
from torchvision.models import detection

from enhancement.data.boxes import CLASSES, Boxes, Objects
from enhancement.data.images import write_image
from enhancement.data.sources import open_source
from enhancement.errors import UserError
from enhancement.scoring.detectors import Detections, as_exdark, load_detector
from enhancement.scoring.metrics import MAP, MAP_50
from enhancement.testing import command as tester

CPU = torch.device("cpu")
KINDS = ("Cat", "Dog")
HEIGHT, WIDTH = 96, 192
GAMMA = 0.3  # that brightens the images again
CORNERS = torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
COLOURS = ((0.9, 0.2, 0.2), (0.2, 0.2, 0.9))


def made(seed):
    """A square on a dim wall, (H, W, 3), its box and its kind: cats are red, dogs are blue."""
    rng = np.random.default_rng(seed)
    image = np.full((HEIGHT, WIDTH, 3), rng.uniform(0.15, 0.35), np.float32)
    width, height = rng.integers(24, 65, 2)
    left, top = rng.integers(0, WIDTH - width), rng.integers(0, HEIGHT - height)
    kind = int(rng.integers(2))
    image[top : top + height, left : left + width] = COLOURS[kind]
    return image, (int(left), int(top), int(width), int(height)), KINDS[kind]


def annotation(box, kind):
    return "% bbGt version=3\n" + " ".join([kind, *map(str, box)]) + " 0 0 0 0 0 0 0\n"


@pytest.fixture
def exdark(in_tmp):
    """A data set in ExDark's form, its images darkened by a gamma curve."""
    for seed in range(12):
        image, box, kind = made(100 + seed)
        dark = (image ** (1 / GAMMA) * 255).round().astype(np.uint8)
        write_image(in_tmp / f"ExDark/{kind}/{seed}.png", dark)
        file = in_tmp / f"ExDark_Annno/{kind}/{seed}.png.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(annotation(box, kind))
    return in_tmp


class OneObject(nn.Module):
    """A detector of one object an image: its box, its probability, its COCO number."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.AvgPool2d(2), nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()),
        )
        self.head = nn.Sequential(nn.Linear(32 * 12 * 24, 64), nn.ReLU(), nn.Linear(64, 6))

    def values(self, images):
        return self.head(self.body(images).flatten(1))

    def forward(self, image):
        values = self.values(image)[0]
        probability, kind = values[4:].softmax(0).max(0)
        return values[None, :4] * CORNERS, probability[None], torch.tensor([17, 18])[kind][None]


@pytest.fixture
def graph(in_tmp):
    """That detector, trained on made images as bright as they are, as an ONNX file."""
    torch.manual_seed(0)
    images, boxes, kinds = zip(*(made(seed) for seed in range(300)), strict=True)
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    corners = torch.tensor([(a, b, a + w, b + h) for a, b, w, h in boxes]) / CORNERS
    labels = torch.tensor([KINDS.index(kind) for kind in kinds])
    network = OneObject()
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for step in range(480):
        part = slice(step % 10 * 30, step % 10 * 30 + 30)
        found = network.values(x[part])
        loss = F.smooth_l1_loss(found[:, :4], corners[part], beta=0.02)
        loss = 10 * loss + F.cross_entropy(found[:, 4:], labels[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.onnx.export(network.eval(), (x[:1],), "detector.onnx", dynamo=False)
    return "detector.onnx"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_enhancement_helps_a_detector(exdark, graph, capsys):
    given = ["--network", f"Gamma:gamma={GAMMA}", "--dataset", "exdark", "--data_root", str(exdark)]
    _, folder = tester.test(tester.parse([*given, "--detector", graph]))
    found = json.loads((folder / "scores.json").read_text())["detection"]
    assert list(found) == ["dark input", "output"]
    assert found["output"]["map_50"] > found["dark input"]["map_50"] + 0.2
    assert "Protocol detection, dataset ExDark, 12 images" in capsys.readouterr().out


def objects(*rows):
    boxes, labels = zip(*rows, strict=True) if rows else ((), ())
    return Objects(torch.tensor(boxes).float().view(-1, 4), torch.tensor(labels).long())


def test_average_precision_by_hand():
    truths = [objects(((0, 0, 10, 10), 1)), objects(((0, 0, 10, 10), 1))]
    exact = [Detections(t.boxes, torch.ones(1), t.labels) for t in truths]
    assert MAP.function(exact, truths) == pytest.approx(1)
    # an overlap of 62 of 100: right at 0.5, 0.55 and 0.6, wrong at the seven others
    narrow = [one._replace(boxes=torch.tensor([[0.0, 0, 6.2, 10]])) for one in exact]
    assert MAP_50.function(narrow, truths) == pytest.approx(1)
    assert MAP.function(narrow, truths) == pytest.approx(0.3)
    other = [one._replace(labels=torch.tensor([2])) for one in exact]
    assert MAP_50.function(other, truths) == pytest.approx(0)


def test_annotations_are_read_as_exdark_writes_them(exdark):
    boxes = Boxes(str(exdark / "ExDark_Annno"), open_source(exdark / "ExDark"))
    _, (left, top, width, height), kind = made(100)
    (name,) = [n for n in open_source(exdark / "ExDark").names if n.endswith("/0.png")]
    found = boxes.read(name)
    assert found.boxes.tolist() == [[left, top, left + width, top + height]]
    assert [CLASSES[label - 1] for label in found.labels] == [kind]
    file = exdark / f"ExDark_Annno/{name}.txt"
    for text, said in (
        ("Cat 1 2 3 4\n", "expected '% bbGt version=3' in the first line"),
        ("% bbGt version=3\nCat 1 2 x 4\n", ":2: expected a class and four numbers"),
        ("% bbGt version=3\n\nUnicorn 1 2 3 4\n", ":3: expected one of Bicycle, Boat"),
        ("% bbGt version=3\nCat nan 2 3 4\n", "expected one of"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=said):
            boxes.read(name)
    file.write_text("% bbGt version=3\n")
    assert boxes.read(name).boxes.shape == (0, 4)
    file.unlink()
    with pytest.raises(UserError, match="there is no such file"):
        Boxes(str(exdark / "ExDark_Annno"), open_source(exdark / "ExDark"))


def test_coco_numbers_become_exdarks():
    boxes = torch.arange(12).view(3, 4).float()
    found = as_exdark(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([18, 13, 1]), 91)
    assert [CLASSES[n - 1] for n in found.labels] == ["Dog", "People"]  # 13 is a stop sign
    assert found.boxes.tolist() == boxes[[0, 2]].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("classes", [13, 91])
@pytest.mark.parametrize(
    "name",
    ["ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_fpn", "fcos_resnet50_fpn"],
)
def test_torchvisions_detectors_are_recognised(name, classes, in_tmp):
    torch.manual_seed(0)
    make = getattr(detection, name)
    network = make(weights=None, weights_backbone=None, num_classes=classes).eval()
    state = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
    torch.save(state, "detector.pth")
    image = torch.rand(1, 3, 96, 128)
    found = load_detector("detector.pth", CPU)(image)
    with torch.inference_mode():
        expected = network([image[0]])[0]
    wanted = as_exdark(expected["boxes"], expected["scores"], expected["labels"], classes)
    assert torch.equal(found.boxes, wanted.boxes)
    assert torch.equal(found.labels, wanted.labels)
    assert torch.equal(load_detector(f"{name}:detector.pth", CPU)(image).boxes, wanted.boxes)


def test_mistakes_are_told_in_one_line(exdark, in_tmp):
    torch.save({"conv.weight": torch.zeros(3)}, "w.pth")
    given = ["--network", "Gamma", "--dataset", "exdark", "--data_root", str(exdark)]
    for detector, said in (
        ("w.pth", "w.pth fits no torchvision detector; expected one of fasterrcnn_resnet50_fpn"),
        ("ssd300_vgg16:w.pth", "fits no torchvision detector; expected ssd300_vgg16"),
    ):
        with pytest.raises(UserError, match=said):
            tester.test(tester.parse([*given, "--detector", detector]))
    (in_tmp / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(UserError, match="onnx cannot be read"):
        tester.test(tester.parse([*given, "--detector", "bad.onnx"]))
    make_pairs(in_tmp, "low", "high", count=1)
    plain = ["--network", "Gamma", "--dataset", "high_low", "--data_root", str(in_tmp)]
    with pytest.raises(UserError, match="high_low has no boxes; set its dataroot_boxes"):
        tester.test(tester.parse([*plain, "--detector", "w.pth"]))
