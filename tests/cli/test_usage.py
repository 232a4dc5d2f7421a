"""What is given wrongly: one line on stderr, the right exit code, and nothing is sent."""

import os
import subprocess
import sys
from io import BytesIO, TextIOWrapper

import pytest

from cometflux.basics.quoting import assign
from cometflux.cli import main


@pytest.fixture(autouse=True)
def _key(folder, monkeypatch):
    monkeypatch.setenv("COMETAPI_KEY", "sk-test")


def command(line, *more):
    return main([*line.split(), *more])


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "a.csv: it is empty; give one prompt per row"),
        ("a.csv", b"prompt\n", "a.csv: it holds no prompt; give one per row"),
        ("a.xlsx", b"PK\x03\x04", "a.xlsx: it is a spreadsheet; save the table as CSV, in UTF-8"),
        ("a.csv", b"prompt\ncaf\xe9\n", "a.csv, line 2: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (
            "a.csv",
            b"prompt,seed\na\n",
            "a.csv, line 2: the row has 1 cell and the header 2; leave a cell empty, but keep its separator",
        ),
        ("a.csv", b'prompt\n"a\n', "a.csv, line 2: a quote is never closed"),
        (
            "a.csv",
            b"prompt,sed\na,1\n",
            "a.csv, line 1: no row can use the column 'sed'; did you mean 'seed'? --keep sed keeps it as a tag",
        ),
        (
            "a.csv",
            b"prompt,a b\na,1\n",
            "a.csv, line 1: no row can use the column 'a b'; take it out of the file; --keep 'a b' keeps it as a tag",
        ),
        ("a.csv", b"prompt,go_fast\na,maybe\n", "a.csv, line 2: go_fast: 'maybe' was given; must be true or false"),
        (
            "a.csv",
            b"prompt,seed\na,\x1b[2J\n",
            r"a.csv, line 2: seed: '\x1b[2J' was given; must be a whole number that fits in 64 bits",
        ),
        (
            "a.tsv",
            b"prompt,seed\na,1\n",
            "a.tsv, line 1: no column is named 'prompt'; it seems to be separated by commas (name it .csv)",
        ),
        (
            "a.jsonl",
            b'[{"prompt": "a"}]',
            "a.jsonl, line 1: it is one JSON list; write each object on its own line",
        ),
        (
            "a.ndjson",
            b'[1]\n{"prompt": "a"}\n',
            'a.ndjson, line 1: expected an object, as in {"prompt": "a fox"}, not a list',
        ),
        ("a.jsonl", b'{"prompt": NaN}', "a.jsonl, line 1: NaN is not JSON; leave the value out"),
        ("a.jsonl", b'{"prompt": 3}', "a.jsonl, line 1: prompt: 3 was given; must be a text that is not blank"),
        ("a.jsonl", b'{"seed": 3}', "a.jsonl, line 1: the row has no prompt"),
        (
            "a.jsonl",
            b'{"prompt": "a", "key": 3}',
            "a.jsonl, line 1: key: 3 was given; must be a string that is not blank",
        ),
        (
            "a.jsonl",
            b'{"prompt": "\\ud800"}',
            (
                r"a.jsonl, line 1: prompt: '\ud800' was given; must be text that UTF-8 can encode; "
                "character 1 is half of a surrogate pair"
            ),
        ),
        (
            "a.jsonl",
            b'{"prompt": "a", "model": ["dev"]}',
            "a.jsonl, line 1: model: ['dev'] was given; must be the name of a model, as a string",
        ),
        (
            "prompts",
            b"a fox\n",
            (
                "prompts: its name does not show its format "
                "(known endings: .csv, .tsv, .jsonl, .ndjson, .txt, .yaml, .yml, .parquet); "
                "give --format"
            ),
        ),
    ],
)
def test_a_bad_prompt_file_is_one_line_and_exit_code_2(name, data, message, folder, capsys):
    (folder / name).write_bytes(data)
    assert 2 == command("batch", name)
    assert ("", f"error: {message}\n") == capsys.readouterr()
    assert [name] == [path.name for path in folder.iterdir()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("batch nowhere.csv", "nowhere.csv: there is no such file"),
        ("batch folder.csv", "folder.csv: this is a folder; give a file in it"),
        ("batch", "give a FILE of prompts, or a folder of pictures with --from"),
        ("batch a.txt --guidence 3", "Unknown option: --guidence. Did you mean --guidance?"),
        (
            "batch a.txt --format xlsx",
            'Invalid value "xlsx" for --format. Choose from: "csv", "tsv", "jsonl", "text", "yaml", "parquet".',
        ),
        ("generate", 'give a prompt, in quotes: cometflux generate "a lighthouse"'),
        ("generate a red fox", 'these are 3 prompts of one word each; put a prompt in quotes: "a red fox"'),
        ("generate a.txt", "a.txt is a file; for the prompts in it: cometflux batch a.txt"),
        ("generate a(1).txt", "a(1).txt is a file; for the prompts in it: cometflux batch 'a(1).txt'"),
        (
            "mcp --local --allow ~nobody-of-this-name",
            "'~nobody-of-this-name' begins with ~, and no home folder is known",
        ),
        (
            "mcp --local --allow s3://bucket",
            "--allow: 's3://bucket' is not a path on this machine; give a folder on this",
        ),
        ("batch a.txt b.txt", "one file at a time; 'b.txt' is one too many"),
        ("batch /dev/null", "/dev/null: its name does not show its format (known endings: "),
        ("models dev pro", "'pro' is one too many"),
        ("generate --count 2", 'give a prompt, in quotes: cometflux generate "a lighthouse"'),
        ("generate fox --count 0", "--count: '0' was given; must be a whole number from 1"),
        (
            "generate fox --count 1234567890",
            "--count: '1234567890' was given; must be a whole number from 1 to 999999999",
        ),
        (
            "generate fox --max-cost 12345678901",
            "--max-cost: '12345678901' was given; must be at most 1000000000 dollars",
        ),
        (
            "generate fox --price dev=12345678901",
            "--price: 'dev=12345678901' was given; must be at most 1000000000 dollars",
        ),
        ("generate fox --count 1.5", "--count: '1.5' was given; must be a whole number from 1"),
        ("generate fox --count 1e3", "--count: '1e3' was given; must be a whole number from 1"),
        ("generate fox --count \u0661", "--count: '\u0661' was given; must be a whole number from 1"),
        ("generate fox --max-pending -1", "--max-pending: '-1' was given; must be a whole number from 1"),
        ("generate fox --max-pending 0.6", "--max-pending: '0.6' was given; must be a whole number from 1"),
        (
            "generate fox --creates-per-minute 0",
            "--creates-per-minute: '0' was given; must be a whole number from 1",
        ),
        ("generate fox --polls-per-minute fast", "--polls-per-minute: 'fast' was given; must be a whole number"),
        ("generate fox --base-url=", "--base-url is blank; give a value, or leave the option out"),
        ("generate fox --proxy=", "--proxy is blank; give a value, or leave the option out"),
        ("generate fox --out=", "--out is blank; give a value, or leave the option out"),
        ("batch a.txt --out=", "--out is blank; give a value, or leave the option out"),
        (
            "generate fox --model kontext-pro --input-image ftp://x/y.png",
            ("--input-image: 'ftp://x/y.png' was given; must be the path of a file, an http(s) URL or a data URI\n"),
        ),
        (
            "generate fox --model kontext-pro --input-image data:x",
            "--input-image: 'data:x' was given; must be the path of a file, an http(s) URL or a data URI\n",
        ),
        (f"batch a.txt --wildcards {'x' * 300}", f"--wildcards {'x' * 300}: there is no such folder\n"),
        ("generate fox --input seed", "--input seed: write it as key=value"),
        ("generate fox --seed 1 --input seed=2", "--input seed=2: seed is already given with --seed"),
        ("generate fox --local --proxy http://127.0.0.1:9", "--local and --proxy exclude each other; leave one out"),
        ("generate fox --seed 1.5", "--seed: '1.5' was given; must be a whole number that fits in 64 bits"),
        (
            "generate fox --output-format jpeg",
            "--output-format: 'jpeg' was given; must be 'webp', 'jpg' or 'png'; did you mean 'jpg'?",
        ),
        (
            "generate fox --model 2-pro --width 512",
            (
                "--width: 512 was given; allowed only together with aspect_ratio='custom': otherwise the service would "
                "probably ignore it, and still charge for the picture"
            ),
        ),
        (
            "generate fox --model dev --image nowhere.png",
            "--image: 'nowhere.png' was given; the file cannot be read (No such file or directory)",
        ),
        (
            "generate fox --model dev --image a.txt",
            "--image: 'a.txt' was given; must be a PNG, JPEG, WebP or GIF image",
        ),
        (
            "nonsense",
            'Unknown command "nonsense". Available commands: generate, batch, resume, status, unknown, failures, ',
        ),
        ("genrate fox", 'Unknown command "genrate". Did you mean "generate"? '),
        ("config shwo", 'Unknown command "shwo". Did you mean "show"? '),
        ("generate fox --quite", "Unknown option: --quite. Did you mean --quiet?"),
        ("local-service --latency -1", "--latency -1.0: must be a number of seconds from 0"),
        ("local-service --port 99999", "--port: '99999' was given; must be a whole number from 0 to 65535"),
        ("local-service --port -1", "--port: '-1' was given; must be a whole number from 0 to 65535"),
        ("local-service --host=", "--host is blank; give a value, or leave the option out"),
        ("local-service --fault drop:2", "--fault drop:2: rate=2.0: must be a number from 0 to 1\n"),
        (
            "local-service --fault dorp",
            (
                "--fault dorp: there is no fault 'dorp'; did you mean drop? "
                "`cometflux local-service --help` names them all\n"
            ),
        ),
    ],
)
def test_a_bad_argument_is_one_line_and_exit_code_2(arguments, message, folder, capsys):
    (folder / "a(1).txt").write_text("a fox\n")
    (folder / "a.txt").write_text("a fox\n")
    (folder / "folder.csv").mkdir()
    assert 2 == command(arguments)
    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert err.startswith(f"error: {message}")
    assert {"a.txt", "a(1).txt", "folder.csv"} == {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ("generate fox", {"COMETAPI_KEY": " "}, "there is no API key; set COMETAPI_KEY, or try it with --local\n"),
        ("generate fox", {"COMETAPI_KEY": "Bearer x"}, "the API key begins with the word Bearer; give the key alone"),
        ("generate fox --base-url ftp://x", {}, "--base-url 'ftp://x': must be an http or https URL with a host"),
        (
            "generate fox",
            {"COMETFLUX_BASE_URL": "ftp://x"},
            "COMETFLUX_BASE_URL 'ftp://x': must be an http or https URL with a host",
        ),
        (
            "local-service --host 1.2.3.4",
            {},
            "--host '1.2.3.4': cannot listen on this address: Cannot assign requested",
        ),
        ("local-service --host a..b", {}, "--host 'a..b' is not the name of a host"),
        ("generate fox --proxy nowhere", {}, "--proxy 'nowhere': must be an http or https URL with a host"),
        ("generate fox --out a.txt", {}, "'a.txt' is a file, not a folder"),
        ("batch a.txt --out a.txt/x", {}, "the folder 'a.txt/x' cannot be written to: Not a directory"),
    ],
)
def test_a_bad_configuration_is_one_line_and_exit_code_3(arguments, environment, message, folder, capsys, monkeypatch):
    (folder / "a.txt").write_text("a fox\n")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert 3 == command(arguments)
    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert err.startswith(f"error: {message}")


