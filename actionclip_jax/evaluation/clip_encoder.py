"""Encoding all clips of a data set: each once, on all devices and hosts, and kept as it is done."""

import pathlib
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax.sharding import Mesh

from actionclip_jax import config, progress, sharding, xla
from actionclip_jax.data import order, pipeline, table
from actionclip_jax.evaluation import features
from actionclip_jax.models import action_clip

PART_CLIPS = 128  # a part is written after so many: what a kill costs at most


class ClipEncoder:
    """Encodes one data set, again and again as the parameters change; compiles once."""

    def __init__(
        self,
        clips: table.ClipTable,
        model: config.ModelConfig,
        compute: config.ComputeConfig,
        sample: config.SampleConfig,
        loader: config.LoaderConfig,
        *,
        mesh: Mesh,
        report: pathlib.Path | None = None,
    ) -> None:
        """`report` is where clips that cannot be decoded are named. Raises ValueError for settings that cannot work."""
        sharding.check_rows(loader.batch_size, mesh)
        self.clips, self.model, self.compute = clips, model, compute
        self.mesh, self.batch_size = mesh, loader.batch_size
        self.batches = pipeline.eval_batches(clips, sample, loader, host=order.this_host(), report=report)

        def encode(params: Mapping[str, jax.Array], batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
            encode_view = action_clip.from_params(model, compute, params).encode_video
            # [B, V, T, S, S, 3] -> [B, V, E], one view after the other
            encoded = jax.lax.map(encode_view, batch["video"].swapaxes(0, 1)).swapaxes(0, 1)
            return {"features": encoded, "clip": batch["clip"], "mask": batch["mask"]}

        # what goes in spread over devices and hosts comes out whole on each of them
        everywhere = sharding.everywhere(mesh)
        self._encode = jax.jit(encode, out_shardings=everywhere, compiler_options=xla.options(compute.dtype))

    def __call__(
        self,
        params: Mapping[str, jax.Array],
        task: str,
        *,
        store: features.Store | None = None,
        after_batch: Callable[[], None] = lambda: None,
    ) -> features.Features:
        """Features of all clips but for those in the `store` already; `task` is what is said of it meanwhile.

        `after_batch` is called after every batch, and what it raises ends the work.
        """
        parts = store.read() if store else []
        done = progress.Progress(task, len(self.clips))
        done.advance(sum(map(features.count_clips, parts)))
        self.batches.seek(sum(int(part["batches"]) for part in parts))
        waiting: list[features.Part] = []  # batches that are not yet a part
        with self.batches:
            for batch in self.batches:
                placed = {name: batch[name] for name in ("video", "clip", "mask")}
                encoded = self._encode(params, sharding.place_batch(placed, self.mesh))
                waiting.append({name: np.asarray(value) for name, value in encoded.items()})
                done.advance(features.count_clips(waiting[-1]))
                after_batch()
                if store and len(waiting) * self.batch_size >= PART_CLIPS:
                    parts.append(store.add(len(parts), join(waiting)))
                    waiting = []
        if waiting:
            parts.append(store.add(len(parts), join(waiting)) if store else join(waiting))
        return features.in_order(self.clips.ids, parts)


def join(batches: list[features.Part]) -> features.Part:
    """Batches -> a part, which knows how many they were."""
    joined = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return joined | {"batches": np.array(len(batches), np.int64)}
