from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from planner.errors import InputError
from planner.specs.files import yaml_file
from planner.specs.files.document import Document, document_of
from planner.specs.files.text_file import LARGEST_BYTES
from planner.specs.files.yaml_file import load_document, parse_document


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_document(path)
    return str(caught.value)


def parsed(text: str) -> Document:
    return parse_document(text, "f.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("4e11", 4e11),
        ("4E+11", 4e11),
        (".5", 0.5),
        ("1.", 1.0),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("yes", "yes"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2001-01-01", "2001-01-01"),
        ("'12'", "12"),
        ('"12"', "12"),
        ("[1, a, [2]]", (1, "a", (2,))),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_scalars_follow_the_core_rules(text: str, value: object) -> None:
    tree = parsed(f"k: {text}\n").tree

    assert tree == {"k": value}
    assert type(tree["k"]) is type(value)


def test_block_text_stays_text() -> None:
    assert parsed("k: |\n  12\n").tree == {"k": "12\n"}


def test_places_of_values_and_keys() -> None:
    document = parsed("a:\n  - b: 1\n    c: [x,  y]\n")

    assert str(document.error("!", ("a", 0, "c", 1))) == "f.yaml:3:13: a[0].c[1]: !"
    assert str(document.error("!", ("a", 0, "c"), key=True)) == "f.yaml:3:5: a[0].c: !"
    assert str(document.error("!", ("a", 0, "z", "y"))) == "f.yaml:2:5: a[0].z.y: !"
    assert str(document.error("!", ("nowhere",))) == "f.yaml:1:1: nowhere: !"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "2:1: key 'a' again; it is already on line 1"),
        ("a: {b: 1, b: 2}\n", "1:11: a: key 'b' again; it is already on line 1"),
        ("a: &x 1\n", "1:4: a: anchor &x; write values out"),
        ("a: &x [1]\n", "1:4: a: anchor &x; write values out"),
        ("a: *x\n", "1:4: a: alias *x; write values out"),
        ("<<: {a: 1}\n", "1:1: merge key <<; write the entries out"),
        ("a: !!int 1\n", "1:4: a: tag tag:yaml.org,2002:int; tags are not read"),
        ("a: !!python/object:os.system {}\n", "1:4: a: tag tag:yaml.org,2002:python/object"),
        ("a: 1\n---\nb: 2\n", "2:1: a second document; one file holds one"),
        ("a:\n\tb: 1\n", "2:1: a tab in the indentation; YAML wants spaces"),
        ("", "1:1: the file is empty"),
        ("# only a comment\n", "1:1: the file is empty"),
        ("---\n", "1:1: the file is empty"),
        ("a: .inf\n", "1:4: a: .inf is not a finite number"),
        ("a: [1, -.NaN]\n", "1:8: a[1]: -.NaN is not a finite number"),
        ("a: 1e400\n", "1:4: a: 1e400 is too large for a number"),
        ("a: " + "9" * 5000 + "\n", "1:4: a: number 999999999999… has 5000 digits"),
        ("? [a]\n: 1\n", "1:3: a key must be text"),
        ("a: [1, 2\n", "2:1: not valid YAML: "),
        ("a: b: c\n", "1:5: not valid YAML: mapping values are not allowed"),
        ("a: \x00\n", "1:4: character U+0000 is not text; is this a binary file?"),
        ("[" * 50 + "]" * 50, "1:41: nested more than 40 deep"),
        ("[" * 100_000, "1:41: nested more than 40 deep"),
        ("{a: " * 100_000, "1:161: nested more than 40 deep"),
        ('? "\\e[31m"\n: 1\n? "\\e[31m"\n: 1\n', "3:3: key '\\x1b[31m' again"),
    ],
)
def test_refused_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(text, encoding="utf-8")

    assert refusal(path).startswith(f"{path}:{message}")


def test_keys_without_a_print_are_shown_escaped() -> None:
    document = parsed('"\\e[31m": {b: 1}\n')

    assert "\x1b" not in str(document.error("!", ("\x1b[31m",), key=True))


def test_the_pure_python_parser_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a:\n  - b: 1\n    c: ['x', 2]\n"
    quick = parsed(text)

    monkeypatch.setattr(yaml_file, "_LOADER", yaml.SafeLoader)

    assert parsed(text) == quick
    with pytest.raises(InputError, match=r"^f\.yaml:1:4: a: alias"):
        parsed("a: *x\n")


def test_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")

    assert load_document(path).tree == {"a": 1}


def test_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"a: 1\r\nb: x\r\n")

    document = load_document(path)

    assert document.tree == {"a": 1, "b": "x"}
    assert str(document.error("!", ("b",))) == f"{path}:2:4: b: !"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: 1\nb: \xff\xfe\n", "2:4: not UTF-8 text; save the file as UTF-8"),
        ("a: ä\n".encode("latin-1"), "1:4: not UTF-8 text; save the file as UTF-8"),
        ("a: 1\n".encode("utf-16-le"), "1:2: character U+0000 is not text; is this a binary file?"),
        (b"\x7fELF\x02\x01", "1:1: character U+007F is not text; is this a binary file?"),
    ],
)
def test_bytes_that_are_not_text(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(data)

    assert refusal(path) == f"{path}:{message}"


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "gone.yaml"

    assert refusal(path) == f"{path}: no such file"


def test_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path}: is a folder; a file is needed"


def test_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x", encoding="utf-8")

    path = tmp_path / "a" / "b.yaml"
    assert refusal(path) == f"{path}: cannot be read: Not a directory"


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("a: 1\n", encoding="utf-8")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)

    assert refusal(path) == f"{path}: cannot be read: Permission denied"


def test_name_that_no_file_can_have() -> None:
    assert "cannot be read" in refusal(Path("a\0b.yaml"))
    assert refusal(Path("a" * 5000)).endswith("a: cannot be read: File name too long")


def test_device_files_are_not_read() -> None:
    assert refusal(Path("/dev/null")) == "/dev/null: is not a regular file"


def test_large_file(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"#" * (LARGEST_BYTES + 1))

    assert refusal(path) == f"{path}: is 8 MiB; at most 8 MiB are read"


def test_sha256_is_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"a: 1\n")

    assert load_document(path).sha256 == hashlib.sha256(b"a: 1\n").hexdigest()


def test_part_and_merge_keep_places() -> None:
    document = parsed("base: {x: 1, m: {p: 1, q: 2}, l: [1, 2]}\nover: {m: {q: 3}, l: [9]}\n")

    merged = document.part(("base",)).merged(document.part(("over",)))

    assert merged.tree == {"x": 1, "m": {"p": 1, "q": 3}, "l": (9,)}
    assert str(merged.error("!", ("m", "p"))) == "f.yaml:1:21: base.m.p: !"
    assert str(merged.error("!", ("m", "q"))) == "f.yaml:2:15: over.m.q: !"
    assert str(merged.error("!", ("l", 0))) == "f.yaml:2:23: over.l[0]: !"


def test_plain_values_have_no_places() -> None:
    document = document_of({"a": [1, {"b": 2}]}, "inline")

    assert document.tree == {"a": (1, {"b": 2})}
    assert str(document.error("!", ("a", 1))) == "inline: a[1]: !"


def test_plain_values_that_no_file_could_hold() -> None:
    endless: dict[str, object] = {}
    endless["a"] = endless

    with pytest.raises(InputError, match=r"^inline: nested more than 40 deep$"):
        document_of(endless, "inline")
    with pytest.raises(InputError, match=r"^inline: nan is not a finite number$"):
        document_of({"a": float("nan")}, "inline")
