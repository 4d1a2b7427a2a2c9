"""What the harness does with plug-ins that break the contract."""

from dataclasses import replace

import pytest
import torch

from photoguard_eval.attacks import DEFAULT_BUDGET, Attack, AttackBatch, Ball, FolderAttack
from photoguard_eval.attacks.base import declaration_of
from photoguard_eval.attacks.harness import immunize
from photoguard_eval.diffusion import CostMeter, EditSettings, Img2ImgEditor, InpaintEditor
from photoguard_eval.errors import AttackError, BudgetExceededError, ConfigurationError, InterferenceError
from photoguard_eval.images.arrays import decode_png, write_image
from photoguard_eval.randomness import CaseGenerators
from tests.tiny import half_masks, random_images, tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def batch(images):
    return AttackBatch(
        images=images,
        masks=torch.zeros(len(images), 1, *images.shape[-2:]),
        prompts=None,
        ids=tuple(f"fox-{index}" for index in range(len(images))),
        editor=Img2ImgEditor(),
        settings=EditSettings(),
    )


def attack_returning(change):
    class Plugin(Attack):
        name = "plugin"

        def perturb(self, model, batch, generator):
            return change(batch.images)

    return Plugin(budget="8/255")


def run(attack, model, images=None):
    images = random_images(2) if images is None else images
    generators = CaseGenerators.from_seeds(range(len(images)))
    return immunize(attack, model, batch(images), generators, CostMeter(model))


def raise_error(_images):
    raise ZeroDivisionError("oh")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (raise_error, "raised ZeroDivisionError: oh"),
        (lambda images: images[..., :16], "of shape"),
        (lambda images: images.numpy(), "expected a floating-point tensor"),
        (lambda images: (images * 255).to(torch.uint8), "torch.uint8"),
        (lambda images: torch.full_like(images, float("nan")), "NaN or infinite values for fox-0"),
        (lambda images: None, "NoneType"),
    ],
)
def test_a_broken_plugin_is_an_attack_error(model, change, message):
    with pytest.raises(AttackError, match=message):
        run(attack_returning(change), model)


def test_an_image_over_the_budget_is_refused_not_projected(model):
    images = torch.full((2, 3, 32, 32), 0.5)
    images[1] = 128 / 255
    with pytest.raises(BudgetExceededError, match=r"fox-0: .*3\.000 over the budget of 8\.000"):
        run(attack_returning(lambda x: x + 11 / 255), model, torch.full((2, 3, 32, 32), 100 / 255))


def test_values_outside_of_the_range_are_clipped_first(model):
    images = torch.full((1, 3, 32, 32), 253 / 255)
    (finished,) = run(attack_returning(lambda x: x + 8 / 255), model, images)
    assert finished.perturbation.linf_levels == 2


def test_what_counts_is_the_decoded_file(model):
    images = torch.full((1, 3, 32, 32), 100 / 255)
    (finished,) = run(attack_returning(lambda x: x + 7.6 / 255), model, images)
    assert decode_png(finished.png).unique().tolist() == pytest.approx([108 / 255])
    assert finished.perturbation.linf_levels == pytest.approx(8)


def test_an_editor_that_needs_a_mask_is_given_one(model):
    images = random_images(2)
    masks = half_masks(2, images.shape[-1])
    masks[1] = 0
    unmasked = replace(batch(images), masks=masks, editor=InpaintEditor())
    attack, generators = attack_returning(lambda images: images), CaseGenerators.from_seeds([0, 1])
    with pytest.raises(ConfigurationError, match="fox-1 has no mask"):
        immunize(attack, model, unmasked, generators, CostMeter(model))
    type(attack).sees_mask = False
    blind = type(attack)(budget="8/255")
    assert len(immunize(blind, model, unmasked, generators, CostMeter(model))) == 2


def test_an_attack_without_a_budget_of_its_own_works_in_the_runs(model):
    class Plugin(Attack):
        name = "plugin"

        def __init__(self):
            """A constructor that sets nothing."""

        def perturb(self, model, batch, generator):
            return batch.images + batch.budget.radius

    images = torch.full((1, 3, 32, 32), 100 / 255)
    for budget in (Ball("linf", 4 / 255), Ball("l2", 9 / 255)):
        given = replace(batch(images), budget=budget)
        (finished,) = immunize(Plugin(), model, given, CaseGenerators.from_seeds([0]), CostMeter(model))
        assert budget.size(finished.perturbation) == pytest.approx(budget.levels)


def test_an_attacks_own_budget_goes_before_the_runs(model):
    attack = attack_returning(lambda images: images + 8 / 255)
    small = replace(batch(torch.full((1, 3, 32, 32), 100 / 255)), budget=Ball("linf", 4 / 255))
    (finished,) = immunize(attack, model, small, CaseGenerators.from_seeds([0]), CostMeter(model))
    assert finished.perturbation.linf_levels == 8


def test_a_norm_that_an_attack_cannot_work_in_is_refused_before_it_runs(model):
    class Plugin(Attack):
        name = "plugin"
        norms = ("linf",)

        def perturb(self, model, batch, generator):
            raise AssertionError

    given = replace(batch(random_images(1)), budget=Ball("l2", 8 / 255))
    with pytest.raises(ConfigurationError, match="'plugin' works in ℓ∞, and its budget is l2 8/255"):
        immunize(Plugin(), model, given, CaseGenerators.from_seeds([0]), CostMeter(model))


