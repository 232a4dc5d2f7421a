"""The gallery in a real browser."""

import json
import re
import time

import job_states
import pytest
from waiting import PATIENCE

from cometflux.gallery import Gallery, write_gallery
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind

HOSTILE = "</script><!--<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }} \u202e&amp; end"

pytestmark = [pytest.mark.hard, pytest.mark.realtime]


def shown(page):
    """Return the prompts of the shown jobs, in order."""
    return page.locator("#cards li:visible .prompt").all_text_contents()


def wait_for(sight, condition):
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "it did not come about"
        sight.page.wait_for_timeout(30)


def write_foxes(folder, number=6):
    """Write a batch of saved pictures of two models."""
    models = ("black-forest-labs/flux-dev", "black-forest-labs/flux-schnell")
    records = [job_states.plan(n, f"fox {n}", key=f"key-{n}", model=models[n % 2], seed=n) for n in range(number)]
    shapes = [(48, 32), (32, 48), (40, 40), (64, 36)]
    job_states.write(
        folder, *(job_states.succeed(each, folder, job_states.picture(shapes[each.index % 4])) for each in records)
    )
    return write_gallery(folder)


# A page that is finished.


def test_hostile_texts_stay_text_everywhere(tmp_path, look):
    folder = tmp_path / "<b>'&\"folder"
    folder.mkdir()
    record = job_states.plan(0, HOSTILE, key=HOSTILE, seed=HOSTILE, **{"<i>name": HOSTILE})
    failed = job_states.prediction(record, status=job_states.Status.FAILED, error=HOSTILE, id=HOSTILE)
    job_states.write(folder, job_states.accept(record).ended(OutcomeKind.FAILED, failed, None))
    page = look(write_gallery(folder)).page
    assert "<b>'&\"folder" == page.title() == page.locator("h1").text_content()
    page.locator(".card").click()
    for place in ("#view-prompt", "#view-error"):
        assert HOSTILE == page.locator(place).text_content()
    told = page.locator("#view-facts dd, #view-input dd, #view-input dt").all_text_contents()
    assert (3, 1) == (told.count(HOSTILE), told.count("<i>name"))
    assert 0 == page.locator("body img, body i, body b").count()


def test_nothing_but_the_pages_own_script_runs_and_nothing_is_fetched(tmp_path, look):
    sight = look(write_foxes(tmp_path))
    refused = sight.page.evaluate(
        """async () => {
        const refused = [];
        document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
        try { document.body.setAttribute("onclick", "window.hit = 1"); }
        catch { refused.push("trusted handler"); }
        document.body.click();
        const script = document.createElement("script");
        try { script.textContent = "window.hit = 1"; document.body.append(script); }
        catch { refused.push("trusted script"); }
        const image = new Image();
        image.src = "http://127.0.0.1:9/a.png";
        const style = document.createElement("style");
        style.textContent = "body { display: none }";
        document.head.append(style);
        await fetch("http://127.0.0.1:9/").catch(() => refused.push("fetch"));
        await new Promise((done) => setTimeout(done, 200));
        return [window.hit ?? null, getComputedStyle(document.body).display, refused];
        }"""
    )
    assert (None, "block") == tuple(refused[:2])
    assert {"trusted handler", "trusted script", "fetch", "img-src", "connect-src", "style-src-elem"} <= set(refused[2])
    assert sight.complaints
    sight.complaints.clear()
    sight.requests[:] = [url for url in sight.requests if "127.0.0.1:9" not in url]


def test_a_script_that_got_into_the_page_would_not_run(tmp_path, look):
    path = write_foxes(tmp_path)
    planted = "<main><script>document.title = 'hit'</script><b onclick=\"document.title = 'hit'\">b</b>"
    path.write_text(path.read_text().replace("<main>", planted))
    sight = look(path)
    sight.page.locator("main > b").click()
    assert tmp_path.name == sight.page.title()
    assert 2 == sum("script-src" in each for each in sight.complaints)
    sight.complaints.clear()


