"""The training objectives over the global batch, each returned with the accuracies that come for free.

`contrastive` is ActionCLIP's (arXiv 2109.08472, section 3): the Kullback-Leibler divergence between which clips and
texts belong together and the softmax of their similarities, averaged over both directions. Clips of one class are
positives of each other. With G[i, j] = 1 for positives, the target distribution of a row is

    exact         softmax(10 G), as the source has it; the larger the batch, the more of it leaks to the negatives
    normalized    G / row sum: independent of the size of the batch
    one_positive  its own text alone: the cross-entropy of CLIP and of mmaction2's port (which adds the two directions
                  up, where this averages them)

`sigmoid` is SigLIP's loss instead (arXiv 2303.15343): every pair by itself is or is not positive,

    -1/B sum over i, j of log sigmoid(z[i, j] (s v[i].t[j] + b)), with z = 1 where G is 1 and -1 elsewhere

so that all texts of a clip's class are positive, its own among them. Both directions sum the same pairs.

`contrastive_blockwise` computes the same without ever holding more than a tile of the similarities.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh
from jax.sharding import PartitionSpec as P

from actionclip_jax import sharding

SHARPNESS = 10.0  # of the source's softmax over G


def positives_of(labels: jax.Array, kind: str) -> jax.Array:
    """Labels [B] -> numbers [B] that are equal for clips which are positives of each other."""
    return jnp.arange(labels.shape[0]) if kind == "one_positive" else labels


@jax.named_scope("loss")
def contrastive(
    video: jax.Array, text: jax.Array, labels: jax.Array, scale: jax.Array, kind: str, bias: jax.Array | None = None
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Unit-norm [B, E] and [B, E], labels [B] -> the loss and the accuracies of both directions.

    A clip counts as correct where the nearest text is that of a positive. The bias is that of `sigmoid`: out of the
    softmax of the others it drops.
    """
    groups = positives_of(labels, kind)
    same = groups[:, None] == groups[None, :]
    logits = compare(video, text, scale, bias)
    video_loss, video_top1 = direction(logits, same, kind)
    text_loss, text_top1 = direction(logits.T, same, kind)
    return (video_loss + text_loss) / 2, {"top1/video_to_text": video_top1, "top1/text_to_video": text_top1}


def direction(logits: jax.Array, same: jax.Array, kind: str) -> tuple[jax.Array, jax.Array]:
    """Rows of logits [b, B] and who belongs together -> the mean loss of the rows, and their accuracy."""
    return reduce_rows(row_statistics(logits, same, kind), same.shape[1], kind)


def compare(rows: jax.Array, columns: jax.Array, scale: jax.Array, bias: jax.Array | None) -> jax.Array:
    """[b, E] and [n, E] -> logits [b, n]."""
    similarities = scale * product(rows, columns)
    return similarities if bias is None else similarities + bias


def product(rows: jax.Array, columns: jax.Array) -> jax.Array:
    """[b, E] and [n, E] -> [b, n] dot products, in full float32."""
    return jnp.matmul(rows, columns.T, precision="highest")


def row_statistics(logits: jax.Array, same: jax.Array, kind: str) -> dict[str, jax.Array]:
    """All that the loss needs to know of rows [b, n], as [b] each."""
    seen = jax.lax.stop_gradient(logits)
    best = {"best": seen.max(axis=1), "best_positive": jnp.where(same, seen, -jnp.inf).max(axis=1)}
    if kind == "sigmoid":
        return best | {"pair_loss": jax.nn.softplus(jnp.where(same, -logits, logits)).sum(axis=1)}
    return best | {
        "log_total": jax.nn.logsumexp(logits, axis=1),
        "positive_sum": jnp.where(same, logits, 0).sum(axis=1),
        "sum": logits.sum(axis=1),
        "positives": same.sum(axis=1).astype(jnp.float32),
    }


def reduce_rows(rows: dict[str, jax.Array], batch: int, kind: str) -> tuple[jax.Array, jax.Array]:
    """Statistics of rows over the whole batch -> the mean of their losses, and the top-1 accuracy."""
    loss = rows["pair_loss"] if kind == "sigmoid" else divergence(rows, batch, kind)
    correct = rows["best_positive"] >= rows["best"]
    return loss.mean(), correct.mean(dtype=jnp.float32)


