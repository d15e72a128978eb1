"""The wheel carries notebooks and profiles: an installed library works in any folder and writes
nothing where it is installed.
"""

import os
import shutil
import subprocess
import sys

import pytest
import tiny

from dishvl_lib.core import paths

BUILT_FROM = ("constraints.txt", "pyproject.toml", "setup.py", "README.md", "LICENSE")
ALONE = ("--set", "annotators=[]", "--set", "sites=[]")  # nobody is asked, no site is drawn


def run(*command, cwd, **environment):
    """The finished process of a command; it must have ended well."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("DISHVL_")}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=cwd,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done


def files_below(folder):
    """{relative path: time of last change} of every file."""
    return {
        str(file.relative_to(folder)): file.stat().st_mtime_ns
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what a wheel is built from, so that the checkout gets no build folder."""
    folder = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        shutil.copy(paths.PROJECT_ROOT / name, folder / name)
    for name in ("dishvl_lib", "notebooks", "params"):
        shutil.copytree(
            paths.PROJECT_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    (folder / "params" / "somebodys").mkdir(exist_ok=True)
    (folder / "params" / "somebodys" / "common.yaml").write_text("run_name: somebodys\n")
    return folder


@pytest.fixture(scope="module")
def installed(source, tmp_path_factory):
    """The folder that the wheel was installed into."""
    wheels = tmp_path_factory.mktemp("wheels")
    offline = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    run("pip", "wheel", *offline, "--no-build-isolation", "-w", wheels, source, cwd=wheels)
    target = tmp_path_factory.mktemp("installed")
    (wheel,) = wheels.glob("dishvl-*.whl")
    run("pip", "install", *offline, "--target", target, wheel, cwd=wheels)
    return target


def test_the_wheel_carries_the_notebooks(installed):
    for stage in paths.STAGES:
        notebook = paths.notebook(stage)
        copy = installed / "dishvl_lib" / "_shipped" / "notebooks" / notebook.name
        assert copy.read_bytes() == notebook.read_bytes()


def test_the_wheel_carries_the_page_of_the_service(installed):
    page = paths.PROJECT_ROOT / "dishvl_lib" / "serving" / "page"
    copy = installed / "dishvl_lib" / "serving" / "page"
    assert {file.name for file in copy.iterdir()} == {file.name for file in page.iterdir()}


def test_the_wheel_carries_the_profiles_that_git_keeps_and_no_others(installed):
    ignored = (paths.PROJECT_ROOT / ".gitignore").read_text("utf-8").splitlines()
    kept = [line.split("/")[2] for line in ignored if line.startswith("!/params/")]
    shipped = installed / "dishvl_lib" / "_shipped" / "params"
    assert "/params/*" in ignored
    assert sorted(folder.name for folder in shipped.iterdir()) == sorted(kept)
    for name in kept:
        files = files_below(paths.PROJECT_ROOT / "params" / name)
        assert sorted(files_below(shipped / name)) == sorted(files)


def test_an_installed_library_works_in_any_folder(installed, tmp_path):
    for dish in range(3):
        folder = tmp_path / "photos" / f"菜{dish}"
        folder.mkdir(parents=True)
        for number in range(6):
            tiny.photo(dish * 50 + number).save(folder / f"{number}.jpg")
    base = tiny.base_folder(tmp_path / "base")
    work = tmp_path / "work"
    work.mkdir()
    before = files_below(installed)

    def dishvl(*arguments):
        return run("dishvl_lib.cli", *arguments, cwd=work, PYTHONPATH=str(installed)).stdout

    dishvl("new", "canteen", "--image-root", tmp_path / "photos", "--like", "demo")
    small = ("--set", f"base_model={base}", "--set", "deepspeed=params/deepspeed/zero2.json")
    estimated = dishvl("estimate", "canteen", *small, *ALONE)
    dishvl("run", "canteen", "--to", "01", *ALONE)

    assert (work / "params" / "canteen" / "common.yaml").is_file()
    assert "18 photos of 3 dishes" in estimated
    assert (work / "outputs" / "canteen" / "01_annotation" / "_SUCCESS.json").is_file()
    assert sorted(path.name for path in work.iterdir()) == ["outputs", "params"]
    assert files_below(installed) == before


def test_a_checkout_is_known_by_its_notebooks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "somewhere" / "dishvl_lib"
    package.mkdir(parents=True)
    assert paths.project_root(package) == tmp_path
    monkeypatch.setenv(paths.PROJECT_VARIABLE, str(tmp_path / "elsewhere"))
    assert paths.project_root(package) == tmp_path / "elsewhere"
    (package.parent / "notebooks").mkdir()
    (package.parent / "pyproject.toml").touch()
    assert paths.project_root(package) == package.parent
