"""What people read: tables, Figure 7, the Markdown report and the page. Nothing here loads torch."""

from __future__ import annotations

from photoguard_eval.reports.pictures import ReportImages, StoreImages
from photoguard_eval.reports.printing import gate_report, leaderboard_report, terminal_report
from photoguard_eval.reports.render.terminal import terminal_width
from photoguard_eval.reports.writing import ReportPaths, write_reports

__all__ = [
    "ReportImages",
    "ReportPaths",
    "StoreImages",
    "gate_report",
    "leaderboard_report",
    "terminal_report",
    "terminal_width",
    "write_reports",
]