def test_jobs_are_filtered_by_status_and_model_and_found_by_prompt_and_key(tmp_path, look):
    job_states.write_states(tmp_path)
    page = look(write_gallery(tmp_path)).page
    page.get_by_role("button", name="failed 1").click()
    assert ["a fox, failed"] == shown(page)
    assert "1 of 12 shown" == page.locator("#shown").text_content()
    page.get_by_role("button", name="unknown 1").click()
    assert ["a fox, unknown", "a fox, failed"] == shown(page)
    page.get_by_role("button", name="failed 1").click()
    assert ["a fox, unknown"] == shown(page)
    page.get_by_role("button", name="Clear filters").click()
    assert 12 == len(shown(page))
    page.get_by_label("Search").fill("FOX not_sent")
    assert ["a fox, not_sent"] == shown(page)


def test_a_key_is_found_and_models_are_filtered(tmp_path, look):
    page = look(write_foxes(tmp_path)).page
    page.get_by_role("button", name="flux-dev 3").click()
    assert ["fox 0", "fox 2", "fox 4"] == shown(page)
    page.get_by_label("Search").fill("key-4")
    assert ["fox 4"] == shown(page)
    page.get_by_label("Search").fill("key-5")
    assert [] == shown(page)
    assert "0 of 6 shown" == page.locator("#shown").text_content()


def test_jobs_are_sorted_by_their_order_and_their_times(tmp_path, look):
    records = [job_states.plan(n, f"fox {n}") for n in range(3)]
    ended = []
    for record, (begun, took) in zip(records, [(0, 2), (60, 9), (30, 5)], strict=True):
        start = job_states.CREATED + job_states.timedelta(seconds=begun)
        told = job_states.prediction(record, created_at=start, completed_at=start + job_states.timedelta(seconds=took))
        ended.append(job_states.accept(record).ended(OutcomeKind.EXPIRED, told, None))
    job_states.write(tmp_path, *ended)
    page = look(write_gallery(tmp_path)).page
    assert ["fox 0", "fox 1", "fox 2"] == shown(page)
    page.get_by_label("Sort").select_option("Newest first")
    assert ["fox 1", "fox 2", "fox 0"] == shown(page)
    page.get_by_label("Sort").select_option("In order")
    assert ["fox 0", "fox 1", "fox 2"] == shown(page)
    page.get_by_label("Sort").select_option("Slowest first")
    assert ["fox 1", "fox 2", "fox 0"] == shown(page)


def test_the_whole_page_is_used_by_keyboard(tmp_path, look):
    page = look(write_foxes(tmp_path)).page

    def press(*keys):
        for key in keys:
            page.keyboard.press(key)

    def focused():
        return page.evaluate("document.activeElement.textContent.trim() || document.activeElement.id")

    press("Tab")
    assert "Skip to the pictures" == focused()
    press("Enter", "Tab")
    assert focused().startswith("fox 0")
    press("ArrowRight", "ArrowRight")
    assert focused().startswith("fox 2")
    press("Enter")
    assert page.locator("#view").is_visible()
    assert "3 of 6" == page.locator("#view-place").text_content()
    press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert "fox 3" == page.locator("#view-prompt").text_content()
    press("ArrowRight", "ArrowRight", "ArrowRight")
    assert "6 of 6" == page.locator("#view-place").text_content()
    press("Escape")
    assert not page.locator("#view").is_visible()
    # The browser tells the page a moment later that the dialog is closed.
    page.wait_for_function("document.activeElement.textContent.trim().startsWith('fox 5')")
    press("Home")
    assert focused().startswith("fox 0")
    press("/")
    assert "search" == focused()
    page.keyboard.type("fox 4")
    assert ["fox 4"] == shown(page)


def test_what_has_the_focus_can_be_seen_and_tab_reaches_everything(tmp_path, look):
    page = look(write_foxes(tmp_path)).page
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        here = page.evaluate(
            """() => { const at = document.activeElement; if (at === document.body) return null;
            return [at.tagName, getComputedStyle(at).outlineStyle, parseFloat(getComputedStyle(at).outlineWidth)]; }"""
        )
        if here is None:
            break
        seen.append(here)
    assert 16 == len(seen)
    assert [] == [each for each in seen if each[1] == "none" or each[2] < 2]


