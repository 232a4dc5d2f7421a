"""What holds where no option says otherwise: who is heard, who is not, and what is told of it."""

import json
import os
import re

import pytest
from posix_calls import IS_ROOT

from cometflux.cli import main
from cometflux.cli.config import read_settings
from cometflux.cli.options.names import SETTING_NAMES
from cometflux.testing import LocalService

KEY = "sk-canary-5f0c"
WHOLE = "must be a whole number from 0 to 999999999"


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A folder of a project that has no file yet; the user has none either, and a key in the environment."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COMETAPI_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("COMETAPI_API_KEY", raising=False)
    return folder


@pytest.fixture
def user(tmp_path):
    path = tmp_path / "config" / "cometflux" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def service(monkeypatch):
    """One that refuses whatever it is asked, at once."""
    with LocalService.in_thread(latency=0, pixels=64) as service:
        service.fail("422", rate=1.0)
        monkeypatch.setenv("COMETFLUX_BASE_URL", service.url)
        monkeypatch.setenv("COMETAPI_KEY", service.key)
        yield service


def shown(capsys):
    """What `config show` tells, by setting."""
    assert 0 == main(["config", "show", "--json"])
    return {name: (each.get("value"), each["source"], each["place"]) for name, each in told(capsys).items()}


def told(capsys):
    return json.loads(capsys.readouterr().out)


def refusal(capsys, *arguments):
    assert 3 == main(list(arguments or ["config", "show"]))
    out, err = capsys.readouterr()
    assert "" == out
    return err


def test_without_files_all_is_as_the_help_says(capsys):
    values = shown(capsys)
    assert ("flux-schnell", "default", None) == values["model"]
    assert (64, "default", None) == values["max_pending"]
    assert ("https://api.cometapi.com/replicate/v1", "default", None) == values["base_url"]
    assert (None, "default", None) == values["limit"]


def test_an_option_beats_the_environment_that_the_project_that_the_user_that_the_default(
    project, user, service, capsys, monkeypatch
):
    places = [shown(capsys)["model"][::2]]
    for step in (
        lambda: user.write_text('\nmodel = "flux-dev"\n'),
        lambda: (project / "cometflux.toml").write_text('# ours\n\nmodel = "flux-pro"\n'),
        lambda: monkeypatch.setenv("COMETFLUX_MODEL", "flux-2-pro"),
    ):
        step()
        places.append(shown(capsys)["model"][::2])
    assert [
        ("flux-schnell", None),
        ("flux-dev", "~/config/cometflux/config.toml, line 2"),
        ("flux-pro", "cometflux.toml, line 3"),
        ("flux-2-pro", "COMETFLUX_MODEL"),
    ] == places
    main(["generate", "a fox"])
    main(["generate", "a fox", "--model", "flux-2-dev"])
    assert ["flux-2-pro", "flux-2-dev"] == [model_of(request) for request in posts(service)]


def posts(service):
    return [request for request in service.requests if request.method == "POST"]


def model_of(request):
    return request.path.split("/")[-2]


def test_a_run_tells_what_the_project_s_file_sets_unless_it_is_overruled_or_quiet(project, service, capsys):
    (project / "cometflux.toml").write_text('model = "flux-dev"\nmax_pending = 2\n')
    main(["generate", "a fox"])
    assert capsys.readouterr().err.startswith("note: cometflux.toml sets model = flux-dev, max_pending = 2\n")
    main(["generate", "a fox", "--model", "schnell"])
    assert capsys.readouterr().err.startswith("note: cometflux.toml sets max_pending = 2\n")
    main(["generate", "a fox", "-q"])
    assert "note: " not in capsys.readouterr().err


# What a project may not say.


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('base_url = "https://example.org/replicate/v1"', "where your key goes"),
        ('proxy = "http://127.0.0.1:9"', "where your key goes"),
        ("retry_failed = 3", "what is bought again"),
    ],
    ids=["base_url", "proxy", "retry_failed"],
)
@pytest.mark.parametrize("arguments", [["config", "show"], ["generate", "a fox"], ["generate", "a fox", "--local"]])
def test_a_project_s_file_may_not_say_where_the_key_goes_or_what_is_bought(line, why, arguments, project, capsys):
    (project / "cometflux.toml").write_text(f"\n{line}\n")
    name = line.partition(" ")[0]
    err = refusal(capsys, *arguments)
    assert err.startswith(
        f"error: cometflux.toml, line 2: {name} is not for a project's file, which must not say {why}"
    )
    assert f"COMETFLUX_{name.upper()} or --{name.replace('_', '-')}" in err
    assert 1 == err.count("\n")
    assert ["cometflux.toml"] == [path.name for path in project.iterdir()]


