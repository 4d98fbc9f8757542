"""Files of models: whether they are whole, taking them over, and models of the user's own."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from furrow.core.errors import Cancelled, ModelError
from furrow.core.monitor import Monitor
from furrow.models.segmenters import file_hash as file_hash_module
from furrow.models.segmenters import model_folder
from furrow.models.segmenters.catalogue import ENTRY_FILE, read_catalogue
from furrow.models.segmenters.file_hash import file_hash
from furrow.models.segmenters.model_folder import ModelFolder
from furrow.tests.models.segmenters.made_up_models import (
    CONTENT,
    entry_of,
    file_for,
    write_pair,
)

OTHER = CONTENT[:-1] + b"!"
FIELD = read_catalogue()[0]


@pytest.fixture
def folder(tmp_path) -> ModelFolder:
    return ModelFolder(tmp_path / "models of mine")


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    path = tmp_path / "Été.pth"
    path.write_bytes(CONTENT)
    return path


def put(folder: ModelFolder, content: bytes = CONTENT, entry=None) -> Path:
    """The first file of an entry with some content."""
    entry = entry or entry_of()
    path = folder.path_of(entry, entry.files[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def stopped_after(checks: int) -> Monitor:
    """A monitor of a user who asks to stop."""
    left = [checks]

    def cancelled() -> bool:
        left[0] -= 1
        return left[0] < 0

    return Monitor(cancelled)


def one_sentence(error: Exception, *words: str) -> None:
    text = str(error)
    assert "\n" not in text and re.findall(r"[.!?](?=\s|$)", text) == ["."] and text.endswith(".")
    for word in words:
        assert word in text, text


def everything_in(folder: Path) -> set:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# -- are they whole ----------------------------------------------------------------------------


def test_where_files_are(folder) -> None:
    entry = entry_of()
    assert folder.path_of(entry, entry.files[0]) == folder.folder / "small" / "small.pth"
    assert folder.paths_of(FIELD)[0].parent.name == "weights" and folder.present(FIELD)
    assert not folder.present(entry)
    put(folder)
    assert folder.present(entry)


def test_files_that_are_whole(folder) -> None:
    put(folder)
    shares = []
    folder.verify(entry_of(), Monitor(progress=shares.append))
    folder.verify(entry_of())
    assert shares[-1] == 1 and shares == sorted(shares)
    folder.verify(FIELD)


def test_an_unknown_hash_and_size_are_taken_as_they_are(folder) -> None:
    file = file_for(CONTENT)
    plain = type(file)(file.role, file.name, "", 0, "")
    put(folder, OTHER)
    assert folder.present(entry_of(plain))
    folder.verify(entry_of(plain))


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "is missing"), (CONTENT[:-1], "7999 bytes instead of 8000"), (OTHER, "SHA-256")],
)
@pytest.mark.parametrize("monitor", [model_folder.SILENT, Monitor()])
def test_files_that_are_not_whole(folder, content, words, monitor) -> None:
    if content is not None:
        put(folder, content)
    with pytest.raises(ModelError) as caught:
        folder.verify(entry_of(), monitor)
    one_sentence(caught.value, "small.pth", "Small", words, "again in the model manager")


def test_what_to_do_depends_on_where_a_file_comes_from(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(model_folder, "WEIGHTS", tmp_path)
    with pytest.raises(ModelError, match="install Furrow again or choose the model classical"):
        folder.verify(FIELD)
    gated = next(entry for entry in read_catalogue() if entry.licence.gated)
    with pytest.raises(ModelError, match="choose the right file in the model manager"):
        folder.verify(gated)


def test_a_file_is_read_once_a_session_unless_it_changes(folder) -> None:
    path = put(folder)
    file_hash_module._hashed.cache_clear()
    for _ in range(3):
        folder.verify(entry_of())
    assert file_hash_module._hashed.cache_info().misses == 1
    path.write_bytes(OTHER)
    os.utime(path, (1, 1))
    with pytest.raises(ModelError):
        folder.verify(entry_of())


def test_with_a_monitor_a_file_is_read_in_any_case(folder) -> None:
    path = put(folder)
    status = path.stat()
    folder.verify(entry_of())
    path.write_bytes(OTHER)  # a disk that has gone bad: size and date are the same
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    folder.verify(entry_of())
    with pytest.raises(ModelError, match="SHA-256"):
        folder.verify(entry_of(), Monitor())


def test_verifying_can_be_stopped(folder) -> None:
    put(folder)
    with pytest.raises(Cancelled):
        folder.verify(entry_of(), stopped_after(0))


def test_a_file_that_cannot_be_read(tmp_path) -> None:
    for monitor in (model_folder.SILENT, Monitor()):
        with pytest.raises(ModelError) as caught:
            file_hash(tmp_path, monitor)
        one_sentence(caught.value, str(tmp_path), "cannot be read")


# -- taking over -------------------------------------------------------------------------------


def test_a_download_is_put_in_place(folder) -> None:
    entry = entry_of()
    put(folder, b"old")
    temporary = folder.folder / "small" / "small.pth.new"
    temporary.write_bytes(CONTENT)
    path = folder.place(entry, entry.files[0], temporary)
    assert path.read_bytes() == CONTENT and not temporary.exists()


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], OTHER, b"<html>Not found</html>", None])
def test_a_wrong_download_leaves_the_old_file(folder, tmp_path, content) -> None:
    entry, temporary = entry_of(), tmp_path / "new"
    path = put(folder, b"old")
    if content is not None:
        temporary.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        folder.place(entry, entry.files[0], temporary)
    one_sentence(caught.value, "small.pth", "download it again")
    assert path.read_bytes() == b"old" and not temporary.exists()


def test_a_folder_that_cannot_be_written_to_keeps_the_download(tmp_path) -> None:
    (tmp_path / "models").write_text("a file")
    folder, entry, temporary = ModelFolder(tmp_path / "models"), entry_of(), tmp_path / "new"
    temporary.write_bytes(CONTENT)
    with pytest.raises(ModelError) as caught:
        folder.place(entry, entry.files[0], temporary)
    one_sentence(caught.value, "cannot be written", "another folder")
    assert temporary.exists()
    with pytest.raises(ModelError, match="cannot be written"):
        folder.take(entry, [temporary])
    with pytest.raises(ModelError, match="cannot be written"):
        folder.add_own([_renamed(temporary, "own.pth")], "Own", copy=True)


def _renamed(path: Path, name: str) -> Path:
    return path.rename(path.with_name(name))


def test_files_that_the_user_has_are_copied(folder, checkpoint, tmp_path) -> None:
    files = (file_for(CONTENT, "encoder", "e.onnx"), file_for(b"short", "decoder", "d.onnx"))
    entry = entry_of(*files, engine="onnx")
    (tmp_path / "renamed").write_bytes(b"short")
    shares = []
    folder.take(entry, [tmp_path / "renamed", checkpoint], Monitor(progress=shares.append))
    folder.verify(entry)
    assert shares[-1] == 1 and checkpoint.exists()
    assert everything_in(folder.folder) == {"small", "small/e.onnx", "small/d.onnx"}


@pytest.mark.parametrize("content", [OTHER, b"short"])
def test_files_that_are_others(folder, tmp_path, content) -> None:
    (tmp_path / "small.pth").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        folder.take(entry_of(), [tmp_path / "small.pth"])
    one_sentence(caught.value, "small.pth")
    assert (tmp_path / "small.pth").exists()
    assert not folder.folder.exists() or everything_in(folder.folder) == {"small"}


def test_copying_can_be_stopped(folder, checkpoint) -> None:
    with pytest.raises(Cancelled):
        folder.take(entry_of(), [checkpoint], stopped_after(0))
    with pytest.raises(Cancelled):
        folder.add_own([checkpoint], "Own", True, stopped_after(0))
    assert everything_in(folder.folder) == {"small"}


def test_removing(folder) -> None:
    entry, path = entry_of(), put(folder)
    path.with_name("small.pth.part").write_bytes(b"half")
    path.with_name("notes.txt").write_text("the user's")
    folder.remove(entry)
    assert everything_in(folder.folder) == {"small", "small/notes.txt"}
    path.with_name("notes.txt").unlink()
    put(folder)
    folder.remove(entry)
    folder.remove(entry)  # nothing is left to do
    assert everything_in(folder.folder) == set()


def test_what_ships_cannot_be_removed(folder) -> None:
    with pytest.raises(ModelError) as caught:
        folder.remove(FIELD)
    one_sentence(caught.value, "part of Furrow")
    assert folder.present(FIELD)


def test_a_file_that_cannot_be_removed(folder, monkeypatch) -> None:
    put(folder)

    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "unlink", refuse)  # as Windows does while a file is open
    with pytest.raises(ModelError) as caught:
        folder.remove(entry_of())
    one_sentence(caught.value, "small.pth", "Permission denied", "try again")


# -- the user's own ----------------------------------------------------------------------------


def test_a_checkpoint_is_copied(folder, checkpoint) -> None:
    entry = folder.add_own([checkpoint], "  Fields, été\n2024 ", copy=True)
    assert (entry.id, entry.engine) == ("own-fields-ete-2024", "torch")
    assert entry.title == "Fields, été 2024"
    assert entry.own and not entry.default and entry.files[0].sha256 and entry.files[0].path == ""
    assert folder.own_entries() == (entry,) and folder.troubles == ()
    folder.verify(entry)
    checkpoint.unlink()
    assert folder.present(entry)
    folder.remove(entry)
    assert folder.own_entries() == () and everything_in(folder.folder) == set()


@pytest.mark.parametrize("copy", [True, False])
def test_a_checkpoint_s_config_comes_with_it(folder, checkpoint, copy) -> None:
    config = checkpoint.with_name("config.json")
    config.write_text('{"model_type": "sam2"}', encoding="utf-8")
    entry = folder.add_own([checkpoint], "Mine", copy)
    assert [file.role for file in entry.files] == ["checkpoint", "data"]
    assert folder.own_entries() == (entry,)
    kept = folder.folder / entry.id if copy else checkpoint.parent
    assert folder.paths_of(entry) == (kept / checkpoint.name, kept / config.name)
    assert (kept / config.name).read_bytes() == config.read_bytes()
    folder.remove(entry)
    assert everything_in(folder.folder) == set() and config.exists()


def test_a_checkpoint_is_used_in_place(folder, checkpoint, monkeypatch) -> None:
    monkeypatch.chdir(checkpoint.parent)
    entry = folder.add_own([Path(checkpoint.name)], "", copy=False)
    assert entry.title == "Été" and folder.paths_of(entry) == (checkpoint,)
    assert folder.own_entries() == (entry,)
    checkpoint.write_bytes(b"trained on")  # the user's newer file is as good
    folder.verify(entry)
    folder.remove(entry)
    assert checkpoint.exists() and folder.own_entries() == ()


def test_ids_are_never_taken_twice(folder, checkpoint) -> None:
    titles = ["Mine", "mine!", "MINE", "模型", "???"]
    ids = [folder.add_own([checkpoint], title, copy=False).id for title in titles]
    assert ids == ["own-mine", "own-mine-2", "own-mine-3", "own-model", "own-model-2"]
    assert [entry.id for entry in folder.own_entries()] == sorted(ids)


def test_the_folder_can_be_copied_to_another_computer(folder, checkpoint, tmp_path) -> None:
    entry = folder.add_own([checkpoint], "Mine", copy=True)
    put(folder)
    moved = ModelFolder(tmp_path / "elsewhere")
    shutil.move(folder.folder, moved.folder)
    assert moved.own_entries() == (entry,)
    moved.verify(entry)
    moved.verify(entry_of())


@pytest.mark.parametrize("chosen", [(0, 1), (1, 0), (0,), (1,), None])
@pytest.mark.parametrize("copy", [True, False])
def test_an_onnx_pair(folder, tmp_path, chosen, copy) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "pair").mkdir()
    pair = write_pair(tmp_path / "pair", weights="sam.encoder.weights")
    paths = [tmp_path / "pair"] if chosen is None else [pair[k] for k in chosen]
    entry = folder.add_own(paths, "Pair", copy)
    assert entry.engine == "onnx" and folder.own_entries() == (entry,)
    assert [file.role for file in entry.files] == ["encoder", "decoder", "data"]
    names = [*(path.name for path in pair), "sam.encoder.weights"]
    assert [path.name for path in folder.paths_of(entry)] == names
    kept = folder.folder / entry.id if copy else tmp_path / "pair"
    assert {path.parent for path in folder.paths_of(entry)} == {kept}
    folder.verify(entry)


def test_a_pair_from_two_folders_with_one_name(folder, tmp_path) -> None:
    pytest.importorskip("onnx")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_pair(tmp_path / name, ("encoder.onnx", "model.onnx"))
    (tmp_path / "a" / "encoder.onnx").replace(tmp_path / "a" / "model.onnx")
    pair = [tmp_path / "a" / "model.onnx", tmp_path / "b" / "model.onnx"]
    entry = folder.add_own(pair[::-1], "Pair", copy=True)
    assert [file.name for file in entry.files] == ["0-encoder-model.onnx", "1-decoder-model.onnx"]
    assert folder.paths_of(entry)[0].read_bytes() == pair[0].read_bytes()
    assert folder.paths_of(folder.add_own(pair, "Pair", copy=False)) == tuple(pair)


def test_weights_in_a_folder_below_are_used_in_place_only(folder, tmp_path) -> None:
    pytest.importorskip("onnx")
    pair = write_pair(tmp_path, weights="weights/encoder.bin")
    with pytest.raises(ModelError) as caught:
        folder.add_own(pair, "Pair", copy=True)
    one_sentence(caught.value, "encoder.bin", "where it lies")
    assert folder.own_entries() == () and everything_in(folder.folder) == set()
    entry = folder.add_own(pair, "Pair", copy=False)
    assert folder.paths_of(entry)[2] == tmp_path / "weights" / "encoder.bin"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "Nothing is no model"),
        (["none.pth"], "does not exist"),
        (["a.zip"], "a.zip is no model"),
        (["a.pth", "b.pth"], "a.pth, b.pth is no model"),
        (["a.onnx"], "a.onnx"),
        (["empty"], "no encoder"),
    ],
)
def test_what_is_no_model(folder, tmp_path, names, words) -> None:
    for name in ("a.zip", "a.pth", "b.pth", "a.onnx"):
        (tmp_path / name).write_bytes(b"no model")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError) as caught:
        folder.add_own([tmp_path / name for name in names], "Mine", copy=True)
    one_sentence(caught.value, words)
    assert "MODEL" not in str(caught.value) and folder.own_entries() == ()


# -- entries from elsewhere --------------------------------------------------------------------


def damage(path: Path, **values: object) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"engine": "field"}, "one of onnx, torch"),
        ({"id": "own-other"}, "not the name of its folder"),
        ({"default": True}, "default"),
        ({"files": []}, "checkpoint"),
        ({"format": 2}, "format 1"),
        ({"title": 5}, "'title'"),
    ],
)
def test_a_damaged_entry_is_left_out_and_said(folder, checkpoint, values, words) -> None:
    good = folder.add_own([checkpoint], "Good", copy=False)
    bad = folder.add_own([checkpoint], "Bad", copy=False)
    damage(folder.folder / bad.id / ENTRY_FILE, **values)
    assert folder.own_entries() == (good,)
    (trouble,) = folder.troubles
    one_sentence(ModelError(trouble), "own-bad", "left out", words)
    folder.remove(bad)
    assert folder.own_entries() == (good,) and folder.troubles == ()


@pytest.mark.parametrize("content", [b"", b"[", b"\xff\xfe", b"[" * 99999, b"x" * 2**21, b"5"])
def test_bytes_that_are_no_entry(folder, content) -> None:
    path = folder.folder / "own-bad" / ENTRY_FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert folder.own_entries() == () and len(folder.troubles) == 1
    one_sentence(ModelError(folder.troubles[0]), "own-bad", ENTRY_FILE)


def test_an_own_model_never_takes_the_place_of_another(folder, checkpoint) -> None:
    entry = folder.add_own([checkpoint], "Mine", copy=True)
    damage(folder.folder / entry.id / ENTRY_FILE, id="mobile-sam")
    (folder.folder / entry.id).rename(folder.folder / "mobile-sam")
    assert folder.own_entries() == () and "mobile-sam" in folder.troubles[0]


def test_what_else_lies_in_the_folder_is_passed_over(folder) -> None:
    put(folder)
    (folder.folder / "readme.txt").write_text("hello")
    (folder.folder / ".half.tmp").mkdir()
    (folder.folder / ".half.tmp" / ENTRY_FILE).write_text("{")
    assert folder.own_entries() == () and folder.troubles == ()
