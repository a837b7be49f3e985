"""Every setting of a run, as `actionclip train --show` prints it, or of a model, as `actionclip convert --describe`."""

import shlex

from actionclip_jax import config
from actionclip_jax.cli import terminal

SHORT_FLAGS = {
    "workdir": "--workdir",
    "init_from": "--init-from",
    "wandb": "--wandb",
}  # settings that have another flag as well


def show(run: config.TrainConfig) -> None:
    """Prints a flag that sets each setting to its value, its default, and what it means; changed ones are bold."""
    from actionclip_jax.config import config_file, meanings

    say = terminal.CONSOLE.print
    for section in meanings.sections(run, config.TrainConfig()):
        title = f"{section.path}: {section.meaning}" if section.path else section.meaning
        say(f"[cyan]# {terminal.escape(title)}[/]")
        for one in section.settings:
            flag = terminal.escape(shlex.quote(f"{config_file.PREFIX}{one.path}={one.value}"))
            changed = one.value != one.default
            default = f"default: {one.default!r}" if changed else "the default"
            say(f"{f'[bold]{flag}[/]' if changed else flag}  [dim]({terminal.escape(default)})[/]")
            meaning = f"{one.meaning}; one of {', '.join(one.choices)}" if one.choices else one.meaning
            if one.path in SHORT_FLAGS:
                meaning += f"; or {SHORT_FLAGS[one.path]}"
            say(f"    {terminal.escape(meaning)}")
        say("")


def show_model(model: config.ModelConfig) -> None:
    """Prints each setting of a model and what it means; those that are otherwise in CLIP's ViT-B/16 are bold."""
    from actionclip_jax.config import meanings

    say = terminal.CONSOLE.print
    for section in meanings.sections(model, config.ModelConfig()):
        for one in section.settings:
            line = terminal.escape(f"{one.path} = {one.value}")
            changed = one.value != one.default
            say(f"[bold]{line}[/]  [dim](CLIP's ViT-B/16: {one.default})[/]" if changed else line)
            say(f"    [dim]{terminal.escape(one.meaning)}[/]")
