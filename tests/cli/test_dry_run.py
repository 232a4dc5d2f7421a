"""What would be bought is shown by --dry-run and asked about on a terminal; nothing is written or sent before."""

import itertools
import json
import os
import signal
import sys
from pathlib import Path

import forked_process
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from old_journals import make_old
from waiting import PATIENCE, wait_until_it_waits

from cometflux.cli import main
from cometflux.cli.batch.draft_plan import spread
from cometflux.sources.formats import text_lines

SWEEP = "prompt: a {animal}\nmatrix:\n  animal: [fox, owl]\n  model: [dev, schnell]\n  num_outputs: [1, 2]\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder to work in, without a key, and with an address where nobody listens."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("COMETAPI_KEY", raising=False)
    monkeypatch.delenv("COMETAPI_API_KEY", raising=False)
    monkeypatch.setenv("COMETFLUX_BASE_URL", "http://127.0.0.1:9/replicate/v1")
    (tmp_path / "a.yaml").write_text(SWEEP)
    (tmp_path / "a.txt").write_text("a fox\nan owl\na hen\n")
    return tmp_path


@pytest.fixture
def service(serving):
    with serving(latency=0.02, pixels=4096) as service:
        yield service


def command(line, *more):
    return main([*line.split(), *more])


def shown(capsys, line, *more):
    assert 0 == command(line, *more)
    return capsys.readouterr().out


def counted(capsys, line, *more):
    return json.loads(shown(capsys, f"{line} --dry-run --json", *more))


# A dry run.


def test_a_dry_run_shows_by_model_what_would_be_bought(capsys, folder):
    lines = [line.split() for line in shown(capsys, "batch a.yaml --dry-run --count 2").splitlines()]
    assert [
        ["model", "jobs", "images", "predictions", "to", "buy", "images", "to", "buy"],
        ["flux-dev", "8", "12", "8", "12"],
        ["flux-schnell", "8", "12", "8", "12"],
        ["total", "16", "24", "16", "24"],
    ] == lines[:4]
    assert ["a.txt", "a.yaml"] == sorted(path.name for path in folder.iterdir()), "nothing is written"


def test_a_dry_run_as_json_is_one_object(capsys, folder):
    total = {"jobs": 1, "images": 3, "predictions": 1, "new_images": 3, "cost": "0.09", "unpriced": 0}
    dev = {"model": "black-forest-labs/flux-dev", **total, "price": "0.03", "unit": "image", "basis": "own table"}
    expected = {**total, "to_buy": 1, "limit": None, "bought": 0, "max_cost": None, "spent": "0.00"}
    expected |= {"again": 0, "journal": None, "models": [dev], "notes": []}
    (folder / "cometflux.toml").write_text("[prices]\ndev = {per_image = 0.03}\n")
    assert expected == counted(capsys, "generate", "a fox", "--model", "dev", "--num-outputs", "3")


def test_the_images_of_a_model_that_is_not_known_are_not_guessed(capsys):
    found = counted(capsys, "generate", "a fox", "--model", "me/own")
    assert (1, None) == (found["predictions"], found["images"])


@pytest.mark.parametrize("number", [-3, 0])
def test_a_number_of_images_that_cannot_be_is_not_counted(number, capsys):
    options = ["--model", "schnell", "--no-validate", "--input", f"num_outputs={number}"]
    assert 1 == counted(capsys, "generate", "a fox", *options)["images"]


def test_a_dry_run_knows_what_the_journal_has_bought(capsys, service, folder):
    assert 0 == command("batch a.txt")
    capsys.readouterr()
    with (folder / "a.txt").open("a") as file:
        file.write("a cow\n")
    before = {path: path.read_bytes() for path in (folder / "a-images").iterdir()}
    found = counted(capsys, "batch a.txt")
    assert (4, 1, 1, 3) == (found["jobs"], found["predictions"], found["to_buy"], found["bought"])
    assert 3 == found["journal"]["saved"]
    assert before == {path: path.read_bytes() for path in (folder / "a-images").iterdir()}
    assert 3 == len(service.bills)


def test_a_dry_run_of_resume_knows_what_is_left(capsys, service):
    assert 4 == command("batch a.txt --limit 2")
    capsys.readouterr()
    assert (3, 1) == tuple(counted(capsys, "resume a-images")[name] for name in ("jobs", "to_buy"))
    assert (1, 0) == tuple(counted(capsys, "resume a-images --limit 2")[name] for name in ("predictions", "to_buy"))
    assert 2 == len(service.bills)


