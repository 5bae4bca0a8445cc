"""Pages of the site that are made from the code and from files outside docs/; `mkdocs.yml` names this as its hook.

- `reference/commands/`: a page for each command, from the typer app, so that the page says what `--help` says.
- `reference/api/`: a page for each room, which mkdocstrings fills from the docstrings.
- the annotators' handbook, CONTRIBUTING.md and CHANGELOG.md, which also have to read well in the repository.
"""

from __future__ import annotations

import ast
import html
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from finediving_pose.cli.main import COMMANDS, app
from finediving_pose.datasets.formats import SOURCES

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "finediving_pose"

OUTSIDE = {
    "how-to/handbook.md": "annotations/README.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/changelog.md": "CHANGELOG.md",
    "project/licence.md": "LICENSE",
}
"""Pages whose text lies elsewhere in the repository."""

API_PAGES = {
    "skeletons": (
        "Skeletons and clips",
        ["records", "skeleton", "diving", "media", "body_geometry"],
    ),
    "metrics": ("Metrics", ["keypoint_metrics", "score_metrics"]),
    "datasets": ("Formats: datasets", ["datasets"]),
    "annotation": ("Labels: annotation", ["annotation"]),
    "extraction": ("Video: extraction", ["extraction"]),
    "openmmlab": ("Networks: openmmlab", ["openmmlab"]),
    "aqa": ("Scores: aqa", ["aqa"]),
    "synthesis": ("The synthetic meet: synthesis", ["synthesis"]),
    "reporting": ("Reports: reporting", ["reporting"]),
    "workflows": ("What commands do: workflows", ["workflows"]),
}
"""Each page of the API: its title and the modules and packages on it, relative to the package. A leaf that no page
names comes on the page `other`, a package a page of its own."""

CONSTANTS = {"skeletons", "metrics", "datasets"}
"""The pages of the API that show constants too."""

ROLES = re.compile(r":(?:attr|class|data|exc|func|meth|mod|obj):<code>~?")
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the made pages into the navigation, where `mkdocs.yml` left room for them."""
    assert config.nav is not None
    reference = next(entry["Reference"] for entry in config.nav if "Reference" in entry)
    made = {
        "Commands": [
            "reference/commands/index.md",
            *({name: f"reference/commands/{name}.md"} for name in COMMANDS),
        ],
        "Python API": [
            "reference/api/index.md",
            *({title: path} for path, title, _ in api_pages()),
        ],
    }
    for entry in reference:
        if isinstance(entry, dict):
            entry.update({name: pages for name, pages in made.items() if name in entry})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages, and the images of the handbook."""
    for path, text in made_pages():
        files.append(File.generated(config, path, content=text))
    for image in sorted((ROOT / "annotations/images").iterdir()):
        files.append(
            File.generated(
                config, f"annotations/images/{image.name}", content=image.read_bytes()
            )
        )
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Point links that leave docs/ to the pages that show those files."""
    return link_within_site(markdown, page.file.src_uri)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show the roles of docstrings, such as :func:`name`, as plain code."""
    return ROLES.sub("<code>", html)


def made_pages() -> Iterator[tuple[str, str]]:
    """Yield the path below docs/ and the Markdown of each page that is made."""
    for page, source in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        yield (
            page,
            f"# Licence\n\n```text\n{text}```\n" if source == "LICENSE" else text,
        )
    yield "reference/commands/index.md", commands_overview()
    group = app_as_command()
    for name in COMMANDS:
        yield (
            f"reference/commands/{name}.md",
            command_page(group.commands[name], f"fdpose {name}"),
        )
    yield "reference/label-formats.md", label_formats_page()
    yield "reference/api/index.md", api_overview()
    for path, title, modules in api_pages():
        yield path, api_page(title, modules, PurePosixPath(path).stem in CONSTANTS)


def label_formats_page() -> str:
    """Return the page that lists the label formats, from their registry."""
    rows = [
        (code(known.name), as_cell(known.description), as_cell(known.hallmark))
        for known in SOURCES.values()
    ]
    lines = [
        "# Label formats",
        "",
        "`fdpose convert --from` and `--to` take these names.",
        "",
        *table(("format", "what it is", "how it is told"), rows),
    ]
    return "\n".join(lines)


def app_as_command() -> Any:
    """Return the program as the group of commands that typer makes of it."""
    import typer

    return typer.main.get_command(app)


