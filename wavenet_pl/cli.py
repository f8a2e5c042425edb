"""The command `wavenet-pl`: finds the command's module, and turns how it ends into an exit code."""

from __future__ import annotations

import argparse
import atexit
import errno
import gc
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from wavenet_pl import signals
from wavenet_pl.commands.grammar import COMMANDS, PROGRAM, Parser, command_module, parse
from wavenet_pl.errors import BadDataError, ExitCode, UserError
from wavenet_pl.files.foreign import printable
from wavenet_pl.files.redaction import redact
from wavenet_pl.files.standard_streams import drop_unwritten, readers_may_leave

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
"""Errors that say something of the machine and nothing of us: full, over quota, read-only, too large."""
EPILOG = "exit codes:\n" + "\n".join(f"  {code.value:<10}{code.meaning}" for code in ExitCode)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line.

    Args:
        argv: the arguments after the program's name; those of the process by default.

    Returns:
        The exit code. Wrong options raise SystemExit(2), as argparse does.
    """
    if argv is None:
        # The process is ours: nobody needs a search of all its modules for circles of rubbish at its end.
        atexit.register(gc.freeze)
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["train"]:
        signals.hold()  # first thing in the process: the handlers come with the command
    program = " ".join([PROGRAM, *(argument for argument in arguments[:1] if argument in COMMANDS)])
    goes_on = arguments[:1] in (["train"], ["adapt"])
    try:
        with readers_may_leave() if goes_on else nullcontext():
            code = _answer(program, arguments)
            sys.stdout.flush()  # so that a reader who left is noticed here
    except BrokenPipeError:  # on either stream, and also of what is said about another end
        code = ExitCode.BROKEN_PIPE
    drop_unwritten()
    return code


def _answer(program: str, arguments: list[str]) -> int:
    """Runs one command line, and says how it ended where that is not what it does itself."""
    try:
        return _run(arguments)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except (UserError, BadDataError) as error:
        # It may name what comes from a file that anyone has written, and URLs with passwords.
        lines = map(printable, redact(str(error)).split("\n"))
        print(f"{program}: error: " + "\n".join(lines), file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            return _bug(program)
        target = f" {error.filename}" if error.filename else ""
        print(
            f"{program}: error: cannot write{target} ({error.strerror}); make room or mend that, and run the same "
            "command again",
            file=sys.stderr,
        )
        return ExitCode.USER
    except Exception:  # noqa: BLE001  # the last resort: whatever it was, it is reported
        return _bug(program)


def _bug(program: str) -> int:
    import traceback

    traceback.print_exc()
    print(f"{program}: this is a bug of ours; please report it with the lines above", file=sys.stderr)
    return ExitCode.BUG


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        parser = Parser(
            prog=PROGRAM,
            usage=f"{PROGRAM} COMMAND ...",
            description="WaveNet from recordings to clips. Commands:\n\n"
            + "\n".join(f"  {name:10}{purpose}" for name, (_, purpose) in COMMANDS.items())
            + f"\n\n`{PROGRAM} COMMAND --help` lists a command's options.",
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.add_argument("--version", action="store_true", help="show the version and exit")
        options = parser.parse_args(arguments)
        if options.version:
            print(f"{PROGRAM} {_version()}")
        else:
            parser.print_help()
        return ExitCode.DONE if options.version else ExitCode.USER
    name = arguments[0]
    module = command_module(name)
    purpose = COMMANDS[name][1]
    purpose = purpose[0].upper() + purpose[1:] + "."
    parser = Parser(prog=f"{PROGRAM} {name}", description=purpose, allow_abbrev=False)
    module.add_arguments(parser)
    code: int = module.main(parse(parser, arguments[1:]))
    return code


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version(PROGRAM)
    except metadata.PackageNotFoundError:
        return "(not installed: run `pip install -e .` in the repository)"
