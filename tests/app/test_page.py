"""`enhance app` in a real browser: upload, slider, video, camera, phone, keyboard, two visitors."""

import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import uvicorn
from helpers import make_clip, picture

from enhancement.app.networks import Networks, classic_choices, shipped_choices
from enhancement.app.videos import Progress
from enhancement.data.images import write_image

pytest.importorskip("gradio", reason="enhance app needs Gradio")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")

from enhancement.app.server import bind, build_app  # noqa: E402

PATIENCE = 25_000  # milliseconds, on a busy machine
FIRST, SECOND = "lnet_gie_gastroscopy", "aod_net_gastroscopy"  # small ones
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Where the server keeps its visitors' files."""
    return tmp_path_factory.mktemp("visitors")


@pytest.fixture(scope="module")
def address(root):
    """A server of the page, which takes 1 MB at most."""
    networks = Networks({"shipped": shipped_choices(), "classics": classic_choices()}, "cpu")
    with bind("127.0.0.1", 0) as listening:
        config = uvicorn.Config(
            build_app(networks, root, "1MB"), log_level="warning", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def browser(chromium):
    with sync_api.sync_playwright() as tools:
        opened = tools.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, address):
    """Opens the page as a new visitor; what it asks for is noted as `page.asked`."""
    contexts = []

    def open_page(width=1280):
        context = browser.new_context(
            viewport={"width": width, "height": 844}, permissions=["camera"]
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(address)
        page.locator("#enhance").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def dark(in_tmp):
    """Writes a dark picture; its path."""

    def write(name="dark.png", seed=0):
        write_image(in_tmp / name, picture(seed) // 4)
        return str(in_tmp / name)

    return write


def upload(page, *paths, to="#photographs"):
    """Drop files and wait until they have arrived."""
    page.locator(f"{to} input[type=file]").set_input_files(list(paths))
    for path in paths:
        name = path.rpartition("/")[2]
        page.locator(f"{to} td.filename[aria-label='{name}']").wait_for()


def only(page, *networks):
    """Tick these networks."""
    page.get_by_label("photo: any photograph").uncheck()
    for network in networks:
        page.get_by_label(f"{network}: ").check()


def said(page, text, where="#status"):
    """Wait for what the page says; the whole of it."""
    page.locator(where).get_by_text(text).first.wait_for()
    return page.locator(where).inner_text()


def enhance(page, done="1 of 1 done"):
    page.locator("#enhance").click()
    return said(page, done)


def links(page, where="#downloads"):
    page.locator(f"{where} a[download]").first.wait_for()
    return [a.get_attribute("href") for a in page.locator(f"{where} a[download]").all()]


def test_photographs_by_two_networks(visit, dark, in_tmp, address):
    page = visit()
    (in_tmp / "text.png").write_text("<script>document.title = 'broken'</script>")
    upload(page, dark("a.png"), dark("b.png", 1), str(in_tmp / "text.png"))
    only(page, FIRST, SECOND)
    text = enhance(page, "4 of 6 done")
    assert text.count("text.png: cannot be read as an image (not an image)") == 1
    assert "Traceback" not in page.content()
    sync_api.expect(page.locator("#side-by-side img")).to_have_count(6)
    sync_api.expect(page.locator("tbody tr", has_text="MB")).to_have_count(4)
    assert len(links(page)) == 4
    with page.expect_download() as download:
        page.locator("#downloads a[download]").first.click()
    assert download.value.suggested_filename == f"a_{FIRST}.png"
    download.value.save_as(in_tmp / "saved.png")
    assert (in_tmp / "saved.png").read_bytes().startswith(b"\x89PNG")
    shown = page.locator("#comparison img").first
    before = shown.get_attribute("src")
    page.locator("#side-by-side button", has=page.locator("img")).first.click()
    page.wait_for_function("b => document.querySelector('#comparison img').src !== b", arg=before)
    assert page.title() == "enhancement"
    elsewhere = [url for url in page.asked if not url.startswith((address, "data:", "blob:"))]
    assert not elsewhere


def test_what_is_too_large_is_refused_in_a_line(visit, in_tmp):
    page = visit()
    (in_tmp / "large.png").write_bytes(bytes(2 << 20))
    page.locator("#photographs input[type=file]").set_input_files(str(in_tmp / "large.png"))
    page.get_by_text("maximum allowed size").first.wait_for()


def test_the_slider_by_keyboard_alone(visit, dark):
    page = visit()

    def tab_to(selector):
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        pytest.fail(f"the keyboard does not reach {selector}")

    tab_to("#photographs button")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(dark())
    page.locator("td.filename").wait_for()
    for name in ("photo", FIRST):
        tab_to(f"input[name={name}]")
        page.keyboard.press("Space")
    tab_to("#enhance")
    page.keyboard.press("Enter")
    said(page, "1 of 1 done")
    tab_to("#border input[type=range]")
    before = page.locator("#comparison").inner_html()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("b => document.querySelector('#comparison').innerHTML !== b", arg=before)


def test_it_fits_a_phone(visit, dark):
    page = visit(390)
    upload(page, dark("a_photograph_with_a_rather_long_name_indeed.png"))
    only(page, FIRST, SECOND)
    enhance(page, "2 of 2 done")
    links(page)
    for tab in ("Photographs", "Video", "Camera"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


class TestVisitors:
    def test_two_at_once_see_their_own_files_alone(self, visit, dark, root):
        one, two = visit(), visit()
        for page, seed in ((one, 0), (two, 1)):
            upload(page, dark(f"{seed}.png", seed))
            only(page, FIRST)
            page.locator("#enhance").click()
        addresses = []
        for page in (one, two):
            said(page, "1 of 1 done")
            addresses.append([*links(page), *links(page, "#photographs")])
        for page, own, foreign in ((one, *addresses), (two, *addresses[::-1])):
            assert [page.request.get(url).status for url in own] == [200, 200]
            assert [page.request.get(url).status for url in foreign] == [404, 404]
        guesses = (f"gradio_api/file={root}", "gradio_api/file=/etc/passwd", "docs", "monitoring")
        base = one.url
        assert all(one.request.get(base + guess).status in (403, 404) for guess in guesses)
        one.context.close()
        wait_until(lambda: not list(root.glob(f"*/*/0/0_{FIRST}.png")))
        assert two.request.get(addresses[1][0]).status == 200


def wait_until(true, seconds=60):
    """Look until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


def choose_network(page, name):
    """Choose a network in the list of the tab that is open."""
    page.locator("input[aria-label=Network]:visible").click()
    page.get_by_role("option", name=f"{name}: ").click()


class TestVideo:
    def test_a_video_is_enhanced_and_offered(self, visit, in_tmp):
        page = visit()
        make_clip(in_tmp / "clip.mp4", [picture(i) // 4 for i in range(12)])
        page.get_by_role("tab", name="Video").click()
        upload(page, str(in_tmp / "clip.mp4"), to="#video")
        choose_network(page, FIRST)
        page.locator("#enhance-video").click()
        assert "12 frames" in said(page, "Done:", "#video-status")
        (url,) = links(page, "#video-download")
        assert url.endswith(f"clip_{FIRST}.mp4")
        assert page.request.get(url).body()[4:8] == b"ftyp"

    def test_it_can_be_cancelled(self, visit, in_tmp, monkeypatch):
        advance = Progress.advance

        def slowly(self):
            time.sleep(0.2)
            advance(self)

        monkeypatch.setattr(Progress, "advance", slowly)
        page = visit()
        make_clip(in_tmp / "clip.mp4", [picture(i % 5) // 4 for i in range(500)])
        page.get_by_role("tab", name="Video").click()
        upload(page, str(in_tmp / "clip.mp4"), to="#video")
        choose_network(page, FIRST)
        page.locator("#enhance-video").click()
        said(page, " of 500 frames, ", "#video-status")
        page.locator("#cancel-video").click()
        assert "nothing is kept" in said(page, "Cancelled after", "#video-status")

    def test_what_is_no_video(self, visit, in_tmp):
        page = visit()
        (in_tmp / "text.mp4").write_text("text")
        page.get_by_role("tab", name="Video").click()
        upload(page, str(in_tmp / "text.mp4"), to="#video")
        choose_network(page, FIRST)
        page.locator("#enhance-video").click()
        assert said(page, "text.mp4", "#video-status").startswith("text.mp4: cannot be read")


def test_the_camera_is_enhanced_live(visit):
    page = visit()
    page.get_by_role("tab", name="Camera").click()
    choose_network(page, FIRST)
    page.get_by_role("button", name="Click to Access Webcam").click()
    page.locator("#camera button:visible", has_text="Record").first.click()
    page.locator("#live img").wait_for()
    said(page, "frames a second", "#camera-status")
    assert not [url for url in page.asked if "file=" in url]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class TestServer:
    def start(self, *flags):
        command = [sys.executable, "-m", "enhancement", "app", *flags]
        return subprocess.Popen(command, stdout=-1, stderr=-1, text=True)

    def test_ctrl_c_ends_it_and_others_are_warned_of(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        port = free_port()
        server = self.start("--host", "0.0.0.0", "--port", str(port))
        assert f"http://0.0.0.0:{port}/" in server.stdout.readline()
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=30)
        assert server.returncode == 130
        assert "warning: --host 0.0.0.0: others can use this page; it has no password" in err
        assert err.endswith("Stopped by Ctrl-C\n")
        assert "Traceback" not in err
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_a_port_that_is_taken(self, enhance):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            status, _, err = enhance("app", "--port", port)
        assert status == 2
        assert f"127.0.0.1:{port}: the page cannot be served there (Address already in use)" in err
        assert err.count("\n") == 1
