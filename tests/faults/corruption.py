"""Damages a good file at random, again and again, and looks whether reading it is ever worse than an error."""

import collections
import time

import numpy as np

COUNT, SECONDS = 200, 10


def try_all(file, use, target):
    """How `use(target)` takes COUNT damaged versions of `file`, each written where it has `file`'s place."""
    data, rng, results = file.read_bytes(), np.random.default_rng(0), collections.Counter()
    for number in range(COUNT):
        file.write_bytes(damage(data, rng))
        begin = time.perf_counter()
        try:
            use(target)
            results["read"] += 1
        except (ValueError, OSError):
            results["refused"] += 1
        except Exception as error:
            raise RuntimeError(f"damage {number}: {type(error).__name__}: {error}") from error
        if time.perf_counter() - begin > SECONDS:
            raise RuntimeError(f"damage {number} took more than {SECONDS} s")
    file.write_bytes(data)
    return f"{results['refused']} refused, {results['read']} read"


def damage(data, rng):
    """The bytes cut short, or with some changed, inserted, removed or repeated; mostly near the front or the back."""
    spot = int(len(data) * rng.choice([rng.beta(0.4, 0.4), rng.random() * min(1, 400 / len(data))]))
    length = int(rng.choice([1, 2, 4, 8, 64]))
    noise = (rng.bytes(length), b"\xff" * length, b"\0" * length, b"\x7f" + b"\xff" * (length - 1))[rng.integers(4)]
    return (
        data[:spot],
        data[:spot] + noise + data[spot + length :],
        data[:spot] + noise + data[spot:],
        data[:spot] + data[spot + length :],
        data[: spot + length] + data[spot:],
    )[rng.choice(5, p=[0.1, 0.5, 0.2, 0.1, 0.1])]
