"""Windows are found again in memory, embeddings on disk, and a bad disk or file breaks nothing."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from furrow.core.fields.answering import EncodedWindow
from furrow.core.fields.segmenter import Embedding, Prompts
from furrow.core.imagery.grid import Window
from furrow.core.places import Places
from furrow.models.segmenters.embeddings.embedding_files import packed, unpacked
from furrow.models.segmenters.embeddings.embedding_store import EmbeddingStore, pixel_key, place_key
from furrow.models.segmenters.onnx_pairs import onnx_session
from furrow.models.segmenters.registry import Registry

REGISTRY = Registry(Places.under(Path("no-such-folder")))
MANY = 10**9
ABOUT_A_FILE = 1200
"""More than the bytes of a file besides its arrays, for `made`."""


def key_of(number: int) -> str:
    return pixel_key("model", np.full((2, 2, 3), number, np.uint8))


def made(number: int, size: int = 1000) -> Embedding:
    """Made up, of `size` bytes, and told from others by its values and its shape."""
    return Embedding("made-up", (10, number), {"values": np.full(size, number, np.uint8)})


def seen(number: int, size: int = 1000) -> EncodedWindow:
    """A window of `size` bytes with a made up embedding."""
    valid = np.ones((10, 10), bool)
    return EncodedWindow(Window(number, 0, 10, 10), made(number, size - 100), valid)


def number_of(found: Embedding) -> int:
    assert np.ptp(found.data["values"]) == 0
    assert found.data["values"][0] == found.shape[1]
    return found.shape[1]


def same(a: Embedding, b: Embedding) -> bool:
    data, other = a.data, b.data
    return (
        (a.model_id, a.shape) == (b.model_id, b.shape)
        and list(data) == list(other)
        and all(data[name].dtype == other[name].dtype for name in data)
        and all(np.array_equal(data[name], other[name]) for name in data)
    )


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def file_of(folder: Path, number: int) -> Path:
    return folder / f"{key_of(number)}.npz"


def landscape(side: int = 200) -> np.ndarray:
    """Square fields of different colours with dark margins."""
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[0:side, 0:side]
    numbers = 1 + (rows // 40) * 40 + columns // 40
    numbers[(rows % 40 < 2) | (columns % 40 < 2)] = 0
    colours = rng.integers(70, 200, (numbers.max() + 1, 3))
    return np.clip(colours[numbers] + rng.normal(0, 5, (side, side, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module", params=["classical", "furrow-field", "furrow-field-fast"])
def encoded(request):
    """What an engine has really made of a picture."""
    if request.param != "classical" and not onnx_session.available():
        pytest.skip("onnxruntime is not installed")
    return REGISTRY.load(request.param).encode(landscape())


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own with 1 MB of room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


class TestKeys:
    def test_a_key_is_sha_256(self) -> None:
        assert re.fullmatch("[0-9a-f]{64}", key_of(1))
        assert re.fullmatch("[0-9a-f]{64}", place_key("image", "model", Window(1, 2, 3, 4)))

    def test_every_part_of_a_place_counts(self) -> None:
        keys = {
            place_key(image, model, window)
            for image in ("a", "ab")
            for model in ("c", "bc")
            for window in (Window(1, 2, 3, 4), Window(12, 3, 4, 5), Window(1, 23, 4, 5))
        }
        assert len(keys) == 12

    def test_numbers_of_numpy_are_numbers(self) -> None:
        window = Window(*np.array([1, 2, 3, 4]))
        assert place_key("a", "b", window) == place_key("a", "b", Window(1, 2, 3, 4))

    def test_every_pixel_the_shape_and_the_model_count(self) -> None:
        image = landscape(40)
        other = image.copy()
        other[39, 39, 2] ^= 1
        pictures = (image, other, image.reshape(20, 80, 3), image[::-1], image[:39])
        keys = {pixel_key(model, shown) for model in ("a", "b") for shown in pictures}
        assert len(keys) == 10

    def test_only_the_pixels_count(self) -> None:
        image = landscape(40)
        assert pixel_key("a", np.asfortranarray(image)) == pixel_key("a", image.copy())
        wide = np.zeros((40, 80, 3), np.uint8)
        wide[:, ::2] = image
        assert pixel_key("a", wide[:, ::2]) == pixel_key("a", image)

    def test_a_hash_takes_no_time(self) -> None:
        image = landscape()
        start = time.perf_counter()
        for _ in range(20):
            pixel_key("model", image)
        assert (time.perf_counter() - start) / 20 < 0.002

    def test_no_other_name_reaches_the_disk(self, tmp_path) -> None:
        store = EmbeddingStore(tmp_path / "store", MANY, MANY)
        for call in (lambda: store.get("../other"), lambda: store.put("../other", made(1))):
            with pytest.raises(ValueError, match="no key"):
                call()
        assert not list(tmp_path.iterdir())


class TestRoundTrip:
    def test_in_memory_it_is_the_same_object(self, encoded, tmp_path) -> None:
        store = EmbeddingStore(tmp_path, MANY, MANY)
        window = EncodedWindow(Window(3, 4, 200, 200), encoded, np.ones((200, 200), bool))
        store.remember(key_of(1), window)
        assert store.in_memory(key_of(1)) is window
        assert store.in_memory(key_of(2)) is None
        assert store.get(key_of(1)) is None and not list(tmp_path.iterdir())

    def test_after_a_restart(self, encoded, tmp_path) -> None:
        EmbeddingStore(tmp_path, MANY, MANY).put(key_of(1), encoded)
        store = EmbeddingStore(tmp_path, MANY, MANY)
        assert same(store.get(key_of(1)), encoded)
        assert store.in_memory(key_of(1)) is None

    def test_features_are_stored_as_the_engine_gives_them(self, encoded, tmp_path) -> None:
        """In 16 bits; only what counts or measures regions has more, a sixth of it all."""
        EmbeddingStore(tmp_path, MANY, MANY).put(key_of(1), encoded)
        found = EmbeddingStore(tmp_path, MANY, MANY).get(key_of(1))
        wide = [a for name, a in found.data.items() if a.itemsize > 2 and "full" not in name
                and "half" not in name]  # fmt: skip
        assert wide == []
        assert sum(array.nbytes for array in found.data.values()) < 95 * 200 * 200

    def test_predictions_are_equal(self, encoded, tmp_path) -> None:
        EmbeddingStore(tmp_path, MANY, MANY).put(key_of(1), encoded)
        found = EmbeddingStore(tmp_path, MANY, MANY).get(key_of(1))
        engine = REGISTRY.load(encoded.model_id)
        box = Prompts(np.zeros((0, 2)), np.zeros(0, bool), np.array([42.0, 42, 79, 79]))
        prompts = [Prompts.click(60, 60), Prompts.click(3, 150), Prompts.click(101, 140), box]
        expected, answer = (engine.predict(e, prompts) for e in (encoded, found))
        assert np.array_equal(answer.masks, expected.masks) and answer.masks.any()
        assert np.array_equal(answer.scores, expected.scores)

    def test_a_second_visit_is_much_faster_than_the_first(self, encoded, tmp_path) -> None:
        EmbeddingStore(tmp_path, MANY, MANY).put(key_of(1), encoded)
        store = EmbeddingStore(tmp_path, 0, MANY)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            store.get(key_of(1))
            times.append(time.perf_counter() - start)
        engine = REGISTRY.load(encoded.model_id)
        start = time.perf_counter()
        engine.encode(landscape())
        assert min(times) < (time.perf_counter() - start) / 2

    def test_any_names_and_kinds_of_arrays(self, tmp_path) -> None:
        data = {
            "file": np.float64(3) + np.zeros(()),
            "about": np.zeros((0, 3), np.float16),
            "valid": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
            "a/b c": np.arange(20)[::3],
        }
        stored = Embedding("x", (2, 3), data)
        EmbeddingStore(tmp_path, MANY, MANY).put(key_of(1), stored)
        assert same(EmbeddingStore(tmp_path, MANY, MANY).get(key_of(1)), stored)

    def test_a_large_embedding_is_never_one_piece_of_memory(self) -> None:
        """To put 100 MB together held Python's lock so long that QGIS stood still."""
        embedding = Embedding("x", (2, 3), {"a": np.arange(12 << 20, dtype=np.uint32)})
        parts = packed(key_of(1), embedding)
        assert max(len(part) for part in parts) <= 1 << 24
        assert same(unpacked(key_of(1), b"".join(parts)), embedding)

    def test_a_file_is_a_plain_npz(self, encoded, tmp_path) -> None:
        EmbeddingStore(tmp_path, MANY, MANY).put(key_of(1), encoded)
        assert [path.name for path in tmp_path.iterdir()] == [f"{key_of(1)}.npz"]
        with np.load(file_of(tmp_path, 1), allow_pickle=False) as stored:
            assert f'"model": "{encoded.model_id}"' in stored["about"].item()
            assert len(stored.files) == len(encoded.data) + 1

    def test_an_entry_may_be_put_again(self, tmp_path) -> None:
        store = EmbeddingStore(tmp_path, MANY, MANY)
        for size in (1000, 5000, 2000):
            store.put(key_of(1), made(1, size))
            assert store.size() == (0, on_disk(tmp_path))
        assert len(list(tmp_path.iterdir())) == 1


