"""What plugins are written against, read from the sources: every public name with its signature, a line each.

    python tests/public_api.py              write tests/host/public_api.txt anew
    python tests/public_api.py --released   and forget what has changed: after a release

The file is what is public now, and what has changed since the last release: a line begins with ``+`` if it is new,
with ``-`` if it has gone. A change is one line of each. Whatever has a mark is named in the changelog, or a test fails.
Bodies, docstrings and the texts of descriptions do not count; what begins with ``_`` is not public.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SNAPSHOT = ROOT / "tests" / "host" / "public_api.txt"
CHANGELOG = ROOT / "CHANGELOG.md"
FOLDERS = (ROOT, ROOT / "plugins" / "chat")
MODULES = (
    "missive_host.hookspecs",
    "missive_host.specs",
    "missive_host.protocols",
    "missive_host.envelopes",
    "missive_host.commands",
    "missive_host.errors",
    "missive_host.contracts",
    "missive_host.testing",
    "missive_chat.platform",
    "missive_chat.testing",
)
"""All that an author may import."""
SUMS = frozenset(("DOOR_COMMANDS", "HOOKS", "OPERATOR_COMMANDS", "Spec"))
"""Lists of what has lines of its own: that they have grown need not be said again."""
KEPT = " "
NEW = "+"
GONE = "-"


def describe() -> list[str]:
    """Return the lines, each with its module in front: ``missive_host.specs Option.name (0): str``."""
    return [f"{module} {line}" for module in MODULES for line in module_lines(module)]


def module_lines(module: str) -> list[str]:
    """Return the lines of one module, in the order of its source; of a package those of the names that it passes on."""
    file = file_of(module)
    if file is None:
        return []
    tree = ast.parse(file.read_text("utf-8"))
    exported = _all(tree)
    lines: list[str] = []
    for node in _statements(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name
                if name in exported or alias.asname == alias.name:
                    lines += _found_in(str(node.module), alias.name)
        else:
            lines += _lines_of(node)
    return lines


def file_of(module: str) -> Path | None:
    for folder in FOLDERS:
        base = folder / module.replace(".", "/")
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if file.is_file():
                return file
    return None


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield what stands at the top, and what is imported for type checkers: names that are passed on when asked for."""
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from (inner for inner in node.body if isinstance(inner, ast.ImportFrom))
        else:
            yield node


