"""`enhance compare`: which scores stand in a table, the table, and the page in a real browser."""

import csv
import html
import io
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import picture
from torch.utils.tensorboard import SummaryWriter

from enhancement.comparison import page as compare_html
from enhancement.comparison.curves import read_training, thinned
from enhancement.comparison.results import collect, mean_and_spread
from enhancement.data.images import write_image
from enhancement.scoring.evaluation import Row, Scores
from enhancement.scoring.report import write_scores
from enhancement.scoring.thumbnails import ROLES, thumbnail, write_thumbnails

NAUGHTY = "<script>document.title='broken'</script>\" onload='x'|*/"


def result(
    name,
    psnr=(20.0, 22.0),
    dataset="pairs",
    protocol="basicsr",
    weights="net_g_best",
    network="LNetGIE",
    images=None,
    pictures=True,
    weights_file=None,
    inputs=9.0,
    more=(),
    **about,
):
    """Write what test_from_dataset writes for a run."""
    images = images or [f"{i}.png" for i in range(len(psnr))]
    rows = [
        Row(image, {"psnr": inputs, "ssim": 0.3}, {"psnr": value, "ssim": value / 30, **dict(more)})
        for image, value in zip(images, psnr, strict=True)
    ]
    folder = Path("results", name.replace("/", "_"), dataset, protocol, weights)
    about = {"name": name, "network_g": {"type": network}, "parameters": 14, **about}
    about |= {"weights": weights_file} if weights_file else {}
    write_scores(folder, Scores(protocol, dataset, rows), about)
    if pictures:
        image = torch.from_numpy(picture(1) / 255.0).permute(2, 0, 1)[None]
        write_thumbnails(folder, [tuple(thumbnail(image / n) for n in (4, 2, 1)) for _ in rows])
    return folder


def run_folder(name, seconds=60.0, started=1000.0, losses=(0.5, 0.3, 0.2)):
    """A run's folder with its curves."""
    folder = Path("experiments", name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "options.yml").write_text("name: x\n")
    with SummaryWriter(str(folder)) as writer:
        for i, loss in enumerate(losses):
            at = started + seconds * i / (len(losses) - 1)
            writer.add_scalar("losses/l_total", loss, 10 * (i + 1), walltime=at)
        writer.add_scalar("metrics/pairs_val/basicsr/psnr", 19.5, 30, walltime=started + seconds)
    return folder


class TestCollect:
    def test_a_run_folder_finds_its_results_and_they_find_it(self, in_tmp):
        result("a", weights="net_g_best")
        run = run_folder("a")
        by_run, by_results = collect([run]), collect([in_tmp / "results/a"])
        assert [r.label for r in by_run] == [r.label for r in by_results] == ["a"]
        assert by_run[0].run == by_results[0].run == run

    def test_shipped_weights_are_not_a_run_of_their_name(self, in_tmp):
        run = run_folder("video")
        result("video", weights="video", weights_file="video")
        result("video", weights="net_g_best", weights_file=f"{run}/models/net_g_best.pth")
        found = {r.folder.name: r.run for r in collect([run])}
        assert found == {"video": None, "net_g_best": run}

    def test_outputs_may_be_files_of_another_kind(self, in_tmp):
        a, b = result("a", images=["0.jpg", "1.jpg"]), result("b", images=["0.png", "1.png"])
        assert len(collect([a, b])) == 2

    def test_the_same_scores_named_twice_are_one_row(self, in_tmp):
        folder = result("a")
        assert len(collect([folder, folder / "scores.json", in_tmp / "results"])) == 1

    def test_several_weights_of_a_run_are_told_apart(self, in_tmp):
        result("a")
        result("a", weights="net_g_latest")
        rows = collect([in_tmp / "results/a"])
        assert [r.label for r in rows] == ["a net_g_best", "a net_g_latest"]

    def test_mean_and_spread(self):
        rows = [{"psnr": 20.0}, {"psnr": 22.0}, {"psnr": 27.0}]
        assert mean_and_spread(rows, "psnr") == (23, pytest.approx(np.std([20, 22, 27], ddof=1)))
        assert mean_and_spread(rows[:1], "psnr") == (20, None)
        assert mean_and_spread([*rows, {"psnr": float("inf")}], "psnr") == (float("inf"), None)
        assert mean_and_spread([{"psnr": float("nan")}], "psnr") == (None, None)
        assert mean_and_spread([{"lpips": None}], "lpips") == (None, None)


