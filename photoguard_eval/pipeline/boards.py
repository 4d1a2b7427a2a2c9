"""Results that others share: files, folders of them, and stores."""

from __future__ import annotations

from pathlib import Path

from photoguard_eval.errors import StoreError
from photoguard_eval.pipeline.store import Store, is_store
from photoguard_eval.results.files import read_result
from photoguard_eval.results.schema import EvaluationResult


def read_board(path: Path) -> dict[str, list[EvaluationResult]]:
    """Read results that others share.

    Args:
        path: A result as JSON, a folder of them, or a store.

    Returns:
        The results of each file, or of the store, by its path.

    Raises:
        StoreError: If there is none, or one is damaged or of another schema.
    """
    if is_store(path):
        results = {str(path): Store.existing(path).results()}
    else:
        files = [path] if path.is_file() else sorted(path.glob("*.json"))
        results = {str(file): [read_result(file)] for file in files}
    if not any(results.values()):
        raise StoreError(f"{path} holds no result. Give a file that `leaderboard --export` wrote, or a folder of them.")
    return results
