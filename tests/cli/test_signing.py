"""The command signs pictures with the user's certificate, and says which are not signed."""

import json
from pathlib import Path

import pytest
from command_line import run
from signing import Chain
from timestamp_authority import timestamp_authority

from cometflux.provenance.embed import extract

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")
SIGN = "--sign chain.pem --sign-key key.pem"


@pytest.fixture
def c2pa():
    return pytest.importorskip("c2pa", reason="c2pa-python is not installed: make test-readers")


@pytest.fixture
def chain(c2pa, folder):
    return Chain(folder)


def records(folder="out"):
    return [json.loads(path.read_text(encoding="utf-8")) for path in Path(folder).glob("0*.json")]


def is_valid(c2pa, path):
    with path.open("rb") as file, c2pa.Reader("image/webp", file) as reader:
        return "Valid" == reader.get_validation_state()


# ── signed ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_is_signed_and_resumed_with_the_same_signature(c2pa, chain, service, capsys):
    Path("a.csv").write_text("prompt\na fox\nan owl\n")
    run(f"batch a.csv --embed {SIGN} --limit 1", 4)
    resume = "cometflux resume a-images --embed --sign chain.pem --sign-key key.pem --limit 2"
    err = capsys.readouterr().err
    assert f"{resume}\n" in err
    assert "not signed" not in err
    run(resume.removeprefix("cometflux "))
    pictures = sorted(Path("a-images").glob("*.webp"))
    assert [True, True] == [is_valid(c2pa, path) for path in pictures]
    assert all(extract(path.read_bytes()) for path in pictures)
    assert ["signed", "signed"] == [
        json.loads(line)["images"][0]["mark"] for line in Path("a-images/manifest.jsonl").read_text().splitlines()
    ]
    run(f"batch a.csv {SIGN}")
    assert pictures == sorted(Path("a-images").glob("*.webp"))
    assert 2 == len(service.bills)


def test_the_key_may_come_from_the_environment_and_the_certificate_from_the_user_s_file(
    c2pa, chain, service, folder, monkeypatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    (folder / "config/cometflux").mkdir(parents=True)
    (folder / "config/cometflux/config.toml").write_text(f'sign = "{chain.certificate}"\n')
    monkeypatch.setenv("COMETFLUX_SIGN_KEY", str(chain.key))
    run('generate "a fox" --out out')
    (path,) = Path("out").glob("*.webp")
    assert is_valid(c2pa, path)


def test_the_key_is_in_no_file_and_no_line(chain, service, capsys):
    Path("a.csv").write_text("prompt\na fox\n")
    run(f"batch a.csv {SIGN} --json -vv")
    out, err = capsys.readouterr()
    written = [path.read_bytes() for path in Path("a-images").iterdir()]
    for line in chain.key.read_text().splitlines():
        assert not any(line.encode() in data for data in written)
        assert line not in out + err


# ── not signed ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pictures_that_cannot_be_signed_are_saved_and_counted(chain, service, folder, capsys):
    with timestamp_authority(folder / "authority", lasts=1) as authority:
        run(f'generate "a fox" "an owl" --out out {SIGN} --sign-timestamp {authority.url}')
    err = capsys.readouterr().err
    assert "note: 2 pictures are not signed by your certificate (signing failed: " in err
    assert ["bare", "bare"] == [record["mark"] for record in records()]
    assert all(record["not_signed"].startswith("signing failed: ") for record in records())
    assert 2 == len(service.bills)


# ── before anything is bought ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("command", ['generate "a fox" --out out', "batch a.csv --out out"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--sign chain.pem", "--sign needs --sign-key, the private key of the certificate"),
        ("--sign-key key.pem", "--sign-key needs --sign, the certificate to sign with"),
        ("--sign-timestamp http://a", "--sign-timestamp needs --sign, the certificate to sign with"),
        ("--sign none.pem --sign-key key.pem", "--sign 'none.pem': cannot be read: No such file or directory"),
        ("--sign . --sign-key key.pem", "--sign '.': is not a file"),
        ("--sign key.pem --sign-key none.pem", "--sign-key 'none.pem': cannot be read: No such file or directory"),
        (
            "--sign key.pem --sign-key key.pem --sign-timestamp ftp://a",
            "--sign-timestamp: must be an http or https URL without a password",
        ),
    ],
)
def test_options_that_cannot_sign_are_one_error_and_nothing_is_bought(command, options, said, service, capsys):
    Path("a.csv").write_text("prompt\na fox\n")
    Path("key.pem").write_text("a key")
    run(f"{command} {options}", 2 if "needs" in said else 3)
    assert f"error: {said}\n" == capsys.readouterr().err
    assert [] == service.bills
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"begins": -5, "ends": -1}, "--sign 'chain.pem': expired on 20"),
        ({"purpose": "server"}, "the certificate 'chain.pem' cannot sign: the certificate is invalid"),
    ],
    ids=["expired", "for servers"],
)
@pytest.mark.usefixtures("c2pa")
def test_a_certificate_that_cannot_sign_is_one_error_and_nothing_is_bought(options, said, folder, service, capsys):
    Chain(folder, **options)
    run(f'generate "a fox" {SIGN} --out out', 3)
    err = capsys.readouterr().err
    assert err.startswith(f"error: {said}")
    assert 1 == err.count("\n")
    assert [] == service.bills


@pytest.mark.parametrize("workers", ["--workers 2", "--cluster tcp://127.0.0.1:9"])
def test_workers_do_not_get_the_key(workers, service, capsys):
    Path("a.csv").write_text("prompt\na fox\n")
    run(f"batch a.csv {SIGN} {workers}", 2)
    assert "error: workers do not sign: leave out --workers and --cluster, or --sign\n" == capsys.readouterr().err
    assert [] == service.bills


def test_another_s_key_is_one_error_and_nothing_is_bought(chain, folder, service, capsys):
    Path("own.pem").write_bytes(chain.key.read_bytes())
    Chain(folder)
    run('generate "a fox" --sign chain.pem --sign-key own.pem', 3)
    said = "error: --sign-key 'own.pem': is not the key of the first certificate in 'chain.pem'\n"
    assert said == capsys.readouterr().err
    assert [] == service.bills


def test_without_the_extra_the_command_names_it(folder, service, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    for name in ("chain.pem", "key.pem"):
        Path(name).write_text("a PEM file")
    run(f'generate "a fox" {SIGN}', 3)
    assert 'pip install "cometflux[c2pa]"' in capsys.readouterr().err
    assert [] == service.bills


def test_a_project_s_file_may_not_say_what_signs(folder, capsys):
    for name, value in (("sign", "chain.pem"), ("sign_key", "key.pem"), ("sign_timestamp", "http://a")):
        Path("cometflux.toml").write_text(f'{name} = "{value}"\n')
        run('generate "a fox"', 3)
        said = f"{name} is not for a project's file, which must not say what signs your pictures"
        assert said in capsys.readouterr().err
