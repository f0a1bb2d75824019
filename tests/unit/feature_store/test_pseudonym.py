"""Pseudonyms: stable, keyed, not invertible without the key, and carried along when keys change."""

from __future__ import annotations

import base64
import hmac
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.errors import InvalidIdError, PrivacyError
from feature_store.keys import MAX_ID_LENGTH
from feature_store.pseudonym import (
    MAX_KEYS,
    KeyRing,
    make_key_file,
    open_key_ring,
    random_key_ring,
    read_key_ring,
    rotate_key_file,
)

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
RING = KeyRing([OLD])
ROTATED = KeyRing([OLD, NEW])

user_ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_ID_LENGTH)


def test_the_values_are_those_of_the_format() -> None:
    """FORMAT.md promises these to writers in other languages."""
    assert RING.pseudonym("u1") == "4rdrapnt.piknukztmyotq3lcxbjhve7jaa"
    assert ROTATED.pseudonym("u1") == "3vxxatdk.lvti5lypvr43mbwbimdedo4ybi"
    digest = hmac.digest(OLD, b"onebar user\x00u1", "sha256")[:16]
    assert base64.b32encode(digest).decode().lower().startswith("piknukztmyotq3lcxbjhve7jaa")
    digest = hmac.digest(NEW, b"onebar next\x00" + digest, "sha256")[:16]
    assert base64.b32encode(digest).decode().lower().startswith("lvti5lypvr43mbwbimdedo4ybi")
    assert base64.b32encode(hmac.digest(NEW, b"onebar name\x00", "sha256")[:5]).decode().lower() == "3vxxatdk"


@given(user_ids, user_ids)
def test_two_users_have_two_pseudonyms_and_one_has_one(one: str, other: str) -> None:
    assert (RING.pseudonym(one) == RING.pseudonym(other)) == (one == other)


@given(user_ids)
def test_a_pseudonym_shows_nothing_of_the_id_and_has_a_fixed_form(user_id: str) -> None:
    pseudonym = RING.pseudonym(user_id)
    assert len(pseudonym) == 35
    assert pseudonym.startswith(f"{RING.names[0]}.")
    assert RING.pseudonym(user_id) != KeyRing([NEW]).pseudonym(user_id)


@given(user_ids)
def test_an_old_pseudonym_leads_to_the_new_one_without_the_id(user_id: str) -> None:
    assert ROTATED.current(RING.pseudonym(user_id)) == ROTATED.pseudonym(user_id)
    assert ROTATED.from_here(user_id) == [RING.pseudonym(user_id), ROTATED.pseudonym(user_id)]
    assert ROTATED.current(ROTATED.pseudonym(user_id)) == ROTATED.pseudonym(user_id)


def test_a_pseudonym_of_a_key_that_is_not_known_is_told() -> None:
    stranger = KeyRing([NEW]).pseudonym("u1")
    assert RING.current(stranger) is None
    assert RING.from_here(stranger) == []


def test_what_a_caller_sends_is_never_taken_for_a_pseudonym() -> None:
    """Otherwise a pseudonym out of a log would be enough to be served as that user."""
    stolen = RING.pseudonym("u1")
    assert RING.pseudonym(stolen) != stolen


@pytest.mark.parametrize("user_id", ["", "x" * 129, "a\ud800"])
def test_an_id_that_no_key_can_have_is_refused(user_id: str) -> None:
    for name in (RING.pseudonym, RING.current, RING.from_here):
        with pytest.raises(InvalidIdError):
            name(user_id)


def test_a_random_ring_is_another_one_each_time() -> None:
    assert random_key_ring().pseudonym("u") != random_key_ring().pseudonym("u")


@pytest.mark.parametrize("keys", [[], [OLD, OLD], [b"short"], [bytes([n] * 32) for n in range(MAX_KEYS + 1)]])
def test_rings_that_make_no_sense_are_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        KeyRing(keys)


def test_a_key_file_is_made_for_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "users.key"
    ring = make_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key_ring(path).names == ring.names
    with pytest.raises(PrivacyError, match="exists and is not overwritten"):
        make_key_file(path)


def test_rotation_adds_a_key_and_keeps_the_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "users.key"
    old = make_key_file(path)
    new = rotate_key_file(path)
    assert new.names[0] == old.names[0]
    assert len(new.names) == 2
    assert new.current(old.pseudonym("u1")) == new.pseudonym("u1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["users.key"]


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        ("", 0o600, "64 hexadecimal digits"),
        ("# only a comment\n", 0o600, "64 hexadecimal digits"),
        ("secret", 0o600, "64 hexadecimal digits"),
        (f"{OLD.hex()}\n{OLD.hex()}\n", 0o600, "a key twice"),
        ("é", 0o600, "cannot be read"),
        ("0" * 20_000, 0o600, "too long"),
        (f"{OLD.hex()}\n", 0o644, "chmod 600"),
        (f"{OLD.hex()}\n", 0o620, "chmod 600"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence_without_the_key(
    tmp_path: Path, text: str, mode: int, reason: str
) -> None:
    path = tmp_path / "users.key"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    with pytest.raises(PrivacyError, match=reason) as caught:
        read_key_ring(path)
    assert "secret" not in str(caught.value)
    assert OLD.hex() not in str(caught.value)


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o640])
def test_a_secret_that_a_group_may_read_is_accepted(tmp_path: Path, mode: int) -> None:
    """Kubernetes gives a mounted secret to the group of the pod."""
    path = make_key_file(tmp_path / "users.key") and tmp_path / "users.key"
    path.chmod(mode)
    assert read_key_ring(path).names


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(PrivacyError, match="onebar privacy new-key"):
        read_key_ring(tmp_path / "none")
    with pytest.raises(PrivacyError, match="is not a file"):
        read_key_ring(tmp_path)


def test_raw_ids_are_a_choice_that_must_be_made(tmp_path: Path) -> None:
    path = tmp_path / "users.key"
    make_key_file(path)
    assert open_key_ring(None, raw_user_ids=True) is None
    assert open_key_ring(path, raw_user_ids=False) is not None
    with pytest.raises(PrivacyError, match=r"onebar privacy new-key.*RAW_USER_IDS"):
        open_key_ring(None, raw_user_ids=False)
    with pytest.raises(PrivacyError, match="exclude each other"):
        open_key_ring(path, raw_user_ids=True)