def test_a_limit_is_told(capsys):
    out = shown(capsys, "batch a.txt --dry-run --limit 2")
    assert "--limit 2 allows 2 of them: 0 are bought already\n" in out


def test_a_dry_run_refuses_what_the_run_would_refuse(capsys, service, folder):
    (folder / "a.csv").write_text("prompt,key\na fox,k\n")
    assert 0 == command("batch a.csv --out b")
    (folder / "a.csv").write_text("prompt,key\nan owl,k\n")
    capsys.readouterr()
    assert 2 == command("batch a.csv --out b --dry-run")
    assert "a.csv, line 2: key 'k' is in the journal with another input" in capsys.readouterr().err
    assert 3 == command("batch a.txt --out b --dry-run --local")
    said = "the folder 'b' was made without --local; leave --local out, or use another folder"
    assert said in capsys.readouterr().err
    assert 3 == command("resume nowhere --dry-run")
    assert "there is no folder 'nowhere" in capsys.readouterr().err


def test_a_dry_run_refuses_a_place_that_the_run_could_not_open(capsys, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    assert 3 == command("batch a.txt --dry-run --out s3://bucket/tour")
    assert "saving to s3:// needs an extra" in capsys.readouterr().err


def test_the_line_that_goes_on_keeps_what_was_watched_by(capsys, service):
    assert 4 == command("batch a.txt --limit 1 --gallery --embed")
    line = "cometflux resume a-images --embed --gallery"
    assert line in capsys.readouterr().err


def test_what_is_to_be_known_is_told_in_a_dry_run(capsys, folder):
    (folder / "a.yaml").write_text(f"{SWEEP}exclude:\n  - animal: cat\n")
    assert 0 == command("batch a.yaml --dry-run")
    assert "note: a.yaml, line 7: this entry of exclude matches nothing\n" == capsys.readouterr().err


def test_the_notes_of_a_dry_run_obey_the_voice(capsys):
    line = "generate fox --model me/own --dry-run"
    assert 0 == command(line, "--log-json")
    assert ["note"] == [json.loads(each)["event"] for each in capsys.readouterr().err.splitlines()]
    assert 0 == command(line, "--quiet")
    assert "" == capsys.readouterr().err


# Dollars.


def words(text):
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_a_dry_run_shows_the_estimate_of_each_model_its_basis_and_the_part_without_a_price(service, folder, capsys):
    (folder / "a.csv").write_text("prompt,model\na,dev\nb,dev\nc,schnell\nd,me/own\ne,pro\n")
    lines = words(shown(capsys, "batch a.csv --dry-run --price me/own=1.5 --max-cost 3 --price pro=0"))
    assert [
        "model price basis to buy estimate",
        "flux-dev $0.025 a request catalogue as given 2 $0.05",
        "flux-schnell $0.003 a request catalogue as given 1 $0.003",
        "own $1.50 a request given 1 $1.50",
        "flux-pro $0.00 a request given 1 $0.00",
        "total 5 $1.553",
        "--max-cost 3.00 is enough: by estimate $0.00 of $3.00 are spent already",
        "5 predictions would be bought ($1.553 by estimate); this was a dry run",
    ] == lines[-8:]
    lines = words(shown(capsys, "batch a.csv --dry-run --limit 2"))
    assert [
        "own no price known - 1 ?",
        "flux-pro $0.055 a request catalogue as given 1 $0.055",
        "total 5 $0.108 + ?",
        "--limit 2 allows 2 of them: 0 are bought already",
        "1 of 5 predictions has no price, and is not in the sum",
        "2 predictions would be bought (at most $0.108 by estimate, 1 without a price); this was a dry run",
    ] == lines[-6:]
    assert [] == service.bills


def test_a_budget_that_the_batch_would_pass_is_told_with_what_is_spent(service, capsys):
    assert 4 == command("batch a.txt --model dev --limit 1")
    lines = words(shown(capsys, "batch a.txt --model dev --dry-run --max-cost 0.05"))
    told = "--max-cost 0.05 stops the run before it is passed: by estimate $0.025 of $0.05 are spent already"
    assert told in lines
    assert "2 predictions would be bought ($0.05 by estimate); this was a dry run" == lines[-1]
    found = counted(capsys, "resume a-images --max-cost 0.05")
    assert ("0.05", "0.05", "0.025", 0) == tuple(found[name] for name in ("cost", "max_cost", "spent", "unpriced"))


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["html", "drop", "garbage", "euros", "huge", "negative-amounts", "twice"])
def test_a_doubtful_catalogue_is_one_note_in_a_dry_run(fault, service, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    service.fail(fault, on="catalogue", rate=1.0)
    lines = words(shown(capsys, "batch a.txt --dry-run"))
    (note,) = [line for line in lines if line.startswith("note: ")]
    assert "price" in note
    assert fault == "twice" or "3 predictions would be bought (no price known); this was a dry run" == lines[-1]


def test_without_a_catalogue_a_dry_run_says_so(capsys):
    lines = words(shown(capsys, "generate fox --dry-run"))
    assert "flux-schnell no price known - 1 ?" in lines
    assert any(line.startswith("note: the price catalogue cannot be read: nothing could be sent") for line in lines)


def test_a_dry_run_with_local_speaks_of_dollars_only_by_prices_of_ones_own(capsys):
    assert "price" not in shown(capsys, "generate fox --dry-run --local")
    assert "$2.00" in shown(capsys, "generate fox --dry-run --local --price schnell=2")


# Sweeps, templates and Parquet from the shell.


def test_a_sweep_is_made_and_made_again_for_nothing(service, capsys):
    assert 0 == command("batch a.yaml")
    assert 0 == command("batch a.yaml")
    assert 8 == len(service.bills)
    assert 24 == len(capsys.readouterr().out.splitlines()), "twelve pictures, told twice"


def test_a_sweep_past_the_maximum_is_refused_with_its_count(capsys):
    assert 2 == command("batch a.yaml --max-jobs 7")
    assert "error: a.yaml: it makes 8 jobs (2 x 2 x 2); at most 7 are allowed; raise --max-jobs for more\n" == (
        capsys.readouterr().err
    )
    assert 2 == command("batch a.yaml --max-jobs 15 --count 2")
    assert "8 jobs (2 x 2 x 2), each 2 times; at most 15 are allowed" in capsys.readouterr().err


def test_a_template_makes_the_prompts_of_any_table(service, folder):
    (folder / "b.csv").write_text("animal,seed\nfox,1\n")
    pq.write_table(pa.table({"animal": ["owl"], "seed": [2]}), folder / "b.parquet")
    assert 0 == command("batch b.csv", "--template", "a {animal}")
    assert 0 == command("batch b.parquet", "--template", "an {animal}", "--out", "c")
    assert 0 == command("batch a.txt", "--template", "{prompt}, ink", "--out", "d")
    assert ["a fox", "a fox, ink", "a hen, ink", "an owl", "an owl, ink"] == sorted(
        bill.input["prompt"] for bill in service.bills
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["batch", "b.csv", "--template", "a {animl}"],
            "b.csv, line 1: the template uses {animl}, which does not exist; did you",
        ),
        (
            ["batch", "b.csv", "--template", "a {animal}"],
            "b.csv, line 3: the template uses {animal}, which is empty here",
        ),
        (["batch", "b.csv", "--template", "a {"], "--template: unmatched brace; write {{ for a literal brace"),
        (["batch", "b.csv"], "b.csv, line 1: no column is named 'prompt'; the first row names the columns"),
        (["batch", "b.parquet"], "b.parquet: no column is named 'prompt', and no template makes the prompts"),
        (["batch", "b.csv", "--template", "a fox"], "b.csv, line 1: no row can use the column 'animal'; take it out"),
        (["batch", "-", "--format", "parquet"], "stdin: it is not a Parquet file, or it is cut short"),
        (["batch", "a.yaml", "--max-jobs", "0"], "--max-jobs: '0' was given; must be a whole number from 1"),
        (
            ["batch", "a.yaml", "--confirm-above", "-1"],
            "--confirm-above: '-1' was given; must be a whole number from 0 to 999999999",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_one_line_and_exit_code_2(arguments, expected, folder, capsys, monkeypatch):
    (folder / "b.csv").write_text("animal,seed\nfox,1\n,2\n")
    pq.write_table(pa.table({"animal": ["owl"], "seed": [2]}), folder / "b.parquet")
    with (folder / "a.txt").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert 2 == main(arguments)
    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert err.startswith(f"error: {expected}")


@pytest.mark.parametrize("written", ["text", "csv", "jsonl", "yaml"])
@pytest.mark.parametrize("file", ["-", "/dev/zero"], ids=["stdin", "a device"])
def test_a_prompt_file_without_an_end_is_refused(file, written, folder, capsys, monkeypatch):
    monkeypatch.setattr(text_lines, "LARGEST_FILE", 1_000_000)
    with Path("/dev/zero").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert 2 == main(["batch", file, "--format", written, "--out", str(folder / "out")])
    name = "stdin" if file == "-" else file
    # The others are read line by line.
    refused = ": it has more than 1000000 bytes, the most" if written == "yaml" else ", line 1: it contains a NUL byte"
    assert capsys.readouterr().err.startswith(f"error: {name}{refused}")


@pytest.mark.parametrize("written", ["text", "csv", "jsonl", "yaml"])
def test_prompts_without_an_end_are_refused(written, folder, capsys, monkeypatch):
    monkeypatch.setattr(text_lines, "LARGEST_FILE", 100_000)
    Path("long").write_text("prompt\n" + '{"prompt": "a fox"}\n' * 10_000)
    assert 2 == main(["batch", "long", "--format", written, "--out", str(folder / "out")])
    assert "error: long: it has more than 100000 bytes, the most that is read\n" == capsys.readouterr().err
    assert not (folder / "out").exists()


# The question on a terminal.


class Terminal:
    """The command at a terminal on which a person types."""

    def __init__(self, *arguments):
        import pty

        self._ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "cometflux.cli", *arguments]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "dumb"}
        self._process = forked_process.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self.text = ""

    def read_until(self, text):
        while text not in self.text:
            self.text += os.read(self._ours, 4096).decode()

    def type(self, text):
        os.write(self._ours, text.encode("utf-8", "surrogateescape"))

    def send(self, number):
        wait_until_it_waits(self._process)
        self._process.send_signal(number)

    def end(self):
        try:
            while data := os.read(self._ours, 4096):
                self.text += data.decode(errors="replace")
        except OSError:
            # The other side is closed.
            pass
        finally:
            os.close(self._ours)
        return self._process.wait(PATIENCE)


