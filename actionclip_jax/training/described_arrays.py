"""What a checkpoint says of its arrays, and in what two such lists differ."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

from actionclip_jax.training import digests, train_step


class DescribedArray(TypedDict):
    """What is noted of an array beside a checkpoint; JSON."""

    shape: list[int]
    dtype: str
    digest: NotRequired[str]


def describe(state: train_step.TrainState, digest: Mapping[str, str] | None = None) -> dict[str, DescribedArray]:
    """Shape, dtype and, if given, digest of every array by path; arrays may be jax.ShapeDtypeStruct."""
    described: dict[str, DescribedArray] = {}
    for path, array in digests.by_path(state).items():
        described[path] = {"shape": list(array.shape), "dtype": str(array.dtype)}
        if digest:
            described[path]["digest"] = digest[path]
    return described


def differences(saved: Mapping[str, DescribedArray], expected: Mapping[str, DescribedArray]) -> list[str]:
    """Arrays that are missing, left over, or of another shape or dtype, a line each."""

    def spell(arrays: Mapping[str, DescribedArray], path: str) -> str:
        return f"{arrays[path]['dtype']} {tuple(arrays[path]['shape'])}" if path in arrays else "nothing"

    both = {path: (spell(saved, path), spell(expected, path)) for path in sorted(saved.keys() | expected.keys())}
    return [f"{path}: {then}, {now}" for path, (then, now) in both.items() if then != now]