class TestBounds:
    def test_the_least_recently_used_leaves_memory(self) -> None:
        store = EmbeddingStore(None, 3000, 0)
        for number in (1, 2, 3):
            store.remember(key_of(number), seen(number))
        assert store.size() == (3000, 0)
        store.in_memory(key_of(1))
        store.remember(key_of(4), seen(4))
        assert [n for n in range(1, 5) if store.in_memory(key_of(n))] == [1, 3, 4]
        store.remember(key_of(5), seen(5, 3001))
        assert store.in_memory(key_of(5)) is None and store.size() == (3000, 0)

    def test_the_least_recently_used_leaves_the_disk(self, tmp_path) -> None:
        store = EmbeddingStore(tmp_path, 0, 3 * (1000 + ABOUT_A_FILE))
        for number in (1, 2, 3):
            store.put(key_of(number), made(number))
        store.get(key_of(1))
        store.put(key_of(4), made(4))
        assert [n for n in range(1, 5) if file_of(tmp_path, n).exists()] == [1, 3, 4]
        assert store.size() == (0, on_disk(tmp_path))

    def test_entries_larger_than_the_bound_are_not_kept(self, tmp_path) -> None:
        store = EmbeddingStore(tmp_path, 0, 6000)
        store.put(key_of(1), made(1))
        store.put(key_of(2), made(2, 7000))
        store.put(key_of(3), made(3, 5900))  # its arrays would fit
        assert store.get(key_of(2)) is None and store.get(key_of(3)) is None
        assert store.get(key_of(1)) and store.trouble is None

    def test_without_a_folder_nothing_is_on_disk(self) -> None:
        store = EmbeddingStore(None, MANY, MANY)
        store.put(key_of(1), made(1))
        assert store.get(key_of(1)) is None and store.trouble is None

    def test_use_is_remembered_over_a_restart(self, tmp_path) -> None:
        store = EmbeddingStore(tmp_path, 0, MANY)
        for number in (1, 2, 3):
            store.put(key_of(number), made(number))
            long_ago = time.time() - 1000 + number
            os.utime(file_of(tmp_path, number), (long_ago, long_ago))
        store.get(key_of(1))
        EmbeddingStore(tmp_path, 0, MANY).get(key_of(2))
        size = on_disk(tmp_path) * 2 // 3
        assert EmbeddingStore(tmp_path, 0, size).size() == (0, size)
        assert not file_of(tmp_path, 3).exists()

    def test_clear(self, tmp_path) -> None:
        store = EmbeddingStore(tmp_path, MANY, MANY)
        store.put(key_of(1), made(1))
        EmbeddingStore(tmp_path, MANY, MANY).put(key_of(2), made(2))
        store.clear()
        assert store.size() == (0, 0) and not list(tmp_path.iterdir())
        assert store.get(key_of(1)) is None
        store.put(key_of(1), made(1))
        assert store.get(key_of(1))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "get", "remember", "in_memory", "lose", "restart", "clear"]),
        st.integers(0, 5),
        st.integers(200, 6000),
    ),
    max_size=25,
)


