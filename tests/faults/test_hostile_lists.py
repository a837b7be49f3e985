"""Lists, labels, templates and settings that are no text, too much of it, or that ask for the impossible."""

import json
import os

import command
import corruption
import isolated
import pytest
import small_model
import videos

from actionclip_jax import config, text
from actionclip_jax.config import config_file
from actionclip_jax.data import sources
from actionclip_jax.inference import choices

SMALL = ("--config.data.train.path=clips",)


pytestmark = pytest.mark.faults


def open_list(path, **settings):
    """Opens a list as every command does."""
    table = sources.open_source(config.SourceConfig(path=str(path), **settings))
    return f"{len(table)} clips of {', '.join(table.labels)[:200]}"


def open_with_labels(labels):
    """Opens a good list with such labels."""
    return open_list(labels.parent / "list.csv", labels=str(labels))


def check_labels(labels):
    """Takes the labels of a prediction."""
    return f"{len(choices.checked_class_names(labels))} labels"


def load_templates(path):
    """Puts a label into templates."""
    return f"{text.fill(['run'], text.load_templates(path))}"


def load_config(path):
    """Reads a configuration file."""
    return f"{config_file.load(str(path), SMALL).seed}"


def load_overridden(made):
    """Reads a configuration file with options."""
    path, options = made
    run = config_file.load(str(path), (*SMALL, *(f"--config.{option}" for option in options)))
    return f"accepted: {run.data}"


def files(**contents):
    """Writes two videos and such files, `list_csv` as list.csv; the last is the one meant."""

    def make(folder):
        for name in ("a.mp4", "b.mp4"):
            (folder / name).write_bytes(b"video")
        (folder / "labels.txt").write_text("run\njump\n", encoding="utf-8")
        (folder / "list.csv").write_text("a.mp4,0\nb.mp4,1\n", encoding="utf-8")
        for name, content in contents.items():
            path = folder / name.replace("_", ".")
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def sparse(name, size):
    """Makes a file of nothing but zeros, which takes no room on the disk."""

    def make(folder):
        path = files(list_csv="")(folder).with_name(name)
        path.unlink(missing_ok=True)
        path.touch()
        os.truncate(path, size)
        return path

    return make


def long_list(folder):
    """Five million clips."""
    with (path := folder / "list.csv").open("w", encoding="utf-8") as file:
        file.writelines(f"a{number}.mp4,run\n" for number in range(5_000_000))
    return path


def pipe(folder):
    """A label file nobody writes to."""
    path = files(list_csv="a.mp4,0\n")(folder).with_name("names.txt")
    os.mkfifo(path)
    return path


def frame_folders(lines):
    """Writes a list of one folder with one picture."""

    def make(folder):
        (folder / "x").mkdir()
        (folder / "x" / "img_99999999999.jpg").touch()
        return files(labels_txt="run\n", list_txt=lines)(folder)

    return make


def open_nested(path):
    """Opens a JSON list of a kind that is told."""
    return open_list(path, kind="kinetics")


def frame_template(template):
    """Makes a list to be opened with such names of frames."""
    return lambda folder: (files(list_csv="a.mp4,0\n")(folder), template)


def open_frames(made):
    """Opens a list of frame folders."""
    return open_list(made[0], kind="frames", frame_template=made[1])


def good_config(folder):
    """A configuration file that changes nothing."""
    path = folder / "run.py"
    path.write_text(
        "from actionclip_jax.config import config_file\nget_config = config_file.default\n", encoding="utf-8"
    )
    return path


def config_text(content):
    """Writes a configuration file."""

    def make(folder):
        (folder / "run.py").write_text(content, encoding="utf-8")
        return folder / "run.py"

    return make


def fuzz_list(path):
    """Damages a list at random."""
    return corruption.try_all(path, open_list, path)


def fuzz_labels(path):
    """Damages a label file at random."""
    return corruption.try_all(path, open_with_labels, path)


