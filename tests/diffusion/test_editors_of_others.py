"""An editor of another package says of itself all that an editor of this package does."""

import pytest

from photoguard_eval.diffusion import EDITORS, Img2ImgEditor, default_editor, editors_for
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.pipeline.plan import EvaluationRequest, build_plan
from photoguard_eval.reports.naming import editor_text


@pytest.fixture(autouse=True)
def _registers_for_a_test(monkeypatch):
    monkeypatch.setattr(EDITORS, "_entries", dict(EDITORS._entries))
    editor_text.cache_clear()
    yield
    editor_text.cache_clear()


def register(**facts):
    return EDITORS.register(type("Other", (Img2ImgEditor,), facts))


def names(kind):
    return [editor.name for editor in editors_for(kind)]


def test_the_package_s_own_editors_come_first_and_the_others_by_name():
    before = names("inpainting")
    assert before == ["inpaint", "img2img"]
    register(name="zoom")
    register(name="blur", kinds=("inpainting",))
    assert names("inpainting") == [*before, "blur", "zoom"]
    assert names("text-to-image") == [*before, "zoom"]
    assert names("instruction") == ["instruct"]


def test_every_preset_takes_an_editor_that_suits_the_model_and_gives_it_the_settings_it_reads():
    register(name="blur", reads_settings=frozenset({"num_inference_steps", "strength"}))
    request = EvaluationRequest(preset="smoke", attacks=("noise",), settings={"strength": "0.7", "eta": "0"})
    editors = build_plan(request).editors
    assert list(editors) == ["inpaint", "img2img", "blur"]
    settings = editors["blur"].settings
    assert (settings.num_inference_steps, settings.strength, settings.eta) == (4, 0.7, 1)


def test_the_default_editor_may_be_another_s():
    with pytest.raises(ConfigurationError, match="kind 'instruction' reads no mask"):
        default_editor("instruction", has_mask=True)
    register(name="retouch", kinds=("instruction",), reads_mask=True)
    assert default_editor("instruction", has_mask=True) == "retouch"
    assert default_editor("instruction", has_mask=False) == "instruct"


def test_reports_use_an_editor_s_own_words():
    register(name="blur", title="Blurring", explanation="The image is blurred.", reads_mask=False)
    text = editor_text("blur")
    assert (text.title, text.explanation, text.uses_mask) == ("Blurring", "The image is blurred.", False)


def test_an_editor_without_words_goes_by_its_name():
    register(name="blur", title="", explanation="", reads_mask=False)
    text = editor_text("blur")
    assert (text.title, text.explanation, text.uses_mask) == ("blur", "Edited by the editor blur.", False)


def test_a_report_of_an_editor_that_is_not_installed_imports_nothing(tmp_path):
    file = tmp_path / "blur.py"
    file.write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    for name in ("gone", f"{file}:Blur", "blur:Blur"):
        text = editor_text(name)
        assert (text.title, text.explanation) == (name, f"Edited by the editor {name}.")
    assert not (tmp_path / "imported").exists()


def test_the_package_s_editors_have_words():
    for name in ("inpaint", "img2img", "instruct"):
        text = editor_text(name)
        assert text.title != name
        assert text.explanation.endswith(".")
        assert not text.explanation.startswith("Edited by")