def divergence(rows: dict[str, jax.Array], batch: int, kind: str) -> jax.Array:
    """Statistics of rows over the whole batch -> KL(target || softmax) of each [b].

    KL = sum(q log q) - sum(q x) + log sum(exp x), where q has one value for all positives and one for the others.
    """
    count = rows["positives"]
    leak = jnp.exp(-SHARPNESS) if kind == "exact" else 0.0
    positive = 1 / (count + (batch - count) * leak)
    negative = positive * leak
    entropy = count * positive * jnp.log(positive)
    if kind == "exact":
        entropy += (batch - count) * negative * jnp.log(negative)
    expected = positive * rows["positive_sum"] + negative * (rows["sum"] - rows["positive_sum"])
    return entropy - expected + rows["log_total"]


@jax.named_scope("loss")
def contrastive_blockwise(
    video: jax.Array,
    text: jax.Array,
    labels: jax.Array,
    scale: jax.Array,
    kind: str,
    bias: jax.Array | None = None,
    *,
    mesh: Mesh | AbstractMesh,
    axes: Sequence[str],
    block: int,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The same as `contrastive` for rows spread over the mesh `axes`, by tiles [B / devices, block].

    Every device compares its own rows with all others, which it gathers: B * E numbers, not B * B. The backward pass
    computes each tile anew. `block` shrinks to the next divisor of B.
    """
    batch = video.shape[0]
    width = max(size for size in range(1, min(block, batch) + 1) if batch % size == 0)
    gather = functools.partial(jax.lax.all_gather, axis_name=axes, tiled=True)

    def one_way(rows: jax.Array, groups: jax.Array, columns: jax.Array, scaling: tuple) -> tuple:
        @jax.checkpoint
        def tile(block: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
            columns, others = block
            return row_statistics(compare(rows, columns, *scaling), groups[:, None] == others[None, :], kind)

        blocks = (gather(columns).reshape(-1, width, columns.shape[1]), gather(groups).reshape(-1, width))
        return reduce_rows(merge(jax.lax.map(tile, blocks)), batch, kind)

    def local(video: jax.Array, text: jax.Array, groups: jax.Array, scaling: tuple) -> tuple:
        video_loss, video_top1 = one_way(video, groups, text, scaling)
        text_loss, text_top1 = one_way(text, groups, video, scaling)
        accuracies = {"top1/video_to_text": video_top1, "top1/text_to_video": text_top1}
        return jax.lax.pmean(((video_loss + text_loss) / 2, accuracies), axes)

    spread = P(tuple(axes))
    places = (spread, spread, spread, P())
    sharded = jax.shard_map(local, mesh=mesh, in_specs=places, out_specs=P(), axis_names=sharding.free_axes(mesh))
    return sharded(video, text, positives_of(labels, kind), (scale, bias))


def merge(blocks: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Statistics of rows over every block [blocks, b] -> over all of them [b]."""
    joined = {"log_total": jax.nn.logsumexp, "best": jnp.max, "best_positive": jnp.max}  # the rest are sums
    return {name: joined.get(name, jnp.sum)(values, axis=0) for name, values in blocks.items()}


@jax.named_scope("loss")
def multi_label(
    video: jax.Array, classes: jax.Array, targets: jax.Array, scale: jax.Array, log_odds: float
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Unit-norm [B, E] and [C, E], targets [B, C] of ones and zeros -> the sigmoid cross-entropy, and the accuracy.

    CLIP's similarities of a clip to all texts are much alike and far from 0, where a sigmoid is flat. So each is taken
    relative to the clip's mean over the classes, and shifted by `log_odds`, those of a label of the training set:
    before training a class is about as probable as classes are common. The published recipe does not say how it was
    done. The bias of a model that has one would drop out of the difference, and has no part here.
    """
    similarities = scale * product(video, classes)
    logits = similarities - similarities.mean(axis=1, keepdims=True) + log_odds
    targets = targets.astype(jnp.float32)
    loss = jnp.maximum(logits, 0) - logits * targets + jnp.log1p(jnp.exp(-jnp.abs(logits)))
    best = jnp.take_along_axis(targets, similarities.argmax(axis=1)[:, None], axis=1)
    return loss.mean(), {"top1/video_to_text": best.mean()}
