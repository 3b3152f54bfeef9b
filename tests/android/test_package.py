"""Checks the Android package up to Gradle, with buildozer's and python-for-android's own code."""

import configparser
import importlib.util
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "app" / "android"
PYTHON = Path(os.environ.get("TUSSIS_ANDROID_PYTHON", ROOT / ".venv-android" / "bin" / "python"))
EXPECTED = json.loads(Path(__file__).with_name("expected_package.json").read_text())
FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
ANDROID = "{http://schemas.android.com/apk/res/android}"
MODES = ("debug", "release")
# What only newer Androids than Debian's list of resources know: attributes that go, and a value that is replaced.
NEWER_THAN_API_29 = (
    (r'android:dataExtractionRules="[^"]*"', ""),
    (r'android:enableOnBackInvokedCallback="[^"]*"', ""),
    (r'android:foregroundServiceType="microphone"', 'android:foregroundServiceType="mediaPlayback"'),
)

# What Kivy and cryptography bring along.
PURE_PYTHON = {"filetype", "six", "pycparser", "requests", "certifi", "chardet", "idna", "urllib3"}

needs_packager = pytest.mark.skipif(
    not PYTHON.is_file(), reason="buildozer and python-for-android are not there: `make android-check` installs them"
)


@cache
def probe(work: Path) -> dict[str, Any]:
    """What buildozer and python-for-android made of the specification."""
    script = Path(__file__).with_name("package_probe.py")
    tree = ROOT / "build" / "android" / "tree"
    subprocess.run([PYTHON, PACKAGING / "stage_tree.py", tree], check=True, timeout=60)
    done = subprocess.run([PYTHON, script, work], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads((work / "facts.json").read_text())


@pytest.fixture(scope="session")
def facts(tmp_path_factory) -> dict[str, Any]:
    return probe(tmp_path_factory.getbasetemp() / "package")


def spec() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser()
    parser.read(PACKAGING / "buildozer.spec")
    return parser["app"]


def manifest(facts: dict[str, Any], mode: str) -> ET.Element:
    return ET.parse(Path(facts[mode]["project"]) / "src" / "main" / "AndroidManifest.xml").getroot()


def attributes(element: ET.Element) -> dict[str, str]:
    return {key.removeprefix(ANDROID): value for key, value in element.attrib.items()}


def test_python_and_its_host_build_are_pinned_alike():
    pins = dict(line.split("==") for line in spec()["requirements"].split(",") if "==" in line)
    assert pins["python3"] == pins["hostpython3"]


@needs_packager
def test_every_requirement_is_a_recipe_or_known_to_be_pure_python(facts):
    resolved = facts["resolved"]
    assert set(facts["debug"]["requirements"]) <= {*resolved["recipes"], *resolved["pure"]}
    # An unknown name passes as pure Python without a word.
    assert set(resolved["pure"]) <= PURE_PYTHON
    assert resolved["bootstrap"] == "sdl2"
    assert int(resolved["versions"]["cryptography"].split(".")[0]) >= 44


@needs_packager
def test_all_of_the_tree_goes_into_the_package_and_nothing_else(facts):
    tree = ROOT / "build" / "android" / "tree"
    staged = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    packed = {re.sub(r"\.pyc$", ".py", name) for name in facts["debug"]["packed"]} - {"p4a_env_vars.txt"}
    assert packed - {"sitecustomize.py"} == {name for name in staged if "." in Path(name).name}
    assert any(name.endswith(".tflite") for name in packed)
    assert not any(name.startswith(("app/android/", "app/coordinator/")) for name in packed)


@needs_packager
@pytest.mark.parametrize("mode", MODES)
def test_the_hook_completes_the_manifest_once(facts, mode):
    assert facts[mode]["changed_by_hook"] and not facts[mode]["changed_by_hook_again"]


@needs_packager
@pytest.mark.parametrize("mode", MODES)
def test_permissions_and_what_others_may_start_are_those_on_the_list(facts, mode):
    root = manifest(facts, mode)
    application = root.find("application")
    permissions = sorted(attributes(element)["name"] for element in root.iter("uses-permission"))
    assert permissions == EXPECTED["permissions"] and "android.permission.INTERNET" not in permissions
    components = {
        f"{kind} {attributes(element)['name']}": "not exported"
        if attributes(element).get("exported") == "false"
        else "exported"
        for kind in ("activity", "activity-alias", "service", "receiver", "provider")
        for element in application.iter(kind)
    }
    assert components == EXPECTED["components"]
    assert sorted(attributes(element)["name"] for element in application.iter("action")) == EXPECTED["actions"]
    assert (attributes(application).get("debuggable") == "true") is EXPECTED["debuggable"][mode]
    assert EXPECTED["application"].items() <= attributes(application).items()
    assert EXPECTED["service"].items() <= attributes(application.find("service")).items()


@needs_packager
@pytest.mark.parametrize("mode", MODES)
def test_gradle_gets_the_runtime_our_java_and_the_right_versions(facts, mode):
    gradle = (Path(facts[mode]["project"]) / "build.gradle").read_text()
    assert re.findall(r"implementation '(.*)'", gradle) == EXPECTED["gradle_dependencies"]
    assert re.findall(r"srcDir '(/.*?)'", gradle) == [str(PACKAGING / "java")]
    assert f"namespace '{EXPECTED['package']}'" in gradle
    assert f"minSdkVersion {EXPECTED['min_sdk']}" in gradle and f"targetSdkVersion {EXPECTED['target_sdk']}" in gradle
    assert ("doNotStrip" in gradle) is (mode == "debug")


@needs_packager
@pytest.mark.parametrize("mode", MODES)
def test_aapt_takes_the_manifest_and_apksigner_signs_it(facts, mode, tmp_path):
    for tool in ("aapt", "apksigner", "keytool", "zipalign"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (Debian: aapt, apksigner, zipalign, default-jdk-headless)")
    if not FRAMEWORK.is_file():
        pytest.skip("Android's list of resources is not installed (Debian: android-framework-res)")
    unsigned, signed = tmp_path / "unsigned.apk", tmp_path / "signed.apk"
    link_package(Path(facts[mode]["project"]) / "src" / "main", unsigned, tmp_path / "AndroidManifest.xml")
    shown = run("aapt", "dump", "badging", unsigned)
    assert f"package: name='{EXPECTED['package']}'" in shown
    assert f"sdkVersion:'{EXPECTED['min_sdk']}'" in shown and f"targetSdkVersion:'{EXPECTED['target_sdk']}'" in shown
    assert sorted(re.findall(r"^uses-permission: name='([^']+)'", shown, re.MULTILINE)) == EXPECTED["permissions"]
    assert ("application-debuggable" in shown) is EXPECTED["debuggable"][mode]
    assert "launchable-activity: name='org.kivy.android.PythonActivity'" in shown
    assert "uses-feature: name='android.hardware.microphone'" in shown
    sign_package(unsigned, signed, tmp_path)
    assert "Verifies" in run("apksigner", "verify", "--verbose", "--min-sdk-version", EXPECTED["min_sdk"], signed)


def link_package(sources: Path, out: Path, manifest_path: Path) -> None:
    """A package of the manifest and the resources, without code."""
    text = (sources / "AndroidManifest.xml").read_text()
    for pattern, replacement in NEWER_THAN_API_29:
        text, count = re.subn(pattern, replacement, text)
        assert count == 1, pattern
    manifest_path.write_text(text.replace("<manifest ", f'<manifest package="{EXPECTED["package"]}" ', 1))
    run("aapt", "package", "-f", "-M", manifest_path, "-S", sources / "res", "-I", FRAMEWORK, "-F", out)


def sign_package(unsigned: Path, signed: Path, folder: Path) -> None:
    """Sign as `docs/android.md` tells."""
    keystore, aligned = folder / "test.keystore", folder / "aligned.apk"
    run(
        *("keytool", "-genkeypair", "-keystore", keystore, "-alias", "tussis", "-keyalg", "EC", "-groupname"),
        *("secp256r1", "-validity", "1", "-storepass", "password", "-dname", "CN=test"),
    )
    run("zipalign", "-f", "4", unsigned, aligned)
    run(
        *("apksigner", "sign", "--ks", keystore, "--ks-pass", "pass:password", "--min-sdk-version", "24"),
        *("--out", signed, aligned),
    )


def run(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_hook_adds_to_a_manifest_and_leaves_a_complete_one(tmp_path):
    hook = load_hook()
    path = tmp_path / "AndroidManifest.xml"
    path.write_text(
        f'<manifest xmlns:android="{hook.ANDROID}"><!-- kept --><application><activity/></application></manifest>'
    )
    hook.complete_manifest(path)
    once = path.read_bytes()
    hook.complete_manifest(path)
    assert path.read_bytes() == once and b"kept" in once
    assert once.count(b"org.tussis.app.RecorderService") == 1


def test_the_hook_refuses_a_manifest_that_it_does_not_know(tmp_path):
    path = tmp_path / "AndroidManifest.xml"
    path.write_text("<manifest/>")
    with pytest.raises(SystemExit, match="has no <application>"):
        load_hook().complete_manifest(path)


def load_hook() -> Any:
    location = importlib.util.spec_from_file_location("hook", PACKAGING / "hook.py")
    hook = importlib.util.module_from_spec(location)
    location.loader.exec_module(hook)
    return hook