def take(store: EmbeddingStore, step: str, number: int, size: int) -> None:
    """One step, whose result must be there afterwards."""
    key = key_of(number)
    if step == "put":
        store.put(key, made(number, size))
        if size + ABOUT_A_FILE <= store._disk.limit:
            assert store.get(key).data["values"].size == size
    elif step == "remember":
        store.remember(key, seen(number, size))
        assert bool(store.in_memory(key)) == (size <= store._memory.limit)
    elif step == "get":
        found = store.get(key)
        assert found is None or number_of(found) == number
    elif step == "in_memory":
        window = store.in_memory(key)
        assert window is None or number_of(window.embedding) == number
    elif step == "clear":
        store.clear()
        assert store.size() == (0, 0)
    elif step == "lose":
        file_of(store.folder, number).unlink(missing_ok=True)


@settings(deadline=None, max_examples=60)
@given(STEPS, st.integers(0, 12_000), st.integers(0, 16_000))
def test_bounds_hold_and_the_last_entry_is_there(steps, memory_bytes, disk_bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = EmbeddingStore(folder, memory_bytes, disk_bytes)
        for step, number, size in steps:
            take(store, step, number, size)
            if step in ("lose", "restart"):  # only a look at the folder can tell
                store = EmbeddingStore(folder, memory_bytes, disk_bytes)
            in_memory, disk = store.size()
            assert 0 <= in_memory <= memory_bytes
            assert disk == on_disk(folder) <= disk_bytes
        assert store.trouble is None


class TestDamage:
    def damaged(self, folder: Path, content: bytes) -> None:
        """A file with this content is no entry, is removed and can be written again."""
        store = EmbeddingStore(folder, MANY, MANY)
        file_of(folder, 1).write_bytes(content)
        assert store.get(key_of(1)) is None
        assert not file_of(folder, 1).exists() and store.size() == (0, 0)
        store.put(key_of(1), made(1))
        assert EmbeddingStore(folder, MANY, MANY).get(key_of(1))

    def test_a_flipped_bit_anywhere(self, encoded, tmp_path) -> None:
        """None is ever answered with other arrays or metadata."""
        EmbeddingStore(tmp_path, MANY, MANY).put(key_of(1), encoded)
        content = file_of(tmp_path, 1).read_bytes()
        rng = np.random.default_rng(3)
        ends = [*range(400), *range(len(content) - 2500, len(content))]
        noticed = 0
        for place in [*rng.choice(ends, 60, False), *rng.integers(0, len(content), 10)]:
            flipped = bytearray(content)
            flipped[place] ^= 1 << rng.integers(8)
            file_of(tmp_path, 1).write_bytes(flipped)
            found = EmbeddingStore(tmp_path, MANY, MANY).get(key_of(1))
            noticed += found is None
            assert found is None or same(found, encoded)
        assert noticed > 30  # the others hit dates and other things that nobody reads

    def test_a_flipped_bit_at_every_byte(self, tmp_path) -> None:
        store = EmbeddingStore(tmp_path, 0, MANY)
        store.put(key_of(1), made(1, 200))
        content = file_of(tmp_path, 1).read_bytes()
        for place in range(len(content)):
            flipped = bytearray(content)
            flipped[place] ^= 1 << place % 8
            file_of(tmp_path, 1).write_bytes(flipped)
            found = store.get(key_of(1))
            assert found is None or same(found, made(1, 200)), place

    @pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.9999])
    def test_truncated(self, encoded, tmp_path, share) -> None:
        EmbeddingStore(tmp_path, MANY, MANY).put(key_of(1), encoded)
        content = file_of(tmp_path, 1).read_bytes()
        self.damaged(tmp_path, content[: int(len(content) * share)])

    def test_foreign_files(self, tmp_path) -> None:
        compressed, objects, other, empty = (io.BytesIO() for _ in range(4))
        np.savez_compressed(compressed, about=np.array("{}"))
        np.savez(objects, about=np.array([{}], dtype=object))
        np.savez(other, about=np.array("[1, 2]"), valid=np.zeros(3))
        zipfile.ZipFile(empty, "w").close()
        files = [stream.getvalue() for stream in (compressed, objects, other, empty)]
        for content in [*files, b"PK\x03\x04", b"GIF89a", b"\x00" * 5000]:
            self.damaged(tmp_path, content)

    def test_the_entry_of_another_key(self, tmp_path) -> None:
        EmbeddingStore(tmp_path, MANY, MANY).put(key_of(2), made(2))
        file_of(tmp_path, 2).rename(tmp_path / "copy")
        self.damaged(tmp_path, (tmp_path / "copy").read_bytes())

    def test_a_file_that_vanished(self, tmp_path) -> None:
        store = EmbeddingStore(tmp_path, 0, MANY)
        store.put(key_of(1), made(1))
        file_of(tmp_path, 1).unlink()
        assert store.get(key_of(1)) is None
        assert store.size() == (0, 0)

    def test_a_file_that_another_session_wrote(self, tmp_path) -> None:
        store = EmbeddingStore(tmp_path, MANY, MANY)
        EmbeddingStore(tmp_path, MANY, MANY).put(key_of(1), made(1))
        assert store.size() == (0, 0)
        assert number_of(store.get(key_of(1))) == 1
        assert store.size() == (0, on_disk(tmp_path))

    def test_other_files_are_left_alone(self, tmp_path) -> None:
        others = ["samples.npz", "notes.txt", "a.tmp", f"{key_of(1)}.npz.bak"]
        for name in others:
            (tmp_path / name).write_bytes(b"mine")
        store = EmbeddingStore(tmp_path, 0, 0)
        store.clear()
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)

    def test_what_a_crash_left_is_removed_but_not_what_is_being_written(self, tmp_path) -> None:
        old, young = (tmp_path / f".{digit * 32}.tmp" for digit in "ab")
        for path in (old, young):
            path.write_bytes(b"half")
        os.utime(old, (time.time() - 5000,) * 2)
        EmbeddingStore(tmp_path, MANY, MANY)
        assert list(tmp_path.iterdir()) == [young]