QUESTION = "? [y/N] "


def answered(answer, *arguments):
    terminal = Terminal(*arguments)
    terminal.read_until(QUESTION)
    terminal.send(answer) if isinstance(answer, signal.Signals) else terminal.type(answer)
    return terminal.end(), terminal.text


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        pytest.param("n\n", 2, "not confirmed; nothing was sent", id="no"),
        pytest.param("\n", 2, "not confirmed; nothing was sent", id="nothing", marks=pytest.mark.hard),
        pytest.param("yes please\n", 2, "not confirmed; nothing was sent", id="something else", marks=pytest.mark.hard),
        pytest.param("\x04", 2, "not confirmed; nothing was sent", id="the end of the input", marks=pytest.mark.hard),
        pytest.param("\udcff\n", 2, "not confirmed; nothing was sent", id="a byte that is not UTF-8"),
        pytest.param(signal.SIGINT, 130, "interrupted; nothing was sent", id="Ctrl-C"),
    ],
)
def test_whatever_is_no_yes_buys_nothing(answer, code, says, service, folder, monkeypatch):
    # As in any locale but C.
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    found, text = answered(answer, "batch", "a.txt", "--confirm-above", "2")
    assert (code, True) == (found, says in text), text
    assert [] == service.bills
    assert not (folder / "a-images").exists()


