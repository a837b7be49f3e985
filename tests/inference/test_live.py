"""A video that is followed while it is written gives what the finished file gives, and says what it had to drop."""

import contextlib
import itertools
import os
import threading
import time

import av
import numpy as np
import pytest
import tiny
import videos

from actionclip_jax import config, text
from actionclip_jax.checkpoints import model_directory
from actionclip_jax.data import video
from actionclip_jax.data.video import feed
from actionclip_jax.inference import arrivals, live, predict, timeline

LABELS = ("archery", "playing the violin", "surfing")
PLAIN = {"templates": ("{}",)}
IRREGULAR = np.random.default_rng(0).integers(5, 90, 120).cumsum().tolist()  # milliseconds
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


@pytest.fixture(scope="module")
def model():
    weights = tiny.model_config("Transf")
    loaded = model_directory.Weights(weights, tiny.random_params(weights), text.default_tokenizer(), {}, {})
    return predict.Predictor(loaded, config.ComputeConfig())


def grow(target, data, *, parts=20, seconds=0.6):
    """A thread that writes the bytes little by little, at the end of a file or into a pipe."""

    def write():
        mode = "wb" if target.is_fifo() else "ab"
        with contextlib.suppress(BrokenPipeError), target.open(mode, buffering=0) as file:
            for part in np.array_split(np.frombuffer(data, np.uint8), parts):
                file.write(part.tobytes())
                time.sleep(seconds / parts)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def follow(model, target, **options):
    """The windows, the segments that were told before the end, and the timeline."""
    *events, last = live.follow(
        model, target, LABELS, **{"idle": 0.7, "window": 1, "threshold": 0.34, **PLAIN, **options}
    )
    windows = [event for event in events if isinstance(event, live.Window)]
    return windows, [event for event in events if isinstance(event, timeline.Segment)], last


def assert_same(ours, theirs):
    assert (ours.labels, ours.note, ours.dropped) == (theirs.labels, theirs.note, 0)
    np.testing.assert_allclose(ours.times, theirs.times, atol=1e-9)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-5)
    assert [(one.label, one.start, one.end) for one in ours.segments] == [
        (one.label, one.start, one.end) for one in theirs.segments
    ]


FILES = [
    ("plain.ts", {}),
    ("sound.ts", {"audio": True, "options": {"bf": "2"}}),
    ("irregular.mkv", {"pts": IRREGULAR, "frames": 120}),
    ("fragments.mp4", {"mux": FRAGMENTED}),
    ("turned.mp4", {"mux": FRAGMENTED, "rotation": 90}),
    ("plain.flv", {}),
]


@pytest.mark.parametrize(("name", "options"), FILES)
def test_a_growing_file_gives_what_the_finished_one_gives(name, options, model, tmp_path):
    whole = videos.write(tmp_path / name, **{"frames": 100, **options})
    growing = tmp_path / f"growing-{name}"
    growing.touch()
    timing = {"window": 1, "hop": 0.3, "smooth": 1, "min_length": 0.5, "threshold": 0.34}
    expected = timeline.follow(model, whole, LABELS, **timing, **PLAIN)
    thread = grow(growing, whole.read_bytes())
    windows, segments, found = follow(model, growing, **timing)
    thread.join()
    assert_same(found, expected)
    np.testing.assert_array_equal([one.probabilities for one in windows], found.probabilities)
    np.testing.assert_allclose([(one.start, one.end) for one in windows], found.times)
    assert tuple(segments) == found.segments and found.path == str(growing)


@pytest.mark.parametrize(("name", "options"), FILES[:4])
def test_a_pipe_gives_what_the_file_gives(name, options, model, tmp_path):
    whole, pipe = videos.write(tmp_path / name, **{"frames": 100, **options}), tmp_path / "pipe"
    os.mkfifo(pipe)
    expected = timeline.follow(model, whole, LABELS, window=1, threshold=0.34, **PLAIN)
    thread = grow(pipe, whole.read_bytes())
    _, segments, found = follow(model, pipe, max_lag=60)
    thread.join()
    assert_same(found, expected)
    assert tuple(segments) == found.segments


