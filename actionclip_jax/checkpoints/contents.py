"""What a file is that somebody gives as a checkpoint, by its first bytes and not by its name."""

import pathlib
import zipfile

from actionclip_jax import files
from actionclip_jax.checkpoints import errors, numpy_files

HEAD = 4096  # bytes that are looked at
# of files that are no checkpoints: place, bytes, what it is
SIGNATURES = (
    (4, b"ftypavif", "a picture (AVIF)"),
    (4, b"ftypheic", "a picture (HEIC)"),
    (4, b"ftypmif1", "a picture (HEIF)"),
    (4, b"ftyp", "a video (MP4 or MOV)"),
    (4, b"moov", "a video (MOV)"),
    (4, b"mdat", "a video (MOV)"),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska or WebM)"),
    (8, b"AVI ", "a video (AVI)"),
    (8, b"WEBP", "a picture (WebP)"),
    (8, b"WAVE", "a sound (WAV)"),
    (0, b"FLV", "a video (FLV)"),
    (0, b"OggS", "a video or sound (Ogg)"),
    (0, b"\x00\x00\x01\xba", "a video (MPEG)"),
    (0, b"\x00\x00\x01\xb3", "a video (MPEG)"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "a video (WMV or ASF)"),
    (0, b"ID3", "a sound (MP3)"),
    (0, b"\x89PNG", "a picture (PNG)"),
    (0, b"\xff\xd8\xff", "a picture (JPEG)"),
    (0, b"GIF8", "a picture or animation (GIF)"),
    (0, b"BM", "a picture (BMP)"),
    (0, b"II*\x00", "a picture (TIFF)"),
    (0, b"MM\x00*", "a picture (TIFF)"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x89HDF", "an HDF5 file, as Keras writes"),
    (0, b"GGUF", "a GGUF file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ", "an xz archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"PK\x03\x04", "a zip archive that is damaged or cut short"),
    (0, b"\x7fELF", "a program"),
)
TRANSPORT_STREAM = 188  # bytes of a packet, each of which begins with G


def check(path: pathlib.Path) -> None:
    """Raises CheckpointError for a file that is certainly something else than tensors, saying what it is."""
    if kind := kind_by_another_name(path):
        raise errors.CheckpointError(f"{path}: is a {kind[0]} file by its content: give it the ending {kind[1]}")
    if what := what_else(path):
        raise errors.CheckpointError(
            f"{path}: is {what}, not a checkpoint. Expected a model directory, a hub name, or a file of PyTorch "
            "(.pt, .pth, .bin, .ckpt), safetensors or NumPy (.npz)"
        )


def kind_by_another_name(path: pathlib.Path) -> tuple[str, str] | None:
    """What a checkpoint is that has the ending of another kind, and its own ending."""
    if is_safetensors(path):
        return None if path.suffix == ".safetensors" else ("safetensors", ".safetensors")
    if numpy_files.is_archive(path):
        return None if path.suffix == numpy_files.ENDING else ("NumPy", numpy_files.ENDING)
    with path.open("rb") as file:
        pickled = file.read(1) == b"\x80"
    is_torch = pickled or (zipfile.is_zipfile(path) and other_archive(path) is None)
    return ("PyTorch", ".pt") if is_torch and path.suffix in (".safetensors", numpy_files.ENDING) else None


def is_safetensors(path: pathlib.Path) -> bool:
    """Whether a file begins like a safetensors file: the length of a JSON object, and the object."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size


def what_else(path: pathlib.Path) -> str | None:
    """What a file is if not a checkpoint; None for one that may be."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return "an empty file"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS (`git lfs pull` fetches the file itself)"
    if is_safetensors(path):
        return None
    if zipfile.is_zipfile(path):
        return other_archive(path)
    if head.startswith(b"\x80"):  # a pickle
        return None
    if head[:1] == b"G" == head[TRANSPORT_STREAM : TRANSPORT_STREAM + 1]:
        return "a video (MPEG transport stream)"
    for place, signature, what in SIGNATURES:
        if head.startswith(signature, place):
            return what
    if not files.BINARY.search(head) or head.startswith(tuple(files.UNICODE)):
        return text_kind(path)
    return None if path.suffix == ".safetensors" else f"a file of an unknown kind (it begins with {head[:8]!r})"


def other_archive(path: pathlib.Path) -> str | None:
    """What a zip archive is if not PyTorch's, whose entries lie beside a `data.pkl`, or NumPy's."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except errors.UNREADABLE:
        return None
    if any(name.endswith("data.pkl") for name in names) or any("/code/" in name for name in names):
        return None
    if numpy_files.is_archive(path):
        return None
    return f"a zip archive of other files ({', '.join(names[:3]) or 'none'})"


def text_kind(path: pathlib.Path) -> str:
    """What kind of text a file holds, by its ending."""
    kinds = {".py": "Python code", ".json": "a JSON file", ".csv": "a CSV table", ".tsv": "a TSV table"}
    return kinds.get(path.suffix.lower(), "a text file")
