"""The paper's rows against its text: each row is copied here once more, in the order of the printed columns."""

from __future__ import annotations

import pytest

from photoguard_eval.reports.paper import ROWS

TABLE_6 = {
    "Immunization baseline (Random noise)": "82.57 1.00 0.75±0.13 19.21±4.00 0.43±0.13 0.83±0.08",
    "Immunization (Encoder attack)": "130.6 0.95 0.58±0.11 14.91±2.78 0.30±0.10 0.73±0.08",
    "Immunization (Diffusion attack)": "167.6 0.87 0.50±0.09 13.58±2.23 0.24±0.09 0.69±0.06",
}
TABLE_10 = {
    "Immunization baseline (Random noise)": "0.91±0.04 0.20±0.06 0.94±0.03 0.35±0.18 0.52±0.15",
    "Immunization (Encoder attack)": "0.86±0.05 0.26±0.05 0.90±0.03 0.19±0.09 0.35±0.11",
    "Immunization (Diffusion attack)": "0.84±0.05 0.27±0.04 0.89±0.03 0.17±0.08 0.31±0.08",
}
COLUMNS = ("fid", "precision", "ssim", "psnr", "vifp", "fsim", "sr_sim", "gmsd", "vsi", "dss", "haarpsi")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
def test_rows_are_the_printed_ones(row):
    printed = f"{TABLE_6[row.title]} {TABLE_10[row.title]}".split()
    assert [row.values[name].text.replace(" ", "") for name in COLUMNS] == printed
    assert set(row.values) == set(COLUMNS)


def test_rows_are_in_the_papers_order():
    assert [row.title for row in ROWS] == list(TABLE_6)
