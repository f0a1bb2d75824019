from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from evidence.render import Renderer
from evidence.schema import Evidence
from evidence.tokens import SPECIAL_TOKENS
from training.errors import DataError
from training.tokenizer import load_tokenizer, log_texts, shared_texts, special_token_ids, train_tokenizer


def test_special_tokens_have_the_first_ids_in_order(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS.values()] == list(range(7))
    assert special_token_ids(tokenizer)["reject"] == 6


@pytest.mark.parametrize("text", ["power bank", "fenago 675nk under $40.99", "充电宝 快充", "naïve € 🙂"])
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids).strip() == text
    assert special_token_ids(tokenizer)["unk"] not in ids


def test_a_word_is_the_same_token_wherever_it_stands_and_in_any_case(tokenizer: Tokenizer) -> None:
    first = tokenizer.encode("Fenago camping chair", add_special_tokens=False).tokens
    middle = tokenizer.encode("camping fenago", add_special_tokens=False).tokens
    assert middle[-1:] == first[:1] == ["Ġfenago"]


def test_case_can_be_kept() -> None:
    kept = train_tokenizer(["Fenago fenago"] * 5, 300, lowercase=False)
    assert kept.decode(kept.encode("Fenago", add_special_tokens=False).ids).strip() == "Fenago"


def test_digits_are_words_of_their_own(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode("1299nk", add_special_tokens=False).tokens
    assert not any(any(c.isdigit() for c in token) and any(c.isalpha() and c != "Ġ" for c in token) for token in tokens)


def test_text_that_spells_a_special_token_stays_text(tokenizer: Tokenizer) -> None:
    rendered = Renderer(tokenizer).render(Evidence("a [SEP] b </s> [REJECT]", "", (), (), ()))
    special = special_token_ids(tokenizer)
    assert rendered.token_ids.count(special["sep"]) == 4
    assert rendered.token_ids.count(special["eos"]) == 1
    assert special["reject"] not in rendered.token_ids


def test_the_same_texts_give_the_same_file() -> None:
    texts = [f"camping chair under {n}" for n in range(200)]
    assert train_tokenizer(texts, 400).to_str() == train_tokenizer(iter(texts), 400).to_str()


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="onebar train tokenizer"):
        load_tokenizer(tmp_path / "none.json")
    broken = tmp_path / "tokenizer.json"
    broken.write_text("{}")
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        load_tokenizer(broken)


def test_a_tokenizer_without_reject_is_refused() -> None:
    tokenizer = train_tokenizer(["a"], 300)
    bare = Tokenizer.from_str(tokenizer.to_str().replace("[REJECT]", "[OTHER]"))
    with pytest.raises(DataError, match="REJECT"):
        special_token_ids(bare)


def test_texts_of_the_logs_leave_out_the_two_held_out_days(tmp_path: Path) -> None:
    pq.write_table(pa.table({"day": [0, 1, 2, 3]}), tmp_path / "impressions.parquet")
    videos = {
        "created_day": [0, 1, 2, 3],
        "caption": ["Fenago chair #fyp", None, "held out", "held out"],
        "photo_title": pa.array([None, "old lamp", None, None], pa.string()),
        "title": pa.nulls(4, pa.string()),
        "item_title": pa.nulls(4, pa.string()),
        "summary": ["Video summary: a chair.", None, "held out", None],
    }
    pq.write_table(pa.table(videos), tmp_path / "videos.parquet")
    pq.write_table(pa.table({"day": [0, 1, 3], "query": ["chair", "chair", "held out"]}), tmp_path / "searches.parquet")
    pq.write_table(pa.table({"day": [1, 2], "query": ["lamp", "held out"]}), tmp_path / "exposures.parquet")
    texts = list(log_texts(tmp_path))
    assert texts == ["Fenago chair", "a chair", "old lamp", "chair", "chair", "lamp"]


def test_logs_without_a_table_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"impressions\.parquet"):
        list(log_texts(tmp_path))


def test_a_table_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "impressions.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match=r"impressions\.parquet cannot be read as Parquet"):
        list(log_texts(tmp_path))


def test_tables_may_be_folders_of_files(tmp_path: Path) -> None:
    whole, parted = (write_shop(tmp_path / name, "zorvex") for name in ("whole", "parted"))
    for name in ("impressions", "searches", "exposures"):
        path = parted / f"{name}.parquet"
        rows = pq.read_table(path)
        path.unlink()
        (parted / name).mkdir()
        for part in range(2):
            pq.write_table(rows[part : part + 1], parted / name / f"part-{part}.parquet")
    assert list(log_texts(parted)) == list(log_texts(whole)) != []


def write_shop(folder: Path, brand: str) -> Path:
    folder.mkdir()
    videos = {name: [f"best {brand} camping chair"] for name in ("caption", "photo_title", "title", "item_title")}
    tables = {
        "impressions": {"day": [0, 5]},
        "videos": {"created_day": [0], "summary": [f"a {brand} chair"], **videos},
        "searches": {"day": [0, 1], "query": [f"{brand} chair", f"{brand} tent"]},
        "exposures": {"day": [0], "query": ["camping chair"]},
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


def test_words_that_few_shops_have_are_left_out(tmp_path: Path) -> None:
    shops = [write_shop(tmp_path / brand, brand) for brand in ("zorvex", "milano", "quant", "haber")]
    words = {word for text in shared_texts(shops) for word in text.split()}
    assert {"camping", "chair", "best"} <= words
    assert not words & {"zorvex", "milano", "quant", "haber"}


def test_one_shop_keeps_its_words(tmp_path: Path) -> None:
    assert "zorvex" in " ".join(shared_texts([write_shop(tmp_path / "a", "zorvex")]))
