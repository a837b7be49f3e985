"""Results as HTML, for notebooks. Names come from anywhere: all of them are escaped."""

import base64
import html
import io
import typing

import numpy as np
from PIL import Image

from actionclip_jax.data import class_names, video

if typing.TYPE_CHECKING:
    from actionclip_jax.inference import prediction

HEIGHT = 96  # pixels of a frame
FRAMES = 8  # shown at most
ROWS = 100  # of a table of videos, at most
BAR = "display:inline-block;height:0.7em;border-radius:2px;background:steelblue"


def prediction_html(result: "prediction.Prediction", top: int) -> str:
    """The frames that were kept, and the best class names as bars."""
    rows = "".join(
        f'<tr><td style="text-align:left">{escape(name)}</td><td style="text-align:right">{value:.1%}</td>'
        f'<td style="text-align:left;width:12em"><span style="{BAR};width:{100 * value:.1f}%"></span></td></tr>'
        for name, value in result.top(top)
    )
    more = len(result.class_names) - top
    rest = f'<div style="opacity:0.7">and {more} more class names</div>' if more > 0 else ""
    note = f"<div><em>{escape(result.note, whole=True)}</em></div>" if result.note else ""
    return (
        f"<div><div><strong>{escape(result.path, whole=True)}</strong></div>{note}{strip(result)}"
        f"{remark_html(result)}<table>{rows}</table>{rest}</div>"
    )


def remark_html(result: "prediction.Prediction") -> str:
    """What is to be said beside the probabilities, if anything."""
    return f'<div style="opacity:0.7">{escape(result.remark, whole=True)}</div>' if result.remark else ""


def strip(result: "prediction.Prediction") -> str:
    """At most 8 of the frames that the model saw, side by side, each with its time or number as its title."""
    if result.images is None:
        return ""
    chosen = np.linspace(0, len(result.images) - 1, min(FRAMES, len(result.images))).round().astype(int)
    pictures = [
        f'<img alt="{title}" title="{title}" style="margin:0 2px 0 0;display:inline" height="{HEIGHT}" '
        f'src="data:image/jpeg;base64,{encode(result.images[index])}">'
        for index in chosen
        for title in [say_when(result.frames[0, index], result.timestamps[0, index])]
    ]
    views = len(result.frames)
    told = f'<div style="opacity:0.7">the first of {views} clips</div>' if views > 1 else ""
    return f'{told}<div style="white-space:nowrap;overflow-x:auto">{"".join(pictures)}</div>'


def say_when(number: int, seconds: float) -> str:
    """`frame 12 at 0.5 s`."""
    return f"frame {number}" if np.isnan(seconds) else f"frame {number} at {seconds:.1f} s"


def encode(image: np.ndarray) -> str:
    """[S, S, 3] uint8 -> a small JPEG, in base64."""
    data = io.BytesIO()
    side = (HEIGHT * image.shape[1] // image.shape[0], HEIGHT)
    Image.fromarray(image).resize(side, Image.Resampling.BICUBIC).save(data, "JPEG", quality=85)
    return base64.b64encode(data.getvalue()).decode()


def predictions_html(results: "prediction.Predictions") -> str:
    """A row a video: its best class name, or why it could not be used."""
    rows = []
    for one in results[:ROWS]:
        name = f'<td style="text-align:left">{escape(one.path, whole=True)}</td>'
        if isinstance(one, video.VideoError):
            rows.append(
                f'<tr>{name}<td colspan="2" style="text-align:left"><em>{escape(one.reason, whole=True)}</em></td></tr>'
            )
        else:
            ((best, probability),) = one.top(1)
            rows.append(f'<tr>{name}<td style="text-align:left">{escape(best)}</td><td>{probability:.1%}</td></tr>')
    more = f"<div>and {len(results) - ROWS} more</div>" if len(results) > ROWS else ""
    head = "<tr><th>video</th><th>class name</th><th>probability</th></tr>"
    remark = remark_html(results.predicted[0]) if results.predicted else ""
    return f"<div>{remark}<table>{head}{''.join(rows)}</table>{more}</div>"


def escape(text: str, *, whole: bool = False) -> str:
    """Text that HTML shows as it is."""
    return html.escape(text if whole else class_names.shorten(text))
