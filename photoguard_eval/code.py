"""Code as it works: without comments, docstrings and layout, so that only what can change a result counts."""

from __future__ import annotations

import ast
import hashlib
from functools import lru_cache
from pathlib import Path


def sha256_of_code(path: Path) -> str:
    """Return the SHA-256 of what a Python file does; of its bytes where it is no Python that can be parsed.

    Two files that differ in comments, docstrings, blank lines or quotes alone have the same hash.

    Args:
        path: The file.

    Example:
        >>> len(sha256_of_code(Path(__file__)))
        64
    """
    state = path.stat()
    return _sha256_of_code(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)
def _sha256_of_code(path: Path, _modified: int, _size: int) -> str:
    source = path.read_bytes()
    try:
        meaning = ast.unparse(_without_docstrings(ast.parse(source))).encode("utf-8", "surrogatepass")
    except (SyntaxError, ValueError, RecursionError):
        meaning = source
    return hashlib.sha256(meaning).hexdigest()


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        # Texts that stand alone document what is around them, attributes of a module or class for example.
        kept = [
            child
            for child in node.body
            if not (
                isinstance(child, ast.Expr)
                and isinstance(child.value, ast.Constant)
                and isinstance(child.value.value, str)
            )
        ]
        node.body = kept or [ast.Pass()]
    return tree
