"""What people hand to `predict`: the right answer for each, or an error that says what was expected."""

import functools
import http.server
import io
import pathlib
import threading
import time

import av
import jax.numpy as jnp
import numpy as np
import pandas
import pytest
import tiny
import torch
import videos
from PIL import Image

import actionclip_jax
from actionclip_jax import inference
from actionclip_jax.data import video
from actionclip_jax.data.video import limits

NAMES = ("archery", "playing the violin", "surfing")
PLAIN = {"templates": "none"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return actionclip_jax.load(tiny.save_model(tmp_path_factory.mktemp("model") / "model", tiny.model_config("Transf")))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with one video, and a file that is none."""
    directory = tmp_path_factory.mktemp("place")
    videos.write(directory / "clip.mp4", frames=30)
    (directory / "notes.txt").write_text("no video")
    return directory


@pytest.fixture(scope="module")
def decoded(place):
    """All its frames [T, H, W, 3]."""
    images, _, _ = videos.decode_everything(place / "clip.mp4")
    return np.stack(images)


@pytest.fixture(scope="module")
def expected(model, place):
    return model.predict(str(place / "clip.mp4"), NAMES, **PLAIN).probabilities


def opened(place):
    return (place / "clip.mp4").open("rb")


def content(place):
    return (place / "clip.mp4").read_bytes()


RIGHT = {  # what is given -> how many predictions come back; None: one, and no list
    "a path": (lambda at, x: str(at / "clip.mp4"), None),
    "a pathlib.Path": (lambda at, x: at / "clip.mp4", None),
    "bytes": (lambda at, x: content(at), None),
    "a bytearray": (lambda at, x: bytearray(content(at)), None),
    "a memoryview": (lambda at, x: memoryview(content(at)), None),
    "an open file": (lambda at, x: opened(at), None),
    "a BytesIO": (lambda at, x: io.BytesIO(content(at)), None),
    "uint8 frames [T, H, W, 3]": (lambda at, x: x, None),
    "frames of a view that is not contiguous": (lambda at, x: x[:, ::-1].copy()[:, ::-1], None),
    "a list of arrays": (lambda at, x: list(x), None),
    "a tuple of arrays": (lambda at, x: tuple(x), None),
    "an iterator of pictures": (lambda at, x: iter(x), None),
    "a list of PIL images": (lambda at, x: [Image.fromarray(frame) for frame in x], None),
    "a torch tensor": (lambda at, x: torch.tensor(x), None),
    "a list of torch tensors": (lambda at, x: list(torch.tensor(x)), None),
    "a JAX array": (lambda at, x: jnp.asarray(x), None),
    "a directory": (lambda at, x: at, 1),
    "a glob": (lambda at, x: str(at / "*.mp4"), 1),
    "a list of paths": (lambda at, x: [at / "clip.mp4", str(at / "clip.mp4")], 2),
    "an array of paths": (lambda at, x: np.array([str(at / "clip.mp4")] * 2), 2),
    "a column of paths": (lambda at, x: pandas.Series([str(at / "clip.mp4")] * 2), 2),
    "an iterator of paths": (lambda at, x: iter([at / "clip.mp4"]), 1),
    "a list of arrays of frames": (lambda at, x: [x, x], 2),
    "a list of lists of pictures": (lambda at, x: [list(x), list(x)], 2),
    "a list of all kinds": (lambda at, x: [at, content(at), opened(at), x], 4),
    "an empty list": (lambda at, x: [], 0),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_whatever_holds_the_video_gives_its_prediction(kind, model, place, decoded, expected):
    make, count = RIGHT[kind]
    result = model.predict(make(place, decoded), class_names=NAMES, **PLAIN)
    if count is None:
        assert isinstance(result, inference.Prediction)
        np.testing.assert_array_equal(result.probabilities, expected)
    else:
        assert isinstance(result, inference.Predictions) and len(result) == count and not result.errors
        for one in result:  # in another batch, which rounds otherwise
            np.testing.assert_allclose(one.probabilities, expected, atol=1e-5)


EXPECTED = "expected a file, directory or glob, bytes"
WRONG = {
    "an address": (lambda at, x: "http://host/x.mp4", "allow_urls=True fetches it"),
    "an address of another kind": (lambda at, x: "s3://bucket/x.mp4", "expected a path on this machine"),
    "a file that is not there": (lambda at, x: "gone.mp4", "gone.mp4: no such file"),
    "a glob that matches nothing": (lambda at, x: str(at / "*.avi"), "no video matches"),
    "an empty name": (lambda at, x: "", EXPECTED),
    "a text file": (lambda at, x: at / "notes.txt", "cannot be opened as a video"),
    "bytes of no video": (lambda at, x: b"no video at all", "<15 bytes>: cannot be opened as a video"),
    "no bytes": (lambda at, x: b"", "<0 bytes>: the file is empty"),
    "a file opened as text": (lambda at, x: (at / "notes.txt").open(), "open it with 'rb'"),
    "a StringIO": (lambda at, x: io.StringIO("x"), "open it with 'rb'"),
    "None": (lambda at, x: None, f"the video is None: {EXPECTED}"),
    "a number": (lambda at, x: 5, f"the video is 5: {EXPECTED}"),
    "a dictionary": (lambda at, x: {"a": "clip.mp4"}, EXPECTED),
    "a set": (lambda at, x: {"a.mp4"}, EXPECTED),
    "a number in a list": (lambda at, x: [x, 5], "video 2 is 5"),
    "a path among pictures": (
        lambda at, x: [x[0], "clip.mp4"],
        "item 1 of the list is a picture and item 2",
    ),
    "float frames": (lambda at, x: x / 255, "float64 (30, 64, 160, 3) (from 0 to 1?"),
    "whole numbers of other types": (
        lambda at, x: x.astype(np.int64),
        "int64 (30, 64, 160, 3): expected uint8",
    ),
    "frames [T, 3, H, W]": (
        lambda at, x: np.moveaxis(x, -1, 1),
        "(colours first? move that axis to the end",
    ),
    "frames with transparency": (
        lambda at, x: np.pad(x, [(0, 0)] * 3 + [(0, 1)]),
        "leave the last channel out",
    ),
    "grey frames [T, H, W]": (lambda at, x: x[..., 0], "(grey? repeat it for the three colours)"),
    "grey frames [T, H, W, 1]": (lambda at, x: x[..., :1], "(grey? repeat it for the three colours)"),
    "one picture": (lambda at, x: x[0], "(one picture? put it into a list)"),
    "one PIL image": (lambda at, x: Image.fromarray(x[0]), "put it into a list for a video of one frame"),
    "grey PIL images": (lambda at, x: [Image.fromarray(x[0]).convert("L")], "mode L: expected RGB"),
    "PIL images with transparency": (lambda at, x: [Image.new("RGBA", (8, 8))], "mode RGBA: expected RGB"),
    "frames of two sizes": (lambda at, x: [x[0], x[1, :32]], "frame 1 of the video is (32, 160, 3)"),
    "no frames": (lambda at, x: x[:0], "the video has no frame: (0, 64, 160, 3)"),
    "a batch [B, T, S, S, 3]": (
        lambda at, x: np.zeros((2, 4, 32, 32, 3), np.uint8),
        "(several videos? give a list",
    ),
    "frames too narrow": (lambda at, x: np.zeros((2, 2, 999, 3), np.uint8), "sides of at most 1:100"),
    "a tensor on another device": (
        lambda at, x: torch.zeros((2, 8, 8, 3), device="meta"),
        "does not become an array",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_video_is_refused_by_what_was_expected(kind, model, place, decoded):
    make, message = WRONG[kind]
    with pytest.raises(ValueError) as caught:
        model.predict(make(place, decoded), class_names=NAMES, **PLAIN)
    assert message in str(caught.value)


@pytest.mark.parametrize(("size", "frames"), [((64, 160), 30), ((32, 32), 30), ((300, 200), 9), ((7, 9), 1)])
def test_frames_are_sampled_resized_and_cropped_as_those_of_a_file_bit_for_bit(size, frames, model, tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (frames, *size, 3), np.uint8)
    path = write_lossless(tmp_path / "clip.mkv", pixels)
    options = {"views": (3, 2), "keep_images": True, **PLAIN}
    of_file, of_frames = model.predict(path, NAMES, **options), model.predict(pixels, NAMES, **options)
    for name in ("frames", "images", "probabilities"):
        np.testing.assert_array_equal(getattr(of_frames, name), getattr(of_file, name))
    assert np.isnan(of_frames.timestamps).all() and of_frames.to_dict()["timestamps"][0] == [None] * tiny.FRAMES
    np.testing.assert_array_equal(model.preprocess(pixels, views=(3, 2)), model.preprocess(path, views=(3, 2)))


def write_lossless(path, pixels):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = *pixels.shape[1:3], "bgr0"
        for image in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))
    return path


def test_the_three_steps_are_what_predict_does(model, place):
    for views in ((1, 1), "2x3"):
        clips = model.preprocess(place / "clip.mp4", views=views)
        scores = model.score(model.encode_video(clips), NAMES)
        whole = model.predict(place / "clip.mp4", NAMES, views=views)
        np.testing.assert_array_equal(scores.mean(axis=0), whole.probabilities)
    assert scores.shape == (6, 3) and clips.shape == (6, tiny.FRAMES, 32, 32, 3)
    with pytest.raises(ValueError, match="one video, and 2 were given"):
        model.preprocess([place / "clip.mp4"] * 2)
    for features, message in (
        (np.ones(64), r"float64 \(64,\): expected floats \(clips, 64\)"),
        (np.ones((1, 64)), "are 8 to 8 long: expected 1"),
        (np.full((1, 64), np.nan), "expected 1"),
        ("x", "expected floats"),
    ):
        with pytest.raises(ValueError, match=message):
            model.score(features, NAMES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": 3}, "views: 3 is not of the form 10x3"),
        ({"views": "3by1"}, "'3by1' is not of the form 10x3"),
        ({"views": (1.5, 1)}, "is not of the form"),
        ({"views": "0x1"}, "'0x1': expected at least 1 of both"),
        ({"frames": "8"}, "frames is '8': expected a whole number"),
        ({"frames": True}, "frames is True: expected a whole number"),
        ({"batch_size": 0, "views": "x"}, "batch_size is 0: .*; views: 'x' is not"),
        ({"templates": 5}, "templates are 5: expected"),
        ({"templates": ["no place"]}, "exactly one {}"),
    ],
)
def test_options_of_the_wrong_type_say_what_was_expected(options, message, model):
    with pytest.raises(ValueError, match=message):
        model.predict("nowhere.mp4", NAMES, **options)


def test_views_are_written_as_on_the_command_line(model, place):
    as_text, as_numbers = (model.predict(place / "clip.mp4", NAMES, views=views) for views in ("3x1", [3, 1]))
    np.testing.assert_array_equal(as_text.probabilities, as_numbers.probabilities)


def test_the_old_name_of_the_class_names_is_answered_with_the_new_one(model):
    for function in (model.predict, functools.partial(model.score, np.ones((1, 64)))):
        with pytest.raises(TypeError, match="labels is now called class_names"):
            function(labels=["a", "b"]) if function is not model.predict else function("x.mp4", labels=["a", "b"])


@pytest.mark.parametrize("names", [{"a": 1}, {"a", "b"}, b"ab", 5, ["a", 1]])
def test_class_names_that_are_no_list_of_texts_are_refused(names, model):
    with pytest.raises(ValueError, match=r"class_names are .*: expected a list of texts"):
        model.predict("nowhere.mp4", class_names=names)


def test_a_progress_bar_is_shown_if_asked_for(model, place, capsys):
    model.predict(place / "clip.mp4", NAMES, **PLAIN)
    assert "predicting" not in capsys.readouterr().err
    model.predict([place / "clip.mp4"] * 3, NAMES, progress=True, **PLAIN)
    assert "predicting" in capsys.readouterr().err


class Server(http.server.BaseHTTPRequestHandler):
    """Gives a video, and answers as bad servers do."""

    content = b""

    def do_GET(self):
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        if self.path == "/gone":
            self.send_error(404)
            return
        if self.path == "/silent":
            time.sleep(1.5)
            return
        self.send_response(200)
        if self.path == "/claims":
            self.send_header("Content-Length", str(1 << 40))
        self.end_headers()
        if self.path == "/slow":
            for _ in range(20):
                self.wfile.write(b"x")
                time.sleep(0.1)
        elif self.path == "/endless":
            for _ in range(1000):
                self.wfile.write(bytes(1 << 16))
        else:
            self.wfile.write(b"<html>no video</html>" if self.path == "/page" else self.content)

    def log_message(self, *arguments):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    """Says nothing of those who hang up."""

    def handle_error(self, request, client_address):
        pass


@pytest.fixture(scope="module")
def server(place):
    Server.content = content(place)
    with Quiet(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_an_address_is_fetched_if_it_is_allowed(server, model, expected):
    result = model.predict(f"{server}/clip.mp4?a=*", NAMES, allow_urls=True, **PLAIN)
    np.testing.assert_array_equal(result.probabilities, expected)
    assert result.path == f"{server}/clip.mp4?a=*"
    for address in (f"{server}/to/{server}/clip.mp4", f"{server}/to//clip.mp4"):
        np.testing.assert_array_equal(model.predict(address, NAMES, allow_urls=True, **PLAIN).probabilities, expected)
    several = model.predict([f"{server}/gone", f"{server}/x"], NAMES, allow_urls=True, **PLAIN)
    assert isinstance(several[0], video.VideoError) and isinstance(several[1], inference.Prediction)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/gone", "was not given: 404"),
        ("/page", "cannot be opened as a video"),
        ("/to/file:///etc/passwd", "file:///etc/passwd' is not allowed"),
        ("/to/ftp://host/x", "was not given: unknown url type: ftp"),
        ("/claims", "has more than 100000 bytes"),
        ("/endless", "has more than 100000 bytes"),
        ("/silent", "sends nothing for 0.5 seconds"),
        ("/slow", "is not there after 1 seconds"),
    ],
)
def test_what_a_server_may_do_is_limited(path, message, server, model, monkeypatch):
    monkeypatch.setattr(limits, "MAX_FETCHED", 100_000)
    monkeypatch.setattr(limits, "WAIT_SECONDS", 0.5)
    monkeypatch.setattr(limits, "FETCH_SECONDS", 1)
    with pytest.raises(video.VideoError) as caught:
        model.predict(f"{server}{path}", NAMES, allow_urls=True, **PLAIN)
    assert caught.value.path == f"{server}{path}" and message in str(caught.value)


def test_a_server_that_is_not_there_is_said(model):
    with pytest.raises(video.VideoError, match=r"was not given: .*refused"):
        model.predict("http://127.0.0.1:9/x.mp4", NAMES, allow_urls=True, **PLAIN)


def test_nothing_is_left_of_what_was_copied(model, place, server, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model.predict([content(place), opened(place), f"{server}/x", b"none"], NAMES, allow_urls=True, **PLAIN)
    assert not list(tmp_path.iterdir())


def test_an_open_file_without_end_is_left(model, monkeypatch):
    class Endless:
        def read(self, size):
            return bytes(size)

    monkeypatch.setattr(limits, "MAX_FETCHED", 3 << 20)
    with pytest.raises(video.VideoError, match="<Endless>: goes on after 3145728 bytes"):
        model.predict(Endless(), NAMES, **PLAIN)


def test_paths_in_the_home_directory_are_found(model, place, monkeypatch, expected):
    monkeypatch.setenv("HOME", str(place))
    np.testing.assert_array_equal(model.predict("~/clip.mp4", NAMES, **PLAIN).probabilities, expected)
    assert len(model.predict(pathlib.Path("~"), NAMES, **PLAIN)) == 1