def test_the_page_is_told_right_to_who_cannot_see_it(tmp_path, look):
    page = look(write_foxes(tmp_path)).page
    for role in ("banner", "main", "contentinfo", "search"):
        assert 1 == page.get_by_role(role).count(), role
    assert 6 == page.get_by_role("list", name="Pictures").get_by_role("listitem").count()
    link = page.get_by_role("link", name="fox 1")
    assert link.get_by_text("flux-schnell").is_visible()
    assert "false" == page.get_by_role("group", name="Model").get_by_role("button").first.get_attribute("aria-pressed")
    link.click()
    dialog = page.get_by_role("dialog", name="fox 1")
    assert dialog.get_by_role("img", name="fox 1").is_visible()
    for name in ("Previous", "Next", "Close", "Copy prompt", "Copy parameters"):
        assert dialog.get_by_role("button", name=name).is_visible(), name


@pytest.mark.parametrize("size", [(1280, 860), (700, 800)], ids=["beside the picture", "below the picture"])
def test_the_panel_ends_at_the_edge_of_the_window_and_no_heading_stands_alone(size, tmp_path, look):
    width, height = size
    records = [job_states.plan(0, "fox 0", key="a"), job_states.plan(1, "fox 1", key="b", seed=1)]
    job_states.write(tmp_path, *(job_states.succeed(each, tmp_path, job_states.picture((48, 32))) for each in records))
    page = look(write_gallery(tmp_path), viewport={"width": width, "height": height}).page
    page.get_by_role("link", name="fox 0").click()
    for heading in (False, True):
        assert heading == page.locator("#view h3").is_visible()
        assert width == page.locator("#about").evaluate("panel => panel.getBoundingClientRect().right")
        page.keyboard.press("ArrowRight")


def test_the_prompt_and_the_parameters_are_copied_as_they_are(tmp_path, look):
    record = job_states.plan(0, HOSTILE, seed=2**60, safe=True, ratio=1.5, images=["a", "b"])
    job_states.write(tmp_path, record)
    sight = look(write_gallery(tmp_path))
    sight.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = sight.page
    page.locator(".card").click()
    page.get_by_role("button", name="Copy prompt").click()
    page.get_by_text("Prompt copied").wait_for()
    assert HOSTILE == page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("button", name="Copy parameters").click()
    page.get_by_text("Parameters copied").wait_for()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert {"model": record.model, **record.input} == copied


def test_if_copying_is_not_allowed_the_page_says_so(tmp_path, look):
    sight = look(write_foxes(tmp_path))
    page = sight.page
    # The browser denies permissions that are not granted.
    sight.context.grant_permissions(["geolocation"])
    page.locator(".card").first.click()
    page.get_by_role("button", name="Copy prompt").click()
    page.get_by_text("The browser does not allow copying").wait_for()


def test_an_unknown_job_says_what_to_do(tmp_path, look):
    job_states.write_states(tmp_path)
    page = look(write_gallery(tmp_path)).page
    page.get_by_role("button", name="a fox, unknown").click()
    assert "It may be billed" in page.locator("#view-money").text_content()
    assert f"cometflux unknown {tmp_path}" == page.locator("#view-advice code").text_content()
    assert "the connection broke" in page.locator("#view-error").text_content()


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_the_page_is_as_light_or_dark_as_the_system(scheme, is_dark, tmp_path, look):
    page = look(write_foxes(tmp_path), color_scheme=scheme).page
    colours = page.evaluate(
        "(({backgroundColor, color}) => [backgroundColor, color])(getComputedStyle(document.body.parentNode))"
    )
    ground, ink = (sum(map(int, re.findall(r"\d+", colour))) for colour in colours)
    assert is_dark == (ground < ink)


@pytest.mark.parametrize("width", [320, 380, 800, 1280, 2200])
def test_nothing_is_wider_than_the_window(width, tmp_path, look):
    job_states.write_states(tmp_path, {"saved": "x" * 500, "failed": "a fox " * 300})
    page = look(write_gallery(tmp_path), viewport={"width": width, "height": 800}).page
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0
    page.locator(".card").first.click()
    assert 0 == page.evaluate(
        "document.getElementById('view').scrollWidth - document.getElementById('view').clientWidth"
    )


