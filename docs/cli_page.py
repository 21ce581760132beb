"""The reference of the command line, from its commands."""

import inspect

import click
from tailfuse.cli import main

from docs.tables import HEADER, make_table


def make_cli_page() -> str:
    """Return the page of commands."""
    context = click.Context(main, info_name="tailfuse")
    commands = [(name, main.get_command(context, name)) for name in main.list_commands(context)]
    summary = make_table(
        ["command", "what it does"],
        [
            (f"[`tailfuse {name}`](#tailfuse-{name})", each.get_short_help_str(200))
            for name, each in commands
            if each
        ],
    )
    sections = "\n".join(make_section(name, each, context) for name, each in commands if each)
    return f"""{HEADER}
# The command line

`tailfuse --help` lists the commands, `tailfuse COMMAND --help` the options of one.
`tailfuse --version` prints the version.

{summary}

{sections}"""


def make_section(name: str, command: click.Command, above: click.Context) -> str:
    """Return the section of a command: its usage, what it does, its options."""
    context = click.Context(command, info_name=name, parent=above)
    usage = " ".join(["tailfuse", name, *command.collect_usage_pieces(context)])
    rows = [
        (f"`{record[0]}`", record[1])
        for param in command.get_params(context)  # arguments are explained by the text
        if isinstance(param, click.Option)
        and "--help" not in param.opts
        and (record := param.get_help_record(context))
    ]
    options = f"\n\n{make_table(['option', 'meaning'], rows)}" if rows else ""
    described = format_help(command.help or "")
    return f"""## tailfuse {name}

```text
{usage}
```

{described}{options}
"""


def format_help(text: str) -> str:
    """Return a help text as Markdown: paragraphs behind click's mark \\b keep their lines.

    >>> print(format_help("One\\nline.\\n\\n\\b\\nas it\\n  stands"))
    One line.
    <BLANKLINE>
    ```text
    as it
      stands
    ```
    """
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        f"```text\n{paragraph[2:]}\n```" if paragraph.startswith("\b\n") else " ".join(paragraph.split())
        for paragraph in paragraphs
    )