KINETICS = json.dumps(
    {f"id{number}": {"annotations": {"label": "run", "segment": [0, 10]}, "subset": "train"} for number in range(9)}
)
LISTS_REFUSED = {
    "zero bytes": (files(list_csv=b"a.mp4,0\nb.\0mp4,1\n"), open_list, "line 2"),
    "not UTF-8": (files(list_csv=b"a.mp4,0\nb\xe9.mp4,1\n"), open_list, "line 2"),
    "UTF-16 without its mark": (files(list_csv="a.mp4,0\n".encode("utf-16")[2:]), open_list, "no text has"),
    "1 GB in one line": (sparse("list.csv", 1 << 30), open_list, "bytes"),
    "200 MB in one line": (sparse("list.txt", 200 << 20), open_list, ""),
    "five million lines": (long_list, open_list, "lines"),
    "clips listed twice": (files(list_csv="a.mp4,0\na.mp4,1\n"), open_list, "line 2"),
    "label numbers beyond the labels": (files(list_csv="a.mp4,0\nb.mp4,2\n"), open_list, "line 2"),
    "negative label numbers": (files(list_csv="a.mp4,-1\nb.mp4,1\n"), open_list, "line 1"),
    "label number of 5,000 digits": (files(list_csv=f"a.mp4,0\nb.mp4,{'9' * 5000}\n"), open_list, "line 2"),
    "number of frames of 30 digits": (files(list_csv=f"path,label,frames\na.mp4,0,{'9' * 30}\n"), open_list, "line 2"),
    "folder of 10^11 frames": (frame_folders("x 99999999999 0\n"), open_list, "line 1"),
    "quotes that do not end": (files(list_csv='a.mp4,0\nb.mp4,"1\n' + "a.mp4,0\n" * 99), open_list, "line"),
    "JSON nested 10^5 deep": (files(list_json="[" * 10**5), open_list, "JSON"),
    "Kinetics JSON of other types": (
        files(
            list_json='{"a":{"annotations":{"label":5,"segment":[0,1]}},"b":[],"c":{"annotations":{"segment":["x",{}]}}}'
        ),
        open_nested,
        "malformed entries: 3",
    ),
    "label file: binary": (files(names_txt=bytes(range(256)) * 9), open_with_labels, "not a text file"),
    "label file: empty": (files(names_txt="\n\n"), open_with_labels, "holds no label"),
    "label file: one label too few": (files(labels_txt="run\n", list_csv="a.mp4,0\nb.mp4,1\n"), open_list, "line 2"),
    "label file: a label twice": (files(names_txt="run\nrun\n"), open_with_labels, "twice"),
    "label file: a label of 1 MB": (files(names_txt="run\n" + "x" * 10**6), open_with_labels, "1000 characters"),
    "label file: a number of 5,000 digits": (files(names_txt=f"0 run\n{'9' * 5000} jump\n"), open_with_labels, ""),
    "label file: control characters": (files(names_txt="run\nju\x1b[2Jmp\n"), open_with_labels, "line 2"),
    "label file: a pipe": (pipe, open_with_labels, "not a file"),
    "labels of a prediction: one of 1 MB": (lambda _: ["run", "x" * 10**6], check_labels, "too long"),
    "template without {}": (files(t_txt="a photo\n"), load_templates, "exactly one"),
    "template with two {}": (files(t_txt="{} and {}\n"), load_templates, "exactly one"),
    "template with {0.__class__}": (files(t_txt="a {0.__class__.__mro__}\n"), load_templates, "exactly one"),
    "frame names with {0.__class__}": (frame_template("{0.__class__}_{:d}"), open_frames, "frame_template"),
    "frame names with {0.x}": (frame_template("{0.x}"), open_frames, "frame_template"),
    "frame names of 10^9 digits": (frame_template("{:0999999999d}"), open_frames, "frame_template"),
}
LISTS_SURVIVED = {
    "byte order mark and CRLF": (
        files(list_csv=b"\xef\xbb\xbfa.mp4,0\r\nb.mp4,1\r\n"),
        open_list,
        "2 clips of run, jump",
    ),
    "paths that lead elsewhere": (
        files(list_csv="../../../../../../etc/passwd,0\n/etc/hostname,1\n"),
        open_list,
        "2 clips",
    ),
    "template with {} and {0.__class__}": (files(t_txt="{} {0.__class__}\n"), load_templates, r"run \{0.__class__\}"),
    "200 random damages: list": (
        files(list_csv="path,label,start,end,id\na.mp4,run,0.5,1.5,x\nb.mp4,jump,0,2,y\n"),
        fuzz_list,
        "refused",
    ),
    "200 random damages: Kinetics JSON": (files(list_json=KINETICS), fuzz_list, "refused"),
    "200 random damages: label file": (files(names_csv="id,name\n0,run\n1,jump\n"), fuzz_labels, "refused"),
}
CONFIGS_REFUSED = {
    "no such file": (lambda folder: folder / "run.py", load_config, "no such file"),
    "syntax error": (config_text("x = 1\ndef get_config(:\n"), load_config, "SyntaxError"),
    "a binary": (config_text("\0\1\2"), load_config, ""),
    "no get_config": (config_text("x = 1\n"), load_config, "no function get_config"),
    "get_config raises": (config_text("def get_config():\n    return 1 / 0\n"), load_config, "line 2.*ZeroDivision"),
    "get_config calls itself for ever": (
        config_text("def get_config():\n    return get_config()\n"),
        load_config,
        "RecursionError",
    ),
    "get_config returns a number": (config_text("def get_config():\n    return 3\n"), load_config, "returns int"),
}
OPTIONS = {
    "misspelt name": ("optim.lrr=1.0",),
    "value of another type": ("optim.lr=fast",),
    "value that is an expression": ("optim.lr=__import__('os').system('touch code-ran')",),
    "value nested 10^5 deep": ("optim.lr=" + "(" * 10**5,),
    "value of 10^5 signs": ("optim.lr=" + "-" * 10**5 + "1",),
    "not a number": ("optim.lr=1e999-1e999",),
    "infinite": ("optim.lr=1e999",),
    "infinite epochs": ("optim.epochs=1e999",),
    "negative": ("data.loader.batch_size=-1",),
    "a batch of 10^12 clips": ("data.loader.batch_size=1000000000000",),
    "an evaluation batch of 10^12 clips": ("data.eval_batch_size=1000000000000",),
    "10^9 frames": ("model.frames=1000000000", "data.sample.frames=1000000000"),
    "pictures of 10^7 pixels": ("model.image.size=10000000", "data.sample.size=10000000"),
    "10^9 channels": ("model.image.width=1000000000",),
    "10^9 layers": ("model.text.depth=1000000000",),
    "10^6 views": ("data.sample.views_time=1000000",),
    "10^6 workers": ("data.loader.workers=1000000",),
    "10^9 batches read ahead": ("data.loader.read_ahead=1000000000",),
}