def test_without_scripts_the_pictures_are_there_and_nothing_that_would_not_work(tmp_path, look):
    page = look(write_foxes(tmp_path), java_script_enabled=False).page
    assert 6 == page.locator("#cards img").count()
    assert page.locator("#cards img").first.is_visible()
    assert not page.get_by_label("Search").is_visible()
    assert "./00000-1.png" == page.locator(".card").first.get_attribute("href")


def test_no_picture_is_cut_and_those_of_a_row_are_equally_high(tmp_path, look):
    page = look(write_foxes(tmp_path, 12)).page
    boxes = [tile.bounding_box() for tile in page.locator(".tile").all()]
    rows = {}
    for box in boxes:
        rows.setdefault(round(box["y"]), []).append(box["height"])
    assert len(rows) > 1
    assert [] == [heights for heights in rows.values() if max(heights) - min(heights) > 1.5]
    shapes = [round(box["width"] / box["height"], 2) for box in boxes[:4]]
    assert [1.5, 0.67, 1.0, 1.78] == shapes


@pytest.mark.parametrize("width", [320, 380, 1200, 1800])
def test_the_seed_can_be_read_however_narrow_the_card(width, tmp_path, look):
    records = [
        job_states.plan(n, "a lighthouse in a small harbour town, " * 3, seed=4_294_967_290 + n) for n in range(4)
    ]
    shapes = [(32, 48), (20, 48), (48, 32), (40, 40)]
    job_states.write(
        tmp_path,
        *(
            job_states.succeed(each, tmp_path, job_states.picture(shape))
            for each, shape in zip(records, shapes, strict=True)
        ),
    )
    page = look(write_gallery(tmp_path), viewport={"width": width, "height": 800}).page
    for card in page.locator(".card").all():
        seed, text = card.get_by_text("seed").bounding_box(), card.locator(".text").bounding_box()
        assert seed["x"] + seed["width"] <= text["x"] + text["width"]
        assert seed["y"] + seed["height"] <= text["y"] + text["height"]


# A page of a batch that runs.


@pytest.fixture
def batch(tmp_path):
    """The journal of a running batch, and its page."""
    records = [job_states.plan(n, f"fox {n}", key=f"key-{n}") for n in range(60)]
    writer = JournalWriter(tmp_path)
    writer.open()
    writer.commit([*(job_states.succeed(each, tmp_path, job_states.picture()) for each in records[:40]), *records[40:]])
    gallery = Gallery(tmp_path)
    gallery.refresh = 0.3
    gallery.write()

    def go_on(number):
        writer.commit((), [job_states.succeed(records[number], tmp_path, job_states.picture((90, 30)))])
        gallery.write()

    go_on.end = lambda: (writer.close(), gallery.write())
    go_on.path = tmp_path / "index.html"
    yield go_on
    writer.close()


def test_the_page_refreshes_itself_and_keeps_what_was_chosen(batch, look):
    sight = look(batch.path)
    page = sight.page
    page.get_by_label("Search").fill("fox")
    page.get_by_role("button", name="saved 40").click()
    page.get_by_label("Sort").select_option("Newest first")
    page.mouse.wheel(0, 900)
    wait_for(sight, lambda: page.evaluate("scrollY > 800"))
    page.wait_for_timeout(300)
    at = "[scrollY, document.querySelectorAll('.card')[12].getBoundingClientRect().top]"
    before = page.evaluate(at)
    loads = sight.loads
    batch(40)
    page.get_by_role("button", name="saved 41").wait_for(timeout=30_000)
    wait_for(sight, lambda: sight.loads > loads)
    assert ("fox", "newest") == (page.get_by_label("Search").input_value(), page.get_by_label("Sort").input_value())
    assert "41 of 60 shown" == page.locator("#shown").text_content()
    assert page.evaluate(at) == pytest.approx(before, abs=3)


def test_who_types_is_not_disturbed_and_goes_on_where_the_caret_was(batch, look):
    sight = look(batch.path)
    page = sight.page
    page.get_by_label("Search").click()
    loads = sight.loads
    page.keyboard.type("fx 5", delay=400)
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(2000)
    assert loads == sight.loads
    wait_for(sight, lambda: loads < sight.loads)
    page.keyboard.type("o")
    assert "fox 5" == page.get_by_label("Search").input_value()


