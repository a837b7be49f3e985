"""What only an NVIDIA GPU can show: its attention, and that float32 is float32 there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import nnx

from actionclip_jax import config
from actionclip_jax.models import action_clip, attention

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs an NVIDIA GPU"),
]

# 14 x 14 patches and the class token: the 197 tokens of ViT-B/16, an odd number, in a model that is small otherwise
MODEL = tiny.model_config(image=config.ImageConfig(size=112, patch=8, width=128, depth=2, heads=2))


def relative_error(one, exact):
    one, exact = (np.asarray(x, np.float64) for x in (one, exact))
    return np.linalg.norm(one - exact) / np.linalg.norm(exact)


def value_and_gradients(attend, arguments, gradient):
    value, pull = jax.vjp(jax.jit(attend), *arguments)
    return value, *pull(gradient.astype(value.dtype))


@pytest.mark.parametrize("width", [64, 80, 128])
@pytest.mark.parametrize("length", [50, 197, 257])
def test_cudnn_attention_is_as_exact_as_xlas(length, width):
    heads, padding = 2, -length % 8
    *arguments, gradient = jax.random.normal(jax.random.key(0), (4, 3, length, heads * width), jnp.bfloat16)

    def cudnn(*arguments):
        padded = (jnp.pad(x, ((0, 0), (0, padding), (0, 0))) for x in arguments)
        return attention.attend_cudnn(*padded, heads, length=length, causal=False)[:, :length]

    def xla(*arguments):
        return attention.attend_xla(*arguments, heads, causal=False)

    exact = value_and_gradients(xla, [x.astype(jnp.float32) for x in arguments], gradient)
    ours, theirs = (value_and_gradients(attend, arguments, gradient) for attend in (cudnn, xla))
    for one, other, expected in zip(ours, theirs, exact, strict=True):
        assert relative_error(one, expected) < 2 * relative_error(other, expected)


def loss_and_gradients(**compute):
    """A loss of the clip features of random frames, and its gradients."""
    size = MODEL.image.size
    frames = np.random.default_rng(0).integers(0, 256, (4, tiny.FRAMES, size, size, 3), np.uint8)
    graph, state = nnx.split(action_clip.from_params(MODEL, config.ComputeConfig(**compute), tiny.random_params(MODEL)))

    def loss(state):
        features = nnx.merge(graph, state).encode_video(frames)
        return jnp.sin(3 * features @ features.T).sum()

    value, gradients = jax.jit(jax.value_and_grad(loss))(state)
    return value, np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradients)])


@pytest.fixture(scope="module")
def exact():
    return loss_and_gradients()


@pytest.fixture(scope="module")
def by_xla(exact):
    return loss_and_gradients(dtype="bfloat16", attention="xla")


@pytest.mark.parametrize(("arrangement", "remat"), [*(("unroll", remat) for remat in config.REMAT), ("scan", "dots")])
def test_training_with_cudnn_attention_is_as_exact_as_with_xlas(exact, by_xla, arrangement, remat):
    ours = loss_and_gradients(dtype="bfloat16", attention="cudnn", remat=remat, layers=arrangement)
    for one, other, expected in zip(ours, by_xla, exact, strict=True):
        assert relative_error(one, expected) < 2 * relative_error(other, expected) + 1e-3


def test_float32_is_that_of_the_cpu(exact):
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        expected = loss_and_gradients(attention="xla")
    for one, other in zip(exact, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())
