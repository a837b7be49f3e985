"""Something-Something v2: the official JSON lists, with templates for labels."""

import pathlib

from actionclip_jax import config, files
from actionclip_jax.data import readers
from actionclip_jax.data.sources import classes, listing, problems, splits


def read(source: config.SourceConfig, errors: problems.Problems) -> listing.Listing:
    """The label is the template without its brackets; test lists have none."""
    path = splits.find_list(source, splits.spelt((".json",)), errors)
    content = errors.read(files.read_json, path)
    if not isinstance(content, list):
        errors.fail(problems.UNREADABLE, f"{path}: expected a JSON list of clips")
    entries = []
    for number, item in enumerate(content, 1):
        if not isinstance(item, dict) or not isinstance(item.get("template", ""), str) or not item.get("id"):
            errors.add("malformed entries", f"entry {number}: {item}")
            continue
        template = item.get("template", "").replace("[", "").replace("]", "")
        name, labels = str(item["id"]), (template,) if template else ()
        entries.append(listing.Entry(f"entry {number}", (f"{name}.webm", name), labels, id=name))
    known = None if source.labels else classes.find_beside(path.parent, errors)
    return listing.Listing(entries, pathlib.Path(source.videos or path.parent), [path], readers.VideoFiles(), known)
