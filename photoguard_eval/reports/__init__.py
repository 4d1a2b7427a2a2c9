"""What people read: tables, Figure 7, the Markdown report and the page. Nothing here loads torch."""

from __future__ import annotations

from photoguard_eval.reports.leaderboard import leaderboard_rows, leaderboard_tables
from photoguard_eval.reports.pictures import ReportImages, StoreImages
from photoguard_eval.reports.rendering import terminal_width
from photoguard_eval.reports.terminal import gate_report, terminal_report
from photoguard_eval.reports.writing import ReportPaths, write_reports

__all__ = [
    "ReportImages",
    "ReportPaths",
    "StoreImages",
    "gate_report",
    "leaderboard_rows",
    "leaderboard_tables",
    "terminal_report",
    "terminal_width",
    "write_reports",
]