def test_ten_errors_are_shown_and_the_rest_counted(folder, capsys):
    (folder / "a.csv").write_text("prompt,seed\n" + "a,x\n" * 15)
    assert 2 == command("batch a.csv")
    lines = capsys.readouterr().err.splitlines()
    assert [f"error: a.csv, line {number}" for number in range(2, 12)] == [
        line.partition(": seed")[0] for line in lines[:10]
    ]
    assert ["… and 5 more errors like these; nothing was sent"] == lines[10:]


def test_markup_in_what_is_given_is_shown_as_it_is(capsys):
    assert 2 == command("generate fox --seed [red]x[/red]")
    assert "error: --seed: '[red]x[/red]' was given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("batch a.csv --out s3://bucket/tour --journal s3://bucket/tour", "--journal: "),
        ("resume s3://bucket/tour", ""),
        ("status s3://bucket/tour", ""),
        ("gallery s3://bucket/tour", ""),
        ("mcp --local --out s3://bucket/tour", "--out: "),
    ],
)
def test_a_url_is_no_folder_for_a_journal(line, label, folder, capsys):
    (folder / "a.csv").write_text("prompt\na fox\n")
    assert 2 == command(line)
    advice = "give the folder with the journal, which stays on this machine"
    expected = f"error: {label}'s3://bucket/tour' is not a path on this machine; {advice}\n"
    assert expected == capsys.readouterr().err
    assert ["a.csv"] == [path.name for path in folder.iterdir()]


def test_a_file_without_a_name_is_no_folder(capsys):
    assert 2 == command("batch", "")
    expected = "error: the name of the prompt file is blank; give a file, or - for stdin\n"
    assert expected == capsys.readouterr().err


def test_a_pipe_needs_a_format(folder, capsys):
    os.mkfifo(folder / "prompts")
    assert 2 == command("batch prompts")
    assert "give --format" in capsys.readouterr().err


def test_stdin_is_text_unless_its_format_is_given(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b'{"prompt": 3}\n')))
    assert 2 == command("batch - --format jsonl")
    expected = "error: stdin, line 1: prompt: 3 was given; must be a text that is not blank\n"
    assert expected == capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="for a shell of POSIX")
def test_a_variable_is_set_to_the_text_that_was_given():
    key = "a key; with 'quotes' and $HOME"
    line = f'{assign("COMETAPI_KEY", key)}\nprintf %s "$COMETAPI_KEY"'
    assert key == subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
