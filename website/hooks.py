"""What mkdocs calls while it builds the site: pages that are made of the code and of files beside ``docs``."""

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from website.command_line import command_line_page  # noqa: E402 - mkdocs loads this file by its path
from website.python_doors import python_page  # noqa: E402

BESIDE = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
"""Pages of the site that are files beside ``docs``."""
MERMAID = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
ROOM = re.compile(r'^ +(\w+?)_\w+\["(\w+): (.*)"\]$', re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of ``docs``."""
    pages = {page: inside_docs((ROOT / name).read_text(encoding="utf-8")) for page, name in BESIDE.items()}
    pages |= {"command-line.md": command_line_page(), "python-reference.md": python_page()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Lead links to files beside ``docs`` to pages, and show rooms as a table: a diagram loads foreign scripts."""
    for page_of_site, name in BESIDE.items():
        markdown = re.sub(rf"\]\((\.\./)*\.\./{name}", rf"](\1{page_of_site}", markdown)
    return MERMAID.sub(lambda match: rooms_table(match[1]), markdown)


def inside_docs(text: str) -> str:
    """Return the text of a file beside ``docs`` with the links that it has to have as a page of the site."""
    for page, name in BESIDE.items():
        text = text.replace(f"]({name}", f"]({page}")
    return text.replace("](docs/", "](").replace("[CITATION.cff](CITATION.cff)", "`CITATION.cff`")


def rooms_table(diagram: str) -> str:
    """Return the rooms of a diagram as a table, from the top."""
    rows = [f"| `atlaspatch_{package}` | `{room}` | {what} |" for package, room, what in ROOM.findall(diagram)]
    return "\n".join(["| package | room, from the top | what it is for |", "|---|---|---|", *rows])
