"""The `wxtrace` command."""

from __future__ import annotations

import sys
from typing import List, Optional

from wxtrace.commands import cli
from wxtrace.errors import WxtraceError

__all__ = ["main"]


def main(arguments: Optional[List[str]] = None) -> int:
    """Run one command line; what goes wrong with wxtrace itself is one sentence and an exit status."""
    try:
        return cli.run(sys.argv[1:] if arguments is None else arguments)
    except WxtraceError as error:
        return cli.report(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; not worth a word.
        return 141


if __name__ == "__main__":
    sys.exit(main())
