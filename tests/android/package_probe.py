"""Takes buildozer.spec through buildozer and python-for-android up to Gradle: `python package_probe.py WORK_FOLDER`.

Runs in an environment of its own (`make android-check`), which holds buildozer and python-for-android only.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import sys
import tarfile
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pythonforandroid
from buildozer import Buildozer
from pythonforandroid.bootstrap import Bootstrap
from pythonforandroid.build import Context
from pythonforandroid.graph import get_recipe_order_and_bootstrap
from pythonforandroid.recipe import Recipe
from pythonforandroid.toolchain import ToolchainCL

ROOT = Path(__file__).resolve().parents[2]
SPEC_FOLDER = ROOT / "app" / "android"
TREE = ROOT / "build" / "android" / "tree"
BOOTSTRAP_PARTS = ("common", "_sdl_common", "sdl2")
BUILD_TOOLS = "36.0.0"


def p4a_commands(spec: str, folder: Path, mode: str) -> list[list[str]]:
    """What buildozer would call python-for-android with, for `mode` "debug" or "release"."""
    buildozer = Buildozer(spec, "android")
    buildozer.config.set("buildozer", "build_dir", str(folder / "buildozer"))
    target: Any = buildozer.target
    commands: list[list[str]] = []
    target._p4a = lambda command, **_: commands.append([*map(str, command), *target.extra_p4a_args])
    target._update_libraries_references = target._generate_whitelist = lambda _: None
    target.check_p4a_sign_env = lambda error=False: False
    target.build_mode = mode
    target.artifact_format = buildozer.config.get("app", f"android.{mode}_artifact")
    shutil.copytree(TREE, buildozer.app_dir)
    target.compile_platform()
    with contextlib.suppress(OSError):  # it looks for the package that Gradle would have made
        target.build_package()
    return commands


def parsed(command: list[str]) -> tuple[Any, Any]:
    """The toolchain and the arguments as python-for-android's own parser understands them."""
    met: list[tuple[Any, Any]] = []

    class Parser(ToolchainCL):
        def create(self, args: Any) -> None:
            met.append((self, args))

        apk = aab = create

    sys.argv = ["p4a", *command]
    Parser()
    return met[0]


def make_project(folder: Path, archs: list[str], api: int, ndk_api: int) -> None:
    """The project folder that python-for-android fills before it packages, beside an empty SDK."""
    bootstraps = Path(pythonforandroid.__file__).parent / "bootstraps"
    for part in BOOTSTRAP_PARTS:
        shutil.copytree(bootstraps / part / "build", folder, dirs_exist_ok=True)
    sdk = folder.parent / "sdk"
    (sdk / "build-tools" / BUILD_TOOLS).mkdir(parents=True, exist_ok=True)
    (folder / "project.properties").write_text(f"target=android-{api}")
    (folder / "local.properties").write_text(f"sdk.dir={sdk}")
    facts = {"bootstrap": "sdl2", "archs": archs, "ndk_api": ndk_api, "hostpython": sys.executable}
    (folder / "dist_info.json").write_text(json.dumps(facts))
    for arch in archs:
        (folder / f"_python_bundle__{arch}").mkdir()
        (folder / "libs" / arch).mkdir(parents=True)


def package(toolchain: Any, args: Any, folder: Path, api: int) -> dict[str, Any]:
    """Run python-for-android's packaging step, then the hook twice."""
    make_project(folder, args.arch, api, args.ndk_api)
    toolchain._fix_args(args)
    os.chdir(folder)
    loader = SourceFileLoader("build", str(folder / "build.py"))
    build = importlib.util.module_from_spec(importlib.util.spec_from_loader("build", loader))
    loader.exec_module(build)
    # A process for each module would take minutes; test_staged_tree.py compiles them all at once.
    build.parse_args_and_make_package([*args.unknown_args, "--no-byte-compile-python"])
    manifest = folder / "src" / "main" / "AndroidManifest.xml"
    before = manifest.read_text()
    toolchain.args = args
    toolchain.hook("before_apk_assemble")
    once = manifest.read_text()
    toolchain.hook("before_apk_assemble")
    with tarfile.open(folder / "src" / "main" / "assets" / "private.tar") as private:
        packed = sorted(name for name in private.getnames() if "." in Path(name).name)
    return {
        "changed_by_hook": before != once,
        "changed_by_hook_again": once != manifest.read_text(),
        "packed": packed,
        "project": str(folder),
    }


def resolved(requirements: list[str]) -> dict[str, Any]:
    """What python-for-android makes of the requirements: recipes in their order, and what it takes as pure Python."""
    context = Context()
    context.setup_dirs(str(TREE.parent / "resolver"))
    names = [requirement.partition("==")[0] for requirement in requirements]
    bootstrap = Bootstrap.get_bootstrap("sdl2", context)
    recipes, pure, chosen = get_recipe_order_and_bootstrap(context, names, bootstrap)
    versions = {name: getattr(Recipe.get_recipe(name, context), "version", None) for name in recipes}
    return {"recipes": recipes, "pure": pure, "bootstrap": chosen.name, "versions": versions}


def main(work: Path) -> None:
    """Write ``facts.json`` and the two projects into the work folder."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    os.environ["TERM"] = "dumb"
    facts: dict[str, Any] = {}
    for mode in ("debug", "release"):
        os.chdir(SPEC_FOLDER)
        spec = Buildozer("buildozer.spec", "android").config
        create, build = p4a_commands("buildozer.spec", work / mode, mode)[:2]
        toolchain, args = parsed(build)
        api = spec.getint("app", "android.api")
        facts[mode] = {
            "requirements": parsed(create)[1].requirements.split(","),
            **package(toolchain, args, work / mode / "project", api),
        }
    facts["resolved"] = resolved(facts["debug"]["requirements"])
    (work / "facts.json").write_text(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
