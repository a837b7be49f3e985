"""The objectives equal PyTorch's, whatever the number of devices and however they are computed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_model
from slow import slow
from torch.nn import functional

from actionclip_jax import sharding
from actionclip_jax.training import losses

KINDS = ("exact", "normalized", "one_positive", "sigmoid")
BATCH, WIDTH, CLASSES = 48, 16, 7


def unit(rng, *shape):
    x = rng.normal(size=shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, BATCH).astype(np.int32)
    return unit(rng, BATCH, WIDTH), unit(rng, BATCH, WIDTH), labels, np.float32(20.0)


def scaling(kind, scale):
    """The numbers beside the features that the gradient is of: with the bias where there is one."""
    return (scale, np.float32(-9.0)) if kind == "sigmoid" else (scale,)


def contrastive(labels, kind, compute=losses.contrastive):
    """The loss as a function of videos, texts, their scale and perhaps a bias."""
    return lambda v, t, scale, *bias: compute(v, t, jnp.asarray(labels), scale, kind, *bias)


def torch_gradients(function, *arrays):
    """The value in float64, and its gradients."""
    tensors = [torch.tensor(array, dtype=torch.float64, requires_grad=True) for array in arrays]
    value = function(*tensors)
    value.backward()
    return value.item(), [tensor.grad.numpy() for tensor in tensors]


def gradients(function, *arrays):
    numbers = tuple(range(len(arrays)))
    (value, accuracies), found = jax.jit(jax.value_and_grad(function, numbers, has_aux=True))(*arrays)
    return value, accuracies, found


def assert_same_gradients(ours, theirs, tolerance=1e-5):
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=0, atol=tolerance * np.abs(their).max())


@pytest.mark.parametrize("kind", KINDS)
def test_contrastive_loss_and_gradients_equal_torch(batch, kind):
    video, text, labels, scale = batch
    arrays, marks = (video, text, *scaling(kind, scale)), torch.tensor(labels)

    def reference(video, text, scale, *bias):
        if kind == "sigmoid":
            return torch_model.sigmoid(video, text, marks, scale, *bias)
        return torch_model.contrastive(video, text, marks, scale, kind)

    ours = gradients(contrastive(labels, kind), *arrays)
    value, theirs = torch_gradients(reference, *arrays)
    assert ours[0] == pytest.approx(value, rel=1e-6)
    assert_same_gradients(ours[2], theirs, 1e-6 if kind == "sigmoid" else 1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [5, *slow(1, 16, 1000)])
@pytest.mark.parametrize("mesh", [{"fsdp": 2, "model": 2}, *slow({}, {"fsdp": 4})])
def test_blockwise_equals_plain_on_every_mesh_and_for_every_block(batch, kind, block, mesh):
    video, text, labels, scale = batch
    arrays = (video, text, *scaling(kind, scale))
    plain = gradients(contrastive(labels, kind), *arrays)
    tiled = functools.partial(
        losses.contrastive_blockwise, mesh=sharding.make_mesh(**mesh), axes=sharding.CLIPS, block=block
    )
    blockwise = gradients(contrastive(labels, kind, tiled), *arrays)
    assert blockwise[0] == pytest.approx(float(plain[0]), rel=1e-6)
    assert blockwise[1] == plain[1]
    assert_same_gradients(blockwise[2], plain[2], 1e-6 if kind == "sigmoid" else 1e-5)


@pytest.mark.parametrize("kind", ["exact", "sigmoid"])
def test_plain_loss_on_eight_devices_equals_one(batch, kind):
    video, text, labels, scale = batch
    one = gradients(contrastive(labels, kind), video, text, *scaling(kind, scale))
    mesh = sharding.make_mesh()
    spread = sharding.place_batch({"video": video, "text": text, "labels": labels}, mesh)
    many = gradients(contrastive(spread["labels"], kind), spread["video"], spread["text"], *scaling(kind, scale))
    assert many[0] == pytest.approx(float(one[0]), rel=1e-6)
    assert many[1] == one[1]
    assert_same_gradients(many[2], one[2])


@pytest.mark.parametrize(("kind", "bias"), [("exact", ()), ("sigmoid", (jnp.float32(-9),))])
def test_blockwise_never_holds_more_than_a_tile(kind, bias):
    """The plain loss needs several [B / 8, B] float32 arrays on a device, the blockwise one tiles of [B / 8, 64]."""
    rows, mesh = 4096, sharding.make_mesh()
    spread = functools.partial(jax.ShapeDtypeStruct, sharding=sharding.by_row(mesh))
    shapes = (spread((rows, 8), jnp.float32), spread((rows, 8), jnp.float32), spread((rows,), jnp.int32))
    plain = lambda v, t, y: losses.contrastive(v, t, y, 10.0, kind, *bias)[0]  # noqa: E731
    tiled = functools.partial(losses.contrastive_blockwise, mesh=mesh, axes=sharding.CLIPS, block=64)
    blockwise = lambda v, t, y: tiled(v, t, y, jnp.float32(10), kind, *bias)[0]  # noqa: E731

    def temporaries(loss):
        compiled = jax.jit(jax.grad(loss, (0, 1))).lower(*shapes).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    tile = rows // 8 * 64 * 4
    row_of_tiles = rows // 8 * rows * 4
    assert temporaries(plain) > row_of_tiles
    # a handful of tiles, and the gathered features with their gradients
    assert temporaries(blockwise) < 8 * tile + 8 * rows * 8 * 4 < row_of_tiles / 3


def test_exact_targets_leak_to_the_negatives_as_the_source_s_do():
    """0.6% at a batch of 128, 4% at 1,024, 60% at 32,768, for clips without another of their class."""
    for rows, leak in ((128, 0.006), (1024, 0.044), (32768, 0.598)):
        own = 1 / (1 + (rows - 1) * np.exp(-losses.SHARPNESS))
        assert 1 - own == pytest.approx(leak, abs=0.001)


def test_a_perfect_batch_has_loss_zero_with_normalized_targets():
    labels = np.arange(4, dtype=np.int32).repeat(2)
    features = np.eye(4, dtype=np.float32)[labels]
    loss, accuracies = losses.contrastive(features, features, labels, jnp.float32(100), "normalized")
    assert abs(float(loss)) < 1e-6 and set(map(float, accuracies.values())) == {1.0}


def test_of_a_sigmoid_all_texts_of_a_clip_s_class_are_positive():
    """Two clips of one class and one of another: five pairs are positive, four are not."""
    video, text = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[[1, 0, 2]]
    loss, accuracies = losses.contrastive(
        video, text, np.array([4, 4, 6], np.int32), jnp.float32(3), "sigmoid", jnp.float32(-1)
    )
    # similarities are 1 for three of the positives, 0 for the other two and for all negatives
    by_hand = 3 * np.log1p(np.exp(-2.0)) + 2 * np.log1p(np.exp(1.0)) + 4 * np.log1p(np.exp(-1.0))
    assert float(loss) == pytest.approx(by_hand / 3, rel=1e-6)
    assert set(map(float, accuracies.values())) == {1.0}


def test_accuracies_count_any_text_of_the_class_as_right():
    video = np.eye(4, dtype=np.float32)
    text = video[[1, 0, 3, 2]]  # clips 0 and 1 find each other's text, of their class; 2 and 3 too, of another
    labels = np.array([5, 5, 6, 7], np.int32)
    _, accuracies = losses.contrastive(video, text, labels, jnp.float32(10), "exact")
    assert float(accuracies["top1/video_to_text"]) == 0.5
    _, accuracies = losses.contrastive(video, text, labels, jnp.float32(10), "one_positive")
    assert float(accuracies["top1/video_to_text"]) == 0.0


def test_multi_label_loss_and_gradients_equal_torch():
    rng = np.random.default_rng(1)
    video, classes, scale = unit(rng, 12, WIDTH), unit(rng, CLASSES, WIDTH), np.float32(30)
    targets = (rng.random((12, CLASSES)) < 0.3).astype(np.uint8)

    def reference(video, classes, scale):
        similarities = scale * video @ classes.T
        logits = similarities - similarities.mean(1, keepdim=True) - 2.0
        return functional.binary_cross_entropy_with_logits(logits, torch.tensor(targets, dtype=torch.float64))

    ours = gradients(lambda v, c, s: losses.multi_label(v, c, targets, s, -2.0), video, classes, scale)
    value, theirs = torch_gradients(reference, video, classes, scale)
    assert ours[0] == pytest.approx(value, rel=1e-6)
    assert_same_gradients(ours[2], theirs)
    right = targets[np.arange(12), (video @ classes.T).argmax(1)].mean()
    assert float(ours[1]["top1/video_to_text"]) == pytest.approx(right)
