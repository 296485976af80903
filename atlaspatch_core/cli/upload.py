"""``atlaspatch upload`` and ``download``: results to a bucket, and back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from atlaspatch_core.cli.declaring import EXISTING_FOLDER, FOLDER, documented_command
from atlaspatch_core.cli.progress import progress
from atlaspatch_core.cli.reading import reads_only
from atlaspatch_core.cli.working import carry_out
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from atlaspatch_core.operations.transfer.download import Downloaded
    from atlaspatch_core.operations.transfer.upload import Uploaded
    from atlaspatch_core.remote.places import RemotePlace

Made = TypeVar("Made")
JSON = click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")


@reads_only
@documented_command(
    "upload",
    section="Results from and for others",
    summary="Copy results to a bucket",
    examples=(
        "atlaspatch upload out s3://bucket/out",
        "atlaspatch upload out gs://bucket/out --dry-run",
    ),
)
@click.argument("output", type=EXISTING_FOLDER)
@click.argument("url")
@click.option("--remove", is_flag=True, help="Remove here what lies there then, and is still what was sent.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent; change nothing.")
@JSON
@click.pass_context
def upload(context: click.Context, output: Path, url: str, remove: bool, dry_run: bool, as_json: bool) -> None:
    """Copy the results in OUTPUT to a bucket: s3://, gs:// or az://, each file whole.

    What arrived before is not sent again. When all files are there, atlaspatch-upload.json is replaced, which names
    them with size and sha256: it is one consistent state at any time, also where an upload is killed. Locks, caches
    and slides do not travel. Objects of files that were uploaded from OUTPUT and are gone there are removed after
    that; no others are.

    Exit code: 0, 1 when a file could not be sent, 2 for wrong usage.
    """
    place = place_of(url)

    def run(_: object) -> int:
        from atlaspatch_core.operations.transfer.upload import upload_results

        uploaded = upload_results(output, place, remove=remove, dry_run=dry_run, watch=_with_bar)
        if as_json:
            click.echo(json.dumps(upload_values(uploaded, place), indent=1, ensure_ascii=False))
        else:
            _print_uploaded(uploaded, place, dry_run=dry_run)
        return 1 if uploaded.others.unusable else 0

    carry_out(context, run, output)


@reads_only
@documented_command(
    "download",
    section="Results from and for others",
    summary="Bring results back from a bucket",
    examples=(
        "atlaspatch download s3://bucket/out out",
        "atlaspatch download s3://bucket/out out --json",
    ),
)
@click.argument("url")
@click.argument("output", type=FOLDER)
@click.option("--force", is_flag=True, help="Replace files that differ though OUTPUT never had them from there.")
@JSON
@click.pass_context
def download(context: click.Context, url: str, output: Path, force: bool, as_json: bool) -> None:
    """Bring the results that 'atlaspatch upload' put into a bucket to OUTPUT.

    Only files travel that OUTPUT lacks, or has otherwise; each is checked by its sha256 and appears whole. A run
    there reuses them. What lies in OUTPUT alone stays.

    Exit code: 0 when all are there, 1 when one is not, 2 for wrong usage.
    """
    place = place_of(url)

    def run(_: object) -> int:
        from atlaspatch_core.operations.transfer.download import download_results

        downloaded = download_results(place, output, force=force, watch=_with_bar)
        values = download_values(downloaded, place)
        click.echo(json.dumps(values, indent=1, ensure_ascii=False) if as_json else _line(downloaded, place))
        return 0

    carry_out(context, run, output)


def place_of(url: str) -> "RemotePlace":
    """Return the place that was typed. Raises click.UsageError."""
    from atlaspatch_core.remote.places import RemotePlace

    place = RemotePlace.of_url(Path(url))
    if place is None:
        raise click.UsageError(f"{url} is no URL of a bucket; give one that begins with s3://, gs:// or az://.")
    return place


def _with_bar(items: Iterator[Made], count: int) -> Iterator[Made]:
    with progress("files", count) as bar:
        for item in items:
            bar.advance()
            yield item


def upload_values(uploaded: "Uploaded", place: "RemotePlace") -> dict[str, object]:
    """Return what an upload did, for scripts."""
    fates = {fate: [one.path for one in uploaded.files if one.fate == fate] for fate in ("sent", "newer")}
    return {
        "url": place.url,
        **fates,
        "unchanged": uploaded.count("unchanged"),
        "bytes_sent": uploaded.bytes_sent,
        "objects_removed": list(uploaded.objects_removed),
        "changed_meanwhile": list(uploaded.changed),
        "removed": list(uploaded.removed),
        "left_out": list(uploaded.others.unusable),
    }


def download_values(downloaded: "Downloaded", place: "RemotePlace") -> dict[str, object]:
    """Return what a download did, for scripts."""
    counts = {"unchanged": downloaded.unchanged, "bytes_fetched": downloaded.bytes_fetched}
    return {"url": place.url, "fetched": list(downloaded.fetched), **counts}


def _print_uploaded(uploaded: "Uploaded", place: "RemotePlace", *, dry_run: bool) -> None:
    for path in uploaded.others.unusable:
        click.echo(f"{path!r} is left out: its name can be no key; rename its slide", err=True)
    if uploaded.others.slides:
        click.echo(f"{format_count(uploaded.others.slides, 'file')} of slides stay here alone", err=True)
    if dry_run:
        for one in uploaded.files:
            if one.fate == "sent":
                click.echo(one.path)
    click.echo(_summary(uploaded, place, "would be " if dry_run else ""))


def _summary(uploaded: "Uploaded", place: "RemotePlace", verb: str) -> str:
    """Return the last line."""
    sent, bytes_sent = uploaded.count("sent"), uploaded.bytes_sent
    parts = [f"{sent:,} {verb}sent ({bytes_sent:,} bytes)", f"{uploaded.count('unchanged'):,} unchanged"]
    if newer := uploaded.count("newer"):
        parts.append(f"{newer:,} newer there, which download brings")
    if count := len(uploaded.objects_removed):
        parts.append(f"{format_count(count, 'object', ',')} {verb}removed there, whose files are gone")
    if count := len(uploaded.changed):
        parts.append(f"{count:,} changed meanwhile, which the next upload sends")
    if count := len(uploaded.removed):
        parts.append(f"{count:,} removed here")
    return f"{format_count(len(uploaded.files), 'file', ',')}: {', '.join(parts)}; {place.url}"


def _line(downloaded: "Downloaded", place: "RemotePlace") -> str:
    fetched = f"{len(downloaded.fetched):,} fetched ({downloaded.bytes_fetched:,} bytes)"
    count = len(downloaded.fetched) + downloaded.unchanged
    return f"{format_count(count, 'file', ',')}: {fetched}, {downloaded.unchanged:,} unchanged; {place.url}"
