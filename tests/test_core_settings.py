"""Profiles and parameters: unknown keys and wrong types are refused with the file, the key and a
remedy.
"""

import pytest

from dishvl_lib.core import params, paths, rules, settings
from dishvl_lib.core.parameter import Parameter

ANYTHING = rules.Rule()


def toy(name, kind, default, rule=ANYTHING):
    return Parameter(name, kind, default, "help", rule)


TOYS = (
    toy("run_name", "str", "demo", rules.FolderName()),
    toy("image_root", "str", "builtin"),
    toy("learning_rate", "float", 0.001),
)
EXTRA = {
    "03_dataset": (
        toy("menu_size", "int", 10, rules.Between(least=2, most=1000)),
        toy("browse", "bool", False),
    ),
    "04_training": (toy("stages", "list[str]", []),),
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with toy parameters; returns a function that writes a profile: project("name",
    common="...", dataset="...").
    """
    monkeypatch.setattr(paths, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(
        params, "COMMON", tuple((toy_parameter, paths.ALL_STAGES) for toy_parameter in TOYS)
    )
    monkeypatch.setattr(params, "OWN", {stage: EXTRA.get(stage, ()) for stage in paths.ALL_STAGES})

    def write(name, **files):
        folder = tmp_path / "params" / name
        folder.mkdir(parents=True)
        for key, text in files.items():
            (
                folder / {"common": "common.yaml", "dataset": "03_dataset.yaml"}.get(key, key)
            ).write_text(text, "utf-8")
        return folder

    return write


def refusal(function, *args) -> str:
    with pytest.raises(settings.SettingsError) as error:
        function(*args)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_defaults_profile_and_set_in_this_order(project):
    project("p", common="run_name: mine\nlearning_rate: 1\n", dataset="menu_size: 12\n")
    values = settings.load_profile("p")
    assert values["01_annotation"] == {
        "run_name": "mine",
        "image_root": "builtin",
        "learning_rate": 1.0,
    }
    assert isinstance(values["01_annotation"]["learning_rate"], float), (
        "an int is a float where a float is asked for"
    )
    assert values["03_dataset"]["menu_size"] == 12
    assert values["03_dataset"]["browse"] is False
    assert settings.load_profile("p", {"menu_size": 5, "run_name": "other"})["03_dataset"] | {
        "browse": 0
    } == {
        "run_name": "other",
        "image_root": "builtin",
        "learning_rate": 1.0,
        "menu_size": 5,
        "browse": 0,
    }


@pytest.mark.parametrize(
    "files, parts",
    [
        ({"common": "run_nmae: x\n"}, ["common.yaml", "run_nmae", "did you mean run_name?"]),
        (
            {"common": "", "dataset": "menu_sise: 3\n"},
            ["03_dataset.yaml", "menu_sise", "did you mean menu_size?"],
        ),
        (
            {"common": "", "dataset": "zzz: 3\n"},
            ["03_dataset.yaml", "zzz", "known are browse, image_root"],
        ),
        ({"common": "menu_size: 3\n"}, ["common.yaml", "menu_size", "put it in 03_dataset.yaml"]),
        (
            {"common": "", "03_datset.yaml": ""},
            ["params/p", "03_datset.yaml", "did you mean 03_dataset.yaml?"],
        ),
        ({"common": "", "03_dataset.yml": ""}, ["03_dataset.yml", "did you mean 03_dataset.yaml?"]),
        (
            {"common": "learning_rate: 1e-5\n"},
            ["common.yaml", "learning_rate must be float", "YAML reads 1e-5 as text, write 1.0e-5"],
        ),
        ({"common": "learning_rate: 1e5\n"}, ["YAML reads 1e5 as text, write 1.0e+5"]),
        ({"common": "learning_rate: 2.5e5\n"}, ["YAML reads 2.5e5 as text, write 2.5e+5"]),
        ({"common": "learning_rate: fast\n"}, ["learning_rate must be float, got 'fast'"]),
        ({"common": "learning_rate: .nan\n"}, ["learning_rate must be a finite number"]),
        ({"common": "learning_rate: .inf\n"}, ["learning_rate must be a finite number"]),
        ({"common": "learning_rate: true\n"}, ["learning_rate must be float, got True"]),
        ({"common": "", "dataset": "menu_size: true\n"}, ["menu_size must be int, got True"]),
        ({"common": "", "dataset": "menu_size: 10.0\n"}, ["menu_size must be int, got 10.0"]),
        ({"common": "", "dataset": "menu_size: '10'\n"}, ["menu_size must be int, got '10'"]),
        ({"common": "", "dataset": "browse: 1\n"}, ["browse must be bool, got 1"]),
        (
            {"common": "", "04_training.yaml": "stages: [1]\n"},
            ["stages must be list[str], got [1]"],
        ),
        (
            {"common": "run_name: 0123\n"},
            ["run_name must be str, got 83", 'put it in quotes: run_name: "0123"'],
        ),
        (
            {"common": "run_name:\n"},
            ["run_name must be str, got None", 'for none write run_name: ""'],
        ),
        (
            {"common": "run_name: a\nrun_name: b\n"},
            ["common.yaml", "'run_name' is there twice", "line 1"],
        ),
        ({"common": "run_name: [a\n"}, ["common.yaml: not valid YAML"]),
        ({"common": "- a\n"}, ["common.yaml: must hold lines of 'key: value'"]),
        ({"common": "base: 5\n"}, ["common.yaml: base must be the name of a profile, got 5"]),
        ({"common": "base: q\n"}, ["no profile 'q'", "Profiles: p"]),
    ],
)
def test_a_profile_that_cannot_be_used_says_where_and_what_to_do(project, files, parts):
    project("p", **files)
    message = refusal(settings.load_profile, "p")
    assert all(part in message for part in parts), message


def test_the_remedies_are_right(project):
    project("p", common="learning_rate: 1.0e+5\n")
    assert settings.load_profile("p")["03_dataset"]["learning_rate"] == 1e5
    project("q", common='learning_rate: 1.0e-5\nimage_root: ""\n')
    assert settings.load_profile("q")["03_dataset"]["learning_rate"] == 1e-5


def test_a_profile_on_another_holds_only_what_differs(project):
    project("big", common="run_name: big\nlearning_rate: 1.0\n", dataset="menu_size: 20\n")
    project("lora", common="base: big\nrun_name: lora\n")
    project("third", common="base: lora\n", dataset="browse: true\n")
    values = settings.load_profile("third")["03_dataset"]
    assert values == {
        "run_name": "lora",
        "image_root": "builtin",
        "learning_rate": 1.0,
        "menu_size": 20,
        "browse": True,
    }


def test_profiles_in_a_circle_are_refused(project):
    project("a", common="base: b\n")
    project("b", common="base: a\n")
    assert "name each other as base: a -> b -> a" in refusal(settings.load_profile, "a")


def test_an_unknown_profile_is_answered_with_the_nearest_and_a_folder_anywhere_is_one(
    project, tmp_path
):
    project("demo", common="")
    assert "Did you mean demo? Profiles: demo" in refusal(settings.load_profile, "dmeo")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "common.yaml").write_text("run_name: far\n")
    assert settings.load_profile(str(mine))["05_evaluation"]["run_name"] == "far"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("menu_size=10", ("menu_size", 10)),
        ("run_name=a=b", ("run_name", "a=b")),
        ("run_name=", ("run_name", "")),
        ("run_name=0123", ("run_name", "0123")),
        ("run_name='0123'", ("run_name", "0123")),
        ("image_root=/photos # of 2021: all", ("image_root", "/photos # of 2021: all")),
        ("stages=[a, b]", ("stages", ["a", "b"])),
        ("x=1.0e-5", ("x", 1e-5)),
    ],
)
def test_set(project, text, expected):
    assert settings.parse_override(text) == expected


@pytest.mark.parametrize(
    "text, part",
    [("menu_size", "must read key=value"), ("=3", "must read key=value"), ("a=[1", "--set 'a=[1'")],
)
def test_set_that_cannot_be_read(project, text, part):
    assert part in refusal(settings.parse_override, text)


def test_set_is_checked_like_a_file(project):
    project("p", common="")
    assert "--set: unknown parameter 'menu_sise'; did you mean menu_size?" in refusal(
        settings.load_profile, "p", {"menu_sise": 3}
    )
    assert "--set: learning_rate must be float, got '1e-5'; YAML reads 1e-5 as text" in refusal(
        settings.load_profile, "p", dict([settings.parse_override("learning_rate=1e-5")])
    )


def namespace(**changed):
    return {
        "run_name": "r",
        "image_root": "x",
        "learning_rate": 1,
        "menu_size": 3,
        "browse": False,
        **changed,
    }


def test_a_notebooks_values_are_checked(project):
    assert settings.check_values("03", namespace(other=5))["learning_rate"] == 1.0
    assert "notebook 03_dataset: menu_size must be int, got '3'" in refusal(
        settings.check_values, "03", namespace(menu_size="3")
    )
    lacking = {key: value for key, value in namespace().items() if key != "browse"}
    assert "browse is not set; run the parameters cell first" in refusal(
        settings.check_values, "03", lacking
    )


def test_a_misspelt_key_that_papermill_injected_is_refused(project):
    cells = ["", "menu_size: int = 10", "# Parameters\nmenu_sise = 3\n"]
    assert "notebook 03_dataset: unknown parameter 'menu_sise'; did you mean menu_size?" in refusal(
        settings.check_values, "03", namespace(In=cells, menu_sise=3)
    )
    assert (
        settings.check_values(
            "03", namespace(In=["", "# Parameters\nmenu_size = 3\nbase = 'big'\n", "own = 5"])
        )["menu_size"]
        == 3
    )
