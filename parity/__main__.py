"""``make parity``: other tools, each in an environment of its own, beside ours on painted slides, and both ways."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from parity import atlaspatch, clam, trident
from parity.cases import write_cases
from parity.running import BUILD, ROOT
from parity.tool import Tool, compare, write_table

PAGE = ROOT / "docs" / "parity.md"
RECORDED = ROOT / "tests" / "parity" / "cases"


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare all, write the page and the cases; return 1 where anything differs that should not."""
    parser = argparse.ArgumentParser("make parity", description=__doc__)
    parser.add_argument("--trident", type=Path, help="Folder of a checkout of TRIDENT.")
    parser.add_argument("--clam", type=Path, help="Folder of a checkout of CLAM.")
    parser.add_argument("--python", default=sys.executable, help="Python of the environments that are made.")
    try:
        same = [compare_all(tool) for tool in prepare_tools(parser.parse_args(arguments))]
    except NotADirectoryError as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if all(same) else 1


def prepare_tools(options: argparse.Namespace) -> Iterator[Tool]:
    """Yield the tools that are at hand; what is no checkout is said before anything is installed."""
    checkouts = [(module, folder) for module, folder in ((trident, options.trident), (clam, options.clam)) if folder]
    for module, folder in checkouts:
        module.check_checkout(folder)
    yield atlaspatch.prepare(options.python)
    yield from (module.prepare(folder, options.python) for module, folder in checkouts)


def compare_all(tool: Tool) -> bool:
    """Compare all cases of a tool, write its table and its cases; return whether all is the same."""
    folders = [BUILD / tool.name / str(number) for number in range(len(tool.cases))]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        rows = list(pool.map(partial(compare, tool), tool.cases, folders))
    write_table(PAGE, tool, rows)
    name = f"{tool.name.lower()}-{tool.version}"
    write_cases(RECORDED / f"{name}.json", tool.name.lower(), tool.version, [row.case for row in rows])
    print(*(row._replace(case=row.case["name"]) for row in rows), sep="\n")
    return all(row.is_same for row in rows)


if __name__ == "__main__":
    sys.exit(main())
