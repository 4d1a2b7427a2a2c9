"""What `check_editor` finds, and that the package's own editors pass."""

import pytest
import torch

from photoguard_eval import check_editor
from photoguard_eval.conformance.editors import OTHERS, SETTINGS
from photoguard_eval.diffusion import EDITORS, EditSettings, Img2ImgEditor, InpaintEditor
from photoguard_eval.errors import ConfigurationError, PluginError
from tests.tiny import tiny_model


@pytest.mark.parametrize("name", ["inpaint", "img2img"])
def test_the_package_s_own_pass(name):
    assert check_editor(EDITORS.find(name)) is None


def test_that_for_instructions_passes_with_a_model_of_its_kind():
    with pytest.raises(ConfigurationError, match="for instruction, of which none is embedded"):
        check_editor("instruct")
    assert check_editor("instruct", model=tiny_model(input_channels=8)) is None


def editor(base=Img2ImgEditor, **content):
    return type("Mine", (base,), {"name": "mine", **content})


def edit_then(change):
    def edit(self, model, images, masks, prompts, seeds, settings, originals=None):
        edited = Img2ImgEditor.edit(self, model, images, masks, prompts, seeds, settings, originals)
        return change(edited, model)

    return edit


def always_seeded(self, model, images, masks, prompts, seeds, settings, originals=None):
    return Img2ImgEditor.edit(self, model, images, masks, prompts, (1, 2), settings, originals)


def with_hook(edited, model):
    model.unet.register_forward_hook(lambda *_: None)
    return edited


def cut_off(self, model, images, masks, settings):
    return Img2ImgEditor.prepare(self, model, images.detach(), masks, settings)


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        (editor(prepare=lambda self, model: None), r"has prepare\(model\), and is called as prepare\(model, images"),
        (editor(reads_mask=None), "does not say whether it reads a mask"),
        (editor(reads_settings=frozenset({"colour"})), "says that it reads colour, which is no setting"),
        (editor(reads_settings=Img2ImgEditor.reads_settings - {"strength"}), "reads the setting strength, which"),
        (editor(edit=edit_then(lambda edited, model: edited * 2)), "returned values from"),
        (editor(edit=edit_then(lambda edited, model: edited * torch.rand(()))), "changed the global state"),
        (editor(edit=edit_then(lambda edited, model: edited * edited.mean())), "depend on its neighbours"),
        (editor(edit=edit_then(with_hook)), "changes the model: a hook of unet"),
        (editor(edit=always_seeded), "gives the same edits for other seeds"),
        (editor(prepare=cut_off), "lets no gradient reach the images"),
        (
            editor(InpaintEditor, edit=edit_then(lambda edited, model: edited * 0.9)),
            "changes what the mask does not mark",
        ),
    ],
)
def test_what_breaks_the_contract_is_said(mine, message):
    model = tiny_model()
    with pytest.raises(PluginError, match=message):
        check_editor(mine, model=model)


def test_every_setting_has_another_value_to_be_checked_with():
    assert {name for name, value in OTHERS.items() if value != getattr(SETTINGS, name)} == set(
        EditSettings.model_fields
    )