class TestRefusals:
    def refused(self, enhance, *arguments):
        status, out, err = enhance("compare", *arguments)
        assert status == 2
        assert not out
        assert err.count("error: ") == 1
        return err

    def test_protocols_never_mix(self, in_tmp, enhance):
        a, b = result("a"), result("b", protocol="basicsr+gtmean")
        err = self.refused(enhance, a, b)
        assert "several protocols, which one table must not mix: basicsr, basicsr+gtmean" in err
        assert "choose one with --protocol" in err

    def test_datasets_never_mix(self, in_tmp, enhance):
        a, b = result("a"), result("b", dataset="others")
        err = self.refused(enhance, a, b)
        assert "several datasets" in err
        assert "others, pairs; choose one with --dataset" in err

    def test_the_way_out_chooses(self, in_tmp, enhance):
        for protocol in ("basicsr", "capsule"):
            result("a", protocol=protocol)
        status, out, _ = enhance("compare", "results/a", "--protocol", "capsule")
        assert status == 0
        assert "Protocol capsule" in out
        err = self.refused(enhance, "results/a", "--protocol", "retinexformer")
        assert "no scores on retinexformer; it has pairs by basicsr, pairs by capsule" in err

    def test_other_images_under_one_name(self, in_tmp, enhance):
        a, b = result("a"), result("b", images=["0.png", "7.png"])
        assert "was scored on other images than" in self.refused(enhance, a, b)

    def test_other_inputs_of_the_same_names(self, in_tmp, enhance):
        result("a"), result("b", inputs=9.005), result("c", inputs=17.3)
        assert enhance("compare", "results/a", "results/b")[0] == 0
        said = self.refused(enhance, "results/a", "results/c")
        assert "untouched inputs have other scores than those of results/a" in said

    def test_scores_of_another_run_of_the_same_name(self, in_tmp, enhance):
        for experiments in ("expA", "expB"):
            (in_tmp / experiments / "foo").mkdir(parents=True)
            (in_tmp / experiments / "foo/options.yml").write_text("name: foo\n")
        result("foo", weights_file="expB/foo/models/net_g_best.pth")
        assert enhance("compare", "expB/foo")[0] == 0
        said = self.refused(enhance, "expA/foo", "expB/foo")
        assert "expA/foo: its scores are those of expB/foo, a run of the same name" in said

    def test_a_run_that_was_never_tested(self, in_tmp, enhance):
        err = self.refused(enhance, run_folder("a"))
        assert "experiments/a: no scores of it in results/a; make them: python" in err

    def test_a_folder_that_is_not_there(self, in_tmp, enhance):
        run_folder("hdrnet")
        err = self.refused(enhance, "experiments/hdrnt")
        assert "no such folder; did you mean 'experiments/hdrnet'?" in err
        (in_tmp / "empty").mkdir()
        assert "no scores.json in it" in self.refused(enhance, "empty")

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            '{"protocol": "basicsr"}',
            '{"protocol": "p", "dataset": "d", "images": []}',
            '{"protocol": "p", "dataset": "d", "network_g": [1], "images": '
            '[{"name": "x", "output": {"psnr": 1}, "input": {}}]}',
        ],
    )
    def test_what_is_no_table_of_scores(self, in_tmp, enhance, text):
        (in_tmp / "scores.json").write_text(text)
        err = self.refused(enhance, "scores.json")
        assert "scores.json: is not a table of scores as test_from_dataset writes it" in err

    def test_a_network_that_cannot_be_built(self, in_tmp, enhance):
        folder = result("a", network_g={"type": "LNetGIE", "colour": "red"})
        assert "its network_g cannot be built" in self.refused(enhance, folder)
        folder = result("a", network="LNetGIX")
        assert "LNetGIX" in self.refused(enhance, folder)


