"""The gallery shows what its jobs cost: each card and the sum, the estimate and the charge told apart."""

import json
import re

import job_states
import pytest

from cometflux.gallery import Gallery, write_gallery
from cometflux.journal.attempts import Charge, Estimate
from cometflux.journal.writer import JournalWriter
from cometflux.predictions import Prediction, Status

GIVEN = Estimate(micros=40_000, basis="given")


def bought(index, estimate=GIVEN):
    sent = job_states.plan(index, f"fox {index}").sending(1.0, "b", 1, estimate)
    return sent.accepted(Prediction(id=f"p{index}", status=Status.STARTING), 2.0)


def page_and_data(path):
    text = path.read_text(encoding="utf-8")
    return text, json.loads(re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)[0])


def summed(text):
    (found,) = re.findall(r'<p class="sum">(.*?)</p>', text)
    return found.split(" · ")[1:]


def on_cards(text):
    return re.findall(r"<span>(\$[^<]*)</span>", text)


def test_estimates_stand_on_the_cards_and_their_sum_at_the_top_with_the_basis(tmp_path):
    job_states.write(tmp_path, bought(0), bought(1), bought(2, None), job_states.plan(3, "fox 3"))
    text, told = page_and_data(write_gallery(tmp_path))
    assert ["4 jobs", "by estimate $0.08 (given, 1 more without a price)"] == summed(text)
    assert ["$0.04 by estimate", "$0.04 by estimate"] == on_cards(text)
    assert [["by estimate", "$0.04 (given)"]] == told[0]["costs"]
    assert all("costs" not in each for each in told[2:])


def test_a_charge_stands_beside_the_estimate_and_alone_on_the_card(tmp_path):
    charge = Charge(prediction_id="p0", quota=16_000, refunded=4_000)
    job_states.write(tmp_path, bought(0).charged([charge]), bought(1))
    text, told = page_and_data(write_gallery(tmp_path))
    assert ["by estimate $0.08 (given)", "charged $0.024", "refunded $0.008"] == summed(text)[1:]
    assert ["$0.024 charged", "$0.04 by estimate"] == on_cards(text)
    assert ["by estimate", "charged", "refunded"] == [name for name, _ in told[0]["costs"]]


def test_without_prices_and_charges_the_page_has_no_word_of_costs(tmp_path):
    job_states.write(tmp_path, bought(0, None))
    text, _ = page_and_data(write_gallery(tmp_path))
    assert [] == on_cards(text)
    assert ["1 job"] == summed(text)


@pytest.mark.parametrize("most", [1, 100])
def test_every_page_has_the_sum_of_the_folder_and_follows_its_charges(most, tmp_path):
    record = bought(0)
    job_states.write(tmp_path, record, bought(1))
    gallery = Gallery(tmp_path)
    gallery.jobs_per_page = most
    gallery.write()
    writer = JournalWriter(tmp_path)
    writer.open()
    writer.commit((), [record.charged([Charge(prediction_id="p0", quota=16_000)])])
    writer.close()
    gallery.write()
    pages = sorted(tmp_path.glob("index*.html"))
    assert len(pages) == 2 // min(most, 2)
    for path in pages:
        assert ["by estimate $0.08 (given)", "charged $0.032"] == summed(path.read_text())[-2:]
