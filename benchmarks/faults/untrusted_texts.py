"""Lists, labels, templates and settings that are no text, too much of it, or that ask for the impossible."""

import json
import os
import pathlib
from collections.abc import Callable

import child
import corruption
import harness
import untrusted_checkpoints
import untrusted_videos

from actionclip_jax import config, text
from actionclip_jax.config import config_file
from actionclip_jax.data import sources
from actionclip_jax.inference import predict

Make = Callable[[pathlib.Path], pathlib.Path]
SMALL = ("--config.data.train.path=clips",)


def open_list(path: pathlib.Path, **settings: object) -> str:
    """Opens a list as every command does."""
    table = sources.open_source(config.SourceConfig(path=str(path), **settings))
    return f"{len(table)} clips of {', '.join(table.labels)[:200]}"


def open_with_labels(labels: pathlib.Path) -> str:
    """Opens a good list with such labels."""
    return open_list(labels.parent / "list.csv", labels=str(labels))


def check_labels(labels: list[str]) -> str:
    """Takes the labels of a prediction."""
    return f"{len(predict.checked_labels(labels))} labels"


def load_templates(path: pathlib.Path) -> str:
    """Puts a label into templates."""
    return f"{text.fill(['run'], text.load_templates(path))}"


def load_config(path: pathlib.Path) -> str:
    """Reads a configuration file."""
    return f"{config_file.load(str(path), SMALL).seed}"


def override(*options: str) -> Callable[[pathlib.Path], str]:
    """A fault: such options of a good file must be refused, each of them named."""
    name = options[0].partition("=")[0].rpartition(".")[2]
    return child.refused(lambda folder: (good_config(folder), options), load_overridden, name.partition(" ")[0])


def load_overridden(made: tuple[pathlib.Path, tuple[str, ...]]) -> str:
    """Reads a configuration file with options."""
    path, options = made
    run = config_file.load(str(path), (*SMALL, *(f"--config.{option}" for option in options)))
    return f"accepted: {run.data}"


def files(**contents: bytes | str) -> Make:
    """Writes two videos and such files, `list_csv` as list.csv; the last is the one meant."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        for name in ("a.mp4", "b.mp4"):
            (folder / name).write_bytes(b"video")
        (folder / "labels.txt").write_text("run\njump\n", encoding="utf-8")
        (folder / "list.csv").write_text("a.mp4,0\nb.mp4,1\n", encoding="utf-8")
        for name, content in contents.items():
            path = folder / name.replace("_", ".")
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def sparse(name: str, size: int) -> Make:
    """Makes a file of nothing but zeros, which takes no room on the disk."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        path = files(list_csv="")(folder).with_name(name)
        path.unlink(missing_ok=True)
        path.touch()
        os.truncate(path, size)
        return path

    return make


def long_list(folder: pathlib.Path) -> pathlib.Path:
    """Five million clips."""
    with (path := folder / "list.csv").open("w", encoding="utf-8") as file:
        file.writelines(f"a{number}.mp4,run\n" for number in range(5_000_000))
    return path


def pipe(folder: pathlib.Path) -> pathlib.Path:
    """A label file nobody writes to."""
    path = files(list_csv="a.mp4,0\n")(folder).with_name("names.txt")
    os.mkfifo(path)
    return path


