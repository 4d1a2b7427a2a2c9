"""The commands of `photoguard-eval`, one file each, in the order of its help."""

from __future__ import annotations

from photoguard_eval.app.command import Command, CommandGroup
from photoguard_eval.app.commands import (
    attacks,
    cost,
    dataset,
    download,
    edit,
    gate,
    immunize,
    info,
    leaderboard,
    plan,
    run,
    seeds,
)

COMMANDS: tuple[Command | CommandGroup, ...] = tuple(
    module.COMMAND
    for module in (run, plan, immunize, edit, leaderboard, gate, seeds, attacks, cost, dataset, download, info)
)
