"""What became of unknown submissions: proved by the echoed input, or not adopted."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.account.settling import DELAY, EARLY, LATE, Doubt, Echo, candidates_of, decide, lists_all
from cometflux.account.usage import Task
from cometflux.images import summaries
from cometflux.protocol import encoding

MODEL = "black-forest-labs/flux-schnell"
NOW = 1_000_000.0
SENT = NOW - 300
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
)
URI = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def doubt_of(name, values, *times, model=MODEL):
    fingerprint = encoding.fingerprint(model, summaries.describe_input(values))
    return Doubt(identity=name, model=model, input=values, fingerprint=fingerprint, times=times or (SENT,))


def task_of(name, at=SENT + 1, model=MODEL):
    return Task(id=name, model=model, at=at)


def verdicts_of(doubts, tasks, echoes, now=NOW, *, is_complete=True):
    found = {name: Echo(input=values, model=MODEL) for name, values in echoes.items()}
    verdicts = decide(doubts, candidates_of(doubts, tasks, ()), found, now, is_complete=is_complete)
    return {each.identity: (each.outcome, *each.ids) for each in verdicts}


FOX, OWL = {"prompt": "a fox"}, {"prompt": "an owl"}


@pytest.mark.parametrize(
    ("sent", "echo"),
    [
        pytest.param(FOX, FOX, id="as it was sent"),
        pytest.param({"prompt": "a", "guidance": 3}, {"guidance": 3.0, "prompt": "a"}, id="another order and spelling"),
        pytest.param(FOX, FOX | {"go_fast": True}, id="with a default of the service"),
        pytest.param({"prompt": "a", "input_image": PNG}, {"prompt": "a", "input_image": URI}, id="an image of bytes"),
    ],
)
def test_one_task_whose_input_is_the_job_s_is_adopted(sent, echo):
    described = {name: summaries.describe_bytes(v) if isinstance(v, bytes) else v for name, v in sent.items()}
    doubt = Doubt(
        identity="job", model=MODEL, input=sent, fingerprint=encoding.fingerprint(MODEL, described), times=(SENT,)
    )
    assert {"job": ("adopted", "x1")} == verdicts_of([doubt], [task_of("x1")], {"x1": echo})


@pytest.mark.parametrize(
    ("sent", "echo"),
    [
        pytest.param(FOX, None, id="it cannot be fetched"),
        pytest.param(FOX, {}, id="its data are removed"),
        pytest.param({"prompt": "a", "input_image": URI}, {"prompt": "a", "input_image": URI[:-8]}, id="a cut image"),
        pytest.param({"prompt": "a", "input_image": URI}, {"prompt": "a"}, id="without the image"),
        pytest.param({"prompt": "a", "seed": 7}, {"prompt": "a"}, id="without a number"),
    ],
)
def test_what_is_not_proved_is_told_with_its_id(sent, echo):
    echoes = {} if echo is None else {"x1": echo}
    assert {"job": ("several", "x1")} == verdicts_of([doubt_of("job", sent)], [task_of("x1")], echoes)


@pytest.mark.parametrize(
    ("tasks", "echoes"),
    [
        pytest.param([], {}, id="an empty list"),
        pytest.param([task_of("x1")], {"x1": OWL}, id="another prompt"),
        pytest.param([task_of("x1", SENT - EARLY - 1)], {"x1": FOX}, id="long before"),
        pytest.param([task_of("x1", SENT + LATE + 1)], {"x1": FOX}, id="long after"),
        pytest.param([task_of("x1", model="black-forest-labs/flux-dev")], {"x1": FOX}, id="another model"),
        pytest.param([Task(id="x1", at=SENT, platform="suno")], {}, id="another platform"),
    ],
)
def test_without_a_task_that_may_be_its_own_a_job_has_none(tasks, echoes):
    assert {"job": ("none",)} == verdicts_of([doubt_of("job", FOX)], tasks, echoes)


def test_the_absence_of_a_task_means_nothing_too_early_or_in_a_list_with_gaps():
    job = [doubt_of("job", FOX)]
    assert {"job": ("early",)} == verdicts_of(job, [], {}, SENT + DELAY - 1)
    assert {"job": ("none",)} == verdicts_of(job, [], {}, SENT + DELAY)
    assert {"job": ("incomplete",)} == verdicts_of(job, [], {}, is_complete=False)


def test_a_task_of_exactly_its_input_at_another_time_is_told_and_not_taken_for_absence():
    early = SENT - EARLY - 1
    jobs = [doubt_of("job", FOX), doubt_of("other", OWL, early)]
    expected = {"job": ("several", "x1"), "other": ("none",)}
    assert expected == verdicts_of(jobs, [task_of("x1", early)], {"x1": FOX})


def test_an_unknown_time_or_model_name_excludes_no_task():
    for task in (Task(id="x1"), task_of("x1", model="flux-schnell-fast")):
        assert {"job": ("adopted", "x1")} == verdicts_of([doubt_of("job", FOX)], [task], {"x1": FOX})


def test_two_tasks_for_one_submission_are_told_with_their_ids():
    tasks = [task_of("x1"), task_of("x2")]
    assert {"job": ("several", "x1", "x2")} == verdicts_of([doubt_of("job", FOX)], tasks, {"x1": FOX, "x2": FOX})


def test_as_many_tasks_as_jobs_with_one_input_are_a_group():
    jobs = [doubt_of("first", FOX, SENT), doubt_of("second", FOX, SENT + 5)]
    tasks = [task_of("x2", SENT + 6), task_of("x1", SENT + 1)]
    expected = {"first": ("adopted", "x1"), "second": ("adopted", "x2")}
    assert expected == verdicts_of(jobs, tasks, {"x1": FOX, "x2": FOX})


def test_fewer_tasks_than_jobs_with_one_input_leave_jobs_without_a_task():
    jobs = [doubt_of("first", FOX), doubt_of("second", FOX)]
    expected = {"first": ("adopted", "x1"), "second": ("none",)}
    assert expected == verdicts_of(jobs, [task_of("x1")], {"x1": FOX})


def test_more_tasks_than_submissions_with_one_input_are_told():
    jobs = [doubt_of("first", FOX), doubt_of("second", FOX)]
    names = ("x1", "x2", "x3")
    expected = dict.fromkeys(("first", "second"), ("several", *names))
    assert expected == verdicts_of(jobs, [*map(task_of, names)], dict.fromkeys(names, FOX))


def test_a_job_that_was_sent_twice_may_have_two_tasks():
    job = doubt_of("job", FOX, SENT - 100, SENT)
    tasks = [task_of("x1", SENT - 99), task_of("x2", SENT + 1)]
    assert {"job": ("adopted", "x1", "x2")} == verdicts_of([job], tasks, {"x1": FOX, "x2": FOX})


def test_a_task_belongs_to_the_job_that_sent_exactly_its_input():
    jobs = [doubt_of("plain", FOX), doubt_of("seeded", FOX | {"seed": 7})]
    tasks = [task_of("x1"), task_of("x2")]
    expected = {"plain": ("adopted", "x2"), "seeded": ("adopted", "x1")}
    assert expected == verdicts_of(jobs, tasks, {"x1": FOX | {"seed": 7}, "x2": FOX})


def test_a_task_that_fits_two_unlike_jobs_is_adopted_by_none():
    jobs = [doubt_of("plain", FOX), doubt_of("seeded", FOX | {"seed": 7})]
    echo = FOX | {"seed": 7, "go_fast": True}
    expected = dict.fromkeys(("plain", "seeded"), ("several", "x1"))
    assert expected == verdicts_of(jobs, [task_of("x1")], {"x1": echo})


@pytest.mark.parametrize("known", ["x123456789", "x123456789abc"], ids=["whole", "cut in the list"])
def test_an_id_that_has_a_job_is_no_candidate(known):
    assert [] == candidates_of([doubt_of("job", FOX)], [task_of("x123456789")], {known})


def test_a_list_is_complete_if_it_has_every_id_that_is_known():
    known = {"x1": 10.0, "x2": 20.0, "x3": 99.0, "x4": None}
    assert lists_all([task_of("x1"), task_of("x2")], known, 5.0, 50.0)
    assert not lists_all([task_of("x1")], known, 5.0, 50.0)


inputs = st.sampled_from([FOX, OWL, FOX | {"seed": 7}, FOX | {"seed": 7, "go_fast": True}, FOX | {"input_image": URI}])
echoes_strategy = st.one_of(
    st.none(),
    inputs,
    inputs.map(lambda each: each | {"extra": 1}),
    st.just(FOX | {"input_image": URI[:60]}),
    st.just({}),
)
times = st.one_of(st.none(), st.floats(NOW - 2000, NOW).map(round))


@st.composite
def accounts(draw):
    doubts = [
        doubt_of(f"job{number}", draw(inputs), *draw(st.lists(times, min_size=1, max_size=3)))
        for number in range(draw(st.integers(0, 5)))
    ]
    names = [f"task-{number:08d}" for number in range(draw(st.integers(0, 6)))]
    models = st.sampled_from([MODEL, None, "flux-schnell", "black-forest-labs/flux-dev"])
    tasks = [
        Task(id=name, model=draw(models), at=draw(times)) for name in names for _ in range(draw(st.integers(1, 2)))
    ]
    found = {name: draw(echoes_strategy) for name in names}
    known = draw(st.sets(st.sampled_from(names))) if names else set()
    return (
        doubts,
        tasks,
        {name: Echo(input=v) for name, v in found.items() if v is not None},
        known,
        draw(st.booleans()),
    )


@pytest.mark.slow
@given(accounts())
def test_no_id_gets_two_jobs_no_submission_two_ids_and_nothing_is_adopted_without_proof(account):
    doubts, tasks, echoes, known, is_complete = account
    candidates = candidates_of(doubts, tasks, known)
    verdicts = decide(doubts, candidates, echoes, NOW, is_complete=is_complete)
    assert sorted(each.identity for each in doubts) == sorted(each.identity for each in verdicts)
    by_name = {each.identity: each for each in doubts}
    adopted = [(by_name[each.identity], name) for each in verdicts if each.outcome == "adopted" for name in each.ids]
    names = [name for _, name in adopted]
    assert len(names) == len(set(names)), "an id has two jobs"
    assert not known & set(names), "an id that has a job was adopted"
    assert all(len(each.ids) <= len(by_name[each.identity].times) for each in verdicts if each.outcome == "adopted")
    for doubt, name in adopted:
        echo = echoes[name].input
        assert doubt.input == {field: echo[field] for field in doubt.input}, "adopted without proof"
    open_ids = {name for each in verdicts for name in each.ids}
    for verdict in verdicts:
        if verdict.outcome == "none":
            assert is_complete
            mine = [name for name, echo in echoes.items() if echo.input == by_name[verdict.identity].input]
            exact = [task.id for task in candidates if task.id in mine]
            assert set(exact) <= set(names) | open_ids, "a task of its input is nobody's, and it counts as never sent"


@pytest.mark.slow
@given(accounts(), st.randoms())
def test_the_order_of_the_list_changes_no_verdict_but_among_equals(account, random):
    doubts, tasks, echoes, known, is_complete = account
    shuffled = random.sample(tasks, len(tasks))

    def outcomes(listed):
        verdicts = decide(doubts, candidates_of(doubts, listed, known), echoes, NOW, is_complete=is_complete)
        return sorted((each.identity, each.outcome) for each in verdicts)

    whole = {each.id: each for each in tasks}
    if len(whole) == len(tasks) and len({each.at for each in tasks}) == len(tasks):
        assert outcomes(tasks) == outcomes(shuffled)
