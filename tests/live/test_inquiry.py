"""The helper process: it answers what it is asked, and whoever makes it wait is not waited for."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import pytest
from processes import until

from wxtrace.live import inquiry
from wxtrace.live.inquiry import Inquiries, Question, Steps
from wxtrace.live.recorder import Recorder
from wxtrace.live.task import Space, Task
from wxtrace.record.store import NewJournal


def pid_of_helper() -> int:
    return os.getpid()


def read_whole(path: str) -> bytes:
    return Path(path).read_bytes()


def read_descriptor(fd: int, size: int) -> bytes:
    return os.pread(fd, size, 0)


def fail() -> None:
    raise ValueError


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def big(size: int) -> bytes:
    return b"x" * size


@pytest.fixture
def inquiries(channel: List[socket.socket]) -> Iterator[Inquiries]:
    with tempfile.TemporaryFile() as journal:
        found = Inquiries(Recorder(NewJournal(journal.fileno(), None, False), channel[0]))
        yield found
        found.close()


class Asker:
    """Asks its questions one after the other, and keeps the answers."""

    def __init__(self, inquiries: Inquiries, *questions: Question, tid: int = 1) -> None:
        self.answers: List[Any] = []
        self.ended = False
        self.task = Task(tid, tid, Space(1))
        self._inquiries = inquiries
        inquiries.pursue(self.task, self._steps(questions), self._end)

    def _steps(self, questions: Tuple[Question, ...]) -> Steps:
        for question in questions:
            self.answers.append((yield question))

    def _end(self) -> None:
        self.ended = True

    def wait(self) -> List[Any]:
        def collected() -> bool:
            self._inquiries.collect()
            return self.ended

        until(collected, "no answer ever came")
        return self.answers


def test_questions_are_answered_in_a_process_that_is_no_child_of_ours(inquiries: Inquiries) -> None:
    [pid, again] = Asker(inquiries, Question(pid_of_helper, ()), Question(pid_of_helper, ())).wait()

    assert pid == again != os.getpid()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def test_the_task_stands_until_its_last_answer(inquiries: Inquiries) -> None:
    asker = Asker(inquiries, Question(pid_of_helper, ()))

    assert asker.task.inquired and inquiries
    asker.wait()
    assert not asker.task.inquired and not inquiries


def test_an_answer_of_many_megabytes(inquiries: Inquiries) -> None:
    assert Asker(inquiries, Question(big, (5_000_000,))).wait() == [big(5_000_000)]


def test_files_that_we_open_for_it(inquiries: Inquiries, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"contents")
    question = Question(read_descriptor, (4,), (str(path),))

    assert Asker(inquiries, question).wait() == [b"cont"]
    path.unlink()
    assert Asker(inquiries, question, Question(big, (1,))).wait() == [None, b"x"]


def test_nothing_of_ours_is_kept_open(inquiries: Inquiries, tmp_path: Path) -> None:
    """A pipe that a program waits to be closed would stay open with the helper."""
    reader, writer = os.pipe()
    Asker(inquiries, Question(pid_of_helper, ())).wait()
    os.close(writer)

    assert os.read(reader, 1) == b""
    os.close(reader)


@pytest.mark.parametrize("broken", [fail, end])
def test_what_goes_wrong_is_no_answer_and_the_next_question_is_answered(inquiries: Inquiries, broken: Any) -> None:
    assert Asker(inquiries, Question(broken, ()), Question(big, (1,))).wait() == [None, b"x"]


def test_who_makes_it_wait_is_given_up_and_others_are_answered(
    inquiries: Inquiries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiry, "PATIENCE", 0.2)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    waiting = Asker(inquiries, Question(read_whole, (str(pipe),)), Question(big, (2,)), tid=1)
    behind = Asker(inquiries, Question(big, (3,)), tid=2)

    assert behind.wait() == [b"xxx"]
    assert waiting.wait() == [None, b"xx"]


def test_a_helper_that_cannot_be_started_any_more_answers_nothing(
    inquiries: Inquiries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiry, "MOST_STARTS", 1)

    assert Asker(inquiries, Question(end, ()), Question(big, (1,))).wait() == [None, None]


def test_a_task_that_is_gone_is_written_down_without_answers(inquiries: Inquiries, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    asker = Asker(inquiries, Question(read_whole, (str(pipe),)), Question(big, (1,)))
    inquiries.forget(asker.task)

    assert asker.answers == [None, None]
    assert not asker.ended and not inquiries
