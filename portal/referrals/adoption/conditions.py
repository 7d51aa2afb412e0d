"""What the conditions of an adopted database mean, whose event types are words of the old service."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import events
from portal.errors import InvalidInput
from portal.events import Actor, NewEvent
from portal.referrals.adoption.established import Difference, Weight
from portal.referrals.models import Condition, ReferralScheme, SchemeCondition
from portal.referrals.progress.service import SIGN_UP, SPEND, VERIFICATION
from portal.referrals.schemes.conditions import event_type_of
from portal.referrals.schemes.models import ConditionMeaning
from portal.referrals.spends.service import threshold_of

OPTION = "--event-type"
_KNOWN = (SIGN_UP, VERIFICATION, SPEND)


@dataclass(frozen=True, slots=True)
class _Found:
    """A condition: the word in its row, what meets it so far, and what it was said to mean now, if it was."""

    id: int
    name: str
    word: str
    met_by: str
    given: str | None

    @property
    def will_be_met_by(self) -> str:
        return self.given or self.met_by


def read_meanings(given: Sequence[str]) -> dict[str, str]:
    """Read meanings such as `kyc=verification`, by the old service's words; raises InvalidInput."""
    meanings: dict[str, str] = {}
    for one in given:
        word, _, meaning = (part.strip().casefold() for part in one.rpartition("="))
        if not word:
            raise _refused(f"{one} is not of the form WORD=MEANING, such as kyc={VERIFICATION}.")
        if meaning not in _KNOWN:
            raise _refused(f"{one}: what {word} means must be one of {', '.join(_KNOWN)}.")
        if meanings.setdefault(word, meaning) != meaning:
            raise _refused(f"{word} is given two meanings, {meanings[word]} and {meaning}.")
    return meanings


def differences(
    session: Session, meanings: Mapping[str, str], present: Collection[str]
) -> Iterator[Difference]:
    """Tell which conditions are given a meaning, which lack one, and which meanings cannot be given."""
    found = _read(session, meanings, has_meanings=ConditionMeaning.__tablename__ in present)
    for word in sorted(set(meanings) - {one.word for one in found}):
        there = ", ".join(sorted(one.word for one in found))
        yield _stop(f"No condition has the event type {word} of {OPTION}; there are {there or 'none'}.")
    alike: dict[str, list[str]] = defaultdict(list)
    asking = _asking(session, present)
    for one in found:
        alike[one.will_be_met_by].append(one.name)
        if one.will_be_met_by == SPEND:
            yield from _of_thresholds(one, asking.get(one.id, {}))
        if one.met_by in _KNOWN:
            if one.will_be_met_by != one.met_by:
                yield _stop(
                    f"The condition {one.name} is met by {one.met_by} already, and not by {one.given}."
                )
        elif one.given is not None:
            said = f"The condition {one.name} waits for {one.word!r}, which is told to mean {one.given}."
            yield Difference(Weight.ADDS, said)
        else:
            yield _of_unknown(one, asking.get(one.id, {}))
    for meaning, names in alike.items():
        if len(names) > 1:
            yield _stop(f"The conditions {' and '.join(names)} cannot both be met by {meaning}.")


def keep_meanings(session: Session, meanings: Mapping[str, str], *, actor: Actor, now: datetime) -> None:
    """Keep what conditions mean whose event types are not known; their rows stay as they are."""
    for one in _read(session, meanings, has_meanings=True):
        if one.given is None or one.met_by in _KNOWN:
            continue
        session.add(ConditionMeaning(condition_id=one.id, event_type=one.given))
        facts = {"word": one.word, "event_type": one.given}
        events.record(session, NewEvent("condition", one.id, "condition.meaning-given", actor, now, facts))
    session.flush()


def _read(session: Session, meanings: Mapping[str, str], *, has_meanings: bool) -> list[_Found]:
    known: dict[int, str] = {}
    if has_meanings:
        kept = select(ConditionMeaning.condition_id, ConditionMeaning.event_type)
        known = dict(session.execute(kept).all())
    rows = select(Condition.id, Condition.name, Condition.event_type).order_by(Condition.id)
    found = []
    for condition_id, name, stored in session.execute(rows):
        word = event_type_of(stored, None)
        met_by = event_type_of(stored, known.get(condition_id))
        found.append(_Found(condition_id, name, word, met_by, meanings.get(word)))
    return found


def _asking(session: Session, present: Collection[str]) -> Mapping[int, Mapping[int, str]]:
    """Return by condition the active schemes that ask for it, each with the data that it gives."""
    asking: dict[int, dict[int, str]] = defaultdict(dict)
    if {ReferralScheme.__tablename__, SchemeCondition.__tablename__} <= set(present):
        rows = (
            select(SchemeCondition.condition_id, ReferralScheme.id, SchemeCondition.data)
            .join(ReferralScheme, ReferralScheme.id == SchemeCondition.referral_scheme_id)
            .where(ReferralScheme.active)
            .order_by(ReferralScheme.id)
        )
        for condition_id, scheme_id, data in session.execute(rows):
            asking[condition_id][scheme_id] = data
    return asking


def _of_unknown(condition: _Found, schemes: Collection[int]) -> Difference:
    waits = f"The condition {condition.name} waits for {condition.word!r}, which nothing tells of"
    mend = f"say what it means by {OPTION} {condition.word}=MEANING, one of {', '.join(_KNOWN)}"
    if not schemes:
        return Difference(Weight.NOTE, f"{waits}; no active scheme asks for it. If it is needed, {mend}.")
    ids = ", ".join(map(str, schemes))
    which = f"scheme {ids} asks" if len(schemes) == 1 else f"schemes {ids} ask"
    return _stop(f"{waits}, and the active {which} for it: {mend}.")


def _of_thresholds(condition: _Found, schemes: Mapping[int, str]) -> Iterator[Difference]:
    for scheme_id, data in schemes.items():
        if threshold_of(data) is None:
            said = (
                f"The active scheme {scheme_id} asks for {condition.name} without a threshold and a currency"
                " that can be read: no spend meets it until a new version of the scheme says them."
            )
            yield Difference(Weight.NOTE, said)


def _stop(said: str) -> Difference:
    return Difference(Weight.STOPS, said)


def _refused(reason: str) -> InvalidInput:
    return InvalidInput(f"{OPTION}: {reason}", code="event-type-invalid", field=OPTION)
