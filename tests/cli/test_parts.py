"""A prompt file that is divided among machines: each makes its own part, and nothing is submitted twice."""

import json
from pathlib import Path

import pytest
from command_line import run

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")
PROMPTS = [f"boat {number}" for number in range(12)]


@pytest.fixture
def prompt_file(folder):
    Path("a.txt").write_text("".join(f"{prompt}\n" for prompt in PROMPTS))


def prompts(service):
    return sorted(bill.input["prompt"] for bill in service.bills)


@pytest.mark.slow
@pytest.mark.usefixtures("prompt_file")
def test_the_parts_together_make_every_job_once(service, capsys):
    for number in (1, 2, 3):
        run(f"batch a.txt --out tour --part {number}/3")
    assert sorted(PROMPTS) == prompts(service)
    capsys.readouterr()
    run("status tour")
    shown = capsys.readouterr().out
    assert "saved    12" in shown
    assert 3 == shown.count("part-")
    run("status tour --json")
    found = json.loads(capsys.readouterr().out)
    assert 12 == found["saved"] == sum(part["saved"] for part in found["parts"].values())
    names = [path.name for path in Path("tour").glob("part-*/*.webp")]
    for path in Path("tour").glob("part-*/00*.webp"):
        (path.parent / "picks.jsonl").write_text(f'{{"file": "{path.name}", "mark": "star"}}\n')
    run("status tour")
    assert "3 starred, 0 rejected in picks.jsonl" in capsys.readouterr().out
    assert len(set(names)) == 12, "each image has the name that it has in the whole list"


@pytest.mark.usefixtures("prompt_file")
def test_a_part_is_resumed_by_itself_and_submits_nothing_again(service):
    run("batch a.txt --out tour --part 1/3 --limit 1", 4)
    assert 1 == len(service.bills)
    run("resume tour/part-1-of-3")
    mine = prompts(service)
    run("batch a.txt --out tour --part 1/3")
    assert mine == prompts(service)
    assert 1 < len(mine) < 12


@pytest.mark.slow
@pytest.mark.usefixtures("prompt_file")
@pytest.mark.parametrize(
    "line", ["resume tour", "failures tour", "export tour --to best", "batch a.txt --from tour", "gallery tour"]
)
def test_a_command_that_takes_one_part_names_the_parts(line, service, capsys):
    run("batch a.txt --out tour --part 2/3")
    capsys.readouterr()
    run(line, 3)
    assert "its parts have journals of their own: give one, as 'tour/part-2-of-3'" in capsys.readouterr().err


@pytest.mark.usefixtures("prompt_file")
@pytest.mark.parametrize("part", ["1/4", "2/2"])
def test_another_number_of_parts_is_refused_before_anything_is_sent(service, capsys, part):
    run("batch a.txt --out tour --part 1/3 --limit 1", 4)
    run(f"batch a.txt --out tour --part {part}", 3)
    assert "holds a list in 3 parts" in capsys.readouterr().err
    assert 1 == len(service.bills)


@pytest.mark.usefixtures("prompt_file")
def test_a_part_of_another_journal_is_refused_before_anything_is_sent(service, capsys):
    run("batch a.txt --out tour --part 1/3 --limit 1", 4)
    Path("tour/part-1-of-3").rename("tour/lost")
    run("batch a.txt --out tour --part 1/3", 3)
    err = capsys.readouterr().err
    assert "belongs to another journal" in err
    assert "to pay for the whole part again" in err
    assert 1 == len(service.bills)


@pytest.mark.usefixtures("prompt_file")
@pytest.mark.parametrize("part", ["1/4", "1/3"])
def test_a_part_that_is_refused_leaves_nothing_behind(part, service):
    run("batch a.txt --out tour --part 1/3 --limit 1", 4)
    Path("tour/part-1-of-3").rename("tour/lost")
    before = sorted(Path("tour").rglob("*"))
    run(f"batch a.txt --out tour --part {part}", 3)
    assert before == sorted(Path("tour").rglob("*"))


