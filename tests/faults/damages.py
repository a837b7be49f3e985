"""Ways to damage a checkpoint on disk."""

import shutil


def largest(checkpoint):
    """The file that holds the arrays."""
    return max((path for path in checkpoint.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip_a_byte(checkpoint):
    """One, in the middle of the arrays."""
    file = largest(checkpoint)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def overwrite(checkpoint, content, name=""):
    """Changes the content of the file with the arrays, or of one by name."""
    file = checkpoint / name if name else largest(checkpoint)
    file.write_bytes(content(file.read_bytes()))


def change_the_description(checkpoint):
    """Another learning rate and data position in valid JSON."""
    file = checkpoint / "_CHECKPOINT_METADATA"
    text = file.read_text()
    changed = text.replace('"position": ', '"position": 1')
    assert changed != text, "no position in the description"
    file.write_text(changed)


def empty(checkpoint):
    """The directory stays."""
    shutil.rmtree(checkpoint)
    checkpoint.mkdir()


DAMAGES = {
    "one flipped bit in the arrays": flip_a_byte,
    "arrays cut in half": lambda path: overwrite(path, lambda data: data[: len(data) // 2]),
    "arrays all zeros": lambda path: overwrite(path, lambda data: bytes(len(data))),
    "arrays replaced by garbage": lambda path: overwrite(path, lambda data: b"garbage " * (len(data) // 8)),
    "arrays' file empty": lambda path: overwrite(path, lambda data: b""),
    "arrays' file gone": lambda path: largest(path).unlink(),
    "state gone": lambda path: shutil.rmtree(path / "state"),
    "index of the arrays garbage": lambda path: overwrite(path, lambda data: b"{", "state/manifest.ocdbt"),
    "tree of the arrays cut": lambda path: overwrite(path, lambda data: data[:999], "state/_METADATA"),
    "description gone": lambda path: (path / "_CHECKPOINT_METADATA").unlink(),
    "description garbage": lambda path: overwrite(path, lambda data: b"\xff{", "_CHECKPOINT_METADATA"),
    "description changed": change_the_description,
    "empty directory": empty,
}
