"""The `wxtrace` command."""

from __future__ import annotations

import gc
import os
import sys
from typing import List, Optional

from wxtrace.commands import cli
from wxtrace.errors import WxtraceError

__all__ = ["main"]


def main(arguments: Optional[List[str]] = None) -> int:
    """Run one command line; what goes wrong with wxtrace itself is one sentence and an exit status."""
    _occupy_closed_streams()
    try:
        status = cli.run(sys.argv[1:] if arguments is None else arguments)
        if not sys.stdout.closed:
            sys.stdout.flush()
        return status
    except WxtraceError as error:
        return cli.report(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; not worth a word.
        return 141
    except OSError as error:
        return cli.report(WxtraceError("output cannot be written: %s" % error.strerror))
    finally:
        # The interpreter would look through all that is left for garbage, and then end anyway.
        gc.freeze()


def _occupy_closed_streams() -> None:
    """Keep our own files out of descriptors 0 to 2; where one is closed, the program finds it closed as well."""
    fd = os.open(os.devnull, os.O_RDWR)
    while fd <= 2:
        fd = os.open(os.devnull, os.O_RDWR)
    os.close(fd)
    sys.stdout = sys.stdout or open(os.devnull, "w")
    sys.stderr = sys.stderr or open(os.devnull, "w")


if __name__ == "__main__":
    sys.exit(main())