def test_every_frame_is_encoded_once(model, tmp_path, monkeypatch):
    whole, original, seen = videos.write(tmp_path / "clip.ts", frames=100), predict.Predictor.encode_frames, []

    def encode(self, frames):
        seen.extend(dict.fromkeys(frame.tobytes() for frame in frames[:, 0]))  # a batch is filled up with its last
        return original(self, frames)

    monkeypatch.setattr(predict.Predictor, "encode_frames", encode)
    follow(model, whole, hop=0.25)
    seen = [frame for frame in seen if any(frame)]  # without the black ones that only warmed up
    assert len(seen) == len(set(seen)) == 16


def test_segments_come_while_the_video_is_written(model, tmp_path):
    whole, pipe, seen = videos.write(tmp_path / "clip.ts", frames=400), tmp_path / "pipe", threading.Event()
    os.mkfifo(pipe)
    data = whole.read_bytes()

    def write():
        with pipe.open("wb") as file:
            file.write(data[: len(data) * 3 // 4])
            file.flush()
            assert seen.wait(60)
            file.write(data[len(data) * 3 // 4 :])

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    events = live.follow(model, pipe, LABELS, window=0.4, threshold=0.01, max_lag=600, **PLAIN)
    first = next(event for event in events if isinstance(event, live.Window))
    assert (first.start, first.end) == (0, 0.4) and first.label in LABELS and 0 < first.probability < 1
    assert any(isinstance(event, timeline.Segment) for event in itertools.islice(events, 50))
    seen.set()
    assert isinstance(list(events)[-1], timeline.Timeline)
    thread.join()


def test_stopping_gives_what_came_so_far(model, tmp_path):
    whole, stop = videos.write(tmp_path / "clip.ts", frames=100), threading.Event()
    seen, events = [], live.follow(model, whole, LABELS, window=0.4, idle=60, stop=stop, **PLAIN)
    for event in events:
        seen.append(event)
        if len(seen) == 5:
            stop.set()
    assert isinstance(seen[-1], timeline.Timeline) and len(seen[-1].times) >= 5


def test_a_caller_who_goes_away_leaves_no_thread_behind(model, tmp_path):
    before = threading.active_count()
    events = live.follow(model, videos.write(tmp_path / "clip.ts", frames=100), LABELS, window=0.4, idle=60, **PLAIN)
    next(events)
    events.close()
    assert threading.active_count() == before


def test_a_model_that_is_too_slow_drops_frames_and_counts_them(model, tmp_path, monkeypatch):
    whole, original = videos.write(tmp_path / "clip.ts", frames=250), predict.Predictor.encode_frames

    def encode(self, frames):
        time.sleep(0.25)
        return original(self, frames)

    monkeypatch.setattr(predict.Predictor, "encode_frames", encode)
    windows, _, found = follow(model, whole, window=0.16, hop=0.04, max_lag=0.3, idle=0.3)
    missing = np.isnan(found.probabilities).all(axis=1)
    assert found.dropped > 20 and 0 < missing.sum() < len(missing) and windows[-1].dropped == found.dropped
    np.testing.assert_allclose(found.probabilities[~missing].sum(axis=1), 1, atol=1e-5)
    whole_timeline = timeline.follow(model, whole, LABELS, window=0.16, hop=0.04, **PLAIN)
    np.testing.assert_allclose(found.times, whole_timeline.times)
    np.testing.assert_allclose(found.probabilities[~missing], whole_timeline.probabilities[~missing], atol=1e-5)


def test_frames_are_late_by_the_one_that_came_earliest():
    now = [0.0]
    lateness = arrivals.Lateness(2, 3, clock=lambda: now[0])

    def drops(seconds, at, pauses=0):
        now[0] = at
        return lateness.drops(seconds, 1, pauses)

    assert not any(drops(seconds, seconds / 10) for seconds in range(100))  # what was recorded before comes at once
    assert not drops(100, 10.9 + 1.9) and drops(101, 11.9 + 2.1)
    assert drops(102, 12.9 + 1.1) and not drops(103, 13.9 + 0.9)  # half of it is caught up with
    assert not any(drops(seconds, seconds) for seconds in (104, 105)), "three in a row come first"
    assert drops(106, 106)
    assert not drops(107, 200, pauses=1)  # the writer had paused


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_an_mp4_with_its_index_at_the_end_is_refused_with_what_to_use(kind, model, tmp_path):
    whole, target = videos.write(tmp_path / "whole.mp4", frames=50), tmp_path / "target"
    target.touch() if kind == "file" else os.mkfifo(target)
    thread = grow(target, whole.read_bytes()[:20000], parts=2, seconds=0.1)
    with pytest.raises(video.VideoError, match=r"index comes at its end.*MPEG-TS \(.ts\), Matroska.*frag_keyframe"):
        follow(model, target)
    thread.join()


def test_an_mp4_with_its_index_first_can_be_followed(model, tmp_path):
    whole = videos.write(tmp_path / "fast.mp4", frames=100, mux={"movflags": "faststart"})
    assert_same(follow(model, whole)[2], timeline.follow(model, whole, LABELS, window=1, threshold=0.34, **PLAIN))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is still empty after 0.2 seconds"),
        (b"no video at all\n" * 5000, "cannot be opened as a video while it is written"),
        (None, "has no video stream"),
    ],
)
def test_what_is_no_video_is_named(content, reason, model, tmp_path):
    path = tmp_path / "file.ts"
    if content is None:
        videos.write_audio_only(path)
    else:
        path.write_bytes(content)
    with pytest.raises(video.VideoError, match=reason):
        follow(model, path, idle=0.2)


def test_what_cannot_be_followed_is_named(model, tmp_path):
    with pytest.raises(video.VideoError, match="No such file"):
        follow(model, tmp_path / "nowhere.ts")
    with pytest.raises(video.VideoError, match="neither a file nor a named pipe"):
        follow(model, tmp_path)
    with pytest.raises(ValueError, match=r"idle is 0 seconds.*max_lag is nan seconds"):
        follow(model, tmp_path, idle=0, max_lag=float("nan"))


def test_a_video_shorter_than_a_window(model, tmp_path):
    whole, pipe = videos.write(tmp_path / "short.ts", frames=20), tmp_path / "pipe"
    assert_same(follow(model, whole)[2], timeline.follow(model, whole, LABELS, window=1, threshold=0.34, **PLAIN))
    os.mkfifo(pipe)
    thread = grow(pipe, whole.read_bytes())
    with pytest.raises(video.VideoError, match=r"ended after 0.8 s, before a window of 1 s: choose a shorter"):
        follow(model, pipe)
    thread.join()


def test_a_file_that_becomes_shorter_ends_with_a_note(model, tmp_path):
    whole = videos.write(tmp_path / "clip.ts", frames=200)
    source = feed.Feed(whole, 5)
    assert len(source.read(1000)) == 1000
    os.truncate(whole, 10)
    assert source.read(1000) == b"" and source.shrunk and not source.is_whole
    source.close()


def test_memory_does_not_grow_with_the_video(model, tmp_path):
    path = tmp_path / "long.ts"
    videos.write(path, frames=400)
    held, original = [], live.Follower.score

    def score(self, start):
        held.append(len(self.cells))
        return original(self, start)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live.Follower, "score", score)
        _, _, found = follow(model, path, window=0.16, max_lag=600)
    assert len(found.times) == 397 and max(held) <= 4 * tiny.FRAMES


def test_a_transport_stream_written_by_a_live_encoder_is_followed(model, tmp_path):
    """Packets are flushed as they are encoded, as a camera does it."""
    path, numbers = tmp_path / "camera.ts", 75

    def record():
        with av.open(str(path), "w", format="mpegts", options={"flush_packets": "1"}) as container:
            stream = container.add_stream("libx264", rate=25, options={"tune": "zerolatency"})
            stream.width, stream.height, stream.pix_fmt = videos.WIDTH, videos.HEIGHT, "yuv420p"
            for number in range(numbers):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(videos.draw_frame(number), format="rgb24")))
                time.sleep(0.01)
            container.mux(stream.encode(None))

    path.touch()
    thread = threading.Thread(target=record)
    thread.start()
    found = follow(model, path, idle=1)[2]
    thread.join()
    assert_same(found, timeline.follow(model, path, LABELS, window=1, threshold=0.34, **PLAIN))
