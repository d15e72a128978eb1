"""Hundreds of values that cannot be: each is refused at once, in one sentence, and nothing is
written.
"""

import datetime
import math
import re
import subprocess
import sys
import time

import chain
import pytest
import yaml
from toys import tree_of

from dishvl_lib import cli
from dishvl_lib.core import params, paths, settings

LONG = "长" * 60  # 180 bytes of UTF-8
ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + below] * 9)}]\n"
    for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)
# By type: what no parameter of it may be.
WRONG_TYPE = {
    "str": [1, 2.5, True, None, ["a"], {"a": 1}, datetime.date(2026, 1, 1), b"x"],
    "int": [1.5, "3", True, None, [1], {"a": 1}, float("nan"), float("inf"), -1, -(10**30), 10**30],
    "float": ["0.1", True, None, [0.1], {}, float("nan"), float("inf"), float("-inf"), -1e30],
    "bool": [0, 1, "true", "no", None, 1.0, []],
    "list[str]": ["a", [1], [None], [["a"]], {"a": 1}, None, 3, [""], ["a\x00b"]],
    "list[dict]": ["a", ["a"], [1], {"name": "x"}, None, [[]], [{}], [{"nam": "x"}], [{1: 2}]],
    "dict": ["a", [], None, 3, {"USD": math.inf}, {"USD": -1}, {"USD": "5"}, {1: 2}, {"usd": 1}],
}
TEXT = ["a\x00b", "a\nb", "\ud800", "x" * 5000, "\x1b[31m"]
NAMES = [
    "",
    ".",
    "..",
    "../up",
    "a/b",
    "a\\b",
    ".hidden",
    "cache",
    "errors.log",
    LONG,
    " a",
    "a\u202eb",
]
SERVER = {"name": "gpt", "base_url": "https://h/v1", "model": "m"}
BAD_FIELDS = {
    "name": ["", 3, "a/b", "..", LONG, "a:b"],
    "base_url": ["", "ftp://h", "https://", "h/v1", "https://h:99999/v1", 3, "https://a b/v1"],
    "model": ["", 4.1, None],
    "api_key_env": ["sk-abcdefghijk", "A B", 3, "钥匙"],
    "price_input": [-1, "2", math.nan, math.inf, True],
    "price_output": [-0.1, None],
    "currency": ["usd", "DOLLAR", "", "元", 3],
    "concurrency": [0, -1, 2.5, "8", 10**9],
    "timeout_s": [0, -5, math.inf, "60"],
    "requests_per_minute": [-1, 1.5],
    "tokens_per_minute": [-1, "x"],
    "max_tokens": [0, -1, 10**9],
    "parameters": [["x"], {"stream": True}, {"temperature": math.nan}, "x"],
    "batch": [1, "yes"],
    "batch_discount": [1.5, -0.5],
    "prise_input": [1],
}
BAD_SITE = {
    "name": ["", 3, "a/b", "a:b", LONG],
    "image_root": ["", " ", 3, "a\x00"],
    "menu_csv": [3, None, "a\nb"],
    "nam": ["x"],
}
# Values of the right type that these keys cannot have.
IMPOSSIBLE = {
    "metric_for_best_model": ["banana", "", "Loss"],
    "gradient_checkpointing": ["vison", "all"],
    "photo_augmentation": ["flip"],
    "photo_decoding": ["faster"],
    "tree_attention": ["sdpa"],
    "lr_scheduler_type": ["cosin", ""],
    "dtype": ["fp16", "float16"],
    "device": ["gpu", "cuda:x", "cuda:-1"],
    "language": ["de", "EN", ""],
    "same_name": ["foo", ""],
    "exports": [["qwen2"], ["qwen", "qwen"]],
    "scale": [0.3, 3.0, 0.0],
    "test_share": [1.7, -0.1, 0.95],
    "validation_share": [-0.1, 1.1],
    "lora_rank": [-3],
    "min_pixels": [0, 783, 10**9],
    "max_pixels": [0, 28, 10**9],
    "learning_rate": [0.0, -1e-4, 5.0],
    "adam_beta2": [0.0, 1.0],
    "num_train_epochs": [0.0, -1.0],
    "shortcut_menus": [0],
    "photos_per_dish": [0],
    "menu_size": [0, 1],
    "test_menu_size": [1],
    "max_hamming": [33, 64],
    "min_cosine": [1.1, -1.5],
    "image_size": [0, 8],
    "epochs": [0],
    "batch_size": [0],
    "keep_checkpoints": [0],
    "logging_steps": [0],
    "num_processes": [0],
    "folder_pattern": ["(", "(.*)", "(?P<nam>.*)"],
    "file_patterns": [["("], ["x"]],
    "hold_out_dates": [["June"], ["2022/06"]],
    "base_model": ["", "no such model", "a/b/c"],
    "seed": [-1, 2**32],
    "margin": [-0.1, 3.0],
    "knowledge_ratio": [-1.0],
    "absent_share": [1.5],
    "same_site_share": [1.5],
    "max_missing_share": [1.5],
    "warmup_ratio": [1.5],
    "run_name": NAMES,
    "upstream_run": [name for name in NAMES if name],
}