@pytest.mark.slow
@pytest.mark.usefixtures("prompt_file")
@pytest.mark.parametrize(
    "line",
    [
        *("batch a.txt --out tour", "batch a.txt --out tour --replace --yes", "batch a.txt --out tour --sample 2"),
        *("batch a.txt --out tour/part-1-of-2", "batch b.yaml --out tour", "batch b.txt --out tour"),
        "batch --from drafts --model kontext-pro --out tour",
        *("generate 'a boat' --out tour", "generate 'a boat' --out tour/part-1-of-2", "mcp --out tour"),
    ],
)
def test_a_place_of_parts_takes_only_parts(line, service, capsys):
    Path("b.yaml").write_text("prompt: a {hue} boat\nmatrix: {hue: [red, blue]}\n")
    Path("b.txt").write_text("a crane\n")
    run("generate 'a draft' --out drafts")
    run("batch a.txt --out tour --part 1/2")
    before = sorted(Path("tour").rglob("*")), len(service.bills)
    run(line, 2)
    advice = "give --part K/2, or use" if line.startswith("batch") else "use"
    assert f"error: tour holds a list in 2 parts: {advice} another place with --out" in capsys.readouterr().err
    assert before == (sorted(Path("tour").rglob("*")), len(service.bills))


@pytest.mark.slow
@pytest.mark.usefixtures("prompt_file")
def test_a_place_of_parts_takes_the_parts_of_another_file(service):
    Path("b.txt").write_text("a crane\na pier\n")
    for number in (1, 2):
        run(f"batch a.txt --out tour --part {number}/2")
        run(f"batch b.txt --out tour --part {number}/2")
        run(f"resume tour/part-{number}-of-2")
    assert sorted([*PROMPTS, "a crane", "a pier"]) == prompts(service)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "[]", "no json", '{"parts": "many"}', '{"parts": true}'])
@pytest.mark.parametrize("part", ["", "--part 1/2"])
@pytest.mark.usefixtures("prompt_file")
def test_a_number_of_parts_that_cannot_be_read_is_refused(part, text, service, capsys):
    Path("tour").mkdir()
    Path("tour/.cometflux-parts.json").write_text(text)
    run(f"batch a.txt --out tour {part}", 3)
    shown = capsys.readouterr().err
    assert "tour does not say into how many parts the list is divided" in shown
    assert [] == service.bills


@pytest.mark.slow
@pytest.mark.usefixtures("prompt_file")
@pytest.mark.parametrize("option", ["", "--limit 0", "--limit 1"])
def test_a_list_that_was_begun_without_parts_takes_none(option, service, capsys):
    run(f"batch a.txt --out tour {option}", 4 if option else 0)
    before = sorted(Path("tour").rglob("*")), len(service.bills)
    run("batch a.txt --out tour --part 1/2", 2)
    shown = capsys.readouterr().err
    assert "error: the list in tour was begun without --part: leave --part out, or use another place" in shown
    assert before == (sorted(Path("tour").rglob("*")), len(service.bills))


@pytest.mark.slow
@pytest.mark.usefixtures("prompt_file")
def test_a_journal_without_jobs_is_no_list(service):
    Path("tour").mkdir()
    Path("tour/journal.sqlite3").touch()
    run("batch a.txt --out tour --part 1/2")
    run("batch a.txt --out tour --part 2/2")
    assert sorted(PROMPTS) == prompts(service)


@pytest.mark.usefixtures("prompt_file")
@pytest.mark.parametrize("part", ["0/8", "9/8", "1/0", "a", "1/8/2"])
def test_what_is_not_a_part_is_a_usage_error(service, capsys, part):
    run(f"batch a.txt --part {part}", 2)
    assert f"--part {part!r} must be K/N" in capsys.readouterr().err
    assert [] == service.bills


