"""What is shared says what was measured, and nothing of the folders of the machine."""

import pytest

from photoguard_eval.results.facts import AttackInfo, FailedAttack, Provenance
from photoguard_eval.results.schema import EvaluationResult
from photoguard_eval.results.sharing import shareable
from tests.reports.example import make_result

PRIVATE = ("home", "/ada", "Secret", "/srv", "C:")


def with_attack(result, **changes):
    """The result with other facts of its first attack, in all of its rows."""
    (first, *_) = result.attack_rows
    name = first.attack.name
    methods = tuple(
        row.model_copy(update={"attack": AttackInfo(**{**dict(row.attack), **changes})})
        if row.attack.name == name
        else row
        for row in result.attack_rows
    )
    return result.replaced(attack_rows=methods)


def with_command(result, command):
    return result.model_copy(update={"provenance": Provenance(**{**dict(result.provenance), "command": command})})


def test_paths_of_attacks_models_and_failures_become_names():
    folder = "/home/ada/Secret Project/finished"
    result = with_attack(
        make_result(), label=f"folder,path={folder},epsilon=8/255", arguments={"path": folder, "epsilon": 8 / 255}
    )
    model = result.model.model_copy(update={"name": "/srv/models/Secret/mine"})
    failure = FailedAttack(
        attack=f"folder,path={folder}",
        editor="inpaint",
        error=f"{folder} holds no image dog.png; see ~/Secret/notes.txt",
    )
    shared = shareable(result.model_copy(update={"model": model, "failures": (failure,)}))
    assert not [name for name in PRIVATE if name in shared.model_dump_json()]
    assert shared.attack_rows[0].attack.label == "folder,path=finished,epsilon=8/255"
    assert shared.attack_rows[0].attack.arguments["path"] == "finished"
    assert shared.model.name == "mine"
    assert shared.failures[0].error == "finished holds no image dog.png; see notes.txt"


COMMANDS = {
    "run --store /home/ada/store --attack=/srv/mine.py:Mine,level=2": "run --store store --attack=mine.py:Mine,level=2",
    "run '--store=/home/ada/Secret Project/store'": "run --store=store",
    "run --attack 'folder,path=/home/ada/my images,level=8'": "run --attack 'folder,path=my images,level=8'",
    "run @/home/ada/board.txt --dataset ~/Secret/scenes": "run @board.txt --dataset scenes",
    r"run --model 'C:\ada\Secret Project\m.safetensors'": "run --model m.safetensors",
    "run --attack it's /home/ada/x": "run --attack it's x",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_paths_of_the_command_become_names(command):
    assert shareable(with_command(make_result(), command)).provenance.command == COMMANDS[command]


def test_what_is_no_path_of_the_machine_stays():
    command = "photoguard-eval run --model owner/name --attack=encoder,epsilon=16/255 --store .photoguard/store"
    result = with_command(make_result(), command)
    sources = tuple(
        metric.model_copy(update={"source": "10·log10(1 / MSE); https://example.org/a/b"}) for metric in result.metrics
    )
    result = result.model_copy(update={"metrics": sources})
    shared = shareable(result)
    assert shared.provenance.command == command
    assert shared.metrics == result.metrics
    assert shared.cases == result.cases
    assert shared.model.name == "maker/model"
    assert shareable(shared) == shared


def test_two_folders_of_one_name_stay_two_rows():
    result = make_result()
    first = with_attack(result, label="folder,path=/home/ada/a/out", arguments={"path": "/home/ada/a/out"}).attack_rows
    second = with_attack(result, label="folder,path=/home/ada/b/out", arguments={"path": "/home/ada/b/out"}).attack_rows
    both = tuple(row for row in (*first, *second) if row.attack.label.startswith("folder"))
    shared = shareable(result.replaced(attack_rows=both))
    assert [row.attack.label for row in shared.attack_rows[::2]] == ["folder,path=out", "folder,path=out-2"]
    assert EvaluationResult.model_validate_json(shared.model_dump_json(), strict=True) == shared


def test_the_result_itself_keeps_its_paths_and_pictures():
    result = with_command(make_result(), "photoguard-eval run --store /home/ada/store")
    before = result.model_dump_json()
    shareable(result)
    assert result.model_dump_json() == before
