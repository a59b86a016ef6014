"""Messages that name settings: as Python writes them, and as flags."""

import pickle
import subprocess

import pytest

from lorae.errors import DivergedError, LoraeError, LoraeWarning, as_flags, shell_command


@pytest.mark.parametrize(
    ("message", "settings", "expected"),
    [
        ("pass size=24", {"size": 24}, "pass --size 24"),
        ("pass data_root=FOLDER; it holds a=1", {"data_root": "FOLDER"}, "pass --data-root FOLDER; it holds a=1"),
        ("(pass skip_bad=True to go on)", {"skip_bad": True}, "(pass --skip-bad to go on)"),
        ("use method='lorae+'", {"method": "lorae+"}, "use --method lorae+"),
        ("as in penalties={'nuclear': 0.1}", {"penalties": {"nuclear": 0.1}}, "as in --penalties.nuclear 0.1"),
    ],
)
def test_suggested_settings_become_flags(message, settings, expected):
    for kind in (LoraeError, DivergedError, LoraeWarning):
        raised = kind(message, settings=settings)
        assert str(raised) == message
        assert as_flags(raised) == expected


def test_the_argument_becomes_a_flag_and_another_origin_stays():
    message = "n: got 0 (from argument max_steps)"
    assert as_flags(LoraeError(message, argument="max_steps")) == "n: got 0 (from --max-steps)"
    assert as_flags(LoraeError(message)) == message
    assert as_flags(LoraeError("n: got 0 (from a.yaml)", argument="n")) == "n: got 0 (from a.yaml)"


def test_errors_of_other_processes_keep_their_settings():
    error = pickle.loads(pickle.dumps(LoraeError("pass size=24", argument="size", settings={"size": 24})))
    assert (str(error), error.argument, error.settings) == ("pass size=24", "size", {"size": 24})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("runs/it's", b"runs/it's"),
        ("[/v2] $HOME", b"[/v2] $HOME"),
        ("-dash", b"./-dash"),
        ("new\nline", b"new\nline"),
        (b"o\xe9 'x' $HOME".decode("utf-8", "surrogateescape"), b"o\xe9 'x' $HOME"),
    ],
)
def test_a_command_can_be_pasted_into_a_shell(name, expected):
    script = f"lorae() {{ printf '%s\\0' \"$@\"; }}; {shell_command('resume', name)}"
    found = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    assert found == b"resume\0" + expected + b"\0"
