"""Running checks: one that hangs or breaks stops no other."""

from collections.abc import Iterable, Iterator
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from atlaspatch_core.operations.doctor.values import Check, DoctorFinding, Subject, fail


def examine(checks: Iterable[Check], subject: Subject) -> Iterator[DoctorFinding]:
    """Yield what the checks find, in their order, as it comes.

    Args:
        checks: Such as ``CHECKS``; each has its time limit in seconds.
        subject: The project, or the folders, to examine.

    Yields:
        Findings: PASS, WARN or FAIL, with what to do. A check that hangs or breaks is a finding, never an exception.

    Example:
        >>> from atlaspatch_core.operations.doctor.checks import CHECKS
        >>> [str(finding.level) for finding in examine(CHECKS[:1], Subject(recipe))]
        ['PASS']
    """
    for check in checks:
        yield from _within(check, subject)


def _within(check: Check, subject: Subject) -> Iterator[DoctorFinding]:
    """Yield what one check finds until its time is over.

    It runs in a thread that nobody waits for any longer then: a read from a dead network drive cannot be interrupted.
    """
    findings: SimpleQueue[DoctorFinding | None] = SimpleQueue()
    Thread(target=_queue_findings, args=(check, subject, findings), name=check.name, daemon=True).start()
    deadline = monotonic() + check.seconds
    while True:
        try:
            finding = findings.get(timeout=max(0.0, deadline - monotonic()))
        except Empty:
            yield fail(check.name, f"no answer within {check.seconds:g} s", check.hint)
            return
        if finding is None:
            return
        yield finding


def _queue_findings(check: Check, subject: Subject, findings: "SimpleQueue[DoctorFinding | None]") -> None:
    try:
        for finding in check.examine(subject):
            findings.put(finding)
    except Exception as error:  # a check that breaks a library in a way nobody foresaw is a finding like any other
        findings.put(fail(check.name, f"the check itself failed: {error!r}", "report this with the output of --json"))
    finally:
        findings.put(None)
