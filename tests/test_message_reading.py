"""Errors carry data, and each face formats them: no face takes a message apart. Read from the source."""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PACKAGE = Path(__file__).parents[1] / "cometflux"
FACES = ("cli", "mcp", "sources", "gallery")
ALLOWED = {
    "cli/config/read_settings.py: _toml_fault": "tomllib has the line in its text only",
    "cli/commands/local_service.py: _cannot_listen": "asyncio writes the reason of an OSError into its text",
    "gallery/cards.py: _with_names": "shortens the paths of the job's own files, wherever they stand",
    "sources/formats/csv_tables.py: _broken_record": "csv has no classes of errors",
    "sources/formats/yaml_documents.py: _syntax_fault": "yaml has no classes of its syntax errors",
    "sources/formats/arrow.py: _first_line": "shows the first line of pyarrow's text",
}
"""The functions that may, and why; the errors of other libraries have no data."""

TEXTS = {"message", "problem", "lines"}
METHODS = {
    *("replace", "partition", "rpartition", "split", "rsplit", "splitlines", "translate", "find", "index", "count"),
    *("startswith", "endswith", "removeprefix", "removesuffix"),
}
PATTERNS = {"search", "match", "fullmatch", "findall", "finditer", "sub", "subn", "split"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def is_text(node, names, errors):
    """Whether an expression holds the text of an error."""
    for each in ast.walk(node):
        match each:
            case ast.Name(id=name) if name in names:
                return True
            case ast.Attribute(value=ast.Name(id=name) | ast.Attribute(attr=name), attr=attr) if attr in TEXTS:
                if name in errors or name in ("error", "cause", "evidence", "doubt"):
                    return True
            case ast.Call(func=ast.Name(id="str"), args=[ast.Name(id=name)]) if name in errors:
                return True
    return False


def errors_in(function):
    """Return the names of exceptions: caught, or declared as a parameter."""
    caught = {each.name for each in ast.walk(function) if isinstance(each, ast.ExceptHandler) and each.name}
    given = getattr(function, "args", None)
    parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs] if given else []
    declared = {each.arg: ast.unparse(each.annotation or ast.Constant("")) for each in parameters}
    return caught | {name for name, kind in declared.items() if "Error" in kind or "Exception" in kind}


def names_in(function, names, errors):
    """Return the variables that hold the text of an error, those of *names* included."""
    found = set(names)
    for _ in range(3):
        for node in ast.walk(function):
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if is_text(node.value, found, errors):
                    found |= {each.id for each in targets if isinstance(each, ast.Name)}
    return found


def readings(function, names, errors):
    """Return the lines on which a text of an error is taken apart."""
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Attribute(value=receiver, attr=attr), args=args):
                is_taken = attr in METHODS and is_text(receiver, names, errors)
                if is_taken or (attr in PATTERNS and any(is_text(each, names, errors) for each in args)):
                    yield node.lineno
            case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[text]) if is_text(text, names, errors):
                yield node.lineno


def find_readings(source, file):
    """Return ``file: function: line`` for each place that takes the text of an error apart, also of one handed on."""
    tree = ast.parse(source)
    functions = {each.name: each for each in ast.walk(tree) if isinstance(each, FUNCTIONS)}
    handed = {name: set() for name in functions}
    for _ in range(3):
        for name, function in functions.items():
            errors = errors_in(function)
            names = names_in(function, handed[name], errors)
            for node in ast.walk(function):
                match node:
                    case ast.Call(func=ast.Name(id=called), args=args) if called in functions:
                        parameters = [each.arg for each in functions[called].args.args]
                        pairs = zip(parameters, args, strict=False)
                        handed[called] |= {each for each, given in pairs if is_text(given, names, errors)}
    found = {}
    for name, function in functions.items():
        errors = errors_in(function)
        for line in readings(function, names_in(function, handed[name], errors), errors):
            found[line] = f"{file}: {name}: {line}"
    return sorted(found.values())


def test_no_face_takes_a_message_apart():
    files = [path for face in FACES for path in sorted((PACKAGE / face).rglob("*.py"))]
    found = [
        reading
        for path in files
        for reading in find_readings(path.read_text(encoding="utf-8"), path.relative_to(PACKAGE).as_posix())
    ]
    own = [each for each in found if each.rpartition(": ")[0] not in ALLOWED]
    assert [] == own, "\n".join(own)
    assert {*ALLOWED} == {each.rpartition(": ")[0] for each in found}, "an exception that is not needed any more"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("return error.message.replace('a', 'b')", id="replaced"),
        pytest.param("return str(error).partition('; ')[2]", id="cut"),
        pytest.param("return error.problem.startswith('there is no')", id="recognised by its beginning"),
        pytest.param("return re.sub('a', 'b', str(error))", id="by a regular expression"),
        pytest.param("return _PATTERN.search(error.message)", id="by a compiled one"),
        pytest.param("text = error.message\n    return text.split(';')", id="by way of a variable"),
        pytest.param("text = f'{error.message}!'\n    for a in b: text = text.replace(a, '')", id="in a loop"),
        pytest.param("return known in error.message", id="looked for"),
        pytest.param("return _cut(str(error))\ndef _cut(text):\n    return text.split()", id="handed on"),
        pytest.param("try: f()\n    except ValueError as fault: return str(fault).split()", id="caught"),
    ],
)
def test_a_planted_reading_is_found(body):
    (reading,) = find_readings(f"import re\ndef show(error: ConfigError):\n    {body}\n", "cli/x.py")
    assert reading.startswith("cli/x.py: ")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("return f'{error.message}; {error.hint}'", id="shown"),
        pytest.param("return error.setting.replace('_', '-')", id="data"),
        pytest.param("return str(path).split('/')", id="another text"),
    ],
)
def test_what_only_shows_a_message_passes(body):
    assert [] == find_readings(f"def show(error: ConfigError, path):\n    {body}\n", "cli/x.py")