@pytest.mark.parametrize(("make", "use", "reason"), LISTS_REFUSED.values(), ids=LISTS_REFUSED)
def test_a_list_is_refused(folder, happened, make, use, reason):
    happened(isolated.refused(folder, make, use, reason))


@pytest.mark.parametrize(("make", "use", "result"), LISTS_SURVIVED.values(), ids=LISTS_SURVIVED)
def test_a_list_is_read(folder, happened, make, use, result):
    happened(isolated.survived(folder, make, use, result))


@pytest.mark.parametrize(("make", "use", "reason"), CONFIGS_REFUSED.values(), ids=CONFIGS_REFUSED)
def test_a_configuration_is_refused(folder, happened, make, use, reason):
    happened(isolated.refused(folder, make, use, reason))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_an_option_is_refused_by_name(folder, happened, options):
    name = options[0].partition("=")[0].rpartition(".")[2]
    happened(isolated.refused(folder, lambda folder: (good_config(folder), options), load_overridden, name))


def test_terminal_escapes_in_labels_and_file_names_never_reach_the_terminal(folder, happened):
    """Shows labels and file names that are orders to a terminal, through three commands."""
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m"
    clips = folder / "videos" / f"la{evil}bel"
    clips.mkdir(parents=True)
    videos.write(clips / f"cl{evil}ip.mp4")
    (clips / f"b{evil}ad.mp4").write_bytes(b"no video")
    labels = folder / "labels.csv"
    labels.write_text(f"id,name\n0,ru{evil}n\n", encoding="utf-8")
    model = str(small_model.save(folder / "model"))
    paths = [str(path) for path in clips.iterdir()]
    codes, told = [], ""
    for arguments in (
        ["inspect", str(folder / "videos")],
        ["predict", model, *paths, "--labels", f"ru{evil}n,jump"],
        ["predict", model, *paths, "--labels-file", str(labels)],
    ):
        code, said = command.run(arguments)
        assert "Traceback" not in said, said[-500:]
        codes, told = [*codes, code], told + said
    raw = [character for character in evil if character in told and not character.isprintable()]
    assert not raw, f"{raw} reached the terminal: {told!r}"[:1000]
    assert codes == [0, 1, 2], f"exit codes {codes}: {told}"
    happened("spelt out in a table of classes and in predictions, refused in a label file")


def test_training_with_a_batch_of_10_12_clips_begins_nothing(folder, happened):
    """`actionclip train` with a batch of 10^12 clips: nothing may be allocated or begun."""
    arguments = ["train", "--config", str(good_config(folder)), *SMALL, "--config.data.loader.batch_size=1000000000000"]
    code, said = command.run([*arguments, f"--config.workdir={folder / 'run'}"], timeout=60)
    assert code == 2 and "batch_size" in said and "Traceback" not in said, f"exit code {code}: {said[-500:]}"
    assert not (folder / "run").exists(), "a run was begun"
    happened(f"exit code 2: {' '.join(said.split())[:120]}")
