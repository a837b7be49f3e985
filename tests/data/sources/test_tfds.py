"""Data sets that TFDS has prepared are read without TensorFlow."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from source_files import error_of, read, rows, write


def write_tfds(folder, feature):
    """Writes a prepared data set without TensorFlow: 3 videos of 3, 5 and 4 frames, in two shards."""
    import cv2
    from array_record.python import array_record_module
    from tensorflow_datasets import proto

    folder.mkdir(parents=True)
    shards = [[(3, 0), (5, 1)], [(4, 0)]]
    for number, shard in enumerate(shards):
        file = folder / f"tiny-train.array_record-{number:05d}-of-00002"
        writer = array_record_module.ArrayRecordWriter(str(file), "group_size:1")
        for length, label in shard:
            example = proto.tf_example_pb2.Example()
            for frame in range(length):
                _, picture = cv2.imencode(".png", np.full((8, 12, 3), 10 * frame + label, np.uint8))
                example.features.feature["clip"].bytes_list.value.append(picture.tobytes())
            example.features.feature["action"].int64_list.value.append(label)
            writer.write(example.SerializeToString())
        writer.close()
    features = {
        "clip": feature,
        "action": {"pythonClassName": "tensorflow_datasets.core.features.class_label_feature.ClassLabel"},
    }
    write(folder / "features.json", json.dumps({"featuresDict": {"features": features}}))
    write(folder / "action.labels.txt", "YoYo\nArchery\n")
    write_splits(folder, "train")


def write_splits(folder, name):
    info = {"name": "tiny", "version": "1.0.0", "splits": [{"name": name, "shardLengths": ["2", "1"]}]}
    write(folder / "dataset_info.json", json.dumps(info))
    return folder


VIDEO = {"pythonClassName": "tensorflow_datasets.core.features.video_feature.Video", "video": {}}
PICTURES = {
    "pythonClassName": "tensorflow_datasets.core.features.sequence_feature.Sequence",
    "sequence": {"feature": {"image": {}}},
}


@pytest.mark.parametrize("feature", [VIDEO, PICTURES])
def test_tfds_is_read_by_directory_and_by_name(feature, tmp_path):
    write_tfds(tmp_path / "tiny" / "1.0.0", feature)
    for settings in (
        {"path": tmp_path / "tiny" / "1.0.0"},
        {"path": tmp_path / "tiny", "split": "train"},
        {"path": "tiny", "videos": str(tmp_path)},
        {"path": "tiny:1.0.0", "videos": str(tmp_path), "kind": "tfds"},
    ):
        clips = read(**settings)
        assert rows(clips) == [("train/0", ("yo yo",)), ("train/1", ("archery",)), ("train/2", ("yo yo",))]
        assert clips.frame_counts.tolist() == [3, 5, 4] and clips.origin["kind"] == "tfds"
    reader = pickle.loads(pickle.dumps(clips.reader))
    for row, length in enumerate((3, 5, 4)):
        frames = reader.read(clips[row], lambda count: np.array([count - 1, 0]), lambda image: image)
        assert frames.length == length and frames.images[0].shape == (8, 12, 3)
        assert frames.images[0][0, 0, 0] == 10 * (length - 1) + clips[row].labels[0]


def test_tfds_data_sets_that_cannot_be_read_are_told(tmp_path):
    folder = tmp_path / "tiny" / "1.0.0"
    write_tfds(folder, VIDEO)
    assert "split is 'test': expected one of train" in error_of(folder, split="test")
    (tmp_path / "ucf101").mkdir()
    assert "no features.json in it" in error_of("ucf101", videos=str(tmp_path))
    assert "split (--split): expected one of validation" in error_of(write_splits(folder, "validation"))
    write_splits(folder, "train")
    (folder / "tiny-train.array_record-00001-of-00002").unlink()
    assert "TFDS shards missing" in error_of(folder)
    features = json.loads((folder / "features.json").read_text())
    del features["featuresDict"]["features"]["clip"]
    write(folder / "features.json", json.dumps(features))
    assert "without just one feature Video" in error_of(folder) and "action (ClassLabel)" in error_of(folder)


def test_reading_tfds_imports_neither_tensorflow_nor_jax(tmp_path):
    write_tfds(tmp_path / "1.0.0", VIDEO)
    code = f"""
import sys
import numpy as np
from actionclip_jax import config
from actionclip_jax.data import sources
assert "etils" not in sys.modules, "it costs every command 70 ms"
clips = sources.open_source(config.SourceConfig(path={str(tmp_path)!r}))
frames = clips.reader.read(clips[0], lambda length: np.arange(length), lambda image: image)
assert frames.length == 3
print([name for name in ("tensorflow", "jax", "torch", "transformers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