def cases():
    """(key, value) of everything that is tried, over all keys."""
    declared = {}
    for stage in paths.STAGES:
        declared |= params.of_stage(stage)
    for key, parameter in declared.items():
        for value in WRONG_TYPE[parameter.type]:
            negative = isinstance(value, int | float) and not isinstance(value, bool) and value < 0
            if not (negative and key in ("min_cosine",) and value == -1):
                yield key, value
        if parameter.type == "str":
            yield from ((key, value) for value in TEXT)
        yield from ((key, value) for value in IMPOSSIBLE.get(key, ()))
    for key in ("annotators", "endpoints"):
        for name, values in BAD_FIELDS.items():
            yield from ((key, [{**SERVER, name: value}]) for value in values)
        yield key, [SERVER, SERVER]
    yield "endpoints", [{**SERVER, "structured": "enum"}]
    yield "endpoints", [{**SERVER, "name": "tuned"}]
    yield "endpoints", [{**SERVER, "name": "pplcnet_mine"}]
    yield "endpoints", [{**SERVER, "name": "efficientnet_lite0"}]
    yield "net", "efficientnet"
    site = {"name": "b", "image_root": "builtin"}
    for name, values in BAD_SITE.items():
        yield from (("sites", [{**site, name: value}]) for value in values)


CASES = list(cases())


def test_there_are_at_least_four_hundred():
    assert len(CASES) >= 400


def test_every_value_that_cannot_be_is_refused_in_a_sentence_and_at_once(own_outputs):
    """All in one test: each takes milliseconds."""
    accepted = []
    for key, value in CASES:
        began = time.monotonic()
        try:
            settings.load_profile("demo", {key: value})
            accepted.append((key, value))
        except settings.SettingsError as error:
            assert key in str(error), (key, value, str(error))
            assert all(len(fault) < 1000 for fault in error.faults), (key, value)
            assert "\n" not in error.faults[0]
        assert time.monotonic() - began < 1, (key, value)
    assert accepted == []
    assert tree_of(own_outputs) == []


def test_a_key_that_stands_where_its_variable_should_is_not_repeated():
    secret = "sk-live-0123456789"
    with pytest.raises(settings.SettingsError) as refused:
        settings.load_profile("demo", {"annotators": [{**SERVER, "api_key_env": secret}]})
    assert secret not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "run_name",
        "=x",
        "menu_size=",
        "menu_size=[1",
        "menu_size=ten",
        "menu_size=10 # ten",
        "menu_size=1e400",
        "menu_size=" + "9" * 5000,
        "budget={USD: 1, USD: 2}",
        "budget={USD: .inf}",
        "budget={USD: 1} # a lot",
        "sites=[{name: a, image_root: /x # y}]",
        "sites=[{name: a, name: b}]",
        "annotators=[{nam: x}]",
        "exports=qwen",
        "seed=!!python/object/apply:os.system [ls]",
        "sites=" + "[" * 2000,
        "metric_for_best_model=banana",
        "run_name=../elsewhere",
        "run_name=a\x00b",
        "no_such_key=1",
    ],
)
def test_set_that_cannot_be(text, own_outputs, capsys):
    assert cli.main(["run", "demo", "--set", text]) == 1
    output = capsys.readouterr().err
    assert output.startswith("dishvl: ")
    assert "not foreseen" not in output
    assert len(output) < 2000
    assert tree_of(own_outputs) == []


