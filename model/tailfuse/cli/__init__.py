"""The command `tailfuse`. Each subcommand is a file here, imported when it is needed; so is torch."""

import errno
import importlib
import os
import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class
from tailfuse_service.bundle import ServiceError, install_hint
from tailfuse_service.modalities.image.features import suppress_pillow_warnings

from tailfuse.cli.hints import suggest_command
from tailfuse.errors import UserError

COMMANDS = {
    "demo": "tailfuse.cli.demo",
    "init": "tailfuse.cli.init",
    "train": "tailfuse.cli.train",
    "evaluate": "tailfuse.cli.evaluate",
    "compare": "tailfuse.cli.compare",
    "cross-validate": "tailfuse.cli.cross_validate",
    "tune": "tailfuse.cli.tune",
    "export": "tailfuse.cli.export",
    "adapt": "tailfuse.cli.adapt",
    "sign": "tailfuse.cli.sign",
    "push": "tailfuse.cli.push",
    "pull": "tailfuse.cli.pull",
    "predict": "tailfuse.cli.predict",
    "score": "tailfuse.cli.score",
    "serve": "tailfuse_service.__main__",
    "call": "tailfuse.cli.call",
    "bench": "tailfuse.cli.bench",
    "completion": "tailfuse.cli",
}
INTERRUPTED = 130  # the exit status after Ctrl-C, as in a shell: 128 and the number of SIGINT
EXTRA_OF = {
    "cryptography": "sign",
    "joblib": "train",
    "polars": "train",
    "torch": "train",
    "onnx": "train",
    "optuna": "tune",
    "lightning_fabric": "train",
    "ray": "ray",
    "rich": "train",
    "sklearn": "train",
}


class Commands(click.Group):
    """The subcommands, in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name == "completion":
            return completion
        module = COMMANDS.get(name)
        return importlib.import_module(module).command if module else None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.obj = tuple(args)  # as they were typed, for a command that tells how to continue it
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, *rest = args
        if name not in COMMANDS and not name.startswith("-"):
            ctx.fail(f"there is no command '{name}'{suggest_command(name, rest, COMMANDS)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        set_environment()
        suppress_pillow_warnings()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\nStopped.", err=True)
            ctx.exit(INTERRUPTED)
        except (UserError, ServiceError) as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends quietly when nobody reads any more
            raise click.ClickException(f"{error.filename or 'input/output'}: {error.strerror}") from None
        except ModuleNotFoundError as error:
            extra = EXTRA_OF.get((error.name or "").partition(".")[0])
            if extra is None:
                raise
            raise click.ClickException(
                f"this command needs {error.name}, which the base install leaves out: {install_hint(extra)}"
            ) from None


def set_environment() -> None:
    """Set what torch reads when it is loaded. A variable that the user has set stays."""
    # Threads that wait for work by spinning make a run ten times slower as soon as they have to share the
    # cores with anything else; asleep they cost small networks a few per cent.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Without it matrix products on a GPU are not the same every time.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `tailfuse demo`, or with `tailfuse init your-table.csv`.",
)
@click.version_option(package_name="tailfuse")
def main() -> None:
    """Multimodal classification for long-tailed data with missing modalities: train from a table, export to
    ONNX and TorchScript, serve over HTTP."""


@click.command(short_help="Print a script that completes tailfuse in a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes tailfuse in SHELL.

    \b
    bash:  eval "$(tailfuse completion bash)"    in ~/.bashrc
    zsh:   eval "$(tailfuse completion zsh)"     in ~/.zshrc
    fish:  tailfuse completion fish > ~/.config/fish/completions/tailfuse.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(main, {}, Path(sys.argv[0]).name, "_TAILFUSE_COMPLETE").source())
