"""What a process finds around it, and what is done where something is missing, rather than fail after the work is done.

An output in an encoding that lacks the signs of the tables, and a user without a name or a home, as in a container.
"""

from __future__ import annotations

import atexit
import codecs
import io
import os
import shutil
import tempfile
import unicodedata
from pathlib import Path
from typing import TextIO

SPELLED = {
    **{"✓": "+", "✗": "x", "×": "x", "±": "+-", "−": "-", "–": "-", "─": "-", "·": "*", "→": "->"},
    **{"≥": ">=", "≤": "<=", "≈": "~", "…": "...", "∞": "inf", "ε": "epsilon", "σ": "sigma", "↑": "^", "↓": "v"},
    **{"“": '"', "”": '"', "†": "*"},
}
"""How ASCII says the signs that this package prints; what holds must not look like what does not."""


def spell_out_what_is_lacking(stream: TextIO) -> None:
    """Have a stream spell in ASCII what its encoding lacks; what cannot be spelled becomes a question mark."""
    codecs.register_error("photoguard_eval", _spelled)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="photoguard_eval")


def _spelled(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(_spelled_sign, error.object[error.start : error.end])), error.end


def _spelled_sign(sign: str) -> str:
    # Of a raised digit the digit, of a letter with an accent the letter.
    plain = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return SPELLED.get(sign) or plain or "?"


def provide_home() -> None:
    """Give the libraries a home folder until the process ends, where the user has none: they keep caches there."""
    if expanded(Path("~")) != Path("~"):
        return
    home = tempfile.mkdtemp(prefix="photoguard-eval-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ["HOME"] = home
    # The compiler of torch asks for the name.
    os.environ.setdefault("USER", "nobody")


def expanded(path: Path) -> Path:
    """Return a path with the home folder in the place of "~", or as it is where the user has none."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (that of pathlib raises there)
