"""A package replaces the previous one as a whole, or leaves it alone (docs/reference/manifest.md, section 7)."""

from pathlib import Path

import pytest

from peppy.gen.package import STAMP, write

TREE = {STAMP: "1\n", "libs/peppygen/a.py": "a = 1\n", "libs/peppygen/raw": b"\xff"}


def files(directory: Path) -> dict[str, bytes]:
    return {str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def test_a_package_is_written_with_all_its_files(tmp_path: Path) -> None:
    write(TREE, tmp_path / ".peppy")
    assert files(tmp_path / ".peppy") == {STAMP: b"1\n", "libs/peppygen/a.py": b"a = 1\n", "libs/peppygen/raw": b"\xff"}


def test_nothing_of_the_previous_package_stays(tmp_path: Path) -> None:
    write({**TREE, "old.py": ""}, tmp_path / ".peppy")
    write(TREE, tmp_path / ".peppy")
    assert not (tmp_path / ".peppy" / "old.py").exists()
    assert [path.name for path in tmp_path.iterdir()] == [".peppy"]


@pytest.mark.parametrize("broken", ["libs/peppygen/a.py/below", "n" * 300])
def test_a_failed_write_leaves_the_previous_package_and_nothing_else(tmp_path: Path, broken: str) -> None:
    write(TREE, tmp_path / ".peppy")
    before = files(tmp_path / ".peppy")
    with pytest.raises(OSError):  # noqa: PT011 (which errno it is depends on the file system)
        write({**TREE, broken: "x"}, tmp_path / ".peppy")
    assert files(tmp_path / ".peppy") == before
    assert [path.name for path in tmp_path.iterdir()] == [".peppy"]


def test_a_link_in_the_place_of_the_package_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "precious").write_text("x")
    (tmp_path / ".peppy").symlink_to(target)
    write(TREE, tmp_path / ".peppy")
    assert not (tmp_path / ".peppy").is_symlink()
    assert files(target) == {"precious": b"x"}


def test_the_stamp_is_the_last_file_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write_bytes = Path.write_bytes

    def recorded(self: Path, content: bytes) -> int:
        written.append(self.name)
        return write_bytes(self, content)

    monkeypatch.setattr(Path, "write_bytes", recorded)
    write(TREE, tmp_path / ".peppy")
    assert written[-1] == STAMP
