"""How a training's process ends: with one line on standard error, and a code that a scheduler can tell apart.

    0  the run is complete
    2  a mistake in what was given, or a disk that is full or refuses
    3  the numbers went bad (see recipe.bad_numbers)
   75  stopped by SIGTERM or Ctrl-C after a step, which is saved: the same command goes on from there
   76  given up on (rhythm.give_up): a step, or what is beside it, took longer than rhythm.patience
  130  interrupted outside of the steps (143: so terminated): the same command goes on after the newest checkpoint

75 is EX_TEMPFAIL of sysexits.h. 130 and 143 would not do: a shell gives them for processes that a signal has killed,
and those have saved nothing.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gan.critics import NonFiniteError
from gan.faults.mistakes import MISTAKES
from gan.faults.stopping import STOPPED, StoppedError


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Make of what is raised within a line and an exit code; what nobody has thought of keeps its traceback."""
    try:
        yield
    except MISTAKES as error:
        _end(str(error), 2)
    except NonFiniteError as error:
        _end(str(error), 3)
    except StoppedError as error:
        print(f"unshift: {error}", file=sys.stderr, flush=True)  # noqa: T201
        sys.stdout.flush()
        # All is on the disk. What libraries do while an interpreter ends may abort it, and a scheduler be told of that.
        os._exit(STOPPED)
    except KeyboardInterrupt:
        _end("interrupted; the same command goes on after the newest checkpoint", 130)


def _end(line: str, code: int) -> None:
    print(f"unshift: {line}", file=sys.stderr)  # noqa: T201
    sys.exit(code)
