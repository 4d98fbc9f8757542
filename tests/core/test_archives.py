"""Archives are unpacked whole and within their folder, or not at all."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path

import pytest

from furrow.core.archives import unpack, unpack_all
from furrow.core.errors import ArchiveError, Cancelled
from furrow.core.monitor import Monitor

CONTENT = {"package/__init__.py": b"x = 1\n", "package/data/weights.bin": bytes(range(256)) * 400}


def packed(path: Path, content: dict, way: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", way) as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


def found(folder: Path) -> dict:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def changed(path: Path, old: bytes, new: bytes) -> Path:
    """What no honest tool writes."""
    assert len(old) == len(new)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


def refused(archive: Path, match: str, **options: object) -> None:
    """Unpacking fails with one sentence, and nothing is left of it, beside or outside."""
    folder = archive.parent / "out" / "new"
    before = found(archive.parent)
    with pytest.raises(ArchiveError, match=match) as told:
        unpack(archive, folder, **options)
    assert archive.name in str(told.value) and "\n" not in str(told.value)
    assert found(archive.parent) == before
    assert not folder.exists()
    assert not folder.parent.exists() or list(folder.parent.iterdir()) == []


@pytest.mark.parametrize("way", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", ["some.zip", "some-1.0-py3-none-any.whl"])
def test_everything_is_unpacked(tmp_path, way, name):
    shares = []
    archive = packed(tmp_path / name, CONTENT, way)
    unpack(archive, tmp_path / "a" / "b", monitor=Monitor(progress=shares.append))
    assert found(tmp_path / "a" / "b") == CONTENT
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_folders_without_files_and_files_without_bytes_arrive(tmp_path):
    unpack(packed(tmp_path / "a.zip", {"empty/": b"", "none.txt": b""}), tmp_path / "b")
    assert (tmp_path / "b" / "empty").is_dir()
    assert found(tmp_path / "b") == {"none.txt": b""}


def test_letters_of_any_language_stay(tmp_path):
    content = {"Äcker/поле/畑.txt": b"1", "naïve file (2).txt": b"2"}
    folder = tmp_path / "Bjørn's Felder" / "новый"
    unpack(packed(tmp_path / "grün.zip", content), folder)
    assert found(folder) == content


def test_the_folder_can_be_read_by_others(tmp_path):
    """Models may be shared on a computer."""
    (tmp_path / "usual").mkdir()
    unpack(packed(tmp_path / "a.zip", CONTENT), tmp_path / "new")
    mode = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "new")]
    assert mode[0] == mode[1]


def test_an_empty_folder_is_filled_and_a_full_one_stays(tmp_path):
    archive = packed(tmp_path / "a.zip", CONTENT)
    folder = tmp_path / "folder"
    folder.mkdir()
    unpack(archive, folder)
    assert found(folder) == CONTENT
    (folder / "package" / "__init__.py").write_text("mine")
    before = found(folder)
    with pytest.raises(ArchiveError, match="exists already"):
        unpack(archive, folder)
    with pytest.raises(ArchiveError, match="cannot be written"):
        unpack(archive, archive)
    assert found(folder) == before


def test_several_archives_share_a_folder(tmp_path):
    one = packed(tmp_path / "one.whl", {"shared/a.py": b"a", "one.py": b"1"})
    two = packed(tmp_path / "two.whl", {"shared/b.py": b"b"})
    unpack_all([one, two], tmp_path / "both")
    assert set(found(tmp_path / "both")) == {"shared/a.py", "shared/b.py", "one.py"}
    again = packed(tmp_path / "again.whl", {"shared/B.py": b"other"})
    with pytest.raises(ArchiveError, match="again.whl: 'shared/B.py' is there twice"):
        unpack_all([one, two, again], tmp_path / "three")
    assert not (tmp_path / "three").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt", "a/../../evil.txt", "a/../b.txt", "..", "./a.txt", "/etc/evil.txt",
        "//server/share/evil.txt", "C:evil.txt", "C:/evil.txt", "c:\\evil.txt", "..\\evil.txt",
        "a\\b.txt", "a//b.txt", "a.txt:stream", "con", "a/NUL.txt", "aux.tar.gz", "com1", "LPT9.x",
        "COM¹.txt", "CON .txt", "conin$", "end. ", "end.", "a/ /b", "bell\x07.txt", "what?.txt",
        "x" * 300,
    ],
)  # fmt: skip
def test_names_that_lead_outside_or_fit_no_system_are_refused(tmp_path, name):
    refused(packed(tmp_path / "a.zip", {"good.txt": b"1", name: b"2"}), "is no name for a file")


@pytest.mark.parametrize("name", ["console.txt", "auxiliary", "a.con", "com10", "..a", ".a", "a b"])
def test_names_that_only_look_alike_are_fine(tmp_path, name):
    unpack(packed(tmp_path / "a.zip", {name: b"1"}), tmp_path / "b")
    assert found(tmp_path / "b") == {name: b"1"}


def test_a_name_with_an_end_within_is_refused(tmp_path):
    """zipfile itself reads `ok.txt` there."""
    archive = packed(tmp_path / "a.zip", {"ok.txt#evil": b"1"})
    refused(changed(archive, b"ok.txt#evil", b"ok.txt\0evil"), "is no name for a file")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path, kind):
    entry = zipfile.ZipInfo("link")
    entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
    refused(packed(tmp_path / "a.zip", {entry: b"/etc/passwd"}), "is a link or a device")


def test_links_of_windows_are_refused(tmp_path):
    entry = zipfile.ZipInfo("link")
    entry.create_system, entry.external_attr = 0, 0x400
    refused(packed(tmp_path / "a.zip", {entry: b"C:\\Windows"}), "is a link or a device")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "names", [("a", "a"), ("a", "A"), ("ä", "a\u0308"), ("a", "a/b"), ("a/b", "a"), ("a/", "A")]
)
def test_two_entries_for_one_file_are_refused(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for name in names:
            file.writestr(name, b"")
    refused(tmp_path / "a.zip", "is there twice")


def test_passwords_are_refused(tmp_path):
    archive = packed(tmp_path / "a.zip", {"secret.txt": b"1"}, zipfile.ZIP_STORED)
    content = bytearray(archive.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(signature) + place
        content[at : at + 2] = struct.pack("<H", 1)
    archive.write_bytes(content)
    refused(archive, "is protected by a password")


def test_other_ways_of_packing_are_refused(tmp_path):
    refused(packed(tmp_path / "a.zip", CONTENT, zipfile.ZIP_BZIP2), "packed in a way that is not")


def test_bytes_that_have_changed_are_noticed(tmp_path):
    """The file in question is the last one, after others were written."""
    content = {**CONTENT, "last.txt": b"as it was made"}
    archive = packed(tmp_path / "a.zip", content, zipfile.ZIP_STORED)
    refused(changed(archive, b"as it was made", b"as it was, hm?"), "is damaged .*CRC")


def test_archives_that_end_early_are_noticed(tmp_path):
    archive = packed(tmp_path / "a.zip", CONTENT)
    whole = archive.read_bytes()
    for length in (0, 1, 30, len(whole) // 2, len(whole) - 1):
        archive.write_bytes(whole[:length])
        refused(archive, "is damaged")


def test_any_changed_byte_ends_in_a_sentence_or_the_same_files(tmp_path):
    content = {"a/one.txt": b"one" * 20, "two.txt": b"2"}
    archive = packed(tmp_path / "a.zip", content)
    whole = archive.read_bytes()
    for place in range(len(whole)):
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            unpack(archive, tmp_path / f"out{place}")
        except ArchiveError:
            assert not (tmp_path / f"out{place}").exists()
        else:
            # Names are not covered by a checksum.
            assert set(found(tmp_path / f"out{place}").values()) <= {*content.values(), b""}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_grows_too_large_is_refused_before_a_byte_is_written(tmp_path):
    bomb = packed(tmp_path / "a.zip", {f"{n}.bin": bytes(10**6) for n in range(10)})
    assert bomb.stat().st_size < 20_000
    refused(bomb, "10 files of 10.0 MB, more than the 9.5 MB", limit=9_500_000)
    unpack(bomb, tmp_path / "b", limit=10**7)


def test_a_size_that_is_a_lie_does_not_get_past_the_limit(tmp_path):
    """A million bytes that call themselves a thousand."""
    bomb = packed(tmp_path / "a.zip", {"a.bin": bytes(10**6)})
    size = struct.pack("<I", 10**6)
    refused(changed(bomb, size, struct.pack("<I", 1000)), "is damaged", limit=2000)


def test_what_no_disk_can_hold_is_refused(tmp_path):
    """Entries of 4 GB each, as they say."""
    archive = packed(tmp_path / "a.zip", {f"{n:04}": bytes(1000) for n in range(5000)})
    changed(archive, struct.pack("<I", 1000), struct.pack("<I", 0xFFFFFFF0))
    refused(archive, "more than the 4.0 GB")
    with pytest.raises(ArchiveError, match="no room for out; make [0-9.]+ GB free"):
        unpack(archive, tmp_path / "out", limit=10**14)


def test_cancelling_leaves_nothing(tmp_path):
    archive = packed(tmp_path / "a.zip", {f"{n}.txt": b"1" for n in range(50)})
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 20

    with pytest.raises(Cancelled):
        unpack(archive, tmp_path / "b", monitor=Monitor(cancelled=cancelled))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_an_archive_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ArchiveError, match=r"none\.zip cannot be read"):
        unpack(tmp_path / "none.zip", tmp_path / "b")
    with pytest.raises(ArchiveError, match="cannot be read"):
        unpack(tmp_path, tmp_path / "b")
    archive = packed(tmp_path / "a.zip", CONTENT)
    with pytest.raises(ArchiveError, match="cannot be written"):
        unpack(archive, archive / "b")
