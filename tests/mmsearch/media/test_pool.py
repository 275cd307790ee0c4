"""The decode pool: order, limits, and workers that are lost."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsearch.errors import MediaError
from mmsearch.media import (
    Decoded,
    DecodePool,
    DecodeTask,
    Failure,
    Limits,
    Preprocessing,
    SameContent,
    Stage,
    decode_picture,
    default_workers,
)
from mmsearch.media.decode import decode
from mmsearch.media.frames import Kind, Reason, Reply
from mmsearch.media.lane import PoolClosedError
from tests.pictures import photo_exif

# Loaded by each worker as `sitecustomize`, which Python imports at start from its import path. A file's first bytes
# then say what a broken decoder would do to the process.
HOSTILE_DECODER = """
import os, sys
from PIL import Image
genuine = Image.open

def hostile(fp, *args, **kwargs):
    head = fp.read(5)
    fp.seek(0)
    if head == b"ABORT":
        os.abort()
    if head == b"HANGS":
        while True:
            pass
    if head == b"EATS!":
        return bytearray(1 << 40)
    if head == b"EXITS":
        os._exit(3)
    if head == b"CHATS":
        os.write(2, b"complaint" * 100_000)
        raise SyntaxError("not understood")
    return genuine(fp, *args, **kwargs)

Image.open = hostile
"""


def tasks_of(folder: Path) -> list[DecodeTask]:
    return [DecodeTask(path=path, key=path.name) for path in sorted(folder.iterdir())]


def level_of(outcome: Decoded | SameContent | Failure) -> int:
    assert isinstance(outcome, Decoded)
    return int(outcome.pixels[0, 0, 0])


@pytest.fixture
def hostile_decoder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "sitecustomize.py").write_text(HOSTILE_DECODER)
    monkeypatch.syspath_prepend(folder)


def test_outcome_holds_pixels_and_the_state_of_the_file(
    photo: Image.Image, tmp_path: Path, preprocessing: Preprocessing
) -> None:
    path = tmp_path / "photo.jpg"
    photo.save(path, quality=95, exif=photo_exif())
    os.utime(path, ns=(5, 1_234_567_891))
    data = path.read_bytes()
    with DecodePool(preprocessing, workers=1) as pool:
        (found,) = pool.map([DecodeTask(path=path, key="photo.jpg")])
    assert isinstance(found, Decoded)
    np.testing.assert_array_equal(found.pixels, preprocessing.prepare(decode_picture(data, min_side=32)))
    assert (found.width, found.height) == (120, 80)
    assert (found.size_bytes, found.mtime_ns) == (len(data), 1_234_567_891)
    assert found.sha256 == hashlib.sha256(data).digest()
    assert found.exif == decode(data, limits=Limits(), min_side=None).exif
    assert found.exif.camera == "NIKON D850"


@pytest.mark.parametrize("workers", [1, 3])
def test_outcomes_come_in_order_with_failures_between(
    folder_of_squares: Path, preprocessing: Preprocessing, workers: int
) -> None:
    for level in range(0, 40, 3):
        (folder_of_squares / f"{level:02}.png").write_bytes(b"spoiled")
    with DecodePool(preprocessing, workers=workers) as pool:
        outcomes = list(pool.map(tasks_of(folder_of_squares) * 3))
    assert len(outcomes) == 120
    for level, outcome in zip(list(range(40)) * 3, outcomes, strict=True):
        if level % 3 == 0:
            assert isinstance(outcome, Failure)
            assert (outcome.key, outcome.stage) == (f"{level:02}.png", Stage.DECODE)
            assert outcome.error == "UnidentifiedImageError"
        else:
            assert level_of(outcome) == level


def test_pool_can_be_mapped_again_and_after_a_map_was_left(
    folder_of_squares: Path, preprocessing: Preprocessing
) -> None:
    tasks = tasks_of(folder_of_squares)
    with DecodePool(preprocessing, workers=2) as pool:
        left = pool.map(tasks)
        assert level_of(next(left)) == 0
        left.close()  # type: ignore[attr-defined]  # a generator
        assert [level_of(outcome) for outcome in pool.map(tasks)] == list(range(40))


def test_tasks_are_drawn_lazily(folder_of_squares: Path, preprocessing: Preprocessing) -> None:
    drawn = 0

    def endless() -> Iterator[DecodeTask]:
        nonlocal drawn
        while True:
            drawn += 1
            yield DecodeTask(path=folder_of_squares / "07.png", key="07.png")

    with DecodePool(preprocessing, workers=2) as pool:
        outcomes = pool.map(endless())
        assert [level_of(next(outcomes)) for _ in range(100)] == [7] * 100
    assert 100 <= drawn <= 100 + 64


def test_known_content_is_recognised_without_decoding(folder_of_squares: Path, preprocessing: Preprocessing) -> None:
    spoiled = folder_of_squares / "spoiled.png"
    spoiled.write_bytes(b"no picture at all")  # decoding it would fail, so nothing was decoded
    digest = hashlib.sha256(b"no picture at all").digest()
    other = [hashlib.sha256(bytes([n])).digest() for n in range(10)]
    tasks = [
        DecodeTask(path=spoiled, key="spoiled.png", known=frozenset([*other, digest])),
        DecodeTask(path=folder_of_squares / "05.png", key="05.png", known=frozenset(other)),
    ]
    with DecodePool(preprocessing, workers=1) as pool:
        same, fresh = pool.map(tasks)
    expected = SameContent(sha256=digest, size_bytes=17, mtime_ns=spoiled.stat().st_mtime_ns)
    assert same == expected
    assert level_of(fresh) == 5


def test_huge_requests_do_not_block_the_pipes(folder_of_squares: Path, preprocessing: Preprocessing) -> None:
    many = frozenset(n.to_bytes(32, "big") for n in range(20_000))  # ten times what a pipe holds
    tasks = [
        DecodeTask(path=task.path, key=task.key, known=many if n % 2 else frozenset())
        for n, task in enumerate(tasks_of(folder_of_squares))
    ]
    with DecodePool(preprocessing, workers=2) as pool:
        assert [level_of(outcome) for outcome in pool.map(tasks)] == list(range(40))


def test_pictures_larger_than_a_pipe_pass(folder_of_squares: Path) -> None:
    large = Preprocessing.from_json(
        {
            "size": 800,
            "resize_mode": "squash",
            "interpolation": "bilinear",
            "mean": [0, 0, 0],
            "std": [1, 1, 1],
        }
    )
    with DecodePool(large, workers=2) as pool:
        outcomes = list(pool.map(tasks_of(folder_of_squares)))
    assert [level_of(outcome) for outcome in outcomes] == list(range(40))
    assert all(isinstance(o, Decoded) and o.pixels.shape == (800, 800, 3) for o in outcomes)


def test_what_is_no_readable_file_is_a_failure_of_reading(tmp_path: Path, preprocessing: Preprocessing) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "big.jpg").write_bytes(b"x" * 1001)
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    names = ["fifo.jpg", "folder.jpg", "big.jpg", "loop.jpg", "gone.jpg", "n" * 300 + ".jpg", "nul\0.jpg"]
    expected = [
        ("MediaError", "it is a FIFO"),
        ("MediaError", "it is a folder"),
        ("MediaError", "it has 1,001 bytes, and the limit is 1,000"),
        ("OSError", "symbolic links"),
        ("FileNotFoundError", "No such file"),
        ("OSError", "name too long"),
        ("ValueError", "null byte"),
    ]
    with DecodePool(preprocessing, workers=1, limits=Limits(max_bytes=1_000)) as pool:
        outcomes = list(pool.map(DecodeTask(path=tmp_path / name, key=name) for name in names))
    for outcome, (error, message) in zip(outcomes, expected, strict=True):
        assert isinstance(outcome, Failure)
        assert (outcome.stage, outcome.error) == (Stage.READ, error)
        assert message in outcome.message


def test_names_of_any_bytes_reach_the_worker(tmp_path: Path, preprocessing: Preprocessing) -> None:
    names = [os.fsdecode(name) for name in (b"\xff\xfe.png", b"new\nline.png", b"-rf.png", b"n" * 251 + b".png")]
    for level, name in enumerate(names):
        Image.new("RGB", (8, 8), (level, level, level)).save(tmp_path / name)
    with DecodePool(preprocessing, workers=1) as pool:
        good = list(pool.map(DecodeTask(path=tmp_path / name, key="k") for name in names))
        (bad,) = pool.map([DecodeTask(path=tmp_path / os.fsdecode(b"gone\n\xff.png"), key="k")])
    assert [level_of(outcome) for outcome in good] == [0, 1, 2, 3]
    assert isinstance(bad, Failure)
    assert bad.path.endswith("gone \\xff.png")


def test_relative_paths_are_meant_from_the_parents_folder(
    folder_of_squares: Path, preprocessing: Preprocessing, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DecodePool(preprocessing, workers=1) as pool:
        monkeypatch.chdir(folder_of_squares)
        (found,) = pool.map([DecodeTask(path=Path("09.png"), key="09.png")])
    assert level_of(found) == 9


@pytest.mark.usefixtures("hostile_decoder")
def test_crash_hang_and_greed_cost_one_file_each(folder_of_squares: Path, preprocessing: Preprocessing) -> None:
    bad = {
        3: (b"ABORT", "WorkerCrashed", "the decoder was killed by SIGABRT"),
        4: (b"EXITS", "WorkerCrashed", "the decoder ended with exit code 3"),
        11: (b"HANGS", "DecodeTimeout", "the decoder took longer than 0.7 s"),
        20: (b"EATS!", "MemoryError", "takes more memory than the limit, 2,000,000,000 bytes"),
        39: (b"ABORT", "WorkerCrashed", "the decoder was killed by SIGABRT"),
    }
    for level, (head, _, _) in bad.items():
        (folder_of_squares / f"{level:02}.png").write_bytes(head)
    limits = Limits(timeout_s=0.7, memory_bytes=2_000_000_000)
    with DecodePool(preprocessing, workers=2, limits=limits) as pool:
        outcomes = list(pool.map(tasks_of(folder_of_squares)))
    assert len(outcomes) == 40
    for level, outcome in enumerate(outcomes):
        if level in bad:
            _, error, message = bad[level]
            assert isinstance(outcome, Failure)
            assert (outcome.key, outcome.stage, outcome.error) == (f"{level:02}.png", Stage.DECODE, error)
            assert message in outcome.message
        else:
            assert level_of(outcome) == level


@pytest.mark.usefixtures("hostile_decoder")
def test_complaints_of_a_decoder_do_not_reach_the_terminal(
    tmp_path: Path, preprocessing: Preprocessing, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loud.png").write_bytes(b"CHATS")
    with DecodePool(preprocessing, workers=1) as pool:
        (outcome,) = pool.map(tasks_of(tmp_path))
    assert isinstance(outcome, Failure)
    assert outcome.message == "damaged or unsupported: not understood"
    assert capfd.readouterr() == ("", "")


def test_idle_worker_that_is_killed_costs_no_file(folder_of_squares: Path, preprocessing: Preprocessing) -> None:
    tasks = tasks_of(folder_of_squares)
    with DecodePool(preprocessing, workers=1) as pool:
        list(pool.map(tasks[:1]))
        (before,) = pool.pids
        os.kill(before, signal.SIGKILL)
        os.waitid(os.P_PID, before, os.WEXITED | os.WNOWAIT)  # it is dead now, and the pool still finds out itself
        assert [level_of(outcome) for outcome in pool.map(tasks)] == list(range(40))
        assert pool.pids != (before,)


def test_stopped_worker_counts_as_hung(folder_of_squares: Path, preprocessing: Preprocessing) -> None:
    tasks = tasks_of(folder_of_squares)
    with DecodePool(preprocessing, workers=1, limits=Limits(timeout_s=0.5)) as pool:
        list(pool.map(tasks[:1]))
        os.kill(pool.pids[0], signal.SIGSTOP)
        hung, *good = pool.map(tasks)
    assert isinstance(hung, Failure)
    assert (hung.key, hung.error) == ("00.png", "DecodeTimeout")
    assert [level_of(outcome) for outcome in good] == list(range(1, 40))


def test_workers_ignore_ctrl_c(folder_of_squares: Path, preprocessing: Preprocessing) -> None:
    tasks = tasks_of(folder_of_squares)
    with DecodePool(preprocessing, workers=2) as pool:
        list(pool.map(tasks))
        before = pool.pids
        for pid in before:
            os.kill(pid, signal.SIGINT)
            assert os.getpgid(pid) != os.getpgid(0)
        assert [level_of(outcome) for outcome in pool.map(tasks)] == list(range(40))
        assert pool.pids == before


@pytest.mark.usefixtures("hostile_decoder")
def test_closing_in_the_middle_of_a_hang_is_prompt(tmp_path: Path, preprocessing: Preprocessing) -> None:
    for n in range(6):
        (tmp_path / f"{n}.png").write_bytes(b"HANGS")
    pool = DecodePool(preprocessing, workers=2, limits=Limits(timeout_s=600))

    def then_close() -> Iterator[DecodeTask]:
        yield from tasks_of(tmp_path)
        pool.close()

    with pytest.raises(PoolClosedError, match="closed before this picture was decoded"):
        list(pool.map(then_close()))
    assert pool.pids == ()
    with pytest.raises(PoolClosedError, match="open another pool"):
        list(pool.map(tasks_of(tmp_path)))
    pool.close()


def test_worker_that_cannot_start_is_an_error_of_the_run_not_of_the_file(
    folder_of_squares: Path,
    preprocessing: Preprocessing,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = tmp_path_factory.mktemp("broken")
    (broken / "PIL.py").write_text("raise ImportError('this Pillow is broken')")
    monkeypatch.syspath_prepend(broken)
    with (
        DecodePool(preprocessing, workers=2) as pool,
        pytest.raises(MediaError, match=r"cannot start: (?s:.*)exit code 1; (?s:.*)this Pillow is broken"),
    ):
        list(pool.map(tasks_of(folder_of_squares)))


PARENT = """
import os, sys
from pathlib import Path
from mmsearch.media import DecodePool, DecodeTask, Preprocessing
preprocessing = Preprocessing.from_json({"size": 32, "resize_mode": "squash", "interpolation": "bilinear",
                                         "mean": [0, 0, 0], "std": [1, 1, 1]})
