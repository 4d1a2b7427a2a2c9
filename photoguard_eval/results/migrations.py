"""How results of earlier schemas become results of this one. Only here is what an earlier version wrote taken apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from photoguard_eval.results.rows import OWN_SEEDS, REROLL

Json = dict[str, Any]

_BUDGET = ("epsilon", "norm")
"""Arguments of attacks that schema 1 had among the others, and in the label where they were given."""


class MigrationError(ValueError):
    """A file of an earlier schema lacks what that schema had."""


def migrated(data: bytes, version: int) -> bytes:
    """Bring a result of an earlier schema into this one.

    Args:
        data: The file.
        version: The schema that it says to have.

    Raises:
        MigrationError: If it is not of the form that the schema had.
    """
    migrations = _MIGRATIONS[version - 1 :]
    if not migrations:
        return data
    result = json.loads(data)
    for migration in migrations:
        try:
            result = migration(result)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise MigrationError(f"it lacks what schema {version} has ({type(error).__name__}: {error})") from error
    return json.dumps(result).encode()


def _to_2(result: Json) -> Json:
    """Put all rows into one list, each with its model and seeds, and take the budget out of labels and arguments."""
    groups = {"originals": OWN_SEEDS, "rerolls": REROLL, "methods": OWN_SEEDS}
    rows = []
    for group, seeds in groups.items():
        # A result without re-rolled rows had no such field.
        for row in result.pop(group, []) if group == "rerolls" else result.pop(group):
            if (row.pop("rerolled", False), row["attack"] is None) != (group == "rerolls", group != "methods"):
                raise MigrationError(f"{group} holds a row that does not belong there")
            attack = row["attack"] and _without_budget(row["attack"])
            rows.append({**row, "attack": attack, "model": result["model"]["name"], "seeds": seeds})
    return {**result, "rows": rows, "schema_version": 2}


def _without_budget(attack: Mapping[str, Any]) -> Json:
    name, *pairs = attack["label"].split(",")
    kept = [pair for pair in pairs if pair.partition("=")[0].strip() not in _BUDGET]
    arguments = {key: value for key, value in attack["arguments"].items() if key not in _BUDGET}
    return {**attack, "label": ",".join([name, *kept]), "arguments": arguments}


_MIGRATIONS: tuple[Callable[[Json], Json], ...] = (_to_2,)
"""From each schema to the next, the first first."""
