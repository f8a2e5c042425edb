"""What runs on the node before the command: lines of bash that load modules or activate an environment."""

from __future__ import annotations

import os
import re
import subprocess

from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import read_file

_LARGEST = 2**16


def read_setup(text: str) -> str:
    """The lines themselves, or those of the file that is named: they are kept with the job.

    Raises:
        UserError: the file cannot be read, or bash cannot read the lines.
    """
    is_file = os.path.isfile(text)  # which answers for any text
    if not is_file and re.fullmatch(r"[^\s=]*(/|\.sh)[^\s=]*", text):
        raise UserError(
            f"--setup {text} is no file, expected one that is there, or a line of bash such as 'module load cuda'; "
            "name another, or write `source` before it for one that only the nodes see"
        )
    try:
        lines = read_file(text, _LARGEST).decode() if is_file else text
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UserError(
            f"--setup {text} cannot be read ({reason}), expected lines of bash; mend it"
        ) from None
    lines = "\n".join(lines.splitlines()).strip()
    bash = subprocess.run(
        ["/bin/bash", "-n"], input=os.fsencode(lines), env={"LC_ALL": "C"}, capture_output=True, check=False
    )
    if not lines or bash.stderr:
        reason = " ".join(bash.stderr.decode("utf-8", "replace").split()) or "nothing is in it"
        raise UserError(
            f"--setup {text!r:.80} is not what bash reads ({reason}), expected lines of bash; mend it"
        )
    return lines