pool = DecodePool(preprocessing, workers=2)
outcomes = list(pool.map([DecodeTask(path=Path(sys.argv[1]), key="a")] * 4))
assert [int(o.pixels[0, 0, 0]) for o in outcomes] == [7] * 4
print(*pool.pids, flush=True)
if sys.argv[2] == "wait":
    sys.stdin.read()
"""


def has_ended(pid: int) -> bool:
    """True for a process that is gone or dead and not yet reaped."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for foreign processes by pidfd, which Linux has")
@pytest.mark.parametrize("death", ["killed", "left without closing the pool"])
def test_workers_end_with_their_parent(folder_of_squares: Path, tmp_path: Path, death: str) -> None:
    """The script has no ``__main__`` guard and is fed through ``-c``, from a folder that is not the checkout."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, folder_of_squares / "07.png", "wait" if death == "killed" else "end"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
    )
    with parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        watched = [os.pidfd_open(pid) for pid in pids if not has_ended(pid)]
        if death == "killed":
            assert len(watched) == 2
            parent.kill()
    assert parent.returncode == (-signal.SIGKILL if death == "killed" else 0)
    assert len(pids) == 2
    for descriptor in watched:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        assert ended.poll(20_000), "a worker outlives its parent"
        os.close(descriptor)


def test_workers_load_nothing_large(preprocessing: Preprocessing, folder_of_squares: Path) -> None:
    with DecodePool(preprocessing, workers=1) as pool:
        list(pool.map(tasks_of(folder_of_squares)))
        maps = Path(f"/proc/{pool.pids[0]}/maps")
        if not maps.exists():
            pytest.skip("looks into /proc, which Linux has")
        loaded = maps.read_text()
    assert "_imaging" in loaded
    for name in ("arrow", "torch", "faiss", "onnxruntime", "tokenizers"):
        assert name not in loaded


def test_replies_and_reasons_survive_the_wire() -> None:
    reply = Reply(Kind.PIXELS, 30_000, 1, 1 << 40, -(1 << 50), bytes(range(32)), 150_528)
    assert Reply.unpack(reply.pack()) == reply
    reason = Reason(stage=Stage.READ, error="OSError", message="naïve — 写真")
    assert Reason.unpack(reason.pack()) == reason


def test_pool_refuses_no_workers(preprocessing: Preprocessing) -> None:
    with pytest.raises(ValueError, match="workers is 0"):
        DecodePool(preprocessing, workers=0)
    assert 1 <= default_workers() <= 32


def test_a_successor_that_dies_while_requests_are_sent_again_costs_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmsearch.media import Interpolation, ResizeMode, lane, process

    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path in paths:
        Image.new("RGB", (16, 16), "red").save(path)
    sent: list[int] = []
    send = process.WorkerProcess.send

    def dying(worker: process.WorkerProcess, request: bytes) -> None:
        sent.append(worker.pid)
        if len(sent) in (3, 4):  # the last of the first window, and the first that goes to the successor
            worker.kill()
            if len(sent) == 4:
                raise BrokenPipeError
        send(worker, request)

    monkeypatch.setattr(lane.WorkerProcess, "send", dying)
    preprocessing = Preprocessing(
        size=8,
        resize_mode=ResizeMode.SQUASH,
        interpolation=Interpolation.BILINEAR,
        mean=(0, 0, 0),
        std=(1, 1, 1),
    )
    with DecodePool(preprocessing, workers=1) as pool:
        outcomes = list(pool.map([DecodeTask(path=path, key=path.name) for path in paths]))
    assert len(outcomes) == 4
    assert isinstance(outcomes[-1], Decoded)