def test_the_open_picture_stays_open_and_is_shown_when_it_comes(batch, look):
    page = look(batch.path).page
    page.get_by_role("button", name="fox 45").click()
    assert "waiting" == page.locator("#view-state").text_content()
    batch(45)
    page.locator("#figure img").wait_for(timeout=30_000)
    assert ("fox 45", "saved") == (
        page.locator("#view-prompt").text_content(),
        page.locator("#view-state").text_content(),
    )
    page.keyboard.press("Escape")
    assert not page.locator("#view").is_visible()


def test_who_looks_at_a_picture_that_is_there_is_left_in_peace(batch, look):
    sight = look(batch.path)
    sight.page.locator(".card").first.click()
    loads = sight.loads
    sight.page.wait_for_timeout(1500)
    assert loads == sight.loads
    sight.page.keyboard.press("Escape")
    wait_for(sight, lambda: loads < sight.loads)


def test_refreshing_can_be_paused(batch, look):
    sight = look(batch.path)
    sight.page.get_by_role("button", name="Pause").click()
    loads = sight.loads
    sight.page.wait_for_timeout(1500)
    assert loads == sight.loads
    sight.page.get_by_role("button", name="Resume").click()
    wait_for(sight, lambda: loads < sight.loads)


def test_a_page_that_is_finished_does_not_load_again(batch, look):
    sight = look(batch.path)
    batch.end()
    sight.page.locator("#live").wait_for(state="detached", timeout=30_000)
    loads = sight.loads
    sight.page.wait_for_timeout(1500)
    assert loads == sight.loads


def test_a_page_that_nobody_writes_any_more_says_so(batch, look):
    old = "2020-01-01T00:00:00+00:00"
    text = batch.path.read_text()
    written = text.partition('data-written="')[2].partition('"')[0]
    batch.path.write_text(text.replace(written, old))
    sight = look(batch.path)
    assert "No news of the batch since" in sight.page.locator("#live").text_content()
    sight.page.wait_for_timeout(1500)
    assert 1 == sight.loads


def test_nothing_moves_for_who_wants_less_motion(batch, look):
    moves = """(() => {
        const of = (place) => getComputedStyle(document.querySelector(place));
        return [of(".dot").animationName, of(".card img").transitionDuration];
    })()"""
    assert ["none", "0s"] == look(batch.path, reduced_motion="reduce").page.evaluate(moves)
    assert ["breathe", "0.35s"] == look(batch.path, reduced_motion="no-preference").page.evaluate(moves)


_WATCH = """() => {
    window.seen = {longest: 0, shifts: 0};
    const watch = (type, take) => new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({type});
    watch("longtask", (each) => { seen.longest = Math.max(seen.longest, each.duration); });
    watch("layout-shift", (each) => { seen.shifts += each.value; });
}"""


# Many pictures.


@pytest.mark.parametrize(("number", "longest"), [(1000, 200), (10_000, 2000)])
def test_a_large_set_scrolls_without_jank_and_nothing_jumps(number, longest, tmp_path, look):
    path = write_foxes(tmp_path, number)
    began = time.monotonic()
    page = look(path).page
    opened = time.monotonic() - began
    page.wait_for_timeout(500)
    page.evaluate(_WATCH)
    high = page.evaluate("document.documentElement.scrollHeight")
    page.mouse.move(600, 600)
    for _ in range(30):
        page.mouse.wheel(0, 1200)
        page.wait_for_timeout(50)
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") > 10_000
    seen = page.evaluate("seen")
    assert high == page.evaluate("document.documentElement.scrollHeight")
    began = time.monotonic()
    page.keyboard.press("/")
    page.keyboard.type(f"key-{number - 1}")
    page.get_by_text(f"1 of {number} shown").wait_for()
    searched = time.monotonic() - began
    print(f"{number} pictures: opened {opened:.2f} s, searched {searched:.2f} s, {seen}")
    assert seen["longest"] <= longest
    assert seen["shifts"] < 0.01
    assert opened < number / 500 + 3
    assert searched < number / 1000 + 3
    # Only pictures near the window are loaded.
    assert page.evaluate("performance.getEntriesByType('resource').length") < 600