def test_a_yes_buys_and_the_question_says_how_many(service):
    code, text = answered("y\n", "batch", "a.txt", "--confirm-above", "2", "--retry-failed", "1")
    assert (0, 3) == (code, len(service.bills))
    assert "buy 3 predictions ($0.009 by estimate), and again up to 1 times what fails? [y/N] " in text


def test_without_a_key_the_question_is_not_asked():
    terminal = Terminal("batch", "a.txt", "--confirm-above", "2")
    assert (3, False) == (terminal.end(), QUESTION in terminal.text)
    assert "there is no API key" in terminal.text


@pytest.mark.hard
def test_what_is_bought_already_is_not_asked_about(service):
    assert 4 == command("batch a.txt --limit 2")
    terminal = Terminal("resume", "a-images", "--confirm-above", "1")
    assert (0, False) == (terminal.end(), QUESTION in terminal.text)
    assert 3 == len(service.bills)


@pytest.mark.hard
@pytest.mark.parametrize("more", [["--yes"], ["--confirm-above", "3"], []], ids=["--yes", "few", "fewer than 100"])
def test_nobody_is_asked_who_need_not_be(more, service):
    arguments = ["--confirm-above", "0", *more] if more == ["--yes"] else more
    terminal = Terminal("batch", "a.txt", *arguments)
    assert (0, False) == (terminal.end(), QUESTION in terminal.text)
    assert 3 == len(service.bills)