def frame_folders(lines: str) -> Make:
    """Writes a list of one folder with one picture."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        (folder / "x").mkdir()
        (folder / "x" / "img_99999999999.jpg").touch()
        return files(labels_txt="run\n", list_txt=lines)(folder)

    return make


def open_nested(path: pathlib.Path) -> str:
    """Opens a JSON list of a kind that is told."""
    return open_list(path, kind="kinetics")


def bad_template(template: str) -> Callable[[pathlib.Path], str]:
    """A fault: such names of frames must be refused."""
    return child.refused(lambda folder: (files(list_csv="a.mp4,0\n")(folder), template), open_frames, "frame_template")


def open_frames(made: tuple[pathlib.Path, str]) -> str:
    """Opens a list of frame folders."""
    return open_list(made[0], kind="frames", frame_template=made[1])


def escapes(folder: pathlib.Path) -> str:
    """Shows labels and file names that are orders to a terminal, through three commands."""
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m"
    videos = folder / "videos" / f"la{evil}bel"
    videos.mkdir(parents=True)
    untrusted_videos.write(videos / f"cl{evil}ip.mp4")
    (videos / f"b{evil}ad.mp4").write_bytes(b"no video")
    labels = folder / "labels.csv"
    labels.write_text(f"id,name\n0,ru{evil}n\n", encoding="utf-8")
    model = str(untrusted_checkpoints.model_directory())
    clips = [str(path) for path in videos.iterdir()]
    codes, told = [], ""
    for arguments in (
        ["inspect", str(folder / "videos")],
        ["predict", model, *clips, "--labels", f"ru{evil}n,jump"],
        ["predict", model, *clips, "--labels-file", str(labels)],
    ):
        code, said = harness.run(arguments)
        harness.expect("Traceback" not in said, said[-500:])
        codes, told = [*codes, code], told + said
    raw = [character for character in evil if character in told and not character.isprintable()]
    harness.expect(not raw, f"{raw} reached the terminal: {told!r}"[:1000])
    harness.expect(codes == [0, 1, 2], f"exit codes {codes}: {told}")
    return "spelt out in a table of classes and in predictions, refused in a label file"


def good_config(folder: pathlib.Path) -> pathlib.Path:
    """A configuration file that changes nothing."""
    path = folder / "run.py"
    path.write_text(
        "from actionclip_jax.config import config_file\nget_config = config_file.default\n", encoding="utf-8"
    )
    return path


def config_text(content: str) -> Make:
    """Writes a configuration file."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        (folder / "run.py").write_text(content, encoding="utf-8")
        return folder / "run.py"

    return make


def train_huge(folder: pathlib.Path) -> str:
    """`actionclip train` with a batch of 10^12 clips: nothing may be allocated or begun."""
    arguments = ["train", "--config", str(good_config(folder)), *SMALL, "--config.data.loader.batch_size=1000000000000"]
    code, said = harness.run([*arguments, f"--config.workdir={folder / 'run'}"], timeout=60)
    harness.expect(code == 2 and "batch_size" in said and "Traceback" not in said, f"exit code {code}: {said[-500:]}")
    harness.expect(not (folder / "run").exists(), "a run was begun")
    return f"exit code 2: {' '.join(said.split())[:120]}"


def fuzz_list(path: pathlib.Path) -> str:
    """Damages a list at random."""
    return corruption.try_all(path, open_list, path)


def fuzz_labels(path: pathlib.Path) -> str:
    """Damages a label file at random."""
    return corruption.try_all(path, open_with_labels, path)