def test_text_given_to_set_is_taken_as_it_is(tmp_path):
    folder = tmp_path / "photos # of 2021: all"
    folder.mkdir()
    values = settings.load_profile(
        "demo",
        dict(
            [
                settings.parse_override(f"image_root={folder}"),
                settings.parse_override("run_name=0123"),
            ]
        ),
    )
    assert values["01_annotation"]["image_root"] == str(folder)
    assert values["01_annotation"]["run_name"] == "0123"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ALIASES, "aliases"),
        ("run_name: a\nrun_name: b\n", "there twice"),
        ("sites: [{name: a, name: b}]\n", "there twice"),
        ("run_name: \x00\n", "not valid YAML"),
        ("- a\n", "must hold lines"),
        ("run_name: 0123\n", 'put it in quotes: run_name: "0123"'),
        ("? [a, b]\n: c\n", "unhashable"),
    ],
)
def test_a_profiles_file_that_cannot_be(tmp_path, text, words):
    assert len(text) < 700
    (tmp_path / "common.yaml").write_text(text, "utf-8")
    began = time.monotonic()
    with pytest.raises(settings.SettingsError, match=re.escape(words)):
        settings.load_profile(tmp_path)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("name", ["食堂（东）", "canteen #2", "gpt-4.1 (mini)", "B&B"])
def test_a_site_or_server_may_be_called_what_people_call_it(name):
    changed = {
        "sites": [{"name": name, "image_root": "builtin"}],
        "annotators": [{**SERVER, "name": name}],
    }
    assert settings.load_profile("demo", changed)["01_annotation"]["sites"][0]["name"] == name


def test_several_faults_are_listed_together(tmp_path):
    (tmp_path / "common.yaml").write_text(yaml.safe_dump({"language": "de", "sed": 3}))
    (tmp_path / "04_training.yaml").write_text(yaml.safe_dump({"lora_rank": -3, "dtype": "fp8"}))
    with pytest.raises(settings.SettingsError) as refused:
        settings.load_profile(tmp_path)
    assert len(refused.value.faults) == 4
    assert str(refused.value).startswith("4 parameters cannot be used:\n  ")


CONFLICTS = [
    ({"test_share": 0.5, "validation_share": 0.4}, "test_share 0.5 and validation_share 0.4"),
    ({"min_pixels": 3136, "max_pixels": 784}, "max_pixels 784 is below min_pixels 3136"),
    ({"menu_size": 10, "menu_size_to": 5}, "menu_size_to 5 is below menu_size 10"),
    ({"naming_per_photo": 0, "menus_per_photo": 0}, "are both 0"),
    ({"train_visual": False, "train_merger": False}, "nothing would train"),
    ({"lora_rank": 4, "train_lm_head": True}, "lora_rank trains adapters only"),
    ({"lora_vision": True}, "lora_vision needs lora_rank"),
    (
        {"metric_for_best_model": "menu_accuracy", "validation_questions": 0},
        "needs validation_questions",
    ),
    ({"image_root": "a", "sites": [{"name": "b", "image_root": "a/b"}]}, "overlaps with that of"),
]


@pytest.mark.parametrize(("changed", "words"), CONFLICTS, ids=[words for _, words in CONFLICTS])
def test_values_that_do_not_go_together(changed, words):
    with pytest.raises(settings.SettingsError, match=re.escape(words)):
        settings.load_profile("demo", changed)


def absent(changed, *stages):
    """The faults of files and keys that these stages of the demo name with `changed` values."""
    values = settings.load_profile("demo", changed)
    with pytest.raises(settings.SettingsError) as refused:
        settings.refuse_absent({stage: values[stage] for stage in stages})
    return str(refused.value)


