"""The forms of schemes, rewards and conditions."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    DecimalField,
    FieldList,
    Form,
    FormField,
    HiddenField,
    IntegerField,
    SelectField,
    StringField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, InputRequired, Length, Optional

from portal.errors import InvalidInput, WaybillError
from portal.referrals.progress.service import SPEND
from portal.referrals.schemes.catalogue import NewCondition, NewReward
from portal.referrals.schemes.periods import PeriodType, period_type
from portal.referrals.schemes.proposals import AMOUNT, Ask, SchemeTerms
from portal.referrals.schemes.queries import KnownCondition, RewardOffer, Scheme

_WHOLE = re.compile(r"[0-9]{1,9}")
_ROW = re.compile(r"conditions\[(\d+)\](?:\.data)?(?:\.(\w+))?")


def _strip(text: str | None) -> str | None:
    return text.strip() if text else text


class AmountField(DecimalField):
    """An amount of money, in plain digits."""

    def process_formdata(self, valuelist: Sequence[str]) -> None:
        written = valuelist[0].strip() if valuelist else ""
        self.data = None
        if written:
            if not AMOUNT.fullmatch(written):
                raise ValueError("Enter an amount such as 12.50, with at most two decimals.")
            self.data = Decimal(written)


class WholeField(IntegerField):
    """A whole number, zero or more, in plain digits."""

    def process_formdata(self, valuelist: Sequence[str]) -> None:
        written = valuelist[0].strip() if valuelist else ""
        self.data = None
        if written:
            if not _WHOLE.fullmatch(written):
                raise ValueError("Enter a whole number, zero or more.")
            self.data = int(written)


class ConditionRow(Form):
    """Whether a scheme asks for one condition, in which place, and for a spend from which amount on."""

    condition_id = HiddenField()
    asked = BooleanField("Asked for")
    place = WholeField("Place", [Optional()])
    threshold = StringField("Threshold", [Length(max=20)], filters=[_strip])
    currency = StringField("Currency", [Length(max=3)], filters=[_strip])


class SchemeForm(FlaskForm):
    """The terms of a scheme, and for a new one its budget."""

    name = StringField("Name", [DataRequired("Give it a name."), Length(max=100)], filters=[_strip])
    product = StringField("Product", [DataRequired("Enter a product."), Length(max=20)], filters=[_strip])
    currency = StringField("Currency", [DataRequired("Enter a currency."), Length(max=3)], filters=[_strip])
    referrer_reward_id = SelectField(
        "Reward of the referrer", [InputRequired("Choose a reward.")], coerce=int
    )
    recruit_reward_id = SelectField("Reward of the recruit", [InputRequired("Choose a reward.")], coerce=int)
    expiry_period_length = WholeField("Expires after", [InputRequired("Enter a length.")])
    expiry_period_type = SelectField(
        "Unit", [InputRequired("Choose a unit.")], choices=[SelectChoice(one.value) for one in PeriodType]
    )
    limit_rewards = WholeField("Limit of rewards per referrer", [InputRequired("Enter a limit; 0 is none.")])
    budget = AmountField("Budget", [Optional()], places=None)
    conditions = FieldList(FormField(ConditionRow), max_entries=50)

    def offer(self, rewards: Sequence[RewardOffer]) -> None:
        """Let rewards be chosen."""
        choices = [SelectChoice(str(one.id), f"{one.name} ({one.amount:,.2f})") for one in rewards]
        self.referrer_reward_id.choices = self.recruit_reward_id.choices = choices

    def terms(self, known: Sequence[KnownCondition], earlier: Scheme | None = None) -> SchemeTerms:
        """Return what was entered; data of conditions that have no field here stay as they were."""
        data = {asked.id: asked.data for asked in earlier.conditions} if earlier else {}
        spends = {one.id for one in known if one.event_type == SPEND}
        return SchemeTerms(
            name=self.name.data or "",
            product=self.product.data or "",
            currency=self.currency.data or "",
            expiry_period_type=self.expiry_period_type.data,
            expiry_period_length=self.expiry_period_length.data or 0,
            limit_rewards=self.limit_rewards.data or 0,
            recruit_reward_id=self.recruit_reward_id.data,
            referrer_reward_id=self.referrer_reward_id.data,
            conditions=tuple(_ask(row, spends, data) for row in self._asked()),
        )

    def show(self, refused: WaybillError) -> None:
        """Put each reason at the field that is its cause, or else at the name."""
        errors = refused.errors if isinstance(refused, InvalidInput) else []
        for error in errors:
            row = _ROW.fullmatch(error.field)
            if row is not None:
                _show_in_row(self._asked()[int(row[1])], row[2], error.reason)
            elif error.field in self and error.field != "conditions":
                self[error.field].errors = [*self[error.field].errors, error.reason]
            else:
                self.form_errors.append(error.reason)
        if not errors:
            self.form_errors.append(refused.reason)

    def _asked(self) -> list[Any]:
        rows = [row.form for row in self.conditions if row.form.asked.data]
        return sorted(rows, key=lambda row: (row.place.data is None, row.place.data or 0))


class BudgetForm(FlaskForm):
    """The budget of a scheme over all its versions; empty is without limit."""

    budget = AmountField("Budget", [Optional()], places=None)


class RewardForm(FlaskForm):
    """A reward that schemes may offer."""

    name = StringField("Name", [DataRequired("Give it a name."), Length(max=20)], filters=[_strip])
    description = StringField("Description", [Length(max=255)], filters=[_strip])
    amount = AmountField("Amount", [InputRequired("Enter an amount.")], places=None)

    def reward(self) -> NewReward:
        """Return what was entered and found valid."""
        return NewReward(self.name.data or "", self.description.data or None, self.amount.data or Decimal(0))


class ConditionForm(FlaskForm):
    """A condition that schemes may ask for."""

    name = StringField("Name", [DataRequired("Give it a name."), Length(max=20)], filters=[_strip])
    description = StringField("Description", [Length(max=255)], filters=[_strip])
    event_type = StringField("Met by", [DataRequired("Say what meets it."), Length(max=20)], filters=[_strip])

    def condition(self) -> NewCondition:
        """Return what was entered and found valid."""
        return NewCondition(self.name.data or "", self.description.data or None, self.event_type.data or "")


def show_refusal(form: FlaskForm, refused: WaybillError) -> None:
    """Put each reason of a refusal at its field, and one without a field before the form."""
    errors = refused.errors if isinstance(refused, InvalidInput) else []
    for error in errors:
        form[error.field].errors = [*form[error.field].errors, error.reason]
    if not errors:
        form.form_errors.append(refused.reason)


def filled(scheme: Scheme, known: Sequence[KnownCondition]) -> dict[str, Any]:
    """Return what the form of a scheme shows first: the terms of a version."""
    kind = period_type(scheme.expiry_period_type)
    return {
        "name": scheme.name,
        "product": scheme.product,
        "currency": scheme.currency,
        "referrer_reward_id": scheme.referrer_reward.id,
        "recruit_reward_id": scheme.recruit_reward.id,
        "expiry_period_length": scheme.expiry_period_length,
        "expiry_period_type": kind.value if kind else None,
        "limit_rewards": scheme.limit_rewards,
        "conditions": condition_rows(known, scheme),
    }


def condition_rows(known: Sequence[KnownCondition], scheme: Scheme | None = None) -> list[dict[str, Any]]:
    """Return a row for each condition, those that a scheme asks for first, in their order."""
    asked = {one.id: one for one in scheme.conditions} if scheme else {}
    rows: list[dict[str, Any]] = []
    for one in sorted(known, key=lambda one: asked[one.id].ordinal if one.id in asked else 1000 + one.id):
        here = asked.get(one.id)
        data: Mapping[str, Any] = here.data if here else {}
        rows.append(
            {
                "condition_id": one.id,
                "asked": here is not None,
                "place": here.ordinal if here else None,
                "threshold": data.get("threshold"),
                "currency": data.get("currency"),
            }
        )
    return rows


def _ask(row: Any, spends: set[int], earlier: Mapping[int, Mapping[str, Any]]) -> Ask:
    written = row.condition_id.data or ""
    condition_id = int(written) if _WHOLE.fullmatch(written) else 0
    if condition_id not in spends:
        return Ask(condition_id, earlier.get(condition_id, {}))
    amount = {"threshold": row.threshold.data or "", "currency": row.currency.data or ""}
    return Ask(condition_id, {**earlier.get(condition_id, {}), **amount})


def _show_in_row(row: Any, name: str | None, reason: str) -> None:
    field = row[name] if name in ("threshold", "currency") else row.asked
    field.errors = [*field.errors, reason]
