"""Frame folders, and single encoded pictures."""

import os

import cv2
import numpy as np
import pytest
import videos
from PIL import Image

from actionclip_jax.data import readers, table, video
from actionclip_jax.data.video import pictures, views


def write_folder(path, frames, template="img_{:05d}.jpg", first=1):
    path.mkdir()
    for number in range(frames):
        Image.fromarray(videos.draw_frame(number)).save(path / template.format(first + number), quality=95)
    return path


def read(clip, indices, reader=readers.FrameFolders(), transform=videos.read_number, **options):  # noqa: B008
    return reader.read(clip, lambda length: np.asarray(indices), transform, **options)


def clip_of(path, frames=6):
    return table.Clip("clip", str(path), (0,), frames=frames)


@pytest.mark.parametrize(("template", "first"), [("img_{:05d}.jpg", 1), ("frame{:d}.png", 0), ("{:06d}.jpg", 10)])
def test_frames_of_a_folder_are_found_by_template_and_first_number(template, first, tmp_path):
    clip = clip_of(write_folder(tmp_path / "clip", 6, template, first))
    frames = read(clip, [5, 0, 3, 3], readers.FrameFolders(template, first))
    assert frames.images == [5, 0, 3, 3] and frames.length == 6
    assert np.isnan(frames.timestamps).all()


def test_jpegs_decode_as_pil_decodes_them(tmp_path):
    path = write_folder(tmp_path / "clip", 1) / "img_00001.jpg"
    np.testing.assert_array_equal(pictures.decode_picture(path.read_bytes()), np.asarray(Image.open(path)))


def test_grey_and_palette_pictures_become_rgb(tmp_path):
    for mode in ("L", "P", "RGBA"):
        path = tmp_path / f"{mode}.png"
        Image.fromarray(videos.draw_frame(3)).convert(mode).save(path)
        assert pictures.decode_picture(path.read_bytes()).shape == (64, 160, 3)


def test_larger_pictures_are_shrunk(tmp_path):
    clip = clip_of(write_folder(tmp_path / "clip", 6))
    shrunk = read(clip, [2], transform=lambda image: image, short_side=32).images[0]
    full = read(clip, [2], transform=lambda image: image).images[0]
    assert shrunk.shape == (32, 80, 3)
    assert np.abs(shrunk.astype(int) - views.resize_short_side(full, 32)).mean() < 5


def test_missing_and_broken_pictures_are_named(tmp_path):
    path = write_folder(tmp_path / "clip", 6)
    (path / "img_00002.jpg").unlink()
    (path / "img_00003.jpg").write_bytes(b"")
    (path / "img_00004.jpg").write_bytes(b"no picture")
    with pytest.raises(video.VideoError, match=r"img_00002.jpg: No such file"):
        read(clip_of(path), [1])
    for number in (3, 4):
        with pytest.raises(video.VideoError, match=rf"img_0000{number}.jpg: not a picture"):
            read(clip_of(path), [number - 1])
    with pytest.raises(video.VideoError, match="a folder of no frames"):
        read(clip_of(path, frames=0), [0])
    assert read(clip_of(path), [0, 4]).images == [0, 4], "what is not asked for does not matter"


def test_video_files_honour_the_interval_of_a_clip(tmp_path):
    path = videos.write(tmp_path / "video.mp4")
    clip = table.Clip("clip", str(path), (0,), start=0.4, end=0.6)
    frames = readers.VideoFiles().read(clip, np.arange, videos.read_number)
    assert frames.images == [10, 11, 12, 13, 14]


@pytest.mark.parametrize("size", [(64, 160), (65, 161)])
def test_every_packet_of_the_intra_encoder_decodes_alone_in_any_order(size):
    encoder, decoder = pictures.IntraEncoder(crf=10), pictures.IntraDecoder()
    frames = [cv2.resize(videos.draw_frame(number), size[::-1]) for number in range(30)]
    for frame in frames:
        encoder.add(frame)
    packets = encoder.finish()
    assert len(packets) == 30
    for number in (17, 3, 29, 0, 3):
        image = decoder.decode(packets[number])
        assert image.shape == (64, 160, 3) and videos.read_number(image) == number


def test_a_packet_that_is_no_frame_is_an_error_and_the_decoder_goes_on():
    encoder, decoder = pictures.IntraEncoder(crf=10), pictures.IntraDecoder()
    for number in range(3):
        encoder.add(videos.draw_frame(number))
    packets = encoder.finish()
    for broken in (b"", b"nothing at all", packets[1][: len(packets[1]) // 3]):
        with pytest.raises(video.VideoError, match="clip 7: frame 0 cannot be decoded"):
            pictures.read_pictures(
                "clip 7", lambda _, data=broken: decoder.decode(data), np.zeros(1), np.arange, np.asarray, None
            )
        assert videos.read_number(pictures.IntraDecoder().decode(packets[1])) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(videos.png(8192, 4400)), "8192x4400 pixels: at most 35389440"),
        (lambda path: path.write_bytes(videos.png(20000, 20000)), "more than 35389440 pixels"),
        (lambda path: path.write_bytes(videos.png(30000, 1)), "sides of at most 1:100"),
        (lambda path: os.truncate(path, 200 << 20), "a picture of 209715200 bytes"),
        (lambda path: [path.unlink(), os.mkfifo(path)], "not a file"),
    ],
)
def test_pictures_that_would_fill_the_memory_are_named(make, message, tmp_path):
    clip = clip_of(write_folder(tmp_path / "clip", 1), 1)
    make(tmp_path / "clip" / "img_00001.jpg")
    with pytest.raises(video.VideoError, match=f"img_00001.jpg: .*{message}"):
        read(clip, [0])


def test_a_folder_of_impossibly_many_frames_is_refused(tmp_path):
    with pytest.raises(video.VideoError, match="a folder of 99999999999 frames"):
        read(clip_of(tmp_path, 99_999_999_999), [0])