class TestTrouble:
    def complains(self, store: EmbeddingStore, folder: Path) -> None:
        """Nothing is kept on disk, and a sentence says why; memory still works."""
        store.remember(key_of(1), seen(1))
        for number in (1, 2):
            store.put(key_of(number), made(number))
            assert store.get(key_of(number)) is None
        assert store.size() == (1000, 0) and store.in_memory(key_of(1))
        assert str(folder) in store.trouble
        assert "\n" not in store.trouble and store.trouble.endswith(".")
        store.clear()
        assert store.in_memory(key_of(1)) is None

    @pytest.mark.parametrize("place", ["taken", "taken/below"])
    def test_a_folder_that_cannot_be_made(self, tmp_path, place) -> None:
        (tmp_path / "taken").write_text("a file")
        folder = tmp_path / place
        self.complains(EmbeddingStore(folder, MANY, MANY), folder)
        assert (tmp_path / "taken").read_text() == "a file"

    def test_a_read_only_folder(self, small_disk) -> None:
        EmbeddingStore(small_disk, MANY, MANY).put(key_of(3), made(3))
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        store = EmbeddingStore(small_disk, MANY, MANY)
        assert number_of(store.get(key_of(3))) == 3
        store.put(key_of(1), made(1))
        assert store.get(key_of(1)) is None
        assert "Read-only" in store.trouble

    def test_a_full_disk(self, small_disk) -> None:
        (small_disk / "other").write_bytes(bytes(900_000))
        store = EmbeddingStore(small_disk, MANY, MANY)
        store.put(key_of(1), made(1, 50_000))
        assert store.trouble is None
        store.put(key_of(2), made(2, 400_000))
        assert "No space left" in store.trouble
        first = store.trouble
        assert sorted(p.name for p in small_disk.iterdir()) == [f"{key_of(1)}.npz", "other"]
        assert store.get(key_of(2)) is None
        assert store.size()[1] == file_of(small_disk, 1).stat().st_size
        (small_disk / "other").unlink()
        store.put(key_of(2), made(2, 400_000))
        assert EmbeddingStore(small_disk, MANY, MANY).get(key_of(2))
        assert store.trouble == first

    def test_room_is_made_before_writing(self, small_disk) -> None:
        store = EmbeddingStore(small_disk, 0, 1_000_000)
        for number in range(1, 5):
            store.put(key_of(number), made(number, 600_000))
            assert number_of(store.get(key_of(number))) == number
        assert store.trouble is None


