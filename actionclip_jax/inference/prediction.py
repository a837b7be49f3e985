"""What the model says of videos: to be read, shown in a notebook, drawn, and kept."""

import dataclasses
import math
import typing
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from actionclip_jax.data import class_names as label_names
from actionclip_jax.data import video
from actionclip_jax.inference import class_scores, notebook

if typing.TYPE_CHECKING:
    import pandas
    from matplotlib import figure

SHORT = 3  # class names that a repr tells
DRAWN = 5  # that a picture and a notebook show


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """What the model says of one video."""

    path: str  # or what a video without one is called
    class_names: tuple[str, ...]
    probabilities: np.ndarray  # [C] float32, in the order of the class names; sums to 1 unless absolute
    frames: np.ndarray  # [V, T] int64: the frames used, by temporal view
    timestamps: np.ndarray  # [V, T] float64: their times in seconds on a player's clock; NaN where they are not known
    note: str | None  # what is wrong with the file although it could be used
    images: np.ndarray | None = None  # [T, S, S, 3] uint8: what the model saw of the first view, if it was kept
    texts: tuple[str, ...] = ()  # what the model read for each class name: joined names are split into words
    absolute: bool = False  # each probability is that of its class name by itself

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names."""
        return self.class_names

    @property
    def remark(self) -> str | None:
        """What is to be said beside the probabilities, where they are no shares of 1."""
        return class_scores.ABSOLUTE if self.absolute else None

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The most probable class names with their probabilities, best first."""
        best = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.class_names[index], float(self.probabilities[index])) for index in best]

    def to_dict(self) -> dict[str, Any]:
        """All of it but the pictures, of JSON's types; times that are not known are None."""
        times = [[None if math.isnan(time) else time for time in view] for view in self.timestamps.round(4).tolist()]
        return {
            "video": self.path,
            "absolute": self.absolute,
            "probabilities": {name: round(value, 6) for name, value in self.top(len(self.class_names))},
            "frames": self.frames.tolist(),
            "timestamps": times,
            "note": self.note,
        }

    def plot(self, top: int = DRAWN) -> "figure.Figure":
        """A matplotlib figure of the frames, if they were kept, beside the best class names as bars."""
        from actionclip_jax.plots import sheets  # takes a moment, which those who draw nothing need not pay

        return sheets.prediction_figure(self, top)

    def __repr__(self) -> str:
        ranked = ", ".join(f"{label_names.shorten(name)!r} {value:.1%}" for name, value in self.top(SHORT))
        more = f" and {len(self.class_names) - SHORT} more" if len(self.class_names) > SHORT else ""
        remark = f"; {self.remark}" if self.remark else ""
        note = f"; note: {self.note}" if self.note else ""
        return f"Prediction({self.path!r}: {ranked}{more}{remark}{note})"

    def _repr_html_(self) -> str:
        return notebook.prediction_html(self, DRAWN)


class Predictions(Sequence[Prediction | video.VideoError]):
    """What the model says of several videos, in the order given: a Prediction, or the VideoError that says why not."""

    def __init__(self, results: Iterable[Prediction | video.VideoError]) -> None:
        self._results = tuple(results)

    @typing.overload
    def __getitem__(self, index: int) -> Prediction | video.VideoError: ...

    @typing.overload
    def __getitem__(self, index: slice) -> "Predictions": ...

    def __getitem__(self, index: int | slice) -> "Prediction | video.VideoError | Predictions":
        return Predictions(self._results[index]) if isinstance(index, slice) else self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    @property
    def predicted(self) -> list[Prediction]:
        """Those that could be used."""
        return [one for one in self._results if isinstance(one, Prediction)]

    @property
    def errors(self) -> list[video.VideoError]:
        """Why the others could not."""
        return [one for one in self._results if isinstance(one, video.VideoError)]

    def to_pandas(self) -> "pandas.DataFrame":
        """A row a video: the best class name and its probability, the note or the error, and `p(NAME)` of every class.

        A column `absolute` says so where each probability is that of its class name by itself.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(f"to_pandas needs pandas: pip install 'actionclip-jax[pandas]' ({error})") from None
        first = self.predicted[0] if self.predicted else None
        columns = table_columns(first.class_names, first.absolute) if first else table_columns((), False)
        return pandas.DataFrame([table_row(one) for one in self._results], columns=columns)

    def __repr__(self) -> str:
        errors = f", {len(self.errors)} could not be used" if self.errors else ""
        return f"Predictions({len(self)} videos{errors})"

    def _repr_html_(self) -> str:
        return notebook.predictions_html(self)


def table_columns(class_names: Sequence[str], absolute: bool) -> list[str]:
    """The columns of a table of predictions: what stands for the video, and `p(NAME)` of every class."""
    says = ["absolute"] if absolute else []
    return ["video", "class_name", "probability", *says, "note", "error", *(f"p({name})" for name in class_names)]


def table_row(one: Prediction | video.VideoError) -> dict[str, Any]:
    """The row of a video in that table by column, without the columns that say nothing of it."""
    if isinstance(one, video.VideoError):
        return {"video": one.path, "error": one.reason}
    ((best, probability),) = one.top(1)
    row = {"video": one.path, "class_name": best, "probability": probability, "note": one.note}
    row |= {"absolute": True} if one.absolute else {}
    return row | {f"p({name})": float(p) for name, p in zip(one.class_names, one.probabilities, strict=True)}
