"""Where arrays live when a step runs on many devices: a mesh `slice` x `data` x `fsdp` x `model`, and their rules.

Clips are spread over `slice`, `data` and `fsdp`, parameters over `fsdp` (and gathered as they are used), heads and
hidden channels over `model`. A `slice` of TPUs is joined to the others by a slower network.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import layout, mesh_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

AXES = ("slice", "data", "fsdp", "model")
CLIPS = ("slice", "data", "fsdp")  # the axes that share the clips of a batch
TILE = (8, 128)  # numbers of the last two dimensions that a TPU keeps together, if need be with empty places
SMALL = 1 << 14  # numbers of an array that is not worth spreading over `data`

# Parameter path -> the axis each dimension is spread over. The first full match counts. Right-aligned, so that one rule
# serves a layer and a stack of layers.
RULES: tuple[tuple[str, tuple[str | None, ...]], ...] = (
    (r".*/qkv/kernel", ("fsdp", None, "model", None)),  # [D, 3, H, K]
    (r".*/qkv/bias", (None, "model", None)),
    (r".*/out/kernel", ("model", None, "fsdp")),  # [H, K, D]
    (r".*/fc/kernel", ("fsdp", "model")),
    (r".*/fc/bias", ("model",)),
    (r".*/proj/kernel", ("model", "fsdp")),
    (r".*/(patch|projection)/kernel", (None, "fsdp")),
    (r"text/token/embedding", (None, "fsdp")),
    (r".*", ()),
)


def make_mesh(devices: Sequence[jax.Device] | None = None, *, fsdp: int = 1, model: int = 1) -> Mesh:
    """A mesh over all devices of all processes, or those given; what `fsdp` and `model` leave goes to `data`.

    Raises ValueError where they do not divide the number of devices.
    """
    devices = jax.devices() if devices is None else devices
    if len(devices) % (fsdp * model):
        raise ValueError(
            f"{len(devices)} devices cannot be divided into fsdp {fsdp} x model {model}: choose sharding.fsdp and "
            "sharding.model whose product divides them"
        )
    # the slices of GPUs are their hosts, of which nobody has measured it, and within a slice XLA spreads clips alone
    slices = len({slice_of(device) for device in devices}) if devices[0].platform == "tpu" and fsdp * model == 1 else 1
    shape = (slices, len(devices) // (slices * fsdp * model), fsdp, model)
    return Mesh(arrange(devices, shape), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def slice_of(device: jax.Device) -> int:
    """Which TPU slice or host of GPUs a device belongs to: those with fast links among each other."""
    return getattr(device, "slice_index", 0)


def arrange(devices: Sequence[jax.Device], shape: tuple[int, int, int, int]) -> np.ndarray:
    """Devices in the shape of a mesh, neighbours in it near each other in the machine."""
    slices = len({slice_of(device) for device in devices})
    if slices == 1:
        return mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    # TPU slices and hosts of GPUs are joined by a network slower than their own links: as far as possible only what
    # `slice` and `data` exchange crosses it, once a step
    left = slices // shape[0]
    over_data = math.gcd(shape[1], left)
    apart = (shape[0], over_data, left // over_data, 1)
    if shape[2] % apart[2]:
        raise ValueError(
            f"{slices} slices or hosts cannot be divided into data {shape[1]} x fsdp {shape[2]}: choose sharding.fsdp "
            "and sharding.model whose product divides the devices of one"
        )
    inside = tuple(size // parts for size, parts in zip(shape, apart, strict=True))
    return mesh_utils.create_hybrid_device_mesh(inside, apart, devices, allow_split_physical_axes=True)


def free_axes(mesh: Mesh | AbstractMesh) -> set[str]:
    """The axes that no `shard_map` around has divided already."""
    return set(mesh.axis_names) - set(mesh.manual_axes if isinstance(mesh, AbstractMesh) else ())


def clip_axes(mesh: Mesh | AbstractMesh) -> tuple[str, ...]:
    """The axes that share the clips at hand: within one slice (see `training.slices`), those of the slice."""
    free = free_axes(mesh)
    return tuple(axis for axis in CLIPS if axis in free)


def batch_shards(mesh: Mesh | AbstractMesh) -> int:
    """Into how many parts the clips of a batch are spread."""
    return math.prod(mesh.shape[axis] for axis in clip_axes(mesh))


def by_row(mesh: Mesh) -> NamedSharding:
    """Rows spread over the devices that share clips."""
    return NamedSharding(mesh, P(CLIPS))


def everywhere(mesh: Mesh) -> NamedSharding:
    """A copy on every device."""
    return NamedSharding(mesh, P())


def replicate(arrays: Mapping[str, np.ndarray | jax.Array], mesh: Mesh) -> dict[str, jax.Array]:
    """Arrays that every process has whole -> a copy on every device; what is there already is not copied."""
    if jax.process_count() == 1:
        return jax.device_put(dict(arrays), everywhere(mesh))
    return {  # a process cannot reach the devices of the others
        name: jax.make_array_from_callback(array.shape, everywhere(mesh), np.asarray(array).__getitem__)
        for name, array in arrays.items()
    }


def place_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This process's rows of a batch -> global arrays whose rows are spread over the devices.

    Raises ValueError where the rows cannot be spread evenly.
    """
    rows = next(iter(batch.values())).shape[0] * jax.process_count()
    check_rows(rows, mesh)
    return {name: jax.make_array_from_process_local_data(by_row(mesh), value) for name, value in batch.items()}


