from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from photoguard_eval.errors import StoreError
from photoguard_eval.reports import write_reports
from tests.reports.example import ExampleImages

ROOT = Path(__file__).parents[2]


def test_a_report_is_the_page_the_markdown_and_its_pictures(tmp_path, result, gate, images):
    paths = write_reports(result, gate, tmp_path, images)
    stem = "maker--model-scenes-ci"
    figures = ["edits-img2img", "edits-inpaint", "figure-7", "tradeoff-img2img", "tradeoff-inpaint"]
    names = [f"{stem}-{figure}.png" for figure in figures]
    assert sorted(path.name for path in tmp_path.iterdir()) == [*names, f"{stem}.html", f"{stem}.md"]
    assert paths.html.read_text().startswith("<!DOCTYPE html>")
    for name in names:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert f"({name})" in unquote(paths.markdown.read_text())


def test_without_prompt_similarity_no_figure_is_written(tmp_path, result, gate, images):
    bare = result.replaced(originals=(), attack_rows=())
    paths = write_reports(bare, gate, tmp_path, images)
    assert not paths.figures
    assert not list(tmp_path.glob("*.png"))


def test_a_missing_picture_leaves_nothing_behind(tmp_path, result, gate):
    class Missing(ExampleImages):
        def artifact(self, key):
            raise StoreError(f"The store lacks {key}.")

    with pytest.raises(StoreError, match="lacks"):
        write_reports(result, gate, tmp_path, Missing())
    assert not list(tmp_path.iterdir())


def test_reports_need_no_torch_and_no_pyplot(tmp_path):
    code = (
        "import sys; from pathlib import Path; from photoguard_eval.reports import write_reports, terminal_report; "
        "from tests.reports.example import ExampleImages, make_gate, make_result; "
        f"write_reports(make_result(), make_gate(), Path({str(tmp_path)!r}), ExampleImages()); "
        "terminal_report(make_result(), make_gate()); "
        "print([name for name in ('torch', 'matplotlib.pyplot') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
