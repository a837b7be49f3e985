"""Lists of some of a data set's clips, by their ids, which are those of every kind of data set."""

import csv
import io
import pathlib

import numpy as np

from actionclip_jax import files
from actionclip_jax.data import readers, table


def write(path: pathlib.Path, clips: table.ClipTable) -> None:
    """Writes `id,path,label`, and the start and end of clips that have them.

    For videos it is a list that can be read by itself, from anywhere; of clips stored otherwise it has no paths, nor
    labels of clips with several.
    """
    stored_alone = isinstance(clips.reader, readers.VideoFiles)
    columns = {"id": clips.ids.tolist()}
    if stored_alone:
        columns["path"] = [str(pathlib.Path(path).absolute()) for path in clips.paths]
    if not clips.multi_label:
        columns["label"] = [clips.names[label] for label in clips.label_ids[:, 0]]
    unit = "_frame" if stored_alone and clips.reader.unit == "frames" else ""
    for name, values in (("start", clips.starts), ("end", clips.ends)):
        if stored_alone and not np.isnan(values).all():
            columns[f"{name}{unit}"] = ["" if np.isnan(value) else f"{value:g}" for value in values]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(columns)
    rows.writerows(zip(*columns.values(), strict=True))
    files.write_text(path, text.getvalue())


def take_listed(clips: table.ClipTable, file: pathlib.Path) -> table.ClipTable:
    """The clips whose ids a file names, in the order of the data set.

    Raises:
        ValueError: a file without ids, or with some that are not the data set's.
    """
    wanted = set(read_ids(file))
    kept = np.array([row for row, name in enumerate(clips.ids.tolist()) if name in wanted], np.int64)
    if len(kept) < len(wanted):
        unknown = sorted(wanted - set(clips.ids.tolist()))
        raise ValueError(
            f"{file}: {len(unknown)} of {len(wanted)} ids are those of no clip of the data set: "
            f"{', '.join(map(repr, unknown[:5]))}{' ...' * (len(unknown) > 5)}; its ids are like {clips.ids[0]!r}"
        )
    return clips.take(kept)


def read_ids(file: pathlib.Path) -> list[str]:
    """The ids in a text file, one a line, or in the column `id` of a table. Raises ValueError where there are none."""
    if file.suffix.lower() in (".csv", ".tsv"):
        rows = [row for _, row in files.read_rows(file)]
        header = [files.normalise_heading(cell) for cell in rows[0]] if rows else []
        if "id" not in header:
            raise ValueError(f"{file}: has no column id ({', '.join(rows[0]) if rows else 'it is empty'})")
        ids = [row[header.index("id")] for row in rows[1:] if len(row) == len(header)]
    else:
        ids = files.read_lines(file)
    if not ids:
        raise ValueError(f"{file}: names no clip")
    return ids
