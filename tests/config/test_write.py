"""A run that is written as a configuration file is read back as the same run."""

import dataclasses

import hypothesis
from hypothesis import strategies

from actionclip_jax import config
from actionclip_jax.config import config_file, write


def test_every_shipped_configuration_is_read_back_as_it_was_written(tmp_path):
    shipped = config_file.shipped()
    assert len(shipped) > 5
    for name in shipped:
        run = config_file.load(name)
        write.write(tmp_path / "config.py", run, f"what {name} says")
        assert config_file.load(str(tmp_path / "config.py")) == run


@hypothesis.given(strategies.text(), strategies.text(min_size=1), strategies.floats(0, 1e9))
def test_any_text_and_number_is_written_so_that_python_reads_it(about, name, rate):
    run = dataclasses.replace(config.TrainConfig(), workdir=name, optim=config.OptimConfig(lr=rate))
    written = {}
    exec(write.as_python(run, about), written)
    made = written["get_config"]()
    assert (made.workdir, made.optim.lr) == (name, rate)
    assert written["__doc__"].rstrip("\n") == about.rstrip("\n")


def test_only_what_differs_from_the_defaults_is_written():
    optim = dataclasses.replace(config.OptimConfig(), lr=1e-3, multipliers=((r"text/\w+", 0.5),))
    text = write.as_python(dataclasses.replace(config.TrainConfig(), optim=optim, workdir="it's"), "About.")
    lines = [line for line in text.splitlines() if line.startswith("    run.")]
    assert lines == [
        "    run.optim.lr = 0.001",
        r"""    run.optim.multipliers = (("text/\\w+", 0.5),)""",
        """    run.workdir = "it's\"""",
    ]