class TestTables:
    def test_text_markdown_and_csv_say_the_same(self, in_tmp, enhance):
        result("a")
        result("b|c", psnr=(21.0, 22.0), network="AODNet", parameters=1761)
        run_folder("a")
        status, out, _ = enhance(
            "compare", "results", "--markdown", "t.md", "--csv", "t.csv", "--latency"
        )
        assert status == 0
        line = next(x for x in out.splitlines() if x.startswith("a "))
        assert re.search(
            r"21\.000 ± 1\.414 +0\.7000 ± 0\.0471 +14 +0\.197 M +[\d.]+ ms +0:01:00", line
        )
        assert re.search(r"untouched input +- +9\.000", out)
        markdown = (in_tmp / "t.md").read_text().splitlines()
        assert all(row.replace("\\|", "").count("|") == 9 for row in markdown[2:])
        rows = list(csv.DictReader(io.StringIO((in_tmp / "t.csv").read_text())))
        assert [row["run"] for row in rows] == ["a", "b|c"]
        assert (rows[1]["parameters"], rows[1]["psnr"], rows[1]["images"]) == ("1761", "21.5", "2")
        assert float(rows[0]["training_seconds"]) == pytest.approx(60)
        assert rows[1]["training_seconds"] == ""
        assert float(rows[0]["latency_ms"]) > 0

    @pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
    def test_a_metric_that_one_run_has_is_shown(self, in_tmp, enhance, order):
        result("a"), result("b", more={"musiq": 60.0})
        _, out, _ = enhance("compare", *(f"results/{name}" for name in order))
        line = {row.split()[0]: row for row in out.splitlines() if row[:2] in ("a ", "b ")}
        assert "60" in line["b"]
        assert "60" not in line["a"]

    def test_a_hostile_name_stays_one_cell_of_markdown(self, in_tmp, enhance):
        result(NAUGHTY.replace("/", "\\") + "\n| x | <b>")
        status, _, _ = enhance("compare", "results", "--markdown", "t.md")
        assert status == 0
        *_, rule, untouched, row = (in_tmp / "t.md").read_text().splitlines()
        assert len(re.findall(r"(?<!\\)\|", row)) == rule.count("|") == untouched.count("|")
        assert "<" not in row
        assert "onload='x'\\|*\\\\ \\| x \\| &lt;b>" in row

    def test_outputs_of_others_stand_beside_ours(self, in_tmp, enhance):
        result("a", images=["0.png", "1.png"])
        for i in range(2):
            write_image(in_tmp / f"gt/{i}.png", picture(i))
            write_image(in_tmp / f"theirs/{i}.png", picture(i) // 2)
        enhance("score", "theirs", "gt", "--dataset", "pairs", "-o", "results/theirs")
        status, out, _ = enhance("compare", "results/a", "results/theirs", "--html", "c.html")
        assert status == 0
        assert re.search(r"theirs +- +\d", out)

    def test_a_file_that_cannot_be_written(self, in_tmp, enhance):
        result("a")
        (in_tmp / "file").write_text("")
        status, _, err = enhance("compare", "results/a", "--html", "file/x.html")
        assert status == 2
        assert "file/x.html: cannot be written" in err

    def test_a_file_for_two_tables_is_refused(self, in_tmp, enhance):
        result("a")
        status, _, err = enhance("compare", "results/a", "--csv", "x", "--markdown", "x")
        assert status == 2
        assert "x: is to hold several tables; name a file for each" in err
        assert not (in_tmp / "x").exists()


class TestCurves:
    def test_time_leaves_pauses_out_and_later_files_win(self, in_tmp):
        run = run_folder("a", seconds=60, started=1000)
        first = next(run.glob("events*"))
        first.rename(run / "events.out.tfevents.0000000001.a")
        run_folder("a", seconds=30, started=9000, losses=(0.1, 0.05))
        training = read_training(run)
        assert training.seconds == pytest.approx(90)
        assert [x for x, _ in training.loss] == [10, 20]
        assert training.loss[0][1] == pytest.approx(0.1)
        assert training.validated == "pairs_val (basicsr)"

    def test_a_run_without_curves(self, in_tmp):
        assert read_training(in_tmp).seconds is None

    def test_long_curves_are_thinned_to_means(self):
        thin = thinned([(i, float(i % 2)) for i in range(4001)], 100)
        assert len(thin) <= 101
        assert thin[-1] == (4000, 0.0)
        assert all(abs(v - 0.5) < 0.05 for _, v in thin[:-1])


def page_of(*names, **more):
    for name in names:
        result(name, **more)
    return compare_html.build_page(collect([Path("results")]))


class TestPage:
    def test_it_needs_nothing_else(self, in_tmp):
        page = page_of("a", "b")
        assert not re.search(
            r"""(src|href)\s*=\s*["']|@import|url\(|https?://(?!www\.w3\.org)""", page
        )
        assert "default-src 'none'" in page

    def test_names_cannot_leave_the_json(self, in_tmp):
        page = page_of(NAUGHTY)
        assert "<script>document" not in page
        inside = page.split('type="application/json" id="data">')[1].split("</script>")[0]
        assert json.loads(inside)["rows"][1]["cells"]["run"]["text"] == NAUGHTY

    def test_the_better_score_is_marked_as_its_metric_says(self, in_tmp):
        scores = {"psnr": 20.0, "lpips": 0.2, "dice": 0.5, "niqe": 4.0}
        table = Scores("capsule", "pairs", [Row("0.png", {}, scores)])
        write_scores(in_tmp / "theirs", table, {"name": "theirs"})
        columns = compare_html.page_data(collect([in_tmp / "theirs"]))["columns"]
        assert [(c["title"], c["best"]) for c in columns[2:]] == [
            ("PSNR", "high"),
            ("LPIPS", "low"),
            ("Dice", "high"),
            ("NIQE", "low"),
        ]

    def test_it_stays_below_its_limit(self, in_tmp, monkeypatch):
        rng = np.random.default_rng(0)
        noise = torch.from_numpy(rng.random((1, 3, 400, 600)))
        for name in ("a", "b"):
            folder = result(name, pictures=False)
            write_thumbnails(folder, [(thumbnail(noise),) * 3] * 2)
        rows = collect([in_tmp / "results"])
        whole = len(compare_html.build_page(rows))
        monkeypatch.setattr(compare_html, "LIMIT", whole - 1)
        smaller = compare_html.build_page(rows)
        assert len(smaller) < whole
        assert smaller.count("data:image/webp") == 8
        monkeypatch.setattr(compare_html, "LIMIT", 60_000)
        assert len(compare_html.build_page(rows)) <= 60_000
        assert "images have no picture here" in compare_html.build_page(rows)

    def test_a_damaged_picture_is_named(self, in_tmp, enhance):
        folder = result("a")
        (folder / "pictures/00_gt.webp").write_text("no picture")
        status, _, err = enhance("compare", "results/a", "--html", "c.html")
        assert status == 2
        assert "00_gt.webp: cannot be read as an image" in err

    def test_results_without_pictures_still_compare(self, in_tmp):
        assert "data:image" not in page_of("a", pictures=False)


@pytest.fixture
def browse(in_tmp, chromium):
    """Runs a script in a page in headless Chromium, 360 pixels wide; what the script returns."""

    def run(page: str, script: str):
        inner = html.escape(page, quote=True)
        (in_tmp / "outer.html").write_text(
            f'<iframe id="f" style="width:360px;height:800px;border:0" srcdoc="{inner}"></iframe>'
            '<pre id="answer"></pre><script>f.onload = () => { const w = f.contentWindow, '
            "d = f.contentDocument, get = (id) => d.getElementById(id);"
            "const texts = () => [...d.querySelectorAll('tbody th')].map((t) => t.textContent);"
            "const answer = (() => {" + script + "})();"
            "document.getElementById('answer').textContent = JSON.stringify(answer); };</script>"
        )
        done = subprocess.run(
            [
                chromium,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--dump-dom",
                "--virtual-time-budget=5000",
                f"--user-data-dir={in_tmp / 'profile'}",
                (in_tmp / "outer.html").as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        found = re.search(r'<pre id="answer">(.+?)</pre>', done.stdout, re.DOTALL)
        assert found, done.stderr[-2000:]
        return json.loads(html.unescape(found[1]))

    return run


@pytest.mark.slow
class TestBrowser:
    @pytest.fixture
    def page(self, in_tmp):
        result("middle_run", psnr=(20.0, 22.0))
        result("best", psnr=(24.0, 25.0))
        result("worst", psnr=(15.0, 16.0))
        run_folder("best")
        rows = collect([in_tmp / f"results/{n}" for n in ("middle_run", "best", "worst")])
        for row in rows:
            row.training = read_training(row.run) if row.run else row.training
        return compare_html.build_page(rows)

    def test_it_sorts_and_fits_a_phone(self, page, browse):
        answer = browse(
            page,
            """
            const psnr = d.querySelectorAll('thead button')[2], orders = [texts()];
            psnr.click(); orders.push(texts(), psnr.parentNode.getAttribute('aria-sort'));
            psnr.click(); orders.push(texts(), psnr.parentNode.getAttribute('aria-sort'));
            d.querySelector('thead button').click(); orders.push(texts());
            return {orders, bold: [...d.querySelectorAll('td.best')].map((c) => c.textContent),
                    wide: d.documentElement.scrollWidth, focusable: psnr.tabIndex};
        """,
        )
        given, down, descending, up, ascending, by_name = answer["orders"]
        assert given == ["untouched input", "middle_run", "best", "worst"]
        assert (down, descending) == (
            ["best", "middle_run", "worst", "untouched input"],
            "descending",
        )
        assert (up, ascending) == (down[::-1], "ascending")
        assert by_name == ["best", "middle_run", "untouched input", "worst"]
        assert answer["bold"][0].startswith("24.500")
        assert answer["wide"] <= 360
        assert answer["focusable"] == 0

    def test_the_slider_uncovers_and_pictures_are_chosen(self, page, browse):
        answer = browse(
            page,
            """
            const stage = d.querySelector('.stage'), slider = get('slider'), found = {};
            const cut = () => w.getComputedStyle(get('image-left')).clipPath;
            found.before = cut();
            slider.value = 80; slider.dispatchEvent(new w.Event('input')); found.after = cut();
            slider.focus(); found.ring = w.getComputedStyle(stage).outlineStyle;
            get('left').value = 'run2'; get('left').dispatchEvent(new w.Event('change'));
            found.left = get('about-left').textContent;
            get('right').value = 'gt'; get('right').dispatchEvent(new w.Event('change'));
            found.differ = get('image-left').src !== get('image-right').src;
            d.querySelectorAll('#thumbnails button')[1].click();
            found.second = get('about-left').textContent;
            found.pressed = [...d.querySelectorAll('#thumbnails button')]
                .map((b) => b.getAttribute('aria-pressed'));
            found.size = [get('image-left').naturalWidth, get('image-left').naturalHeight];
            return found;
        """,
        )
        assert answer["before"] == "inset(0px 50% 0px 0px)"
        assert answer["after"] == "inset(0px 20% 0px 0px)"
        assert answer["ring"] == "solid"
        assert answer["left"] == "worst: PSNR 15.000, SSIM 0.5000"
        assert answer["second"] == "worst: PSNR 16.000, SSIM 0.5333"
        assert answer["differ"]
        assert answer["pressed"] == ["false", "true"]

    def test_curves_are_read_by_keyboard(self, page, browse):
        answer = browse(
            page,
            """
            const svg = d.querySelector('.chart svg'), text = (s) => d.querySelector(s).textContent;
            const at = () => text('.chart .at') + text('.legend li');
            const press = (key) => svg.dispatchEvent(new w.KeyboardEvent('keydown', {key}));
            const found = [at()];
            press('ArrowRight'); found.push(at()); press('End'); found.push(at());
            press('ArrowLeft'); found.push(at());
            svg.dispatchEvent(new w.Event('blur')); found.push(at());
            return found;
        """,
        )
        assert answer == [
            "iterations; last values:best0.2",
            "at iteration 10:best0.5",
            "at iteration 30:best0.2",
            "at iteration 20:best0.3",
            "iterations; last values:best0.2",
        ]

    def test_a_run_named_like_a_script_is_inert(self, in_tmp, browse):
        answer = browse(page_of(NAUGHTY), "return [texts()[1], d.title, d.scripts.length];")
        assert answer == [NAUGHTY, f"{NAUGHTY} on pairs", 2]


def test_tensorboard_sees_the_runs_alone(in_tmp, enhance, monkeypatch):
    result("a")
    run_folder("a")
    run_folder("other")
    seen = {}

    def started(command, **_):
        folder = Path(command[command.index("--logdir") + 1])
        seen["runs"] = [p.name for p in folder.iterdir()]
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("enhancement.commands.compare.subprocess.run", started)
    status, out, _ = enhance("compare", "experiments/a", "--tensorboard", "--port", "6123")
    assert status == 0
    assert seen["runs"] == ["a"]
    assert "TensorBoard: http://localhost:6123/" in out


def test_roles_are_those_of_the_page():
    assert set(ROLES) == {compare_html.INPUT_KEY, compare_html.GT_KEY, "output"}