@pytest.mark.usefixtures("prompt_file")
def test_a_dry_run_counts_the_jobs_of_the_part_and_writes_nothing(service, capsys):
    counts = []
    for number in (1, 2, 3):
        run(f"batch a.txt --out tour --part {number}/3 --dry-run --json")
        counts.append(json.loads(capsys.readouterr().out)["to_buy"])
    assert 12 == sum(counts)
    assert 0 < min(counts)
    assert not Path("tour").exists()
    assert [] == service.bills


@pytest.mark.usefixtures("prompt_file")
def test_two_places_for_saving_exclude_each_other(service, capsys):
    run("batch a.txt --workers 2 --cluster tcp://127.0.0.1:9", 2)
    assert "--cluster and --workers exclude each other" in capsys.readouterr().err
    assert [] == service.bills


@pytest.mark.slow
@pytest.mark.usefixtures("prompt_file")
def test_costs_adds_up_the_parts_and_names_each(service, capsys, monkeypatch):
    monkeypatch.setenv("COMETAPI_ACCESS_TOKEN", service.access_token)
    for number in (1, 2, 3):
        run(f"batch a.txt --out tour --part {number}/3")
    capsys.readouterr()
    run("costs tour --json")
    found = json.loads(capsys.readouterr().out)
    total = sum(bill.quota for bill in service.bills)
    assert (12, total, 0) == (found["predictions"], found["net_quota"], found["without_charge"])
    assert 3 == len(found["parts"])
    assert total == sum(part["net_quota"] for part in found["parts"].values())
    run("costs tour")
    assert 3 == capsys.readouterr().err.count("-of-3: ")


@pytest.mark.slow
@pytest.mark.usefixtures("prompt_file")
def test_the_unknown_jobs_of_all_parts_are_listed_and_settled(service, capsys, monkeypatch):
    monkeypatch.setenv("COMETAPI_ACCESS_TOKEN", service.access_token)
    for number in (1, 2):
        service.fail("drop", after=True)
        run(f"batch a.txt --out tour --part {number}/2 --max-pending 1", 5)
    capsys.readouterr()
    run("unknown tour --json")
    keys = [json.loads(line)["key"] for line in capsys.readouterr().out.splitlines()]
    assert 2 == len(set(keys))
    run(f"unknown tour --abandon '{keys[0]}'", 2)
    assert "tour holds parts; give the folder of the part that has the job" in capsys.readouterr().err
    run("unknown tour --settle")
    for number in (1, 2):
        run(f"resume tour/part-{number}-of-2")
    assert sorted(PROMPTS) == prompts(service)


@pytest.mark.slow
@pytest.mark.usefixtures("prompt_file")
def test_a_folder_with_a_list_of_its_own_and_parts_shows_both(service, capsys, monkeypatch):
    """As a folder of journals has them, whose lists go to different places."""
    monkeypatch.setenv("COMETAPI_ACCESS_TOKEN", service.access_token)
    run("batch a.txt --out tour --part 1/2")
    Path("tour/.cometflux-parts.json").unlink()
    service.fail("drop", after=True)
    run("generate 'a boat' --out tour", 5)
    count = len(service.bills)
    capsys.readouterr()
    run("status tour")
    shown = capsys.readouterr().out
    assert f"planned  {count}" in shown
    assert "without parts: 0 of 1 saved, 1 unknown" in shown
    assert f"part-1-of-2: {count - 1} of {count - 1} saved" in shown
    run("status tour --json")
    found = json.loads(capsys.readouterr().out)
    assert (count, 1, count - 1) == (found["planned"], *(each["planned"] for each in found["parts"].values()))
    run("costs tour")
    shown = capsys.readouterr().err
    assert "without parts: " in shown
    assert "part-1-of-2: " in shown
    run("unknown tour --json")
    [job] = capsys.readouterr().out.splitlines()
    run(f"unknown tour --abandon '{json.loads(job)['key']}'")
