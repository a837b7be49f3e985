"""Code of a user's own that cannot work is refused before anything compiles, with its name, the reason and the line."""

import sys

import jax
import jax.numpy as jnp
import own_code
import pytest
import tiny

from actionclip_jax import cli, config, entry_points, sharding, text
from actionclip_jax.data import sources
from actionclip_jax.models import action_clip, flops
from actionclip_jax.training import own_losses

CODE = """
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

number = 3

class Base(nnx.Module):
    def __init__(self, model, compute, *, rngs):
        self.width = model.embed_width

class NoMean(Base):
    def __call__(self, x, key=None):
        return x

class Whole(Base):
    def __call__(self, x, key=None):
        return x.mean(axis=1).astype(int)

class Fails(Base):
    def __call__(self, x, key=None):
        return x @ jnp.ones((3, 3))

class NoKey(Base):
    def __call__(self, x):
        return x.mean(axis=1)

class NoArguments(nnx.Module):
    pass

class State(Base):
    def __init__(self, model, compute, *, rngs):
        self.norm, self.constant = nnx.BatchNorm(4, rngs=rngs), jnp.ones(3)
        self.half = nnx.Param(jnp.ones(3, jnp.float16))

class Named(Base):
    def __init__(self, model, compute, *, rngs):
        self.width = model.embed_width
        self.out = nnx.Linear(model.embed_width, model.embed_width, rngs=rngs)
        self.mix = nnx.Conv(model.embed_width, 2 * model.embed_width, 3, feature_group_count=4, rngs=rngs)

    def __call__(self, x, key=None):
        return self.out(self.mix(x)[..., :self.width].mean(axis=1))

def no_module(model, compute, *, rngs):
    return abs

def vector(video, text, labels, scale):
    return (video * text).sum(axis=1), {}

def bare(video, text, labels, scale):
    return (video * text).sum()

def names(video, text, labels, scale):
    return scale * (video * text).sum(), {"loss/a": scale, "accuracy": scale, "top1/x": labels}

def fails(video, text, labels, scale):
    return scale / undefined, {}

def on_host(video, text, labels, scale):
    return jnp.float32(np.asarray(video).sum()), {}

def good(video, text, labels, scale):
    return scale * (video * text).sum(), {}

def reads_nothing(source, errors):
    return []

def reads_wrong(source, errors):
    raise KeyError("column")
"""


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    own_code.forget()
    own_code.write(tmp_path, "my_package/code.py", CODE)
    own_code.write(tmp_path, "my_package/broken.py", "import nowhere_at_all\n")
    own_code.write(tmp_path, "my_package/raises.py", "\nraise RuntimeError('not today')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    yield tmp_path
    own_code.forget()


@pytest.mark.parametrize("name", ["a:B", "a.b_1.c:D2", "paket.größe:Ä"])
def test_names_of_code_have_one_form(name):
    assert entry_points.is_name(name)


@pytest.mark.parametrize("name", ["", "a.b", "a:", ":b", "a:b:c", "a:b.c", "a b:c", "1a:b", "a/b:c", "a.:b", "../a:b"])
def test_what_has_another_form_is_no_name(name):
    assert not entry_points.is_name(name)


def test_code_is_found_in_the_current_directory_after_what_is_installed(package):
    assert entry_points.load("my_package.code:number", "setting") == 3
    assert sys.path[-1] == str(package)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_packag.code:number", "there is no module 'my_packag' among the installed packages or in"),
        ("my_package.coed:number", "there is no module 'my_package.coed'"),
        ("my_package.code:nubmer", "code.py has no 'nubmer'"),
        ("my_package.broken:x", "importing it failed: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("my_package.raises:x", r"RuntimeError: not today \(raises.py, line 2\)"),
    ],
)
def test_code_that_is_not_there_is_named(name, message):
    with pytest.raises(ValueError, match=f"setting is '{name}'.*{message}"):
        entry_points.load(name, "setting")


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("number", "a int, expected a class of"),
        ("no_module", "makes a builtin_function_or_method, expected a flax.nnx.Module"),
        ("NoArguments", "making it raised TypeError"),
        ("NoMean", r"makes float32 \(2, 4, 64\) of x \(2, 4, 64\), expected floating-point \(2, 64\)"),
        ("Whole", r"makes int32 \(2, 64\)"),
        ("Fails", r"TypeError: dot_general.*\(code.py, line 23\)"),
        ("NoKey", "takes 2 positional arguments but 3 were given"),
        ("State", "constant is a plain array.*half is float16.*norm.mean is a BatchStat, expected nnx.Param"),
    ],
)
def test_a_head_that_cannot_work_is_refused_by_its_shapes_alone(head, message):
    model = tiny.model_config(f"my_package.code:{head}")
    with pytest.raises(ValueError, match=f"(?s)model.temporal.head.*my_package.code:{head}.*{message}"):
        action_clip.param_shapes(model)