def commands_overview() -> str:
    """Return the page that lists the commands under the headings of `fdpose --help`."""
    lines = [
        "# Commands",
        "",
        "Each page says what `fdpose COMMAND --help` says. Inside a project folder a command finds its inputs by",
        "itself. Answers go to the standard output; the log and the progress go to the standard error.",
        "[Exit codes](../exit-codes.md) are the same for all commands.",
        "",
        "Options before the command: `--verbose`, `-v` (more log; `-vv` shows tracebacks), `--version` and",
        "`--install-completion` (completion in your shell).",
    ]
    group = app_as_command()
    for panel in dict.fromkeys(COMMANDS.values()):
        lines += ["", f"## {panel}", "", "| command | what it does |", "|---|---|"]
        for name in (
            name for name, its_panel in COMMANDS.items() if its_panel == panel
        ):
            first = paragraphs(group.commands[name].help)[0]
            lines.append(f"| [`{name}`]({name}.md) | {as_cell(first)} |")
    return "\n".join(lines) + "\n"


def command_page(command: Any, title: str, level: int = 1) -> str:
    """Return the Markdown of a command: its help, usage, examples, arguments and options.

    Args:
        command: The command, or a group of commands, as typer makes it.
        title: What is typed, such as `fdpose extract`.
        level: Of its heading; commands of a group follow one level below.
    """
    texts = paragraphs(command.help)
    examples = [
        text.removeprefix("Example:").strip()
        for text in texts
        if text.startswith("Example:")
    ]
    context = command.make_context(title, [], resilient_parsing=True)
    usage = " ".join([title, *command.collect_usage_pieces(context)])
    lines = [f"{'#' * level} {title}", ""]
    for text in texts:
        if not text.startswith("Example:"):
            lines += [as_text(text), ""]
    lines += ["```shell", *(examples or [usage]), "```", ""]
    arguments = [
        parameter
        for parameter in command.params
        if parameter.param_type_name == "argument"
    ]
    if arguments:
        rows = [(code(argument_name(each)), described(each)) for each in arguments]
        lines += [*table(("argument", "what it is"), rows), ""]
    for panel, options in option_panels(command):
        rows = [(option_names(each, context), described(each)) for each in options]
        lines += [*table((panel, "what it does"), rows), ""]
    for name, below in getattr(command, "commands", {}).items():
        lines += [command_page(below, f"{title} {name}", level + 1), ""]
    return "\n".join(lines)


