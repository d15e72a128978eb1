"""The command line: help with examples, versions, and `did you mean` for what it does not know."""

import re
import shlex
import subprocess

import pytest

from dishvl_lib import cli, command_parser
from dishvl_lib.core import stages

COMMANDS = list(command_parser.EXAMPLES)


def refusal(capsys, *words):
    with pytest.raises(SystemExit) as ending:
        cli.main(list(words))
    assert ending.value.code == 2
    return capsys.readouterr().err


def shown_help(capsys, *words):
    with pytest.raises(SystemExit) as ending:
        cli.main([*words, "--help"])
    assert ending.value.code == 0
    return capsys.readouterr().out


def test_the_bare_command_shows_its_help(capsys):
    assert cli.main([]) == 0
    assert "examples:" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys):
    with pytest.raises(SystemExit) as ending:
        cli.main(["--version"])
    assert ending.value.code == 0
    assert capsys.readouterr().out == f"dishvl {stages.versions()['dishvl']}\n"


def test_every_command_has_examples(capsys):
    listed = re.search(r"\n  COMMAND\n(.*?)\n\n", shown_help(capsys), re.DOTALL)
    names = re.findall(r"^    ([\w-]+)", listed[1], re.MULTILINE)
    assert names
    assert {f"dishvl {name}" for name in names} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_example_is_parsed_as_it_stands(capsys, command):
    shown = shown_help(capsys, *command.split()[1:])
    for example in command_parser.EXAMPLES[command]:
        assert example in shown
        words = [word for word in shlex.split(example) if "DISHVL_TOKEN" not in word]
        assert words[0] == "dishvl"
        cli._parser().parse_args(words[1:])


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["stauts"], "did you mean status?"),
        (["run", "demo", "--rdo", "04"], "did you mean --redo?"),
        (["predict", "a.jpg", "--menue", "m.txt"], "did you mean --menu?"),
        (["dish", "ad"], "did you mean add?"),
        (["xyz"], "known are run, demo"),
    ],
)
def test_what_is_near_is_suggested(capsys, words, meant):
    assert meant in refusal(capsys, *words)


def test_a_word_too_many_is_named(capsys):
    assert "unrecognized argument again" in refusal(capsys, "status", "demo", "again")


def test_open_hands_its_options_on_to_jupyterlab(own_outputs, monkeypatch):
    started = []
    monkeypatch.setattr(subprocess, "call", lambda command: started.append(command) or 0)
    flags = ["--ip", "0.0.0.0", "--port", "8899", "--no-browser", "--allow-root"]
    assert cli.main(["open", "03", "demo", *flags]) == 0
    assert started[0][-4:] == ["--ip=0.0.0.0", "--port=8899", "--no-browser", "--allow-root"]
    assert cli.main(["open", "03", "demo"]) == 0
    assert started[1][-1].endswith(".ipynb")