KINETICS = json.dumps(
    {f"id{number}": {"annotations": {"label": "run", "segment": [0, 10]}, "subset": "train"} for number in range(9)}
)
LISTS = [
    harness.Fault(name, expected, inject)
    for name, expected, inject in (
        (
            "byte order mark and CRLF",
            "read",
            child.survived(files(list_csv=b"\xef\xbb\xbfa.mp4,0\r\nb.mp4,1\r\n"), open_list, "2 clips of run, jump"),
        ),
        (
            "zero bytes",
            "refused with line",
            child.refused(files(list_csv=b"a.mp4,0\nb.\0mp4,1\n"), open_list, "line 2"),
        ),
        (
            "not UTF-8",
            "refused with line",
            child.refused(files(list_csv=b"a.mp4,0\nb\xe9.mp4,1\n"), open_list, "line 2"),
        ),
        (
            "UTF-16 without its mark",
            "refused",
            child.refused(files(list_csv="a.mp4,0\n".encode("utf-16")[2:]), open_list, "no text has"),
        ),
        ("1 GB in one line", "refused", child.refused(sparse("list.csv", 1 << 30), open_list, "bytes")),
        ("200 MB in one line", "refused", child.refused(sparse("list.txt", 200 << 20), open_list)),
        ("five million lines", "refused", child.refused(long_list, open_list, "lines")),
        (
            "clips listed twice",
            "refused with lines",
            child.refused(files(list_csv="a.mp4,0\na.mp4,1\n"), open_list, "line 2"),
        ),
        (
            "label numbers beyond the labels",
            "refused with line",
            child.refused(files(list_csv="a.mp4,0\nb.mp4,2\n"), open_list, "line 2"),
        ),
        (
            "negative label numbers",
            "refused with line",
            child.refused(files(list_csv="a.mp4,-1\nb.mp4,1\n"), open_list, "line 1"),
        ),
        (
            "label number of 5,000 digits",
            "refused with line",
            child.refused(files(list_csv=f"a.mp4,0\nb.mp4,{'9' * 5000}\n"), open_list, "line 2"),
        ),
        (
            "number of frames of 30 digits",
            "refused with line",
            child.refused(files(list_csv=f"path,label,frames\na.mp4,0,{'9' * 30}\n"), open_list, "line 2"),
        ),
        (
            "folder of 10^11 frames",
            "refused with line",
            child.refused(frame_folders("x 99999999999 0\n"), open_list, "line 1"),
        ),
        (
            "paths that lead elsewhere",
            "read as videos, which they are not",
            child.survived(files(list_csv="../../../../../../etc/passwd,0\n/etc/hostname,1\n"), open_list, "2 clips"),
        ),
        (
            "quotes that do not end",
            "refused with line",
            child.refused(files(list_csv='a.mp4,0\nb.mp4,"1\n' + "a.mp4,0\n" * 99), open_list, "line"),
        ),
        ("JSON nested 10^5 deep", "refused", child.refused(files(list_json="[" * 10**5), open_list, "JSON")),
        (
            "Kinetics JSON of other types",
            "refused",
            child.refused(
                files(
                    list_json='{"a":{"annotations":{"label":5,"segment":[0,1]}},"b":[],"c":{"annotations":{"segment":["x",{}]}}}'
                ),
                open_nested,
                "malformed entries: 3",
            ),
        ),
        (
            "label file: binary",
            "refused",
            child.refused(files(names_txt=bytes(range(256)) * 9), open_with_labels, "not a text file"),
        ),
        ("label file: empty", "refused", child.refused(files(names_txt="\n\n"), open_with_labels, "holds no label")),
        (
            "label file: one label too few",
            "refused",
            child.refused(files(labels_txt="run\n", list_csv="a.mp4,0\nb.mp4,1\n"), open_list, "line 2"),
        ),
        (
            "label file: a label twice",
            "refused",
            child.refused(files(names_txt="run\nrun\n"), open_with_labels, "twice"),
        ),
        (
            "label file: a label of 1 MB",
            "refused",
            child.refused(files(names_txt="run\n" + "x" * 10**6), open_with_labels, "1000 characters"),
        ),
        (
            "label file: a number of 5,000 digits",
            "refused",
            child.refused(files(names_txt=f"0 run\n{'9' * 5000} jump\n"), open_with_labels),
        ),
        (
            "label file: control characters",
            "refused with line",
            child.refused(files(names_txt="run\nju\x1b[2Jmp\n"), open_with_labels, "line 2"),
        ),
        ("label file: a pipe", "refused at once", child.refused(pipe, open_with_labels, "not a file")),
        (
            "labels of a prediction: one of 1 MB",
            "refused",
            child.refused(lambda _: ["run", "x" * 10**6], check_labels, "too long"),
        ),
        ("terminal escapes in labels and file names", "never reach the terminal", escapes),
        ("template without {}", "refused", child.refused(files(t_txt="a photo\n"), load_templates, "exactly one")),
        ("template with two {}", "refused", child.refused(files(t_txt="{} and {}\n"), load_templates, "exactly one")),
        (
            "template with {0.__class__}",
            "refused",
            child.refused(files(t_txt="a {0.__class__.__mro__}\n"), load_templates, "exactly one"),
        ),
        (
            "template with {} and {0.__class__}",
            "taken as it is",
            child.survived(files(t_txt="{} {0.__class__}\n"), load_templates, r"run \{0.__class__\}"),
        ),
        ("frame names with {0.__class__}", "refused", bad_template("{0.__class__}_{:d}")),
        ("frame names with {0.x}", "refused", bad_template("{0.x}")),
        ("frame names of 10^9 digits", "refused", bad_template("{:0999999999d}")),
        (
            "200 random damages: list",
            "never a traceback, 10 s",
            child.survived(
                files(list_csv="path,label,start,end,id\na.mp4,run,0.5,1.5,x\nb.mp4,jump,0,2,y\n"), fuzz_list, "refused"
            ),
        ),
        (
            "200 random damages: Kinetics JSON",
            "never a traceback, 10 s",
            child.survived(files(list_json=KINETICS), fuzz_list, "refused"),
        ),
        (
            "200 random damages: label file",
            "never a traceback, 10 s",
            child.survived(files(names_csv="id,name\n0,run\n1,jump\n"), fuzz_labels, "refused"),
        ),
    )
]
CONFIGS = [
    harness.Fault(name, expected, inject)
    for name, expected, inject in (
        ("no such file", "refused", child.refused(lambda folder: folder / "run.py", load_config, "no such file")),
        (
            "syntax error",
            "refused with line",
            child.refused(config_text("x = 1\ndef get_config(:\n"), load_config, "SyntaxError"),
        ),
        ("a binary", "refused", child.refused(config_text("\0\1\2"), load_config)),
        ("no get_config", "refused", child.refused(config_text("x = 1\n"), load_config, "no function get_config")),
        (
            "get_config raises",
            "refused with line",
            child.refused(config_text("def get_config():\n    return 1 / 0\n"), load_config, "line 2.*ZeroDivision"),
        ),
        (
            "get_config calls itself for ever",
            "refused",
            child.refused(config_text("def get_config():\n    return get_config()\n"), load_config, "RecursionError"),
        ),
        (
            "get_config returns a number",
            "refused",
            child.refused(config_text("def get_config():\n    return 3\n"), load_config, "returns int"),
        ),
        ("misspelt name", "refused with a suggestion", override("optim.lrr=1.0")),
        ("value of another type", "refused", override("optim.lr=fast")),
        (
            "value that is an expression",
            "refused, not run",
            override("optim.lr=__import__('os').system('touch code-ran')"),
        ),
        ("value nested 10^5 deep", "refused", override("optim.lr=" + "(" * 10**5)),
        ("value of 10^5 signs", "refused", override("optim.lr=" + "-" * 10**5 + "1")),
        ("not a number", "refused", override("optim.lr=1e999-1e999")),
        ("infinite", "refused", override("optim.lr=1e999")),
        ("infinite epochs", "refused", override("optim.epochs=1e999")),
        ("negative", "refused", override("data.loader.batch_size=-1")),
        ("a batch of 10^12 clips", "refused", override("data.loader.batch_size=1000000000000")),
        ("an evaluation batch of 10^12 clips", "refused", override("data.eval_batch_size=1000000000000")),
        ("10^9 frames", "refused", override("model.frames=1000000000", "data.sample.frames=1000000000")),
        ("pictures of 10^7 pixels", "refused", override("model.image.size=10000000", "data.sample.size=10000000")),
        ("10^9 channels", "refused", override("model.image.width=1000000000")),
        ("10^9 layers", "refused", override("model.text.depth=1000000000")),
        ("10^6 views", "refused", override("data.sample.views_time=1000000")),
        ("10^6 workers", "refused", override("data.loader.workers=1000000")),
        ("10^9 batches read ahead", "refused", override("data.loader.read_ahead=1000000000")),
        ("training with a batch of 10^12 clips", "exit code 2, nothing begun", train_huge),
    )
]