def check_rows(rows: int, mesh: Mesh) -> None:
    """Raises ValueError unless that many clips can be spread evenly."""
    if rows % (shards := batch_shards(mesh)):
        raise ValueError(f"{rows} clips cannot be spread over {shards} devices: choose a multiple of {shards}")


def param_shardings(shapes: Mapping[str, tuple[int, ...]], mesh: Mesh) -> dict[str, NamedSharding]:
    """Parameters by path -> where they live. Raises ValueError naming every dimension that cannot be divided."""
    shardings, problems = {}, []
    for path, shape in shapes.items():
        # a head of the user's own may give one of these names to an array of fewer dimensions: it is copied
        spec = next(spec for pattern, spec in RULES if re.fullmatch(pattern, path) and len(spec) <= len(shape))
        spec = (None,) * (len(shape) - len(spec)) + spec
        for size, axis in zip(shape, spec, strict=True):
            if axis and size % mesh.shape[axis]:
                problems.append(f"  {path} {shape}: {size} cannot be divided by {axis} = {mesh.shape[axis]}")
        shardings[path] = NamedSharding(mesh, P(*spec))
    if problems:
        raise ValueError("\n".join(["the model cannot be spread over the devices in this way:", *problems]))
    return shardings


def over_data_too(shape: tuple[int, ...], place: NamedSharding) -> NamedSharding:
    """Where an array of a parameter's shape lives with one more of its dimensions spread over `data`.

    Of those that can be divided, the one whose parts fill the fewest of a TPU's tiles, and of equal ones the first; but
    never the layers of a stack, whose gradients are added up one layer after the other. Small arrays, and those of
    which no dimension can be divided, stay as they are.
    """
    mesh, parts, local = place.mesh, place.mesh.shape["data"], place.shard_shape(shape)

    def tiles(axis: int) -> int:
        *outer, rows, lanes = (1, 1, *local[:axis], local[axis] // parts, *local[axis + 1 :])
        return math.prod(outer) * -(-rows // TILE[0]) * -(-lanes // TILE[1])

    stacked = len(shape) > 2
    possible = [axis for axis, size in enumerate(local) if size % parts == 0 and not (stacked and axis == 0)]
    if math.prod(shape) < SMALL or not possible:
        return place
    spec, axis = [*place.spec, *[None] * (len(shape) - len(place.spec))], min(possible, key=tiles)
    spec[axis] = (spec[axis], "data") if spec[axis] else "data"
    return NamedSharding(mesh, P(*spec))


def tree_shardings(tree: Any, params: Mapping[str, NamedSharding], mesh: Mesh) -> Any:
    """Any tree of arrays -> where they live: what is kept under a parameter's path beside it, all else everywhere."""

    def place(path: tuple, leaf: Any) -> NamedSharding:
        names = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
        return params.get(names[-1], everywhere(mesh)) if names else everywhere(mesh)

    return jax.tree_util.tree_map_with_path(place, tree)


def spread_rows(x: jax.Array) -> jax.Array:
    """Inside a jitted function: keeps the rows of an activation spread like the clips, on the mesh that is set.

    Without it XLA may follow the parameters' spreading instead, and gather the activations of all clips. Unchanged
    where no mesh is set, or the rows cannot be spread evenly (a few label texts).
    """
    mesh = jax.sharding.get_abstract_mesh()
    if not clip_axes(mesh) or x.shape[0] % batch_shards(mesh):
        return x
    return jax.lax.with_sharding_constraint(x, P(clip_axes(mesh)))


def rows_outermost(x: jax.Array) -> jax.Array:
    """Inside a jitted function: has each row of an activation, spread as `spread_rows` does, in one piece of memory."""
    order = layout.Layout(tuple(range(x.ndim)))

    def keep(x: jax.Array) -> jax.Array:
        return layout.with_layout_constraint(x, order)

    mesh = jax.sharding.get_abstract_mesh()
    if not clip_axes(mesh) or x.shape[0] % batch_shards(mesh):
        return keep(x)
    # on each device by itself: XLA would gather the rows of all devices to lay them out
    place = P(clip_axes(mesh))
    return jax.shard_map(keep, in_specs=place, out_specs=place, axis_names=free_axes(mesh))(x)
