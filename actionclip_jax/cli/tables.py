"""The table (CSV) that `actionclip predict --csv` writes."""

import csv
import io
import typing
from collections.abc import Iterator, Sequence
from typing import Any

if typing.TYPE_CHECKING:
    from actionclip_jax.cli import predictions

SEGMENT = ("video", "start", "end", "class_name", "probability")  # seconds; the mean over the windows


def as_csv(
    results: "Sequence[predictions.Result]", labels: Sequence[str], *, segments: bool, absolute: bool = False
) -> str:
    """A row a video, in the order given, or a row a segment. A video that cannot be used has a row that says why.

    Absolute probabilities have a column that says so.
    """
    from actionclip_jax.inference import prediction

    text = io.StringIO(newline="")
    says = ["absolute"] if absolute else []
    columns = [*SEGMENT, *says, "note", "error"] if segments else prediction.table_columns(labels, absolute)
    writer = csv.DictWriter(text, columns, lineterminator="\n")  # leaves cells empty that a row has not
    writer.writeheader()
    for one in results:
        writer.writerows({name: rounded(value) for name, value in row.items()} for row in rows_of(one))
    return text.getvalue()


def rows_of(result: "predictions.Result") -> Iterator[dict[str, Any]]:
    """One row of a video, or those of its segments in the order of time; a video may have none."""
    from actionclip_jax.inference import prediction, timeline

    if not isinstance(result, timeline.Timeline):
        yield prediction.table_row(result)
        return
    rest = {"note": result.note} | ({"absolute": True} if result.absolute else {})
    for part in result.segments:
        times = {"start": part.start, "end": part.end}
        yield {"video": result.path, **times, "class_name": part.label, "probability": part.score, **rest}


def rounded(value: object) -> object:
    """Numbers with as many digits as in the JSON."""
    return f"{value:.6f}" if isinstance(value, float) else value