class TestThreads:
    def test_many_at_once(self, tmp_path) -> None:
        stores = [EmbeddingStore(tmp_path, 5000, 12_000) for _ in range(2)]

        def work(seed: int) -> int:
            rng = np.random.default_rng(seed)
            hits = 0
            for _ in range(150):
                store, number = stores[rng.integers(2)], int(rng.integers(8))
                step = rng.integers(4)
                if step == 0:
                    store.put(key_of(number), made(number, 1000 + 100 * number))
                elif step == 1:
                    store.remember(key_of(number), seen(number, 1000 + 100 * number))
                else:
                    window = store.in_memory(key_of(number)) if step == 2 else None
                    found = window.embedding if window else store.get(key_of(number))
                    assert found is None or number_of(found) == number
                    hits += found is not None
                assert store.size()[0] <= 5000 and store.size()[1] <= 12_000
            return hits

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(work, range(6))) > 100
        assert all(store.trouble is None for store in stores)
        assert not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file that can be made to wait")
    def test_the_main_thread_never_waits_for_the_disk(self, tmp_path) -> None:
        store = EmbeddingStore(tmp_path, MANY, MANY)
        store.remember(key_of(1), seen(1))
        os.mkfifo(file_of(tmp_path, 2))
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(store.get, key_of(2))  # waits until somebody writes
            time.sleep(0.1)
            start = time.perf_counter()
            assert store.in_memory(key_of(1)) and store.in_memory(key_of(2)) is None
            assert store.size()[0] == 1000
            assert time.perf_counter() - start < 0.05 and not slow.done()
            file_of(tmp_path, 2).write_bytes(b"")
            assert slow.result(timeout=10) is None
