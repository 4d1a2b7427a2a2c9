from dataclasses import replace

import pytest
import torch

from photoguard_eval import load_model
from photoguard_eval.attacks import AmortisedAttack, AttackBatch, Ball, DiffusionAttack, NoiseAttack
from photoguard_eval.attacks.perturbation_network import PerturbationNetwork
from photoguard_eval.data.cases import load_dataset
from photoguard_eval.diffusion import EditSettings, Img2ImgEditor, InpaintEditor
from photoguard_eval.errors import ConfigurationError, ModelError
from photoguard_eval.randomness import CaseGenerators
from tests.tiny import half_masks, random_images


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    network = PerturbationNetwork(widths=(8, 16))
    network.save(tmp_path / "network")
    return tmp_path / "network"


def batch_of(count=2, side=32):
    return AttackBatch(
        images=random_images(count, side=side),
        masks=half_masks(count, side=side),
        prompts=None,
        ids=tuple(str(index) for index in range(count)),
        editor=InpaintEditor(),
        settings=EditSettings(),
    )


def perturb(attack, batch):
    return attack.perturb(None, batch, CaseGenerators.from_seeds(range(len(batch))))


@pytest.mark.parametrize("levels", [4, 16])
def test_what_is_kept_changes_within_the_budget_and_nothing_else(folder, levels):
    batch = replace(batch_of(), budget=Ball("linf", levels / 255))
    change = perturb(AmortisedAttack(network=str(folder)), batch) - batch.images
    assert (change * batch.masks == 0).all()
    assert 0 < change.abs().max() <= levels / 255 + 1e-6


def test_the_perturbation_scales_with_the_budget(folder):
    batch = batch_of()
    batch = replace(batch, images=batch.images * 0.5 + 0.25)
    small, large = (
        perturb(AmortisedAttack(network=str(folder)), replace(batch, budget=Ball("linf", levels / 255))) - batch.images
        for levels in (4, 8)
    )
    assert torch.allclose(2 * small, large, atol=1e-6)


def test_an_image_does_not_depend_on_its_neighbours_nor_on_what_will_be_repainted(folder):
    attack, batch = AmortisedAttack(network=str(folder)), batch_of()
    together = perturb(attack, batch)
    alone = perturb(
        attack, AttackBatch(**{**vars(batch), "images": batch.images[:1], "masks": batch.masks[:1], "ids": ("0",)})
    )
    assert torch.allclose(together[:1], alone, atol=1e-6)
    other = torch.where(batch.masks.bool(), torch.rand_like(batch.images), batch.images)
    changed = perturb(attack, AttackBatch(**{**vars(batch), "images": other}))
    kept = (batch.masks == 0).expand_as(other)
    assert torch.equal(changed[kept], together[kept])


def test_the_files_of_the_network_are_part_of_the_attack(folder):
    before = AmortisedAttack(network=str(folder)).inputs
    torch.manual_seed(1)
    PerturbationNetwork(widths=(8, 16)).save(folder)
    after = AmortisedAttack(network=str(folder)).inputs
    assert before["config.json"] == after["config.json"]
    assert before["network.safetensors"] != after["network.safetensors"]


def test_it_takes_no_gradients(folder):
    assert AmortisedAttack(network=str(folder)).gradient_evaluations == 0


def test_a_network_that_is_not_there_is_refused():
    with pytest.raises(ConfigurationError, match=r"'nowhere'; expected 'amortised-a' or a folder"):
        AmortisedAttack(network="nowhere")


def test_a_damaged_network_is_refused(folder):
    (folder / "network.safetensors").write_bytes(b"hello")
    with pytest.raises(ModelError, match="holds no network of the amortised attack"):
        perturb(AmortisedAttack(network=str(folder)), batch_of())


def test_sides_that_the_network_cannot_halve_are_refused_before_any_work(folder):
    attack = AmortisedAttack(network=str(folder))
    attack.require_support(None, InpaintEditor(), [(32, 64)])
    with pytest.raises(ConfigurationError, match="multiples of 2 pixels; these are 33 × 32"):
        attack.require_support(None, InpaintEditor(), [(32, 64), (32, 33)])


@pytest.mark.parametrize("editor", [InpaintEditor(), Img2ImgEditor()], ids=lambda editor: editor.name)
def test_the_shipped_network_lowers_the_diffusion_attacks_loss_on_images_it_has_not_seen(editor):
    model = load_model("inpaint-a")
    cases = list({case.image_id: case for case in load_dataset("emoji-scenes").cases}.values())[:12]
    masks = torch.cat([case.mask() for case in cases])
    batch = AttackBatch(
        images=torch.cat([case.image() for case in cases]),
        masks=masks if editor.reads_mask else torch.zeros_like(masks),
        prompts=None,
        ids=tuple(case.image_id for case in cases),
        editor=editor,
        settings=EditSettings(),
    )
    loss = DiffusionAttack(steps=1, repetitions=3).objective(model, batch, CaseGenerators.from_seeds(range(12)))
    with torch.no_grad():
        noise, amortised = (float(loss(perturb(attack, batch)).mean()) for attack in (NoiseAttack(), AmortisedAttack()))
    assert amortised < noise - 1