def option_panels(command: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield the headings of a command's options, and the options below each."""
    panels: dict[str, list[Any]] = {}
    for parameter in command.params:
        if parameter.param_type_name == "option" and not getattr(
            parameter, "hidden", False
        ):
            panels.setdefault(
                getattr(parameter, "rich_help_panel", None) or "option", []
            ).append(parameter)
    yield from panels.items()


def argument_name(argument: Any) -> str:
    """Return how an argument stands in the usage."""
    return str(argument.metavar or argument.name)


def option_names(option: Any, context: Any) -> str:
    """Return the names of an option, with its value where it takes one."""
    names = [*option.opts, *option.secondary_opts]
    value = "" if option.is_flag or option.count else option.display_type(context)
    return ", ".join(code(name) for name in names) + (
        code(value, before=" ") if value else ""
    )


def described(parameter: Any) -> str:
    """Return the help of an argument or option, with its default."""
    text = as_cell(parameter.help or "")
    shown = parameter.show_default
    if parameter.required:
        return f"{text} *Required.*".strip()
    if isinstance(shown, str):
        return f"{text} *Default: {as_cell(shown)}.*".strip()
    default = parameter.default
    if (
        default is None
        or default == []
        or isinstance(default, bool)
        or callable(default)
        or shown is False
    ):
        return text
    return f"{text} *Default:* {code(str(getattr(default, 'value', default)))}.".strip()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def paragraphs(text: str | None) -> list[str]:
    """Return the paragraphs of a help text, each on one line."""
    return [
        " ".join(part.split())
        for part in re.split(r"\n\s*\n", text or "")
        if part.strip()
    ]


def as_text(text: str) -> str:
    """Return plain text as Markdown that shows it as it is; what stands in backticks stays code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    return re.sub(r"([*_\[\]])", r"\\\1", html.escape(text, quote=False))


def as_cell(text: str) -> str:
    """Return plain text as the cell of a Markdown table."""
    return as_text(text).replace("|", "\\|")


def code(text: str, before: str = "") -> str:
    """Return text as code within a table, where a bar would end the cell."""
    return f"{before}<code>{html.escape(text).replace('|', '&#124;')}</code>"


def api_pages() -> list[tuple[str, str, list[str]]]:
    """Return path, title and dotted names of the modules of each page of the API; follows the package as it is."""
    pages, named = [], {"cli", "__main__", "synthetic_models"}
    for name, (title, parts) in API_PAGES.items():
        modules = [module for part in parts for module in modules_of(part)]
        named |= set(parts)
        if modules:
            pages.append((f"reference/api/{name}.md", title, modules))
    rest = sorted(path for path in PACKAGE.iterdir() if path.stem not in named)
    for folder in (path for path in rest if (path / "__init__.py").is_file()):
        pages.append(
            (f"reference/api/{folder.name}.md", folder.name, modules_of(folder.name))
        )
    leaves = [
        module
        for path in rest
        if path.suffix == ".py"
        for module in modules_of(path.stem)
    ]
    pages.append(
        (
            "reference/api/other.md",
            "Other modules",
            [name for name in leaves if not name.endswith("__init__")],
        )
    )
    return pages


def modules_of(part: str) -> list[str]:
    """Return the dotted names of the modules of a package, or of one module, that say something public."""
    path = PACKAGE / part
    sources = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return [
        dotted(source) for source in sources if source.is_file() and is_public(source)
    ]


def is_public(source: Path) -> bool:
    """Return whether a module has something public of its own."""
    if source.stem.startswith("_"):
        return False
    body = ast.parse(source.read_text(encoding="utf-8")).body
    names = [
        node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    return any(not name.startswith("_") for name in names)


def dotted(source: Path) -> str:
    """Return the dotted name of a module."""
    return ".".join(source.relative_to(ROOT).with_suffix("").parts)


def api_page(title: str, modules: Iterable[str], constants: bool) -> str:
    """Return a page of the API: a heading and mkdocstrings' mark for each module.

    Args:
        title: Its heading.
        modules: Their dotted names.
        constants: Whether to show constants: in the rooms they are settings of a
            method, which say little without the code beside them.
    """
    options = ["show_root_heading: false", "show_root_toc_entry: false"]
    if not constants:
        options.append('filters: ["!^_", "!^[A-Z][A-Z0-9_]*$"]')
    lines = [f"# {title}"]
    for name in modules:
        lines += ["", f"## {short_name(name)}", "", f"::: {name}", "    options:"]
        lines += [f"      {option}" for option in options]
    return "\n".join(lines) + "\n"


def short_name(module: str) -> str:
    """Return the dotted name of a module below the package."""
    return module.removeprefix("finediving_pose.")


def api_overview() -> str:
    """Return the page that lists the pages of the API."""
    lines = [
        "# Python API",
        "",
        "Made from the docstrings. Names move until version 1.0; the commands, their options and the files stay.",
        "Names that begin with `_` are not part of it. Coordinates are in pixels of the raw image, x before y, and",
        "NaN is what is missing. All modules lie below `finediving_pose`.",
        "",
        "| page | modules |",
        "|---|---|",
    ]
    for path, title, modules in api_pages():
        page = PurePosixPath(path).name
        short = ", ".join(f"`{short_name(name)}`" for name in modules)
        lines.append(f"| [{title}]({page}) | {short} |")
    return "\n".join(lines) + "\n"


def link_within_site(markdown: str, page: str) -> str:
    """Return a page whose links to files of the repository lead to the pages that show them.

    A link to a file that is no page of the site becomes plain text.

    Args:
        markdown: The page's text.
        page: Its path below docs/.
    """
    folder = PurePosixPath(OUTSIDE.get(page, f"docs/{page}")).parent

    def replace(match: re.Match[str]) -> str:
        mark, text, target = match.groups()
        path, _, anchor = target.partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return match[0]
        there = place_in_site(os.path.normpath(folder / path))
        if there is None:
            return text
        relative = os.path.relpath(there, PurePosixPath(page).parent)
        return (
            f"{mark}[{text}]({PurePosixPath(relative)}{'#' if anchor else ''}{anchor})"
        )

    parts = re.split(
        r"(^```.*?^```|`[^`\n]+`)", markdown, flags=re.DOTALL | re.MULTILINE
    )
    return "".join(
        part if part.startswith("`") else _LINK.sub(replace, part) for part in parts
    )


def place_in_site(path: str) -> str | None:
    """Return where a file of the repository stands below docs/; None where it is no part of the site."""
    for page, source in OUTSIDE.items():
        if path == source:
            return page
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return path if path.startswith("annotations/images/") else None
