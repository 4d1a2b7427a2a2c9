"""`photoguard-eval leaderboard`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from photoguard_eval.app.command import Command, print_json
from photoguard_eval.app.options import JSON, STORE, Option
from photoguard_eval.errors import StoreError


def run(options: argparse.Namespace) -> int:
    """Print the rankings of a store's results and of those that others share."""
    from photoguard_eval import resources
    from photoguard_eval.analysis.board_rows import leaderboard_rows
    from photoguard_eval.pipeline.boards import read_board
    from photoguard_eval.pipeline.store import Store
    from photoguard_eval.reports import leaderboard_report, terminal_width
    from photoguard_eval.results.files import write_result
    from photoguard_eval.results.sharing import shareable

    carried = resources.boards()
    boards = [board if board.exists() else carried.get(str(board), board) for board in options.board or ()]
    shared = {place: results for board in boards for place, results in read_board(board).items()}
    # Someone who only looks at a board has no store yet.
    looks_only = bool(shared) and options.store == STORE.default and not options.store.exists()
    own = [] if looks_only and options.export is None else Store.existing(options.store).results()
    if not own and (options.export is not None or not shared):
        raise StoreError(f"{options.store} holds no result yet. Run `photoguard-eval run --store {options.store}`.")
    if options.export is not None:
        write_result(options.export, shareable(own[-1]))
    if options.json:
        print_json(leaderboard_rows(own, shared))
        return 0
    print(leaderboard_report(own, shared, bold=sys.stdout.isatty(), width=terminal_width()), end="\n\n")
    return 0


COMMAND = Command(
    "leaderboard",
    "Rank and print the results of a store, beside those that others share.",
    run,
    (
        STORE,
        Option(
            "board",
            "results to show besides: a file that --export wrote, a folder of them, another store, or a board "
            "that the package carries, by its name (`photoguard-eval info`). Repeat it for several",
            type=Path,
            metavar="PATH",
            repeated=True,
        ),
        Option(
            "export",
            "write the latest result of the store as a file for --board, with the scores of every case",
            type=Path,
            metavar="FILE",
        ),
        JSON.but(help="print the rows as JSON"),
    ),
)