@pytest.mark.parametrize(
    ("stage", "changed", "words"),
    [
        ("01_annotation", {"image_root": "no/such"}, "image_root names no folder"),
        ("01_annotation", {"image_root": "README.md", "sites": []}, "is a file"),
        ("01_annotation", {"names_csv": "no/such.csv"}, "names_csv names no file"),
        ("01_annotation", {"names_csv": "notebooks"}, "is a folder"),
        (
            "01_annotation",
            {"names_csv": "README.md"},
            "names_csv names a table that cannot be used",
        ),
        ("01_annotation", {"photos_csv": "constraints.txt"}, "no column path, label"),
        ("01_annotation", {"near_features": "README.md"}, "no .npz file"),
        (
            "01_annotation",
            {"sites": [{"name": "b", "image_root": "no/such"}]},
            "sites: site b: image_root names no folder",
        ),
        ("01_annotation", {"upstream_run": "nobody"}, "upstream_run names no run"),
        (
            "01_annotation",
            {"annotators": [{**SERVER, "api_key_env": "DISHVL_NO_KEY"}]},
            "environment variable DISHVL_NO_KEY is not set",
        ),
        ("02_similar_dishes", {"weights": "no.pdparams"}, "weights names no file"),
        ("02_similar_dishes", {"preprocess_yaml": "LICENSE"}, "preprocess_yaml names"),
        ("04_training", {"deepspeed": "README.md"}, "which is no JSON"),
        ("04_training", {"deepspeed": "params/deepspeed"}, "is a folder"),
        ("04_training", {"hostfile": "no/hosts"}, "hostfile names no file"),
        ("03_dataset", {"base_model": "./params"}, "holds no config.json"),
        (
            "05_evaluation",
            {"endpoints": [{**SERVER, "api_key_env": "DISHVL_NO_KEY"}]},
            "DISHVL_NO_KEY",
        ),
        (
            "05_evaluation",
            {"sites": [{"name": "b", "image_root": "builtin", "menu_csv": "no.csv"}]},
            "menu_csv names no file",
        ),
    ],
)
def test_what_is_named_and_is_not_there(own_outputs, stage, changed, words):
    assert words in absent(changed, stage)
    assert tree_of(own_outputs) == []


def test_a_stage_is_not_asked_for_what_only_others_read(own_outputs):
    values = settings.load_profile(
        "demo", {"image_root": "no/such", "deepspeed": "no.json", "sites": []}
    )
    settings.refuse_absent({"02_similar_dishes": values["02_similar_dishes"]})


def test_faults_of_all_stages_come_before_anything_runs(own_outputs, capsys):
    assert cli.main(["run", "demo", "--set", "names_csv=a.csv", "--set", "deepspeed=b.json"]) == 1
    output = capsys.readouterr().err
    assert "01_annotation: names_csv names no file" in output
    assert "04_training: deepspeed names no file" in output
    assert tree_of(own_outputs) == []


BY_COMMAND = [
    ["--set", "metric_for_best_model=banana"],
    ["--set", "test_share=1.7"],
    ["--set", "lora_rank=-3"],
    ["--set", "annotators=[{nam: x}]"],
    ["--set", "budget={USD: .inf}"],
    ["--set", "run_name=../elsewhere"],
    ["--set", "image_root=no/such # folder"],
    ["--set", "names_csv=missing.csv"],
    ["--set", "annotators=[{name: gpt, base_url: 'http://h/v1', model: m, api_key_env: NO_KEY}]"],
    ["--from", "04", "--to", "02"],
    ["--redo", "06"],
    ["--set", "seed=1", "--set", "sed=1"],
]


@pytest.mark.parametrize("arguments", BY_COMMAND, ids=[" ".join(case) for case in BY_COMMAND])
def test_the_command_refuses_in_a_sentence_and_writes_nothing(arguments, tmp_path):
    done = chain.dishvl("run", "demo", *arguments, outputs=tmp_path / "outputs")
    assert done.returncode == 1
    assert done.stderr.startswith("dishvl: ")
    assert "Traceback" not in done.stderr
    assert tree_of(tmp_path / "outputs") == []


@pytest.mark.parametrize(
    ("stage", "key", "value", "words"),
    [
        ("01_annotation", "same_name", "foo", "same_name must be one of ask, merge, keep_apart"),
        ("01_annotation", "names_csv", "missing.csv", "names_csv names no file"),
        ("04_training", "gradient_checkpointing", "vison", "did you mean vision?"),
    ],
)
def test_papermill_stops_in_the_first_cell(stage, key, value, words, tmp_path):
    notebook = paths.notebook(stage)
    command = [sys.executable, "-m", "papermill", str(notebook), str(tmp_path / "out.ipynb")]
    done = subprocess.run(
        [*command, "-p", "run_name", "r", "-p", key, value],
        capture_output=True,
        text=True,
        cwd=paths.PROJECT_ROOT,
        env=chain.environment(tmp_path / "outputs"),
        timeout=200,
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert tree_of(tmp_path / "outputs") == []
