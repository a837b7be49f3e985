"""The table (CSV) that `actionclip predict --csv` writes."""

import csv
import io
import typing
from collections.abc import Iterator, Sequence

if typing.TYPE_CHECKING:
    from actionclip_jax.cli import predictions
    from actionclip_jax.data import video
    from actionclip_jax.inference import predict, timeline

PREDICTION = ("video", "label", "probability", "note", "error")  # of the best label; then a column for each label
SEGMENT = ("video", "start", "end", "label", "probability", "note", "error")  # seconds; the mean over the windows


def as_csv(results: "Sequence[predictions.Result]", labels: Sequence[str], *, segments: bool) -> str:
    """A row a video, in the order given, or a row a segment. A video that cannot be used has a row that says why."""
    from actionclip_jax.inference import predict, timeline

    header = SEGMENT if segments else (*PREDICTION, *labels)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for one in results:
        if isinstance(one, timeline.Timeline):
            writer.writerows(segment_rows(one))
        else:
            writer.writerow(prediction_row(one) if isinstance(one, predict.Prediction) else error_row(one, header))
    return text.getvalue()


def prediction_row(one: "predict.Prediction") -> list[str]:
    """The best label, and the probabilities of all in the order asked for."""
    [(best, probability)] = one.top(1)
    probabilities = [rounded(float(value)) for value in one.probabilities]
    return [one.path, best, rounded(probability), one.note or "", "", *probabilities]


def segment_rows(one: "timeline.Timeline") -> Iterator[list[str]]:
    """The segments in the order of time; a video may have none."""
    for part in one.segments:
        yield [one.path, f"{part.start:.4f}", f"{part.end:.4f}", part.label, rounded(part.score), one.note or "", ""]


def error_row(error: "video.VideoError", header: Sequence[str]) -> list[str]:
    """Why a video cannot be used."""
    row = [""] * len(header)
    row[0], row[header.index("error")] = error.path, error.reason
    return row


def rounded(probability: float) -> str:
    """As many digits as in the JSON."""
    return f"{probability:.6f}"