def test_a_user_s_file_may_say_where_the_key_goes(user, service, capsys, monkeypatch):
    monkeypatch.delenv("COMETFLUX_BASE_URL")
    user.write_text(f'base_url = "{service.url}"\n')
    main(["generate", "a fox"])
    assert 1 == len(posts(service))
    capsys.readouterr()
    assert (service.url, "user", "~/config/cometflux/config.toml, line 1") == shown(capsys)["base_url"]


def test_with_local_nobody_is_heard_on_where_the_service_is(user):
    user.write_text('base_url = "http://127.0.0.1:9/replicate/v1"\nproxy = "http://127.0.0.1:9"\nlimit = 0\n')
    # Nothing is bought: that it gets as far as the limit is enough.
    assert 4 == main(["generate", "a fox", "--local"])


@pytest.mark.parametrize(
    ("own", "projects", "limit", "source"),
    [(10, 1000, 10, "user"), (10, 3, 3, "project"), (None, 5, 5, "project"), (10, None, 10, "user"), (0, 9, 0, "user")],
    ids=["raised", "lowered", "set", "left", "raised from none"],
)
def test_a_project_lowers_a_limit_and_does_not_raise_it(own, projects, limit, source, project, user, capsys):
    if own is not None:
        user.write_text(f"limit = {own}\n")
    if projects is not None:
        (project / "cometflux.toml").write_text(f"limit = {projects}\n")
    assert (limit, source) == shown(capsys)["limit"][:2]


def test_a_limit_that_a_project_would_raise_holds_and_that_is_told(project, user, service, capsys):
    user.write_text("limit = 0\n")
    (project / "cometflux.toml").write_text("limit = 1000\n")
    assert 4 == main(["generate", "a fox"])
    assert "note: limit stays 0: cometflux.toml, line 1 says 1000, and may only lower it\n" in capsys.readouterr().err
    main(["config", "show"])
    assert re.search(
        r"limit +0 +~/config/cometflux/config.toml, line 1; cometflux.toml, line 1 says 1000", read(capsys)
    )
    assert [] == posts(service)


def read(capsys):
    return capsys.readouterr().out


def test_an_option_raises_a_limit(user, service):
    user.write_text("limit = 0\n")
    assert 1 == main(["generate", "a fox", "--limit", "2"])
    assert 1 == len(posts(service))


# The key.


@pytest.mark.parametrize("name", ["api_key", "key", "COMETAPI_KEY", "token", "cometapi_api_key", "secret"])
@pytest.mark.parametrize("place", ["project", "user"])
def test_a_key_in_a_file_is_refused_and_not_shown(name, place, project, user, capsys):
    (user if place == "user" else project / "cometflux.toml").write_text(f'{name} = "{KEY}"\n')
    err = refusal(capsys)
    assert "line 1" in err
    assert "set COMETAPI_KEY in the environment, and delete it here" in err
    assert KEY not in err


@pytest.mark.parametrize("line", [f'model = "{KEY}"', f'base_url = "{KEY}"', f'limit = "{KEY}"', f'mdoel = "{KEY}"'])
def test_a_key_where_it_does_not_belong_is_not_shown(line, user, capsys):
    user.write_text(f"{line}\n")
    assert KEY not in refusal(capsys)


def test_whether_there_is_a_key_is_told_and_not_which(capsys, monkeypatch):
    main(["config", "show"])
    out = read(capsys)
    assert re.search(r"api_key +set +COMETAPI_KEY", out)
    assert KEY not in out
    monkeypatch.delenv("COMETAPI_KEY")
    main(["config", "show", "--json"])
    assert {"is_set": False, "source": None, "place": None} == told(capsys)["api_key"]


def test_the_password_of_a_proxy_is_not_shown(user, capsys):
    user.write_text('proxy = "http://me:canary@127.0.0.1:9"\n')
    for arguments in (["config", "show"], ["config", "show", "--json"]):
        main(arguments)
        out = read(capsys)
        assert "http://…@127.0.0.1:9" in out
        assert "canary" not in out


