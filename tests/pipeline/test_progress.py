import io

from photoguard_eval.pipeline import progress
from photoguard_eval.pipeline.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_plain_lines_where_no_bar_can_be_drawn(monkeypatch):
    monkeypatch.setattr(progress, "LINE_INTERVAL_SECONDS", 0.0)
    stream = io.StringIO()
    with Progress(stream).stage("edit", 4) as stage:
        for _ in range(2):
            stage.advance(2)
    first, last = stream.getvalue().splitlines()
    assert first.startswith("edit: 2/4 images, ")
    assert first.endswith(" s left")
    assert last.startswith("edit: 4 images in ")


def test_a_bar_on_a_terminal():
    stream = Terminal()
    with Progress(stream).stage("edit", 4) as stage:
        stage.advance(4)
    assert "edit: 100%" in stream.getvalue()


def test_quiet_and_empty_stages_say_nothing():
    stream = io.StringIO()
    with Progress(stream).stage("edit", 0) as stage:
        stage.advance(0)
    with Progress(stream, quiet=True).stage("edit", 4) as stage:
        stage.advance(4)
    assert stream.getvalue() == ""
