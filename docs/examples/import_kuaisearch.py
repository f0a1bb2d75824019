"""Bring the public KuaiSearch rows into the form of OneBar's log tables: an example for logs of another schema.

    python docs/examples/import_kuaisearch.py FOLDER logs

FOLDER has items.jsonl, users.jsonl and rank.jsonl: one line is an item, a user, or an item shown for a search. What
these rows lack is left empty or stands for something near, as docs/own_logs.md lists. DuckDB reads them in pieces, so
they may be larger than the memory.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import duckdb

START_MS = 1_704_067_200_000
"""The rows count their time from an unknown moment, taken as seconds from this midnight (2024-01-01, UTC)."""

VIEWS = """
CREATE VIEW items AS SELECT * FROM read_json('{folder}/items.jsonl', format = 'newline_delimited');
CREATE VIEW users AS SELECT * FROM read_json('{folder}/users.jsonl', format = 'newline_delimited');
CREATE VIEW shown AS SELECT * FROM read_json('{folder}/rank.jsonl', format = 'newline_delimited');

-- One row for each search. Two searches of a session at the same time are two, if their queries differ.
CREATE TABLE searches AS
SELECT
    concat_ws('-', user_id, session_id, time_index, md5(query)) AS search_id,
    user_id, session_id, time_index, query,
    count_if(is_clicked = 1) AS item_clicks,
    coalesce(sum(target_item_price) FILTER (is_purchased = 1), 0) AS order_value,
    min(target_item_id) FILTER (is_clicked = 1) AS clicked_item,
    lag(query) OVER session AS previous_query,
    lag(min(target_item_id) FILTER (is_clicked = 1)) OVER session AS previous_item
FROM shown
WHERE query IS NOT NULL
GROUP BY user_id, session_id, time_index, query
WINDOW session AS (PARTITION BY user_id, session_id ORDER BY time_index, query);

CREATE TABLE clicks AS
SELECT DISTINCT search_id, user_id, time_index, query, target_item_id AS item_id
FROM shown JOIN searches USING (user_id, session_id, time_index, query)
WHERE is_clicked = 1;
"""

_DAY = "(time_index // 86400)::INTEGER"
_TS = f"({START_MS} + time_index * 1000)::BIGINT"

TABLES: Mapping[str, str] = {
    "videos": """
        SELECT item_id::VARCHAR AS photo_id, -1 AS created_day, coalesce(any_value(seller_id), 0)::VARCHAR AS author_id,
            NULL::VARCHAR AS caption, NULL::VARCHAR AS photo_title, NULL::VARCHAR AS title,
            any_value(item_title) AS item_title, NULL::VARCHAR AS summary,
            nullif(any_value(category_level1_name), 'UNKNOWN') AS category
        FROM (FROM items UNION ALL BY NAME SELECT target_item_id AS item_id FROM shown)
        GROUP BY item_id ORDER BY item_id""",
    "users": """
        SELECT DISTINCT user_id::VARCHAR AS user_id, 0 AS activity
        FROM (SELECT user_id FROM users UNION ALL SELECT user_id FROM shown) ORDER BY 1""",
    "impressions": f"""
        SELECT search_id || '-' || item_id AS impression_id, {_DAY} AS day, {_TS} AS ts,
            user_id::VARCHAR AS user_id, item_id::VARCHAR AS photo_id
        FROM clicks ORDER BY ts, impression_id""",
    "exposures": """
        SELECT '' AS impression_id, 0 AS day, 1 AS position, '' AS query, '' AS policy, false AS clicked,
            false AS engaged, 0.0::DOUBLE AS order_value
        WHERE false""",
    "searches": f"""
        SELECT search_id, {_DAY} AS day, {_TS} AS ts, user_id::VARCHAR AS user_id, query,
            CASE WHEN previous_item IS NOT NULL THEN 'post_video' WHEN previous_query IS NOT NULL THEN 'reformulation'
                ELSE 'search_box' END AS source,
            previous_item::VARCHAR AS photo_id, previous_query, item_clicks::INTEGER AS item_clicks,
            order_value::DOUBLE AS order_value
        FROM searches ORDER BY ts, search_id""",
    "search_clicks": f"""
        SELECT search_id, {_DAY} AS day, query, item_id::VARCHAR AS photo_id FROM clicks ORDER BY search_id, item_id""",
    "reviews": """
        SELECT '' AS photo_id, 0 AS day, 'safe' AS verdict, NULL::VARCHAR AS policy_category WHERE false""",
}
"""By log table, the query that makes it."""


def import_rows(folder: Path, out: Path) -> dict[str, int]:
    """Write the log tables of the KuaiSearch rows in a folder.

    Args:
        folder: has items.jsonl, users.jsonl and rank.jsonl.
        out: the folder of the tables; it is created when it is missing.

    Returns:
        The number of rows by table.
    """
    out.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    connection.execute(VIEWS.format(folder=str(folder).replace("'", "''")))
    rows = {}
    for name, query in TABLES.items():
        path = out / f"{name}.parquet"
        connection.sql(query).write_parquet(str(path), compression="zstd")
        rows[name] = connection.read_parquet(str(path)).count("*").fetchall()[0][0]
    return rows


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for name, count in import_rows(Path(sys.argv[1]), Path(sys.argv[2])).items():
        print(f"{name:<14} {count:>12,} rows")