def test_parameters_are_copied_to_all_devices_where_a_rule_is_for_more_dimensions():
    shapes = action_clip.param_shapes(tiny.model_config("my_package.code:Named"))
    mesh = sharding.make_mesh(jax.devices()[:4], fsdp=2, model=2)
    places = sharding.param_shardings({path: shape for path, shape in shapes.items() if "temporal" in path}, mesh)
    assert places["temporal/out/kernel"].is_fully_replicated and places["temporal/mix/kernel"].is_fully_replicated


def test_the_products_of_a_head_are_counted():
    model, frames = tiny.model_config("my_package.code:Named"), 4
    width = model.embed_width
    convolution, product = 2 * frames * 2 * width * 3 * width // 4, 2 * width**2
    assert flops.temporal_head(model, frames) == convolution + product


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("number", "TypeError: 'int' object is not callable"),
        ("bare", r"returns float32 \(\), expected \(loss, metrics by name\)"),
        ("vector", r"the loss is float32 \(8,\), expected a floating-point scalar"),
        ("names", "'loss/a': expected a name like.*'accuracy': expected.*'top1/x' is int32"),
        ("fails", r"NameError: name 'undefined' is not defined \(code.py, line \d+\)"),
        ("on_host", "TracerArrayConversionError"),
    ],
)
def test_a_loss_that_cannot_work_is_refused_by_its_shapes_alone(loss, message):
    with pytest.raises(ValueError, match=f"(?s)objective.loss.*my_package.code:{loss}.*{message}"):
        own_losses.check(f"my_package.code:{loss}", 8, 4)


def test_a_loss_that_works_is_what_the_function_gives():
    video, words = jnp.eye(3, 4), jnp.eye(3, 4)[::-1]
    loss, metrics = own_losses.compute("my_package.code:good", video, words, jnp.arange(3), jnp.float32(2.0))
    own_losses.check("my_package.code:good", 8, 4)
    assert float(loss) == 2 and metrics == {}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("number", "is 'my_package.code:number': expected a function"),
        ("good", "expected a function"),
        ("reads_nothing", "returns a list, expected a listing.Listing"),
        ("reads_wrong", r"reading clips raised KeyError: 'column' \(code.py, line \d+\)"),
    ],
)
def test_a_reader_that_cannot_work_is_refused(kind, message):
    with pytest.raises(ValueError, match=message):
        sources.open_source(config.SourceConfig("clips", kind=f"my_package.code:{kind}"))


@pytest.mark.parametrize(("name", "given"), [("number", "a int"), ("good", "a function")])
def test_templates_that_are_no_texts_are_refused(name, given):
    with pytest.raises(ValueError, match=f"templates my_package.code:{name}: {given}, expected a list or tuple"):
        text.load_templates(f"my_package.code:{name}")


def test_settings_take_names_of_code_by_their_form_alone():
    run = config.draft(config.TrainConfig())
    run.model.temporal.head, run.objective.loss, run.data.train.kind = "a.b:C", "a.b:c", "a.b:d"
    run.data.train.path = "clips"
    assert config.run_problems(run) == []
    run.model.temporal.head, run.objective.loss, run.data.train.kind = "a.b.C", "a b:c", "a.b:d:e"
    problems = config.run_problems(run)
    assert len(problems) == 3 and all("or code of your own as package.module:Name" in problem for problem in problems)
    run.model.temporal.head, run.objective.loss, run.data.train.kind = "Transf", "a.b:c", "auto"
    run.objective.computation = "blockwise"
    assert config.run_problems(run) == [
        "objective.computation blockwise knows the formulas of this program alone, not objective.loss"
    ]


def test_the_command_line_takes_readers_by_their_form(capsys):
    with pytest.raises(SystemExit):
        cli.main(["inspect", "clips", "--kind", "my package:read"])
    assert "or package.module:Name" in capsys.readouterr().err
    assert cli.main(["inspect", "clips", "--kind", "my_package.code:reads_nothing"]) == 2
    assert "expected a listing.Listing" in capsys.readouterr().err