@pytest.mark.hard
def test_what_costs_nothing_is_not_asked_about():
    terminal = Terminal("batch", "a.txt", "--confirm-above", "0", "--local")
    assert (0, False) == (terminal.end(), QUESTION in terminal.text)


def test_without_a_terminal_nobody_is_asked(service, capsys):
    assert 0 == command("generate --confirm-above 0", "a fox")
    assert QUESTION not in capsys.readouterr().err
    assert 1 == len(service.bills)


def test_what_an_older_journal_has_in_another_spelling_is_not_counted_as_new(folder, service, capsys):
    (folder / "rows.jsonl").write_text('{"prompt": "a fox\\r\\nin rain"}\n{"prompt": "an owl"}\n')
    assert 0 == command("batch rows.jsonl --yes")
    make_old(folder / "rows-images")
    capsys.readouterr()
    assert 0 == counted(capsys, "batch rows.jsonl")["predictions"]


# A sample.


@pytest.fixture
def ten(folder):
    (folder / "ten.txt").write_text("".join(f"prompt {number}\n" for number in range(10)))


def prompts_of(service):
    return sorted(int(bill.input["prompt"].split()[1]) for bill in service.bills)


def test_without_a_terminal_only_the_sample_is_made_and_the_command_for_the_rest_is_told(ten, service, capsys):
    assert 0 == command("batch", "ten.txt", "--sample", "3")
    assert [0, 5, 9] == prompts_of(service)
    out, err = capsys.readouterr()
    assert 3 == len(out.splitlines())
    assert "the sample is finished: 3 jobs of 10; to see the pictures together: cometflux gallery ten-images" in err
    assert "cometflux resume ten-images" in err
    assert 0 == command("resume", "ten-images")
    assert [*range(10)] == prompts_of(service)


@pytest.mark.parametrize(("answer", "bought"), [("y\n", [*range(10)]), ("n\n", [0, 9])])
def test_at_a_terminal_the_sample_is_made_and_then_the_others_if_told_so(answer, bought, ten, service):
    found, text = answered(answer, "batch", "ten.txt", "--sample", "2")
    assert 0 == found, text
    assert "buy 8 predictions ($0.024 by estimate)? [y/N]" in text
    assert bought == prompts_of(service)


def test_a_sample_is_bought_once_and_goes_on_if_nobody_is_to_be_asked(ten, service):
    assert 0 == command("batch", "ten.txt", "--sample", "3")
    assert 0 == command("batch", "ten.txt", "--sample", "3")
    assert [0, 5, 9] == prompts_of(service)
    assert 0 == command("batch", "ten.txt", "--sample", "3", "--yes")
    assert [*range(10)] == prompts_of(service)


def test_a_sample_of_more_jobs_than_there_are_is_the_whole(ten, service, capsys):
    assert 0 == command("batch", "ten.txt", "--sample", "20")
    assert [*range(10)] == prompts_of(service)
    assert "resume" not in capsys.readouterr().err


def test_a_sample_that_is_not_whole_does_not_go_on(ten, service):
    assert 4 == command("batch", "ten.txt", "--sample", "3", "--yes", "--limit", "2")
    assert 2 == len(service.bills)


def test_ctrl_c_at_the_question_does_not_say_that_nothing_was_sent(ten, service):
    found, text = answered(signal.SIGINT, "batch", "ten.txt", "--sample", "2")
    assert (130, False) == (found, "nothing was sent" in text), text
    assert [0, 9] == prompts_of(service)


@given(st.integers(1, 500), st.integers(1, 60))
def test_a_sample_is_spread_from_the_first_to_the_last(total, count):
    chosen = sorted(spread(total, count))
    assert min(total, count) == len(chosen)
    assert (0, total - 1) == (chosen[0], chosen[-1] if count > 1 else total - 1)
    gaps = {after - before for before, after in itertools.pairwise(chosen)}
    assert not gaps or max(gaps) - min(gaps) <= 1
