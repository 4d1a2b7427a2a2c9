"""The rows of the paper's own tables, as printed.

Salman, Khaddaj, Leclerc, Ilyas and Madry, "Raising the Cost of Malicious AI-Powered Image Editing", ICML 2023:
Table 6 (Section 4.2) and Table 10 (Appendix C.1), Stable Diffusion 1.5, 60 edits at 512 × 512, mean ± one standard
deviation. Figure 7 is a drawing without printed values and so has no numbers here.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "Salman et al. 2023, Tables 6 and 10: Stable Diffusion 1.5, 60 edits"
PR_NAME = "precision"
"""The paper prints one number, "PR", and does not say whether it is precision or recall; it stands at precision."""

FEATURE_METRICS = ("fid", PR_NAME)
"""Metrics that the paper computed on the features that piq uses, those of Inception-v3."""


@dataclass(frozen=True)
class PrintedValue:
    """A value as the paper prints it, digits included.

    Attributes:
        mean: The mean, or the value of a set metric.
        std: The standard deviation; "" for a set metric.
    """

    mean: str
    std: str = ""

    @property
    def text(self) -> str:
        """The value as in the table."""
        return f"{self.mean} ± {self.std}" if self.std else self.mean


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's tables.

    Attributes:
        title: The paper's name of the method.
        values: Printed values by the metric's name.
    """

    title: str
    values: dict[str, PrintedValue]


ROWS = (
    PaperRow(
        "Immunization baseline (Random noise)",
        {
            "fid": PrintedValue("82.57"),
            PR_NAME: PrintedValue("1.00"),
            "ssim": PrintedValue("0.75", "0.13"),
            "psnr": PrintedValue("19.21", "4.00"),
            "vifp": PrintedValue("0.43", "0.13"),
            "fsim": PrintedValue("0.83", "0.08"),
            "sr_sim": PrintedValue("0.91", "0.04"),
            "gmsd": PrintedValue("0.20", "0.06"),
            "vsi": PrintedValue("0.94", "0.03"),
            "dss": PrintedValue("0.35", "0.18"),
            "haarpsi": PrintedValue("0.52", "0.15"),
        },
    ),
    PaperRow(
        "Immunization (Encoder attack)",
        {
            "fid": PrintedValue("130.6"),
            PR_NAME: PrintedValue("0.95"),
            "ssim": PrintedValue("0.58", "0.11"),
            "psnr": PrintedValue("14.91", "2.78"),
            "vifp": PrintedValue("0.30", "0.10"),
            "fsim": PrintedValue("0.73", "0.08"),
            "sr_sim": PrintedValue("0.86", "0.05"),
            "gmsd": PrintedValue("0.26", "0.05"),
            "vsi": PrintedValue("0.90", "0.03"),
            "dss": PrintedValue("0.19", "0.09"),
            "haarpsi": PrintedValue("0.35", "0.11"),
        },
    ),
    PaperRow(
        "Immunization (Diffusion attack)",
        {
            "fid": PrintedValue("167.6"),
            PR_NAME: PrintedValue("0.87"),
            "ssim": PrintedValue("0.50", "0.09"),
            "psnr": PrintedValue("13.58", "2.23"),
            "vifp": PrintedValue("0.24", "0.09"),
            "fsim": PrintedValue("0.69", "0.06"),
            "sr_sim": PrintedValue("0.84", "0.05"),
            "gmsd": PrintedValue("0.27", "0.04"),
            "vsi": PrintedValue("0.89", "0.03"),
            "dss": PrintedValue("0.17", "0.08"),
            "haarpsi": PrintedValue("0.31", "0.08"),
        },
    ),
)
