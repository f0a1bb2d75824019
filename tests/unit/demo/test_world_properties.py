"""The documented properties of the simulated shop, measured on a small seeded world."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from demo.errors import WorldError
from demo.oracle import Reader, bound, ceiling
from demo.report import report, title_neighbours
from demo.world.spec import WorldSpec
from offline.logs.schema import TABLES
from offline.logs.tables import read_table

LAST = 5


def columns(world_dir: Path, table: str, *names: str) -> list[list]:
    rows = read_table(world_dir, table, names)
    return [rows[name].to_pylist() for name in names]


@pytest.fixture(scope="module")
def targets(world_dir: Path) -> dict[str, list]:
    return pq.read_table(world_dir / "truth" / "targets.parquet").to_pydict()


class TestBounds:
    def test_the_oracle_is_neither_hopeless_nor_perfect(self, world_dir):
        figures = ceiling(world_dir, LAST)
        assert 0.5 <= figures["hr@8"] <= 0.75
        assert figures["mrr@8"] < figures["hr@8"]
        assert figures["hr@1"] < figures["mrr@8"]

    def test_clicked_and_typed_targets_share_one_distribution(self, world_dir):
        figures = ceiling(world_dir, LAST)
        assert figures["hr@8"] == pytest.approx(figures["mass@8"], abs=0.08)
        assert figures["hr@8 bar"] == pytest.approx(figures["hr@8 post_video"], abs=0.1)

    def test_the_title_alone_cannot_pass_about_three_tenths(self, world_dir):
        # The ideal reader understands every word without error, and a small world has few products to tell apart: it
        # reaches .24 to .26 in worlds of the default size and up to .32 in ones of this size.
        assert bound(world_dir, LAST, Reader(), sample=400, draws=40)["hr@8"] <= 0.33
        assert title_neighbours(world_dir, LAST, sample=400) <= 0.3

    def test_each_kind_of_evidence_adds_information(self, world_dir):
        def reach(**knows: bool) -> float:
            return bound(world_dir, LAST, Reader(**knows), sample=240, draws=24)["hr@8"]

        title, summary = reach(), reach(summary=True)
        assert summary > title + 0.08
        assert reach(summary=True, product=True) > summary + 0.02
        assert reach(summary=True, crowd=True) > summary + 0.01
        assert reach(summary=True, person=True) > summary + 0.03
        assert reach(summary=True, product=True, crowd=True, person=True) > summary + 0.1

    def test_a_day_outside_the_log_is_refused(self, world_dir):
        with pytest.raises(WorldError, match="days are 0 to 5"):
            ceiling(world_dir, 99)


class TestFields:
    @pytest.mark.parametrize("field", ["caption", "photo_title", "title", "item_title", "summary"])
    def test_fields_are_missing_at_the_stated_rates(self, world_dir, small_spec: WorldSpec, field):
        (texts,) = columns(world_dir, "videos", field)
        stated = getattr(small_spec.rates, f"missing_{field}")
        assert np.mean([text is None for text in texts]) == pytest.approx(stated, abs=0.04)

    def test_captions_carry_the_noise_of_the_platform(self, world_dir):
        (captions,) = columns(world_dir, "videos", "caption")
        there = [caption for caption in captions if caption]
        for mark, low, high in (("#", 0.3, 0.6), ("@", 0.05, 0.2), ("https://", 0.01, 0.08)):
            assert low < np.mean([mark in caption for caption in there]) < high
        assert any(ord(letter) > 0x2000 for caption in there for letter in caption)

    def test_most_summaries_start_with_a_template(self, world_dir):
        (summaries,) = columns(world_dir, "videos", "summary")
        starts = (
            "This video shows",
            "The video presents",
            "Video summary:",
            "OCR:",
            "ASR:",
            "The video is about",
            "In",
        )
        assert np.mean([s.startswith(starts) for s in summaries if s]) > 0.5

    def test_no_safe_video_is_without_any_text(self, world_dir):
        fields = columns(world_dir, "videos", "caption", "photo_title", "title", "item_title", "summary")
        assert all(any(row) for row in zip(*fields, strict=True))


class TestBehaviour:
    def test_queries_have_a_head_and_a_tail(self, world_dir):
        (queries,) = columns(world_dir, "searches", "query")
        counts = sorted(Counter(queries).values(), reverse=True)
        assert sum(counts[: len(counts) // 100]) / sum(counts) > 0.12
        assert np.mean([count == 1 for count in counts]) > 0.25
        assert 2.5 < np.mean([len(query.split()) for query in queries]) < 5

    def test_clicks_fall_with_the_position(self, world_dir):
        position, clicked = map(np.array, columns(world_dir, "exposures", "position", "clicked"))
        rates = [clicked[position == place].mean() for place in (1, 2, 3)]
        assert rates[0] > 1.3 * rates[1] > 1.5 * rates[2] > 0
        assert not clicked[position == 0].any()
        assert (position == 0).any()

    def test_an_impression_has_at_most_one_click_and_one_target(self, world_dir, targets):
        impression, clicked = columns(world_dir, "exposures", "impression_id", "clicked")
        clicks = [name for name, hit in zip(impression, clicked, strict=True) if hit]
        assert len(clicks) == len(set(clicks)) > 0
        assert len(targets["impression_id"]) == len(set(targets["impression_id"]))
        assert set(clicks) == {
            name for name, s in zip(targets["impression_id"], targets["source"], strict=True) if s == "bar"
        }

    def test_bar_clicks_are_also_searches(self, world_dir):
        (source,) = columns(world_dir, "searches", "source")
        (clicked,) = columns(world_dir, "exposures", "clicked")
        assert source.count("bar") == sum(clicked)
        assert set(source) == {"bar", "post_video", "search_box", "reformulation"}

    def test_searches_without_item_intent_lead_to_no_item(self, world_dir):
        query, clicks = columns(world_dir, "searches", "query", "item_clicks")
        song = [count for text, count in zip(query, clicks, strict=True) if text == "what song is this"]
        item = [count for text, count in zip(query, clicks, strict=True) if text.endswith(" price")]
        assert np.mean(song) < 0.1 < 0.5 < np.mean(item)

    def test_reformulations_become_more_specific(self, world_dir):
        query, before = columns(world_dir, "searches", "query", "previous_query")
        chains = [(q, p) for q, p in zip(query, before, strict=True) if p is not None]
        assert len(chains) > 50
        assert np.mean([any(c.isdigit() for c in q) for q, _ in chains]) > np.mean(
            [any(c.isdigit() for c in p) for _, p in chains]
        )

    def test_orders_have_a_value_and_follow_engagement(self, world_dir):
        clicked, engaged, value = map(np.array, columns(world_dir, "exposures", "clicked", "engaged", "order_value"))
        assert (value[~engaged] == 0).all()
        assert not engaged[~clicked].any()
        assert (value > 0).any()

    def test_search_clicks_name_searches_of_their_day(self, world_dir):
        search, day, query = columns(world_dir, "searches", "search_id", "day", "query")
        known = {name: (d, q) for name, d, q in zip(search, day, query, strict=True)}
        rows = columns(world_dir, "search_clicks", "search_id", "day", "query")
        assert all(known[name] == (d, q) for name, d, q in zip(*rows, strict=True))

    def test_videos_are_watched_only_once_they_exist(self, world_dir):
        made = dict(zip(*columns(world_dir, "videos", "photo_id", "created_day"), strict=True))
        for table in ("impressions", "search_clicks"):
            photo, day = columns(world_dir, table, "photo_id", "day")
            assert all(made[p] <= d for p, d in zip(photo, day, strict=True))


class TestFreshness:
    def test_todays_videos_have_no_queries_of_earlier_days(self, world_dir):
        made = dict(zip(*columns(world_dir, "videos", "photo_id", "created_day"), strict=True))
        photo, day = columns(world_dir, "searches", "photo_id", "day")
        earlier = {p for p, d in zip(photo, day, strict=True) if p is not None and d < LAST}
        seen = [p for p, d in zip(*columns(world_dir, "impressions", "photo_id", "day"), strict=True) if d == LAST]
        new = [p for p in seen if made[p] == LAST]
        assert not any(p in earlier for p in new)
        assert np.mean([p in earlier for p in seen if made[p] < LAST]) > 0.7
        assert 0.08 < len(new) / len(seen) < 0.4

    def test_every_day_brings_products_trends_and_queries_that_are_new(self, world_dir, targets):
        latent = pq.read_table(world_dir / "truth" / "videos.parquet").to_pydict()
        for day in range(LAST + 1):
            today = [t for t, d in zip(latent["trending"], latent["created_day"], strict=True) if d == day]
            assert 0.02 < np.mean(today) < 0.5
        day, query = np.array(targets["day"]), np.array(targets["target"])
        assert np.mean(~np.isin(query[day == LAST], query[day < LAST])) > 0.04


class TestSafety:
    def test_three_to_five_videos_in_a_hundred_are_unsafe(self, world_dir):
        term = pq.read_table(world_dir / "truth" / "videos.parquet")["unsafe_term"].to_numpy()
        assert 0.03 <= (term >= 0).mean() <= 0.05

    def test_some_show_it_only_in_the_summary_and_some_disguise_it(self, world_dir):
        listed = [
            line.rstrip("\n").split("\t")[1]
            for line in (world_dir / "prohibited_terms.tsv").read_text().splitlines()
            if not line.startswith("#")
        ]
        caption, summary = columns(world_dir, "videos", "caption", "summary")
        in_caption = [any(term in (text or "") for term in listed) for text in caption]
        in_summary = [any(term in (text or "") for term in listed) for text in summary]
        assert sum(s and not c for c, s in zip(in_caption, in_summary, strict=True)) >= 5
        assert any("\u200b" in text for text in caption if text)

    def test_the_labels_for_an_evaluation_name_every_video(self, world_dir):
        labels = pq.read_table(world_dir / "truth" / "safety.parquet").to_pydict()
        assert [labels["photo_id"]] == columns(world_dir, "videos", "photo_id")
        assert all(
            (category is not None) == bad for category, bad in zip(labels["category"], labels["unsafe"], strict=True)
        )

    def test_rules_and_reviews_know_only_a_part(self, world_dir):
        term = pq.read_table(world_dir / "truth" / "videos.parquet")["unsafe_term"].to_numpy()
        photo, verdict = columns(world_dir, "reviews", "photo_id", "verdict")
        unsafe = {f"p{n:06d}" for n in np.flatnonzero(term >= 0)}
        judged = dict(zip(photo, verdict, strict=True))
        assert all((verdict == "unsafe") == (name in unsafe) for name, verdict in judged.items())
        assert 0.4 < np.mean([name in judged for name in unsafe]) < 0.8


def test_every_table_follows_its_schema(world_dir):
    for name, spec in TABLES.items():
        table = read_table(world_dir, name)
        assert table.schema.equals(spec.schema)
        assert table.num_rows > 0


def test_the_report_measures_all_of_it(world_dir):
    figures = report(world_dir, sample=200)
    assert [section.split(" on day")[0] for section in figures] == [
        "oracle", "ideal readers", "videos", "queries", "bar", "targets",
    ]  # fmt: skip
    assert all(np.isfinite(value) for section in figures.values() for value in section.values())
    assert figures["targets"]["day 5: new videos with histories"] == 0
