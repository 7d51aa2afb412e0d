"""The terms of a scheme as somebody hands them in, and what is refused about them, field by field."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from portal.errors import FieldError, InvalidInput
from portal.referrals.progress.service import SPEND
from portal.referrals.schemes.periods import PeriodType, period_type
from portal.referrals.schemes.queries import KnownCondition, Scheme, list_conditions, list_rewards

MOST_CONDITIONS = 50
_LONGEST_DATA = 10_000
_LONGEST_PERIOD = 10_000
_HIGHEST_LIMIT = 1_000_000
# Decimal itself would also read 1_000, 1e5, NaN and digits of other scripts.
AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?")
_HIGHEST_AMOUNT = Decimal("999999999999.99")
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Ask:
    """A condition to ask for; for a spend, `data` is {"threshold": "100.00", "currency": "USD"}."""

    condition_id: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SchemeTerms:
    """The terms of one version: conditions are in their order, and `limit_rewards` 0 is no limit."""

    name: str
    product: str
    currency: str
    expiry_period_type: str
    expiry_period_length: int
    limit_rewards: int
    recruit_reward_id: int
    referrer_reward_id: int
    conditions: tuple[Ask, ...] = ()


def terms_of(scheme: Scheme) -> SchemeTerms:
    """Return the terms of a version, to be changed into those of the next one."""
    return SchemeTerms(
        name=scheme.name,
        product=scheme.product,
        currency=scheme.currency,
        expiry_period_type=scheme.expiry_period_type,
        expiry_period_length=scheme.expiry_period_length,
        limit_rewards=scheme.limit_rewards,
        recruit_reward_id=scheme.recruit_reward.id,
        referrer_reward_id=scheme.referrer_reward.id,
        conditions=tuple(Ask(asked.id, asked.data) for asked in scheme.conditions),
    )


def check_terms(session: Session, terms: SchemeTerms, *, earlier: Scheme | None = None) -> None:
    """Refuse terms that cannot be those of a scheme, all that is wrong at once; raises InvalidInput.

    What an `earlier` version offers or asks for may stay although it was retired since. Product and
    currency are those of the whole family: its budget is kept in one currency.
    """
    errors = [*_of_texts(terms), *_of_numbers(terms), *_of_rewards(session, terms, earlier)]
    errors += _of_conditions(session, terms, earlier)
    if earlier is not None:
        for field in ("product", "currency"):
            if getattr(terms, field) != getattr(earlier, field):
                errors.append(FieldError(field, f"The {field} of a scheme stays; create another scheme."))
    if errors:
        raise InvalidInput.of(errors)


def check_amount(
    amount: Decimal | None, field: str, *, at_least: Decimal = Decimal(0)
) -> Iterator[FieldError]:
    """Find what is wrong with an amount of money."""
    if amount is None:
        return
    if not (amount.is_finite() and at_least <= amount <= _HIGHEST_AMOUNT):
        yield FieldError(field, f"An amount is from {at_least} to {_HIGHEST_AMOUNT}.")
    elif amount != amount.quantize(Decimal("0.01")):
        yield FieldError(field, "An amount has at most two decimals.")


def check_text(text: str, field: str, longest: int) -> Iterator[FieldError]:
    """Find what is wrong with a name."""
    if not (text.strip() == text and text.isprintable() and 1 <= len(text) <= longest):
        yield FieldError(field, f"Give 1 to {longest} printable characters, without spaces around them.")


def _of_texts(terms: SchemeTerms) -> Iterator[FieldError]:
    yield from check_text(terms.name, "name", 100)
    yield from check_text(terms.product, "product", 20)
    if not _CURRENCY.fullmatch(terms.currency):
        yield FieldError("currency", "A currency is three capital letters, as in ISO 4217.")


def _of_numbers(terms: SchemeTerms) -> Iterator[FieldError]:
    kind = period_type(terms.expiry_period_type)
    if kind is None:
        known = ", ".join(PeriodType)
        yield FieldError("expiry_period_type", f"The type of a period is one of {known}.")
    lowest = 0 if kind is PeriodType.NEVER else 1
    if not lowest <= terms.expiry_period_length <= _LONGEST_PERIOD:
        yield FieldError("expiry_period_length", f"The length is from {lowest} to {_LONGEST_PERIOD}.")
    if not 0 <= terms.limit_rewards <= _HIGHEST_LIMIT:
        yield FieldError("limit_rewards", f"The limit is from 0, which is none, to {_HIGHEST_LIMIT}.")


def _of_rewards(session: Session, terms: SchemeTerms, earlier: Scheme | None) -> Iterator[FieldError]:
    wanted = {"recruit_reward_id": terms.recruit_reward_id, "referrer_reward_id": terms.referrer_reward_id}
    known = {reward.id: reward for reward in list_rewards(session, ids=wanted.values(), with_retired=True)}
    kept = {earlier.recruit_reward.id, earlier.referrer_reward.id} if earlier else set()
    for field, reward_id in wanted.items():
        if reward_id not in known:
            yield FieldError(field, f"There is no reward {reward_id}.")
        elif known[reward_id].retired_at is not None and reward_id not in kept:
            yield FieldError(field, f"The reward {known[reward_id].name} is retired.")


def _of_conditions(session: Session, terms: SchemeTerms, earlier: Scheme | None) -> Iterator[FieldError]:
    if len(terms.conditions) > MOST_CONDITIONS:
        yield FieldError("conditions", f"A scheme has at most {MOST_CONDITIONS} conditions.")
        return
    ids = [ask.condition_id for ask in terms.conditions]
    found = list_conditions(session, ids=ids, with_retired=True, limit=MOST_CONDITIONS)
    known = {condition.id: condition for condition in found}
    kept = {asked.id for asked in earlier.conditions} if earlier else set()
    for place, ask in enumerate(terms.conditions):
        field, condition = f"conditions[{place}]", known.get(ask.condition_id)
        if condition is None:
            yield FieldError(f"{field}.condition_id", f"There is no condition {ask.condition_id}.")
            continue
        if condition.retired_at is not None and condition.id not in kept:
            yield FieldError(f"{field}.condition_id", f"The condition {condition.name} is retired.")
        if ask.condition_id in ids[:place]:
            yield FieldError(f"{field}.condition_id", f"The condition {condition.name} is there already.")
        yield from _of_data(condition, ask.data, f"{field}.data", terms.currency)


def _of_data(
    condition: KnownCondition, data: Mapping[str, Any], field: str, currency: str
) -> Iterator[FieldError]:
    if len(json.dumps(dict(data))) > _LONGEST_DATA:
        yield FieldError(field, f"The data of a condition has at most {_LONGEST_DATA} characters.")
    if condition.event_type != SPEND:
        return
    written = data.get("threshold")
    if not isinstance(written, str) or not AMOUNT.fullmatch(written):
        yield FieldError(f"{field}.threshold", 'The threshold of a spend is a text such as "100.00".')
    else:
        yield from check_amount(Decimal(written), f"{field}.threshold", at_least=Decimal("0.01"))
    if not _is_currency(data.get("currency")):
        yield FieldError(
            f"{field}.currency",
            f"Say the currency of the threshold in three capital letters, such as {currency}.",
        )


def _is_currency(value: object) -> bool:
    return isinstance(value, str) and _CURRENCY.fullmatch(value) is not None