# What is written wrongly.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"limti = 3\n", "line 1: 'limti' is not a setting; did you mean limit?"),
        (b"\nmax-pending = 3\n", "line 2: 'max-pending' is not a setting; did you mean max_pending?"),
        (b"colour = 3\n", "line 1: 'colour' is not a setting; there are model, limit, "),
        (b"[batch]\nlimit = 3\n", "line 1: 'batch' is not a setting; "),
        (b'limit = "3"\n', "line 1: limit: '3' was given; must be a whole number from 0"),
        (b"limit = -1\n", "line 1: limit: -1 was given; must be a whole number from 0"),
        (b"limit = 1.0\n", "line 1: limit: 1.0 was given; must be a whole number from 0"),
        (b"limit = true\n", "line 1: limit: true was given; must be a whole number from 0"),
        (b"limit = inf\n", "line 1: limit: inf was given; must be a whole number from 0"),
        (b"limit = []\n", "line 1: limit: a list was given; must be a whole number from 0"),
        (b"limit = 99999999999\n", "line 1: limit: 99999999999 was given; must be a whole number from 0 to 999999999"),
        (b"max_pending = 0\n", "line 1: max_pending: 0 was given; must be a whole number from 1"),
        (b'model = "flux-dve"\n', "line 1: model: 'flux-dve' was given; did you mean 'flux-dev'? the models are "),
        (b"model = 3\n", "line 1: model: 3 was given; must be the name of a model, in quotes"),
        (b'model = " "\n', "line 1: model: ' ' was given; must be the name of a model, in quotes"),
        (b'base_url = "ftp://x"\n', "line 1: base_url='ftp://x': must be an http or https URL with a host"),
        (b"base_url = 3\n", "line 1: base_url: must be a URL, in quotes"),
        (b'proxy = "nowhere"\n', "line 1: proxy='nowhere': must be an http or https URL with a host"),
        (b"model = flux-dev\n", "line 1: this is not TOML: "),
        (b'model = "flux-dev\n', "line 1: this is not TOML: "),
        (b"limit = 1\nlimit = 2\n", "line 2: this is not TOML: "),
        (b"model\n", "line 1: this is not TOML: "),
        (b"\xff\xfem\x00o\x00", "line 1: byte 0xff is not UTF-8; save it as UTF-8"),
        (b'# ok\nmodel = "caf\xe9"\n', "line 2: byte 0xe9 is not UTF-8; save it as UTF-8"),
        (b"x = " + b"[" * 100_000, ""),
        (b"limit = " + b"9" * 5000 + b"\n", "a number in it is too long"),
        (b"limit = 0x" + b"f" * 5000 + b"\n", "line 1: limit: a number of many digits was given; must be a whole"),
        (b"# " + b"x" * 2**16, "it is larger than 64 KiB, so it is not a configuration file"),
    ],
    ids=lambda value: value[:24].decode(errors="replace").strip() if isinstance(value, bytes) else "",
)
def test_a_bad_file_is_one_line_that_says_where_and_what_to_do(text, message, user, project, capsys):
    user.write_bytes(text)
    err = refusal(capsys, "generate", "a fox")
    assert err.startswith("error: ~/config/cometflux/config.toml")
    assert message in err
    assert 1 == err.count("\n")
    assert [] == list(project.iterdir())


def test_all_faults_of_a_file_are_told_in_order(user, capsys):
    user.write_text('max_pending = 0\nlimti = 1\nlimit = "x"\n')
    lines = refusal(capsys).splitlines()
    assert [1, 2, 3] == [int(re.search(r"line (\d)", line)[1]) for line in lines[:3]]


def test_a_byte_order_mark_and_windows_lines_do_no_harm(user, capsys):
    user.write_bytes(b"\xef\xbb\xbf# mine\r\nlimit = 7\r\n")
    assert (7, "user", "~/config/cometflux/config.toml, line 2") == shown(capsys)["limit"]


def test_a_pipe_in_place_of_the_file_is_not_waited_for(user, capsys):
    os.mkfifo(user)
    assert "this is not a file; move it away" in refusal(capsys)


def test_a_folder_in_place_of_the_file_is_told(project, capsys):
    (project / "cometflux.toml").mkdir()
    assert "error: cometflux.toml: this is not a file; move it away\n" == refusal(capsys)


def test_a_link_that_leads_nowhere_is_told(project, capsys):
    (project / "cometflux.toml").symlink_to("gone")
    assert "error: cometflux.toml: this link leads nowhere\n" == refusal(capsys)


