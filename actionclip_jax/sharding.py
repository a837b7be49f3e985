"""Where arrays live when a step runs on many devices."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of one axis, `data`, over all devices of all processes, or those given."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def place_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This process's rows of a batch -> global arrays whose rows are spread over the axis `data`.

    Raises ValueError where the rows cannot be spread evenly.
    """
    rows, devices = next(iter(batch.values())).shape[0] * jax.process_count(), mesh.shape["data"]
    if rows % devices:
        raise ValueError(f"{rows} clips cannot be spread over {devices} devices: choose a multiple of {devices}")
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}
