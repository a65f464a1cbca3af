"""The command line. Importing it imports no torch: `spikeport --help` must answer at once."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from spikeport.cli.parser import build_parser
from spikeport.cli.telling import end_progress
from spikeport.errors import SpikeportError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code: 0, 1 (a requested row or floor failed), 2 (usage)."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args))
    except SpikeportError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing half-written is left", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}. Check the disk, the path and its permissions", 1)
    except Exception as error:
        return _internal(error)


def _fail(message: str, code: int) -> int:
    end_progress()
    print(f"spikeport: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _internal(error: Exception) -> int:
    """A fault of ours: one line for the user, the traceback only on request."""
    if os.environ.get("SPIKEPORT_DEBUG"):
        traceback.print_exc()
    line = str(error).splitlines()[0] if str(error) else ""
    return _fail(
        f"internal fault, {type(error).__name__}: {line}. "
        "Please report it with `spikeport env`; SPIKEPORT_DEBUG=1 shows the traceback",
        1,
    )


__all__ = ["main"]