@pytest.mark.skipif(IS_ROOT, reason="root reads everything")
def test_a_file_that_cannot_be_read_is_told(user, capsys):
    user.write_text("limit = 1\n")
    user.chmod(0)
    assert "it cannot be read (Permission denied)" in refusal(capsys)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("COMETFLUX_LIMIT", "many", f"COMETFLUX_LIMIT: limit: 'many' was given; {WHOLE}"),
        ("COMETFLUX_LIMIT", "-1", f"COMETFLUX_LIMIT: limit: '-1' was given; {WHOLE}"),
        ("COMETFLUX_LIMTI", "10", "COMETFLUX_LIMTI is not a setting; did you mean COMETFLUX_LIMIT?"),
        ("COMETFLUX_API_KEY", KEY, "COMETFLUX_API_KEY is not read; the key is read from COMETAPI_KEY"),
        ("COMETFLUX_PROXY", "nowhere", "COMETFLUX_PROXY: proxy='nowhere': must be an http or https URL with a host"),
    ],
)
def test_a_bad_variable_is_told(name, value, message, capsys, monkeypatch):
    monkeypatch.setenv(name, value)
    assert f"error: {message}\n" == refusal(capsys, "generate", "a fox")


def test_a_blank_variable_is_unset_and_a_stranger_s_is_left_alone(user, capsys, monkeypatch):
    user.write_text("limit = 3\n")
    monkeypatch.setenv("COMETFLUX_LIMIT", " ")
    monkeypatch.setenv("COMETFLUX_GREETING", "hello")
    assert (3, "user") == shown(capsys)["limit"][:2]


def test_a_command_with_the_option_of_any_setting_reads_the_configuration():
    assert SETTING_NAMES == tuple(setting.name for setting in read_settings.SETTINGS)


def test_commands_that_take_no_settings_do_not_mind_a_bad_file(project, capsys):
    (project / "cometflux.toml").write_text("limti = 1\n")
    assert 0 == main(["models"])
    assert "your own prices are left out: cometflux.toml" in capsys.readouterr().out
    assert 0 == main(["generate", "--help"])


# Where the project's file is.


def test_the_file_is_found_from_within_a_repository_and_not_beyond_it(tmp_path, project, capsys, monkeypatch):
    (tmp_path / "cometflux.toml").write_text("limit = 1\n")
    inner = project / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    (project / "cometflux.toml").write_text("limit = 2\n")
    assert (None, "default", None) == shown(capsys)["limit"], "without a repository, only this folder counts"
    (project / ".git").mkdir()
    assert (2, "project", "~/project/cometflux.toml, line 1") == shown(capsys)["limit"]
    (project / "a" / "cometflux.toml").write_text("limit = 3\n")
    assert 3 == shown(capsys)["limit"][0], "the nearest one counts"
    (project / "a" / "cometflux.toml").unlink()
    (project / "cometflux.toml").unlink()
    assert (None, "default", None) == shown(capsys)["limit"], "what is beyond the repository does not count"


def test_a_repository_that_is_somebody_s_home_reaches_no_further_than_itself(tmp_path, project, capsys):
    (tmp_path / ".git").mkdir()
    (tmp_path / "cometflux.toml").write_text("limit = 1\n")
    assert (None, "default", None) == shown(capsys)["limit"]


def test_the_paths_are_told_whether_there_is_a_file_or_not(project, user, capsys):
    assert 0 == main(["config", "path"])
    assert f"user     {user}  (not there)\nproject  none here; it would be ./cometflux.toml\n" == read(capsys)
    user.write_text("")
    (project / "cometflux.toml").write_text("")
    assert 0 == main(["config", "path"])
    assert f"user     {user}\nproject  {project / 'cometflux.toml'}\n" == read(capsys)


def test_without_its_package_the_configuration_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "platformdirs", None)
    assert 'error: the configuration needs an extra: pip install "cometflux[cli]"\n' == refusal(capsys)


def test_the_prices_of_both_files_are_shown_with_their_place(project, user, capsys):
    user.write_text("[prices]\ndev = 0.03\nflux-pro = {per_image = 0.000001}\n")
    (project / "cometflux.toml").write_text('[prices]\n"me/own" = 2\ndev = 0.01\n')
    values = shown(capsys)
    place = "~/config/cometflux/config.toml, line 1"
    assert ({"per_request": 0.03}, "user", place) == values["prices.flux-dev"]
    assert ({"per_image": 0.000001}, "user", place) == values["prices.flux-pro"]
    assert ({"per_request": 2.0}, "project", "cometflux.toml") == values["prices.me/own"]
    assert 0 == main(["config", "show"])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "prices.flux-pro $0.000001 an image ~/config/cometflux/config.toml, line 1" in lines
    (line,) = [line for line in lines if "flux-dev" in line and "prices" in line]
    assert line.startswith("prices.flux-dev $0.03 a request ~/config/cometflux/config.toml, line 1; it stays $0.03")
