"""What pyproject.toml cannot say: the wheel carries copies of the notebooks, of our profiles and of
the tested versions.

They lie at the top of a checkout, where people read and change them; a wheel holds packages only.
So `build_py` copies them into `dishvl_lib/_shipped/` of what it builds, never of the checkout, and
`core/paths.py` looks there when the library lies in no checkout.
"""

from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# Profiles that users make in params/ stay theirs; .gitignore lists the same six.
OUR_PROFILES = (
    "deepspeed",
    "demo",
    "demo_new_dishes",
    "demo_trays",
    "qwen2_5_vl_7b",
    "qwen2_5_vl_7b_lora",
)


class BuildWithNotebooks(build_py):
    """`build_py`, and the copies; an editable install reads the checkout itself."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for source, target in self._copies():
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target))

    def get_source_files(self) -> list[str]:
        """What a source distribution holds."""
        return [*super().get_source_files(), *(str(source) for source, _ in self._copies())]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        written = super().get_outputs(include_bytecode)
        return written if self.editable_mode else [*written, *self._targets()]

    def _targets(self) -> list[str]:
        return [str(target) for _, target in self._copies()]

    def _copies(self) -> Iterator[tuple[Path, Path]]:
        """(file of the checkout, its copy in the build folder)."""
        shipped = Path(self.build_lib) / "dishvl_lib" / "_shipped"
        yield Path("constraints.txt"), shipped / "constraints.txt"
        for notebook in sorted(Path("notebooks").glob("*.ipynb")):
            yield notebook, shipped / notebook
        for profile in OUR_PROFILES:
            for file in sorted(Path("params", profile).glob("*.*")):
                yield file, shipped / file


setup(cmdclass={"build_py": BuildWithNotebooks})
