"""Finds in our source what no linter knows to be wrong here: ``python -m checks.source_rules``.

    pickle       reads or writes objects that can run code (pickle, marshal, shelve, dill)
    sql          a statement put together from anything but constants
    log          a variable named like content handed to a logger or printed into its message
    environment  the process environment read past `Settings`

A finding is explained on its line, or in a comment above it: ``# allowed: <rule> - <why>``.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PICKLERS = frozenset(
    {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
)
RUNS_SQL = frozenset({"execute", "executemany", "execute_values", "execute_batch", "mogrify"})
SQL = re.compile(
    r"\s*(?:select|insert\s+into|update|delete\s+from|create|alter|drop|grant|set\s+local)\b",
    re.IGNORECASE,
)
READS_ENVIRONMENT = frozenset({"os.environ", "os.environb", "os.getenv"})
LOGS = frozenset({"debug", "info", "warning", "warn", "error", "exception", "critical", "log"})
LOGGER = re.compile(r"(?:^|_)log(?:ger|ging)?$", re.IGNORECASE)
CONTENT = frozenset({
    "prompt", "prompts", "content", "contents", "text", "texts", "answer", "answers", "draft",
    "synthesis", "guidance", "document", "documents", "body", "raw", "trigger", "action_template",
    "trigger_pattern", "arguments", "output", "completion", "question", "headers", "secret",
    "password", "token", "api_key",
})  # fmt: skip
# What makes a number, a name or a digest of content.
HARMLESS_CALLS = frozenset({"len", "type", "hexdigest", "bool", "sha256", "count"})
ALLOWED = re.compile(r"#\s*allowed:\s*(\w+)\s+-\s+\S")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line that breaks a rule."""

    line: int
    rule: str
    message: str


def findings(source: str) -> list[Finding]:
    """Return what is wrong in one module and not explained on its line.

    Args:
        source: The module's text.
    """
    lines = source.splitlines()
    tree = ast.parse(source)
    found = sorted(
        {*_pickles(tree), *_statements(tree), *_logs(tree), *_environment(tree)},
        key=lambda finding: finding.line,
    )
    return [finding for finding in found if not _explained(lines, finding)]


def _explained(lines: list[str], finding: Finding) -> bool:
    above = lines[finding.line - 2] if finding.line > 1 else ""
    places = [lines[finding.line - 1], above if above.lstrip().startswith("#") else ""]
    return any((match := ALLOWED.search(place)) and match[1] == finding.rule for place in places)


def _pickles(tree: ast.AST) -> Iterator[Finding]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            if name.partition(".")[0] in PICKLERS:
                yield Finding(node.lineno, "pickle", f"{name} can run code from what it reads")


def _statements(tree: ast.AST) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in RUNS_SQL:
            for argument in node.args[:2]:
                if _is_built(argument):
                    yield Finding(argument.lineno, "sql", "pass values as parameters")
        elif isinstance(node, ast.JoinedStr) and _is_sql(node) and _is_built(node):
            yield Finding(node.lineno, "sql", "only constants may be put into a statement")


def _is_sql(node: ast.JoinedStr) -> bool:
    parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
    return any(SQL.match(str(part)) for part in parts[:1])


def _is_built(node: ast.expr) -> bool:
    """Tell whether a string is put together from something that is no UPPER_CASE constant."""
    if isinstance(node, ast.JoinedStr):
        values = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        return any(not (isinstance(value, ast.Name) and value.id.isupper()) for value in values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod)):
        return any(not _is_constant(side) for side in (node.left, node.right))
    # A text's format; psycopg2.sql composes with one of its own, which quotes.
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "format"
        and isinstance(node.func.value, (ast.Constant, ast.Name))
    )


def _is_constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.isupper())


def _logs(tree: ast.AST) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr in LOGS and LOGGER.search(_name(node.func.value)):
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            for name in sorted({name for argument in arguments for name in _content(argument)}):
                yield Finding(node.lineno, "log", f"`{name}` is content; log its length or id")


def _content(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and _name(node.func) in HARMLESS_CALLS:
        return
    if isinstance(node, (ast.Name, ast.Attribute)) and _name(node) in CONTENT:
        yield _name(node)
    key = node.slice if isinstance(node, ast.Subscript) else None
    if isinstance(key, ast.Constant) and key.value in CONTENT:
        yield str(key.value)
    for child in ast.iter_child_nodes(node):
        yield from _content(child)


def _environment(tree: ast.AST) -> Iterator[Finding]:
    fine = _resolved_or_written(tree)
    for node in ast.walk(tree):
        whole = isinstance(node, ast.Attribute) and ast.unparse(node) in READS_ENVIRONMENT
        parts = (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and ({"environ", "getenv"} & {alias.name for alias in node.names})
        )
        if (whole or parts) and id(node) not in fine:
            yield Finding(node.lineno, "environment", "read it through `Settings.load`")


def _resolved_or_written(tree: ast.AST) -> set[int]:
    fine: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            # Settings.load(os.environ), os.environ.setdefault(...): resolved or written, not read.
            if ast.unparse(node.func) == "Settings.load":
                fine |= {id(argument) for argument in node.args}
            elif isinstance(node.func, ast.Attribute) and node.func.attr == "setdefault":
                fine.add(id(node.func.value))
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
            fine.add(id(node.value))
    return fine


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def main(folders: list[str]) -> int:
    """Print what is wrong below some folders; returns the exit code."""
    count = 0
    for file in sorted(file for folder in folders for file in Path(folder).rglob("*.py")):
        for finding in findings(file.read_text(encoding="utf-8")):
            print(f"{file}:{finding.line}: {finding.rule}: {finding.message}")
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["radiant_dagster"]))
