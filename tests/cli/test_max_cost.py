"""A budget in dollars: counted over all runs of a folder, by prices of one's own or of the catalogue."""

import json
from pathlib import Path

import pytest

from cometflux.cli import main

DEV, SCHNELL = "black-forest-labs/flux-dev", "black-forest-labs/flux-schnell"


@pytest.fixture(autouse=True)
def prompts(folder, tmp_path, monkeypatch):
    """A prompt file, and a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (folder / "a.txt").write_text("a fox\nan owl\na hen\na cow\n")


def command(line):
    return main(line.split())


def catalogue_requests(service):
    return [request.path for request in service.requests if request.path == "/api/models"]


@pytest.mark.slow
def test_a_batch_stops_before_its_budget_is_passed_and_says_how_to_go_on(service, capsys):
    assert 4 == command("batch a.txt --model dev --max-cost 0.06 --max-pending 1")
    assert 2 == len(service.bills)
    said = capsys.readouterr().err
    assert "error: the next prediction would exceed the limit of $0.06: by estimate $0.05 is spent, and" in said
    assert (
        "to resume, raise the limit, for example:\n  cometflux resume a-images --max-cost 0.10 --max-pending 1\n"
        in said
    )
    assert 4 == command("resume a-images --max-cost 0.09 --max-pending 1")
    assert 3 == len(service.bills)
    assert 0 == command("resume a-images --max-cost 0.10")
    assert 4 == len(service.bills)


def test_the_line_that_goes_on_has_the_prices_that_were_given(service, capsys):
    assert 4 == command("batch a.txt --max-cost 1.005 --price schnell=0.335 --limit 9 --max-pending 1")
    assert 3 == len(service.bills)
    said = capsys.readouterr().err
    assert "cometflux resume a-images --limit 9 --max-cost 1.34 --max-pending 1 --price schnell=0.335\n" in said


@pytest.mark.parametrize("limit", ["--limit 1 --max-cost 5", "--limit 1"])
def test_a_limit_that_is_reached_is_raised_and_the_budget_stays(service, capsys, limit):
    assert 4 == command(f"batch a.txt {limit} --max-pending 1")
    budget = " --max-cost 5.00" if "cost" in limit else ""
    assert f"resume a-images --limit 4{budget} --max-pending 1\n" in capsys.readouterr().err


def test_unknown_and_failed_predictions_count_for_the_budget(service):
    service.fail("drop", after=True)
    service.fail("failed", prompt="owl")
    assert 5 == command("batch a.txt --model dev --max-cost 0.05 --max-pending 1")
    assert 2 == len(service.bills)
    assert 5 == command("resume a-images --max-cost 0.05")
    assert 2 == len(service.bills)


def test_a_model_without_a_price_is_refused_before_anything_is_sent(service, folder, capsys):
    service.fail("html", on="catalogue")
    (folder / "b.csv").write_text("prompt,model\na fox,dev\nan owl,schnell\na hen,dev\n")
    assert 2 == command("batch b.csv --max-cost 5 --price dev=0.1")
    (line,) = capsys.readouterr().err.splitlines()
    start = "error: --max-cost: no price of flux-schnell is known (the price catalogue cannot be read: "
    assert line.startswith(start)
    assert line.endswith("give one in dollars a request, as in --price flux-schnell=0.04")
    assert not Path("b-images").exists()
    assert [] == service.bills
    assert 0 == command("batch b.csv --max-cost 5 --price dev=0.1 --price flux-schnell=0")
    assert 3 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize("line", ["generate fox", "batch a.txt", "resume a-images"])
def test_every_command_that_submits_refuses_a_model_without_a_price(line, service, capsys):
    assert 4 == command("batch a.txt --limit 1")
    service.fail("no-amounts", on="catalogue", rate=1.0)
    Path("cache/cometflux/catalogue.json").unlink()
    capsys.readouterr()
    for more in ("", " --dry-run"):
        assert 2 == command(f"{line} --max-cost 5{more}")
        assert capsys.readouterr().err.startswith("error: --max-cost: no price of flux-schnell is known")
    assert 1 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--max-cost 0", "--max-cost: '0' was given; must be a number of dollars above 0"),
        ("--max-cost 0.00", "--max-cost: '0.00' was given; must be a number of dollars above 0"),
        ("--max-cost=-5", "--max-cost: '-5' was given; must be a number of dollars, such as 0.04"),
        ("--max-cost nan", "--max-cost: 'nan' was given; must be a number of dollars, such as 0.04"),
        ("--max-cost inf", "--max-cost: 'inf' was given; must be a number of dollars, such as 0.04"),
        ("--max-cost $5", "--max-cost: '$5' was given; must be a number of dollars, such as 0.04"),
        ("--max-cost 5EUR", "--max-cost: '5EUR' was given; must be a number of dollars, such as 0.04"),
        ("--max-cost 1e3", "--max-cost: '1e3' was given; must be a number of dollars, such as 0.04"),
        ("--price dev", "--price: 'dev' was given; must be MODEL=DOLLARS, as in flux-dev=0.04"),
        ("--price =1", "--price: '=1' was given; must be MODEL=DOLLARS, as in flux-dev=0.04"),
        ("--price dev=-1", "--price: 'dev=-1' was given; must be a number of dollars, such as 0.04"),
        ("--price dev=nan", "--price: 'dev=nan' was given; must be a number of dollars, such as 0.04"),
        ("--price dev=4€", "--price: 'dev=4€' was given; must be a number of dollars, such as 0.04"),
        ("--price deev=1", "--price: 'deev' was given; "),
        ("--price dev=1 --price dev=2", "--price: dev has two prices; give one"),
        ("--price dev=1 --price flux-dev=2", "--price: 'flux-dev' was given; this model has two prices; give one"),
    ],
)
def test_a_budget_or_a_price_that_is_none_is_one_error(options, told, service, capsys):
    assert 2 == command(f"batch a.txt {options}")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {told}")
    assert [] == service.bills
    assert not Path("a-images").exists()


# ── where prices come from ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = tmp_path / "config" / "cometflux" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


def bought(service, options):
    """How many of four predictions a budget of a dollar allows, by the price that is in force."""
    before = len(service.bills)
    command(f"batch a.txt --out {before} --max-cost 1 --max-pending 1 {options}")
    return len(service.bills) - before


@pytest.mark.slow
def test_an_option_wins_over_the_users_table_and_that_over_the_catalogue(service, user):
    assert 4 == bought(service, "")
    user.write_text('[prices]\nflux-schnell = 0.5\n"black-forest-labs/flux-dev" = {per_image = 0.25}\n')
    assert 2 == bought(service, "")
    assert 1 == bought(service, "--price schnell=0.6")
    assert 1 == bought(service, "--model dev --num-outputs 4")


@pytest.mark.slow
def test_a_projects_table_can_only_raise_a_price(service, user, folder, capsys):
    (folder / "cometflux.toml").write_text("[prices]\nschnell = 0.5\n")
    assert 2 == bought(service, "")
    assert "note: cometflux.toml sets prices: flux-schnell $0.50 a request\n" in capsys.readouterr().err
    user.write_text("[prices]\nschnell = 0.6\n")
    assert 1 == bought(service, "")
    assert 4 == bought(service, "--price schnell=0.01")
    capsys.readouterr()
    assert 0 == command("batch a.txt --dry-run")
    told = "note: the price of flux-schnell: it stays $0.60 a request (own table): cometflux.toml says $0.50 a request"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("prices = 3", "prices: 3 was given; must be a table from the name of a model to its price"),
        ('[prices]\ndev = "0.04"', "prices['dev']: '0.04' was given; must be a number of dollars"),
        ("[prices]\ndev = -1", "prices['dev']: -1 was given; must be a number of dollars from 0"),
        ("[prices]\ndev = nan", "prices['dev']: nan was given; must be a number of dollars from 0"),
        ("[prices]\ndev = true", "prices['dev']: True was given; must be a number of dollars"),
        ("[prices]\ndeev = 1", "prices: 'deev' was given; "),
        ("[prices]\ndev = 1\nflux-dev = 2", "prices: 'flux-dev' was given; this model has two prices; give one"),
        ("[prices]\nflux-1.1-pro = 0.04", 'put a name that has a dot in quotes: "flux-1.1-pro" = 0.04'),
        ("[prices]\ndev = {per_second = 1}", "must have one of per_request and per_image"),
        ("[prices]\ndev = 'sk-canary-4242424242'", "prices['dev']: a text was given"),
        ("[pricse]\ndev = 1", "'pricse' is not a setting; did you mean prices?"),
    ],
)
def test_a_table_that_is_none_is_one_error_with_its_place(table, told, service, folder, capsys):
    (folder / "cometflux.toml").write_text(f"\n{table}\n")
    for line in ("batch a.txt", "config show"):
        assert 3 == command(line)
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith("error: cometflux.toml, line 2: ")
        assert told in said
        assert "canary" not in said
    assert [] == service.bills


@pytest.mark.slow
def test_with_local_the_catalogue_is_not_fetched_and_prices_of_ones_own_count(service, capsys):
    assert 2 == command("batch a.txt --local --max-cost 1")
    assert "no price of flux-schnell is known; give" in capsys.readouterr().err
    assert 4 == command("batch a.txt --local --max-cost 1 --price schnell=0.5 --out b")
    assert [] == catalogue_requests(service)


# ── the catalogue ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_the_catalogue_is_fetched_once_a_day_without_the_key(service, tmp_path):
    for line in ("generate fox", "batch a.txt", "batch a.txt --dry-run", "resume a-images", "batch a.txt --max-cost 1"):
        assert 0 == command(line)
    assert 1 == len(catalogue_requests(service))
    assert "/api/models" == service.requests[0].path, "before anything is sent"
    assert not service.requests[0].authorised
    kept = tmp_path / "cache" / "cometflux" / "catalogue.json"
    values = json.loads(kept.read_bytes())
    for age, fetched in ((86_000, 1), (86_500, 2), (-60, 3)):
        kept.write_text(json.dumps({**values, "fetched_at": values["fetched_at"] - age}))
        assert 0 == command("generate fox")
        assert fetched == len(catalogue_requests(service))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda values: {**values, "root": "https://other.example"},
        lambda values: {**values, "prices": {DEV: [-1, "catalogue as given"]}},
        lambda values: {**values, "prices": {DEV: [True, "catalogue as given"]}},
        lambda values: {**values, "prices": {DEV: [1, "a guess"]}},
        lambda values: {**values, "prices": {DEV: 3}},
        lambda values: {**values, "prices": []},
        lambda values: {**values, "doubts": {DEV: 3}},
        lambda values: {**values, "fetched_at": "now"},
        lambda values: {},
        lambda values: [[[]]],
        lambda values: None,
    ],
)
def test_a_kept_catalogue_that_is_broken_or_of_another_service_is_fetched_again(change, service, tmp_path):
    kept = tmp_path / "cache" / "cometflux" / "catalogue.json"
    assert 0 == command("generate fox")
    values = json.loads(kept.read_bytes())
    kept.write_text(json.dumps(change(values)))
    assert 0 == command("generate fox --max-cost 1")
    assert 2 == len(catalogue_requests(service))
    assert values["prices"] == json.loads(kept.read_bytes())["prices"]


@pytest.mark.slow
@pytest.mark.parametrize("spoil", ["bytes", "a folder", "a pipe", "no folder can be made"])
def test_a_place_that_cannot_keep_the_catalogue_is_no_error(spoil, service, tmp_path):
    import os

    kept = tmp_path / "cache" / "cometflux" / "catalogue.json"
    kept.parent.mkdir(parents=True)
    match spoil:
        case "bytes":
            kept.write_bytes(b"\xff\x00{")
        case "a folder":
            kept.mkdir()
        case "a pipe":
            os.mkfifo(kept)
        case _:
            kept.parent.rmdir()
            kept.parent.write_text("")
    assert 0 == command("generate fox --max-cost 1")
    assert 1 == len(service.bills)


@pytest.mark.slow
def test_a_catalogue_that_cannot_be_read_is_fetched_again_where_it_is_needed(service, capsys):
    service.fail("html", on="catalogue", rate=1.0)
    assert 0 == command("generate fox")
    assert "catalogue" not in capsys.readouterr().err, "nobody asked for money"
    assert 0 == command("generate fox")
    assert 1 == len(catalogue_requests(service))
    assert 2 == command("generate fox --max-cost 1")
    assert 2 == len(catalogue_requests(service))


@pytest.mark.slow
def test_predictions_that_are_paid_for_do_not_wait_for_the_catalogue(service, tmp_path, capsys):
    service.fail("output-404", rate=1.0)
    assert 1 == command("batch a.txt")
    (tmp_path / "cache" / "cometflux" / "catalogue.json").unlink()
    for line in ("batch a.txt", "resume a-images"):
        assert 1 == command(line)
        assert 1 == len(catalogue_requests(service))
    command("resume a-images --max-cost 1")
    assert 2 == len(catalogue_requests(service)), "a budget needs it"


# ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def words(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def test_models_tells_prices_and_their_basis_and_fetches_nothing(service, user, capsys):
    for line in ("models", "models dev"):
        assert 0 == command(line)
        assert any(line.startswith("no price known") for line in words(capsys.readouterr().out))
    assert 0 == command("generate fox")
    user.write_text("[prices]\ndev = {per_image = 0.04}\n")
    requests = len(service.requests)
    capsys.readouterr()
    assert 0 == command("models")
    lines = words(capsys.readouterr().out)
    assert "flux-dev flux.Dev 13 image 1 to 4 $0.04 an image" in lines
    assert "flux-schnell flux.Schnell 10 - 1 to 4 $0.003" in lines
    assert "prices are estimates for a request, basis: catalogue as given; flux-dev own table" == lines[-1]
    assert 0 == command("models schnell")
    assert "$0.003 a request (catalogue as given)" in words(capsys.readouterr().out)
    assert 0 == command("models --json")
    records = {each["model"]: each for each in map(json.loads, capsys.readouterr().out.splitlines())}
    assert ("0.04", "image", "own table") == tuple(records[DEV][name] for name in ("price", "unit", "basis"))
    assert ("0.003", "request") == tuple(records[SCHNELL][name] for name in ("price", "unit"))
    assert requests == len(service.requests)