class Cheat(Attack):
    """Moves by 100 levels, and hides it or says that it may."""

    name = "cheat"

    def __init__(self, how):
        self.how = how
        self.calls = 0
        super().__init__(budget="8/255")
        self.calls = 0

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name == "budget" and self.how == "answers otherwise later":
            self.calls += 1
            return replace(found, radius=1.0) if self.calls > 6 else found
        return found

    def perturb(self, model, batch, generator):
        if self.how == "changes the originals":
            return batch.images.copy_((batch.images + 100 / 255).clamp(0, 1))
        if self.how == "changes its budget":
            self.budget = Ball("linf", 1.0)
        if self.how == "changes its budget in place":
            object.__setattr__(self.budget, "radius", 1.0)
        if self.how == "changes the budget it was handed":
            object.__setattr__(batch.budget, "radius", 1.0)
        return (batch.images + 100 / 255).clamp(0, 1)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("changes the originals", r"over the budget of 8\.000"),
        ("changes its budget", "held to what it declared"),
        ("changes its budget in place", "held to what it declared"),
        ("changes the budget it was handed", r"over the budget of 8\.000"),
        ("answers otherwise later", r"over the budget of 8\.000"),
    ],
)
def test_a_budget_is_what_was_declared_and_is_measured_from_images_that_no_attack_had(model, how, message):
    attack = Cheat(how)
    with pytest.raises(AttackError, match=message):
        run(attack, model, torch.full((1, 3, 32, 32), 100 / 255))


def test_an_attack_sees_what_it_declared_whoever_calls(model):
    seen = []

    class Plugin(Attack):
        name = "plugin"
        sees_mask = False

        def perturb(self, model, batch, generator):
            seen.append((batch.masks.any().item(), batch.prompts))
            return batch.images

    images = random_images(1)
    whole = replace(batch(images), masks=half_masks(1, images.shape[-1]), prompts=("a fox",), editor=InpaintEditor())

    def give(attack, given):
        immunize(attack, model, given, CaseGenerators.from_seeds([0]), CostMeter(model))
        return seen.pop()

    assert give(Plugin(), whole) == (False, None)
    Plugin.sees_mask = Plugin.sees_prompt = True
    assert give(Plugin(), whole) == (True, ("a fox",))
    assert give(Plugin(), replace(whole, editor=Img2ImgEditor())) == (False, ("a fox",)), "this editor reads no mask"


def test_what_an_attack_sees_is_what_it_declared_when_it_was_created(model):
    attack = attack_returning(lambda images: images)
    declared = declaration_of(attack)
    attack.sees_prompt = True
    generators = CaseGenerators.from_seeds([0])
    with pytest.raises(AttackError, match="held to what it declared"):
        immunize(attack, model, batch(random_images(1)), generators, CostMeter(model), declared)


def test_the_boards_budget_cannot_be_changed_for_the_attacks_that_follow(model):
    def widen(images):
        object.__setattr__(DEFAULT_BUDGET, "radius", 1.0)
        return images

    with pytest.raises(InterferenceError, match="changed the board's budget"):
        run(attack_returning(widen), model)
    assert str(DEFAULT_BUDGET) == "16/255"


def test_an_attack_gets_an_editor_of_its_own(model):
    class Plugin(Attack):
        name = "plugin"

        def perturb(self, model, batch, generator):
            batch.editor.edit = None
            return batch.images

    given = batch(random_images(1))
    immunize(Plugin(), model, given, CaseGenerators.from_seeds([0]), CostMeter(model))
    assert given.editor.edit is not None


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), BaseException("oh")])
def test_no_error_of_an_attack_ends_the_run(model, error):
    def raise_it(_images):
        raise error

    with pytest.raises(AttackError, match=f"raised {type(error).__name__}"):
        run(attack_returning(raise_it), model)


def test_an_interrupt_is_the_users(model):
    def interrupt(_images):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(attack_returning(interrupt), model)


def test_an_error_whose_message_raises_has_a_message(model):
    class MuteError(Exception):
        def __str__(self):
            raise SystemExit(0)

    def raise_mute(_images):
        raise MuteError

    with pytest.raises(AttackError, match=r"raised MuteError: \(its message cannot be read: SystemExit\)"):
        run(attack_returning(raise_mute), model)


def test_a_folder_of_finished_images_is_measured_as_it_is(model, tmp_path):
    images = torch.full((2, 3, 32, 32), 100 / 255)
    for index, levels in enumerate((5, 8)):
        write_image(tmp_path / f"fox-{index}.png", images[:1] + levels / 255)
    finished = run(FolderAttack(path=tmp_path, budget="8/255"), model, images)
    assert [item.perturbation.linf_levels for item in finished] == pytest.approx([5, 8])


def test_a_finished_image_over_the_budget_is_refused(model, tmp_path):
    images = torch.full((1, 3, 32, 32), 100 / 255)
    write_image(tmp_path / "fox-0.png", images + 9 / 255)
    with pytest.raises(BudgetExceededError, match=r"fox-0: .*1\.000 over"):
        run(FolderAttack(path=tmp_path, budget="8/255"), model, images)


def test_a_folder_that_lacks_an_image_says_which(model, tmp_path):
    write_image(tmp_path / "fox-0.png", random_images(1))
    with pytest.raises(AttackError, match=r"no image fox-1\.png"):
        run(FolderAttack(path=tmp_path), model)


def test_a_finished_image_of_another_size_is_refused(model, tmp_path):
    write_image(tmp_path / "fox-0.png", random_images(1, side=16))
    with pytest.raises(AttackError, match="16 × 16, the original 32 × 32"):
        run(FolderAttack(path=tmp_path), model, random_images(1))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no folder of PNG images"):
        FolderAttack(path=tmp_path)
