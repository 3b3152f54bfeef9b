import shutil
import subprocess

import pytest

from benchmarks.phone.adb import Listed, Phone, PhoneError, PhoneLostError, choose_phone, find_adb, list_phones
from core.errors import TussisError
from tests.benchmarks.phone.fake_adb import SERIAL, write_program

OTHER = "emulator-5554"
NASTY = ["a b", "c'd", 'e"f', "$HOME", "`id`", ";exit 7", "*", "", "\\", "-n", "ü\n2", "&& false", "#"]


@pytest.fixture
def real_adb(tmp_path, monkeypatch):
    """The real adb with a server of its own, ended after the test."""
    adb = shutil.which("adb")
    if adb is None:
        pytest.skip("there is no adb on PATH (the Debian package adb)")
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "50379")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    yield adb
    subprocess.run([adb, "kill-server"], capture_output=True, check=False)


def test_the_only_phone_that_is_ready_is_chosen(plug):
    plug(devices=[[OTHER, "offline"], [SERIAL, "device"]])
    assert list_phones(find_adb()) == [Listed(OTHER, "offline"), Listed(SERIAL, "device")]
    assert choose_phone().serial == SERIAL


def test_without_adb_the_sentence_names_the_debian_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PhoneError, match="Debian package adb"):
        choose_phone()


@pytest.mark.parametrize(
    ("devices", "sentence"),
    [
        ([], "USB debugging"),
        ([[SERIAL, "unauthorized"]], "allow USB debugging"),
        ([[SERIAL, "offline"]], "plug it in again"),
        ([[SERIAL, "bootloader"]], "start it into Android"),
        ([[SERIAL, "no permissions (missing udev rules?); see [http://developer.android.com]"]], "udev"),
        ([[SERIAL, "device"], [OTHER, "device"]], f"{SERIAL}, {OTHER}; say which with --serial"),
        ([[SERIAL, "asleep"]], "not understood"),
    ],
)
def test_a_phone_that_cannot_be_used_is_one_sentence_with_the_remedy(plug, devices, sentence):
    plug(devices=devices)
    with pytest.raises(PhoneError) as refused:
        choose_phone()
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_a_serial_number_chooses_and_one_that_is_not_there_is_refused_with_those_that_are(plug, monkeypatch):
    plug(devices=[[SERIAL, "device"], [OTHER, "device"]])
    assert choose_phone(OTHER).serial == OTHER
    with pytest.raises(PhoneError, match=f"'?no-such'?; adb sees: {SERIAL} \\(device\\), {OTHER}"):
        choose_phone("no-such")
    monkeypatch.setenv("ANDROID_SERIAL", SERIAL)
    assert choose_phone().serial == SERIAL


@pytest.mark.parametrize("old", [False, True])
def test_arguments_reach_the_phone_as_they_are(plug, old):
    plug(old=old)
    answer = choose_phone().run(["printf", "<%s>\\n", *NASTY])
    assert answer.status == 0
    assert answer.text == "".join(f"<{argument}>\n" for argument in NASTY)


@pytest.mark.parametrize("old", [False, True])
def test_the_exit_status_and_the_errors_of_a_command_come_back_from_every_android(plug, old):
    plug(old=old)
    answer = choose_phone().run_script("echo said; echo complained >&2; exit_with() { return 42; }; exit_with")
    assert (answer.text.splitlines(), answer.status) == (["said", "complained"], 42)
    with pytest.raises(PhoneError, match="no-such-program"):
        choose_phone().read(["no-such-program"])


def test_files_go_there_and_back_unchanged(plug, tmp_path):
    phone_folder, _ = plug()
    phone = choose_phone()
    sent, back = tmp_path / "sent file", tmp_path / "back"
    sent.write_bytes(bytes(range(256)) * 100)
    phone.push(sent, "/data/local/tmp/it")
    assert (phone_folder / "data/local/tmp/it").read_bytes() == sent.read_bytes()
    phone.pull("/data/local/tmp/it", back)
    assert back.read_bytes() == sent.read_bytes()
    with pytest.raises(PhoneError, match="No such file or directory"):
        phone.pull("/data/local/tmp/none", back)


