"""The command line: which verbs there are, and how errors reach the person running them."""

import logging
import re
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import typer

from miso.errors import ConfigError, MisoError, in_words
from miso.verbs import (
    add_table,
    benchmark,
    demo,
    doctor,
    export,
    generate_distillation_labels,
    import_checkpoint,
    inspect,
    plot,
    predict,
    process_cohort,
    process_data,
    process_her2st,
    rewrite_slide,
    share,
    super_resolve,
    train,
    view,
)

USERS_FAULT, OUR_FAULT, INTERRUPTED = 2, 1, 130

app = typer.Typer(
    name="miso",
    help="Turn H&E slides into maps of spatial gene expression. Start with: miso demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={
        "token_normalize_func": lambda token: token.replace("_", "-"),
        "help_option_names": ["-h", "--help"],
    },
)
VERBS = (
    demo,
    inspect,
    rewrite_slide,
    process_data,
    process_her2st,
    process_cohort,
    add_table,
    train,
    generate_distillation_labels,
    predict,
    super_resolve,
    plot,
    view,
    export,
    benchmark,
    share,
    import_checkpoint,
    doctor,
)
COLLAPSED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:)/(?=[^/])")
"""How a URL begins once it was taken for a path; two letters at least, so that `C:/` is none."""
Command = Callable[..., None]


def on_paths(name: str, command: Command) -> Command:
    """Refuse URLs where a command takes paths."""

    @wraps(command)
    def checked(**options: object) -> None:
        for value in options.values():
            for path in value if isinstance(value, list) else [value]:
                if isinstance(path, Path) and (found := COLLAPSED.match(path.as_posix())):
                    url = f"{found[1]}//{path.as_posix()[found.end() :]}"
                    raise ConfigError(
                        f"{url} is a URL where miso {name} takes a path; copy it to or from this machine "
                        "(process-cohort, train and super-resolve --slides read and write at URLs)"
                    )
        command(**options)

    return checked


for verb in VERBS:
    app.command(name=verb.NAME, no_args_is_help=verb.NAME not in ("demo", "doctor"))(
        on_paths(verb.NAME, verb.command)
    )


def main() -> None:
    """Run a command; bad input ends in one line on stderr and exit code 2."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    logging.getLogger("pyvips").setLevel(logging.ERROR)  # what libvips warns of is raised as an error too
    try:
        app()
    except MisoError as err:
        _fail(str(err))
    except OSError as err:
        if (words := in_words(err)) is None:
            raise
        _fail(words)
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:  # Typer turns an interrupt into this code
            raise
        print("miso: interrupted; the same command goes on from where it was", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _fail(message: str) -> None:
    print(f"miso: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(USERS_FAULT)
