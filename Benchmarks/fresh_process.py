"""What the benchmarks share: each competitor runs in processes of its own, in turns, and says what memory it took.

A benchmark is a script with two faces. Started by a user it writes its data and calls `in_turns`, which starts the
same script again with ``--measure NAME PATH``; started so it hands over to `answer`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path


def make_parser(description: str, repeats: int) -> argparse.ArgumentParser:
    """Arguments that every benchmark takes: ``--repeats``, ``--check`` and the hidden ``--measure``."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--check", action="store_true", help="end with 1 where a bound is missed")
    parser.add_argument("--measure", nargs=2, metavar=("NAME", "PATH"), help=argparse.SUPPRESS)
    return parser


def answer(options: argparse.Namespace, measure: Callable[[str, Path], dict]) -> bool:
    """In a measuring process: print what `measure` says of a competitor, as JSON. False in the user's own."""
    if options.measure is None:
        return False
    name, path = options.measure
    print(json.dumps(measure(name, Path(path))))
    return True


def in_turns(
    script: str, names: Iterable[str], path: Path, repeats: int, prepare: Callable[[], object] = lambda: None
) -> dict[str, list[dict]]:
    """Run every competitor `repeats` times, one after the other, so that a busy minute slows all of them alike.

    Parameters
    ----------
    script : str
        The benchmark's ``__file__``.
    names : iterable of str
    path : Path
        The data.
    repeats : int
    prepare : callable
        Called before every round, for example to remove what the one before left.

    Returns
    -------
    dict of str to list of dict
        What each competitor said, run by run.
    """
    runs: dict[str, list[dict]] = {name: [] for name in names}
    for _ in range(repeats):
        prepare()
        for name, done in runs.items():
            command = [sys.executable, script, "--measure", name, str(path)]
            done.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    return runs


def verdict(met: bool) -> str:
    """How every benchmark says whether a bound holds."""
    return "met" if met else "MISSED"


def peak_bytes(process: int | str = "self") -> int:
    """Highest resident memory so far of this program, or of another process by its number; 0 where nobody tells.

    The kernel's figure for the program is asked for first: the one in `resource` carries over
    what the parent process held when it started this one.
    """
    status = Path(f"/proc/{process}/status")
    if status.exists():
        found = [line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM")]
        return int(found[0].split()[1]) * 1024 if found else 0
    try:
        import resource
    except ImportError:
        return 0
    if process != "self":
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