def test_a_file_that_arrives_altered_is_refused(plug, tmp_path):
    folder, _ = plug()
    write_program(folder / "system/bin/sha256sum", "#!/bin/sh\necho 00ff it\n")
    (tmp_path / "model").write_bytes(b"x")
    with pytest.raises(PhoneError, match="has another file than was sent as model: SHA-256 00ff it"):
        choose_phone().push(tmp_path / "model", "/data/local/tmp/model")


def test_a_full_phone_is_refused_with_what_adb_says(plug, tmp_path):
    plug(full=True)
    (tmp_path / "model").write_bytes(b"x")
    with pytest.raises(PhoneError, match="No space left on device") as refused:
        choose_phone().push(tmp_path / "model", "/data/local/tmp/model")
    assert not isinstance(refused.value, PhoneLostError)


def test_a_phone_that_is_unplugged_is_lost_and_not_a_failed_command(plug, tmp_path):
    folder, _ = plug()
    phone = choose_phone()
    (folder / "unplugged").touch()
    for use in (
        lambda: phone.run(["true"]),
        lambda: phone.pull("/data/local/tmp/it", tmp_path / "it"),
        lambda: phone.push(tmp_path / "path" / "adb", "/data/local/tmp/it"),
    ):
        with pytest.raises(PhoneLostError, match=f"{SERIAL} is gone; plug it in again"):
            use()


def test_a_phone_that_does_not_answer_in_time_is_lost(plug):
    plug(slow_s=30.0)
    with pytest.raises(PhoneLostError, match=r"did not answer within 0\.5 s"):
        choose_phone().run(["true"], timeout_s=0.5)


def test_garbage_is_refused_in_one_printable_sentence(plug):
    plug(garbage=True)
    with pytest.raises(PhoneLostError) as refused:
        choose_phone().run(["getprop"])
    assert str(refused.value).isprintable() and len(str(refused.value)) < 500


def test_an_adb_that_is_no_program_or_talks_nonsense_is_refused(tmp_path):
    broken, chatty = tmp_path / "broken", tmp_path / "chatty"
    broken.write_bytes(b"\x7fELF nothing")
    broken.chmod(0o755)
    write_program(chatty, "#!/bin/sh\necho hello\n")
    for adb, sentence in (
        (broken, "cannot be run"),
        (chatty, "it answers: hello"),
        (tmp_path / "none", "cannot be run"),
    ):
        with pytest.raises(PhoneError, match=sentence):
            list_phones(str(adb))


def test_the_real_adb_says_that_there_is_no_phone_and_is_understood(real_adb):
    if list_phones(real_adb):
        pytest.skip("a phone is connected")
    with pytest.raises(PhoneError, match="adb sees no phone"):
        choose_phone(adb=real_adb)
    with pytest.raises(PhoneError, match="no phone with the serial number none-such; adb sees: none"):
        choose_phone("none-such", real_adb)
    with pytest.raises(PhoneLostError, match="none-such is gone"):
        Phone(real_adb, "none-such").run(["true"])


def test_the_fake_answers_as_the_real_adb_does_where_there_is_no_phone(real_adb, plug):
    if list_phones(real_adb):
        pytest.skip("a phone is connected")
    plug(devices=[])
    for arguments in (["devices"], ["-s", "none-such", "shell", "true"], ["-s", "none-such", "pull", "/x", "x"]):
        real, fake = (
            subprocess.run([program, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
            for program in (real_adb, find_adb())
        )
        assert (real.returncode, real.stdout) == (fake.returncode, fake.stdout)
        assert ("not found" in real.stderr) == ("not found" in fake.stderr)


def test_every_refusal_is_an_error_of_tussis():
    assert issubclass(PhoneLostError, PhoneError) and issubclass(PhoneError, TussisError)