def _all(tree: ast.Module) -> set[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def _found_in(module: str, name: str) -> list[str]:
    file = file_of(module)
    assert file is not None, module
    for node in ast.parse(file.read_text("utf-8")).body:
        if name in _names(node):
            return _lines_of(node)
    raise AssertionError(f"there is no {name} in {module}")


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []


def _lines_of(node: ast.stmt) -> list[str]:
    names = [name for name in _names(node) if not name.startswith("_")]
    if not names:
        return []
    if isinstance(node, ast.ClassDef):
        return list(_class(node))
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return [_function(node, node.name)]
    return [_value(node, name) for name in names]


def _class(node: ast.ClassDef) -> Iterator[str]:
    decorators = " ".join(f"@{_text(each)}" for each in node.decorator_list)
    bases = ", ".join(_text(each) for each in (*node.bases, *node.keywords))
    yield f"{node.name}: {f'{decorators} ' if decorators else ''}class({bases})"
    positional = "dataclass" in decorators and "kw_only" not in decorators
    place = 0
    for inner in node.body:
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if inner.name == "__init__" or not inner.name.startswith("_"):
                yield _function(inner, f"{node.name}.{inner.name}")
        elif isinstance(inner, (ast.Assign, ast.AnnAssign)):
            for name in _names(inner):
                if not name.startswith("_"):
                    yield _value(inner, f"{node.name}.{name}" + (f" ({place})" if positional else ""))
                    place += 1


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> str:
    decorators = "".join(f"@{_text(each)} " for each in node.decorator_list)
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {_text(node.returns)}" if node.returns is not None else ""
    return f"{name}: {decorators}{kind}({ast.unparse(node.args)}){returns}"


def _value(node: ast.stmt, name: str) -> str:
    assert isinstance(node, (ast.Assign, ast.AnnAssign))
    annotation = f"{_text(node.annotation)} " if isinstance(node, ast.AnnAssign) else ""
    value = f"= {_text(node.value)}" if node.value is not None else ""
    return f"{name}: {annotation}{value}".rstrip()


def _text(node: ast.AST) -> str:
    return ast.unparse(_WithoutDescriptions().visit(node))


class _WithoutDescriptions(ast.NodeTransformer):
    """Takes out what is for people: ``Meta(description=…)``."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        node.keywords = [each for each in node.keywords if each.arg not in ("description", "title", "help")]
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if ast.unparse(node.value) == "Annotated" and isinstance(node.slice, ast.Tuple):
            kept = [each for each in node.slice.elts if ast.unparse(each) != "Meta()"]
            if len(kept) == 1:
                return kept[0]
            node.slice.elts = kept
        return node


# --- the snapshot


def recorded() -> list[tuple[str, str]]:
    """Return the lines of the snapshot, each with its mark."""
    return [(line[0], line[2:]) for line in SNAPSHOT.read_text("utf-8").splitlines()]


def public(snapshot: list[tuple[str, str]]) -> list[str]:
    """Return what the snapshot says is public now."""
    return [line for mark, line in snapshot if mark != GONE]


def updated(snapshot: list[tuple[str, str]], lines: list[str]) -> list[tuple[str, str]]:
    """Return the snapshot for what is public now; what was released and is gone stays, with its mark."""
    released = [line for mark, line in snapshot if mark != NEW]
    made = [(KEPT if line in released else NEW, line) for line in lines]
    for line in released:
        if line not in lines:
            made.insert(_after(made, released, line), (GONE, line))
    return made


def _after(made: list[tuple[str, str]], released: list[str], line: str) -> int:
    """Return the place behind the line that came before this one."""
    there = [each for _, each in made]
    for before in reversed(released[: released.index(line)]):
        if before in there:
            return there.index(before) + 1
    return 0


def unnamed(snapshot: list[tuple[str, str]], unreleased: str) -> list[str]:
    """Return the names that have changed and that the changelog does not have in code style, below Unreleased.

    A class that is new or gone as a whole needs its own name only.
    """
    code = " ".join(unreleased.split("`")[1::2])
    kept = {_name(line) for mark, line in snapshot if mark == KEPT}
    wanted = []
    for mark, line in snapshot:
        name = _name(line)
        whole = name.partition(".")[0]
        if mark != KEPT and name not in SUMS:
            wanted.append(name if whole in kept else whole)
    words = {word.strip("()") for word in code.replace(",", " ").split()}
    return [name for name in dict.fromkeys(wanted) if name not in words]


def gone(snapshot: list[tuple[str, str]], *modules: str) -> list[str]:
    """Return what is not there any more in these modules: names, and fields that are at another place."""
    there = {_key(line) for mark, line in snapshot if mark != GONE}
    missing = (_key(line) for mark, line in snapshot if mark == GONE and line.partition(" ")[0] in modules)
    return [key for key in missing if key not in there]


def _key(line: str) -> str:
    """Return module and name, of a field that may be given by its place with the place."""
    return line.partition(":")[0]


def _name(line: str) -> str:
    return _key(line).split(" ")[1]


def unreleased() -> str:
    text = CHANGELOG.read_text("utf-8")
    return text[text.index("## [Unreleased]") :].split("\n## ", 1)[0]


def main(words: list[str]) -> int:
    if words not in ([], ["--released"]):
        sys.stderr.write("usage: python tests/public_api.py [--released]\n")
        return 2
    lines = describe()
    snapshot = [(KEPT, line) for line in lines] if words else updated(recorded(), lines)
    SNAPSHOT.write_text("".join(f"{mark} {line}\n" for mark, line in snapshot), "utf-8")
    missing = unnamed(snapshot, unreleased())
    sys.stdout.write("".join(f"name `{name}` in CHANGELOG.md, below Unreleased\n" for name in missing))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
