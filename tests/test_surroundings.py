import io
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from photoguard_eval.metrics.hub import HubWeights
from photoguard_eval.surroundings import expanded, provide_home, spell_out_what_is_lacking

NOBODY = (
    "import os, pwd\n"
    "def unknown(uid): raise KeyError(uid)\n"
    "pwd.getpwuid = unknown\n"
    "for name in ('HOME', 'USER', 'LOGNAME', 'XDG_CACHE_HOME', 'XDG_CONFIG_HOME', 'MPLCONFIGDIR'):\n"
    "    os.environ.pop(name, None)\n"
)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("command", [["attacks"], ["info"], ["info", "--json"]])
def test_output_in_an_encoding_that_lacks_signs_is_written_all_the_same(encoding, command):
    done = subprocess.run(
        [sys.executable, "-m", "photoguard_eval", *command],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode(encoding)
    assert "?" not in text
    if command[-1] == "--json":
        assert "Kynkäänniemi" in str(json.loads(text))


def test_what_holds_does_not_look_like_what_does_not():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    spell_out_what_is_lacking(stream)
    stream.write("✓ 0.1 ± 0.2 ✗ −1 SSIM² ℓ∞ é … 写")
    stream.flush()
    assert raw.getvalue() == b"+ 0.1 +- 0.2 x -1 SSIM2 linf e ... ?"


def test_a_user_without_a_home_gets_one_until_the_process_ends(tmp_path):
    code = (
        f"{NOBODY}"
        "from photoguard_eval.surroundings import provide_home\n"
        "provide_home()\n"
        "import getpass, matplotlib\n"
        "print(os.environ['HOME'], getpass.getuser(), matplotlib.get_configdir())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    home, user, configuration = done.stdout.split()
    assert (user, Path(configuration).is_relative_to(home), Path(home).exists()) == ("nobody", True, False)


def test_a_home_is_left_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    provide_home()
    assert os.environ["HOME"] == str(tmp_path)
    assert expanded(Path("~/x")) == tmp_path / "x"


def test_weights_are_looked_for_without_a_home_too(monkeypatch):
    def unknown(uid):
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert expanded(Path("~/x")) == Path("~/x")
    weights = HubWeights("Net", "net.pth", "00", "https://example.org", "leave it out")
    assert "Download net.pth" in weights.missing
