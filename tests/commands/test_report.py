"""The report of a run: the same from journal and timeline, and with nobody's name in it when asked."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
from pathlib import Path
from typing import Callable, Dict

import pytest
from conftest import assert_valid
from processes import run_wxtrace

from wxtrace.commands.redaction import Redaction

Environment = Dict[str, str]


def redacted(text: str, *others: str) -> str:
    """As in a report that holds all of these."""
    redaction = Redaction()
    for seen in (text, *others):
        redaction.learn(seen)
    return redaction.apply(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/alice/.wine/drive_c", "/home/USER/.wine/drive_c"),
        ("--config=/home/alice", "--config=/home/USER"),
        ("exe=/home/alice, argv=alice-tool -u alice", "exe=/home/USER, argv=USER-tool -u USER"),
        ("C:\\users\\alice\\tool.exe", "C:\\users\\USER\\tool.exe"),
        ("/Users/alice/x", "/Users/USER/x"),
        ("/run/media/alice/disk", "/run/media/USER/disk"),
        ("/home/caf\udce9/x", "/home/USER/x"),
        ("malice and alices", "malice and alices"),
        ("C:\\users\\Public\\a.txt", "C:\\users\\Public\\a.txt"),
    ],
)
def test_people_are_taken_out_wherever_they_show(text: str, expected: str) -> None:
    assert redacted(text, "/home/alice/x") == expected


def test_the_own_home_and_host_are_known_without_being_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/srv/people/bob")
    monkeypatch.setenv("USER", "bobby")
    monkeypatch.setattr(socket, "gethostname", lambda: "vm.example.org")

    text = "/srv/people/bob/x bobby@vm vm.example.org vm.overcommit_memory /proc/sys/vm/max_map_count"
    assert redacted(text) == "/home/USER/x USER@HOST HOST vm.overcommit_memory /proc/sys/vm/max_map_count"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/mnt/buildbox/x buildbox_log", "/mnt/HOST/x HOST_log"),
        ("buildbox.corp.example.org and nas.corp.example.org", "HOST and HOST"),
        ("root@buildbox", "USER@HOST"),
        ("builder of buildboxes", "builder of buildboxes"),
    ],
)
def test_hosts_are_taken_out_wherever_they_show(monkeypatch: pytest.MonkeyPatch, text: str, expected: str) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "buildbox.corp.example.org")

    assert redacted(text) == expected


def test_homes_of_system_accounts_are_taken_out_and_common_folders_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = [("root", 0, "/root"), ("db", 101, "/var/lib/db"), ("bin", 2, "/bin"), ("www-data", 33, "/var/www")]
    entries = [pwd.struct_passwd((name, "x", uid, uid, "", home, "/bin/sh")) for name, uid, home in accounts]
    monkeypatch.setattr(pwd, "getpwall", lambda: entries)

    text = "/root/.ssh/id /var/lib/db/15/main /bin/sh /var/lib/dbus /var/www/x"
    assert redacted(text) == "/home/USER/.ssh/id /home/USER/15/main /bin/sh /var/lib/dbus /var/www/x"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mysql --password=hunter2 db", "mysql --password=SECRET db"),
        ("tool --token abcdefgh --verbose", "tool --token SECRET --verbose"),
        ("tool --password 'two words' x", "tool --password SECRET x"),
        ("java -Djavax.net.ssl.trustStorePassword=changeit", "java -Djavax.net.ssl.trustStorePassword=SECRET"),
        ("PGPASSWORD=geheim psql", "PGPASSWORD=SECRET psql"),
        ("http://x.example/?token=abc123&page=1", "http://x.example/?token=SECRET&page=1"),
        ("http://bobby:s3cret@x.example/y", "http://USER@HOST/y"),
        ("http://bobby:s3cret@10.0.0.1/y", "http://SECRET@10.0.0.1/y"),
        ("curl -u bobby:s3cret x", "curl -u USER:SECRET x"),
        ("-H Authorization: Bearer abcdefgh12345", "-H Authorization: Bearer SECRET"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "SECRET"),
        ("AKIAIOSFODNN7EXAMPLE", "SECRET"),
        ("--password=hunter2 in /run/hunter2.sock", "--password=SECRET in /run/SECRET.sock"),
        ("--no-pass --verbose", "--no-pass --verbose"),
        ("memfd_secret: not enabled (secretmem.enable=0)", "memfd_secret: not enabled (secretmem.enable=0)"),
        ("memcpy@GLIBC_2.14 in user@1000.service", "memcpy@GLIBC_2.14 in user@1000.service"),
    ],
)
def test_secrets_are_taken_out_where_something_says_that_they_are(text: str, expected: str) -> None:
    assert redacted(text) == expected


def test_an_argument_with_spaces_is_one_secret() -> None:
    redaction = Redaction()
    words = ["tool", "--password", "two words", "--key=x", "two words"]
    redaction.learn_arguments(words)

    assert redaction.apply_arguments(words) == ["tool", "--password", "SECRET", "--key=x", "SECRET"]


def test_what_was_hidden_is_said() -> None:
    redaction = Redaction()
    text = "/home/alice/x of alice --token=abcdef"
    redaction.learn(text)
    redaction.apply(text)

    assert redaction.told() == "users and home folders, 2 times, as USER; secrets, 1 time, as SECRET"
    assert Redaction().told() == "nothing (no user, host or secret was recognised)"


def test_an_address_hides_a_user_and_a_host_and_is_hidden_once() -> None:
    redaction = Redaction()
    text = "http://bobby:s3cret@x.example/y and carol@y.example"
    redaction.learn(text)
    hidden = redaction.apply(redaction.apply(text))

    assert hidden == "http://USER@HOST/y and USER@HOST"
    assert redaction.told() == (
        "users and home folders, 2 times, as USER; hosts, 2 times, as HOST; secrets, 1 time, as SECRET"
    )


@pytest.mark.trace
def test_no_name_is_left_in_a_redacted_timeline(
    program: Callable[..., Path], environment: Environment, tmp_path: Path
) -> None:
    home = tmp_path / "home" / "alice"
    home.mkdir(parents=True)
    tool = home / "alice_tool"
    shutil.copy(program("life_steps"), tool)
    traced = {**environment, "HOME": str(home), "USER": "alice"}
    words = ["--password", "two words", "http://alice:pw99@x.example/"]
    run_wxtrace(traced, "-q", "-o", tmp_path / "plain.json", "--", tool, *words, cwd=home, input="x")

    done = run_wxtrace(traced, "export", "--redact")
    again = run_wxtrace(traced, "export", "--redact", tmp_path / "plain.json")
    timeline, plain = json.loads(done.stdout), json.loads((tmp_path / "plain.json").read_text())
    assert_valid(timeline)
    assert done.stdout == again.stdout
    assert not [word for word in ("alice", "two words", "pw99") if word in done.stdout]
    assert timeline["command"]["argv"][1:3] == ["--password", "SECRET"]
    assert [event["call"] for event in timeline["events"]] == [event["call"] for event in plain["events"]]
    assert timeline["notes"][-1]["kind"] == "redacted"
    assert "wxtrace: hidden: users and home folders, " in done.stderr
    assert "hidden" in run_wxtrace(traced, "report", "--redact").stdout


@pytest.mark.trace
def test_no_name_is_left_in_a_report(program: Callable[..., Path], environment: Environment, tmp_path: Path) -> None:
    home = tmp_path / "home" / "alice"
    home.mkdir(parents=True)
    tool = home / "alice-tool"
    shutil.copy(program("life_steps"), tool)
    out = tmp_path / "run.json"
    traced = {**environment, "HOME": str(home), "USER": "alice"}
    done = run_wxtrace(traced, "-q", "-o", out, "--", tool, "/home/alice/x", socket.gethostname(), cwd=home, input="x")
    assert done.returncode == 0

    for form in ("text", "markdown"):
        shown = run_wxtrace(traced, "report", "--format", form, "--redact").stdout
        assert "mprotect" in shown and "/home/USER" in shown
        assert "alice" not in shown
        assert socket.gethostname() not in shown.split()
        assert not any(entry.pw_name in shown.split() for entry in pwd.getpwall() if entry.pw_uid == os.getuid() != 0)


@pytest.mark.trace
def test_journal_and_timeline_report_the_same(
    program: Callable[..., Path], environment: Environment, tmp_path: Path
) -> None:
    out = tmp_path / "run.json"
    run_wxtrace(environment, "-q", "-o", out, "--", program("life_steps"), input="xx")

    of_journal = run_wxtrace(environment, "report")
    of_timeline = run_wxtrace(environment, "report", out)
    assert of_journal.stdout == of_timeline.stdout
    assert "2 times" in of_timeline.stdout


@pytest.mark.trace
def test_a_foreign_timeline_cannot_write_to_the_terminal(
    program: Callable[..., Path], environment: Environment, tmp_path: Path
) -> None:
    out = tmp_path / "run.json"
    run_wxtrace(environment, "-q", "-o", out, "--", program("life_steps"), input="x")
    timeline = json.loads(out.read_text())
    evil = "\x1b]0;owned\x07\x1b[31m<script>`rm`</script>\u202e\n# heading"
    timeline["command"]["argv"] = [evil]
    timeline["processes"][0]["name"] = evil
    for event in timeline["events"]:
        if event["diagnosis"] is not None:
            event["diagnosis"].update(summary=evil, evidence=[{"fact": evil, "source": evil}])
            event["diagnosis"].update(refused_by=evil, fixes=[{"for": evil, "text": evil, "command": evil}])
    out.write_text(json.dumps(timeline))

    for form in ("text", "markdown"):
        shown = run_wxtrace(environment, "report", "--format", form, out).stdout
        assert shown and all(line.isprintable() for line in shown.splitlines())
        if form == "markdown":
            html = (
                pytest.importorskip("markdown_it", reason="comes with textual").MarkdownIt("commonmark").render(shown)
            )
            assert "<script>" not in html and "&lt;script&gt;" in html
            assert "\n# heading" not in shown


@pytest.mark.trace
def test_a_timeline_is_not_exported_again(environment: Environment, tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    run_wxtrace(environment, "-q", "-o", out, "--", "true")
    done = run_wxtrace(environment, "export", out)

    assert (done.returncode, done.stdout) == (125, "")
    assert "is a timeline already" in done.stderr


@pytest.mark.trace
def test_a_cut_record_does_not_say_how_the_program_ended(environment: Environment, tmp_path: Path) -> None:
    run_wxtrace(environment, "-q", "--", "true")
    (journal,) = Path(environment["XDG_STATE_HOME"]).glob("wxtrace/*.journal")
    cut = tmp_path / "cut.journal"
    whole = journal.read_bytes()
    cut.write_bytes(whole[: len(whole) * 3 // 4])

    shown = run_wxtrace(environment, "report", cut).stdout
    assert "not known: the record ends before" in shown
    assert "in the middle of a frame" in shown
