"""Sign-ups and verifications, as their services tell of them, become referrals and met conditions.

Both lock the user's row first, so that in any order, twice and at once they come to the same end: a
verification that is there before the sign-up is kept, and counts when the sign-up comes.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.orm import Session

from portal import events
from portal.crypto import DataCipher, token_hash
from portal.events import NewEvent
from portal.referrals.addresses import address_index, folded_index
from portal.referrals.invitations.models import Invitation
from portal.referrals.models import Referral
from portal.referrals.progress import fraud
from portal.referrals.progress.known_users import device_index, lock_users, network_index
from portal.referrals.progress.messages import SignUp, Verification
from portal.referrals.progress.models import KnownUser, ReferralProgress, UserFact
from portal.referrals.progress.service import SIGN_UP, VERIFICATION, Evidence, meet_condition
from portal.referrals.recorder import Recorder
from portal.referrals.schemes.terms import Terms, load_terms
from portal.referrals.states import REFERRAL_TRANSITIONS, ReferralStatus, Review
from portal.transitions import origins

Result = Literal["referred", "not-referred", "kept", "met", "known", "nothing-met"]


@dataclass(frozen=True, slots=True)
class SignedUp:
    """A sign-up, and the id of the message that told of it."""

    message: SignUp
    message_id: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A verification, and the id of the message that told of it."""

    message: Verification
    message_id: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a message, and how many conditions of each event type it led to."""

    result: Result
    met: Counter[str] = field(default_factory=Counter)


def record_sign_ups(
    session: Session, sign_ups: Sequence[SignedUp], *, cipher: DataCipher, recorder: Recorder
) -> list[Recorded]:
    """Record sign-ups; one that answers an invitation becomes a referral with its first condition."""
    users = lock_users(session, (one.message.user_id for one in sign_ups))
    return [_record_sign_up(session, one, users, cipher, recorder) for one in sign_ups]


def record_verifications(
    session: Session, verifications: Sequence[Verified], *, recorder: Recorder
) -> list[Recorded]:
    """Record verifications; each meets its condition in the user's referrals, or is kept for the sign-up."""
    users = lock_users(session, (one.message.user_id for one in verifications))
    return [_record_verification(session, one, users, recorder) for one in verifications]


def _record_sign_up(
    session: Session,
    signed_up: SignedUp,
    users: dict[int, KnownUser],
    cipher: DataCipher,
    recorder: Recorder,
) -> Recorded:
    message, user = signed_up.message, users[signed_up.message.user_id]
    if user.signed_up_at is not None:
        return Recorded("known")
    # Nobody signs up in the future: a clock that goes ahead must not lengthen a referral.
    at = min(message.at, recorder.now)
    _describe(user, message, at, cipher)
    for invitation in _invitations(session, message, at, cipher):
        terms = load_terms(session, invitation.scheme_id)
        if _may_start(session, terms, user.user_id, at) and _take(session, invitation):
            return _start(session, signed_up, invitation, terms, at, recorder)
    # What was kept for this sign-up serves nobody now.
    session.execute(delete(UserFact).where(UserFact.user_id == user.user_id))
    return Recorded("not-referred")


def _describe(user: KnownUser, message: SignUp, at: datetime, cipher: DataCipher) -> None:
    user.signed_up_at = at
    user.address_index = address_index(cipher, message.email)
    user.folded_index = folded_index(cipher, message.email)
    user.network_index = network_index(cipher, message.ip) if message.ip else None
    user.device_index = device_index(cipher, message.device) if message.device else None


def _invitations(session: Session, message: SignUp, at: datetime, cipher: DataCipher) -> Iterator[Invitation]:
    """Give the invitation of the token, then those of the address: who invited first, comes first."""
    if message.token is not None:
        hashed = token_hash(message.token)
        yield from session.scalars(select(Invitation).where(Invitation.token_hash == hashed))
    # Who was invited after having signed up was not won by that.
    of_address = select(Invitation).where(
        Invitation.address_index == address_index(cipher, message.email), Invitation.created_at <= at
    )
    yield from session.scalars(of_address.order_by(Invitation.created_at, Invitation.id)).all()


def _may_start(session: Session, terms: Terms, user_id: int, at: datetime) -> bool:
    if terms.retired_at is not None and terms.retired_at <= at:
        return False
    known = select(ReferralProgress.referral_id).where(
        ReferralProgress.family_id == terms.family_id, ReferralProgress.user_id == user_id
    )
    return session.scalar(known) is None


def _take(session: Session, invitation: Invitation) -> bool:
    """Start an invitation, which only one user can."""
    taken = session.execute(
        update(Invitation)
        .where(
            Invitation.id == invitation.id,
            Invitation.status.in_(origins(REFERRAL_TRANSITIONS, ReferralStatus.STARTED)),
        )
        .values(status=ReferralStatus.STARTED)
    )
    return isinstance(taken, CursorResult) and taken.rowcount == 1


def _start(
    session: Session,
    signed_up: SignedUp,
    invitation: Invitation,
    terms: Terms,
    at: datetime,
    recorder: Recorder,
) -> Recorded:
    user_id = signed_up.message.user_id
    referral = Referral(
        referrer_user_id=invitation.referrer_user_id,
        user_id=user_id,
        created_at=at,
        referral_scheme_id=invitation.scheme_id,
    )
    session.add(referral)
    session.flush()
    progress = ReferralProgress(
        referral_id=referral.id,
        family_id=terms.family_id,
        scheme_id=invitation.scheme_id,
        user_id=user_id,
        referrer_user_id=invitation.referrer_user_id,
        invitation_id=invitation.id,
        status=ReferralStatus.STARTED,
        review=Review.PENDING,
        started_at=at,
        expires_at=terms.expires_at(at),
    )
    session.add(progress)
    invitation.referral_id = referral.id
    session.flush()
    _tell_start(session, progress, invitation, recorder)
    fraud.check(session, progress, recorder)
    return Recorded("referred", _meet_what_is_known(session, signed_up, referral.id, at, recorder))


def _tell_start(
    session: Session, progress: ReferralProgress, invitation: Invitation, recorder: Recorder
) -> None:
    data = {
        "user_id": progress.user_id,
        "referrer_user_id": progress.referrer_user_id,
        "scheme_id": progress.scheme_id,
        "invitation_id": invitation.id,
        "expires_at": progress.expires_at.isoformat() if progress.expires_at else None,
    }
    started = {"referral_id": progress.referral_id}
    events.record_all(
        session,
        [
            recorder.event(progress.referral_id, "referral.started", **data),
            NewEvent(
                "invitation", invitation.id, "invitation.started", recorder.actor, recorder.now, started
            ),
        ],
    )


def _meet_what_is_known(
    session: Session, signed_up: SignedUp, referral_id: int, at: datetime, recorder: Recorder
) -> Counter[str]:
    facts = session.scalars(select(UserFact).where(UserFact.user_id == signed_up.message.user_id)).all()
    shown = [(SIGN_UP, Evidence("message", signed_up.message_id, at))]
    shown += [(fact.event_type, Evidence("message", fact.message_id, fact.at)) for fact in facts]
    return _met(session, [referral_id], shown, recorder)


def _record_verification(
    session: Session, verified: Verified, users: dict[int, KnownUser], recorder: Recorder
) -> Recorded:
    user = users[verified.message.user_id]
    if session.get(UserFact, (user.user_id, VERIFICATION)) is not None:
        return Recorded("known")
    referrals = select(ReferralProgress.referral_id).where(ReferralProgress.user_id == user.user_id)
    referral_ids = session.scalars(referrals.order_by(ReferralProgress.referral_id)).all()
    if user.signed_up_at is not None and not referral_ids:
        return Recorded("not-referred")
    at = min(verified.message.at, recorder.now)
    session.add(
        UserFact(
            user_id=user.user_id, event_type=VERIFICATION, message_id=verified.message_id, at=at, data={}
        )
    )
    session.flush()
    if not referral_ids:
        return Recorded("kept")
    met = _met(
        session, referral_ids, [(VERIFICATION, Evidence("message", verified.message_id, at))], recorder
    )
    return Recorded("met" if met else "nothing-met", met)


def _met(
    session: Session,
    referral_ids: Sequence[int],
    shown: Sequence[tuple[str, Evidence]],
    recorder: Recorder,
) -> Counter[str]:
    """Meet conditions of referrals, and tell on their timelines what came when their time was over."""
    met: Counter[str] = Counter()
    for referral_id in referral_ids:
        for event_type, evidence in shown:
            outcome = meet_condition(session, referral_id, event_type, evidence, recorder)
            if outcome in ("met", "converted"):
                met[event_type] += 1
            if outcome == "converted":
                met["conversion"] += 1
            if outcome == "too-late":
                data = {
                    "event_type": event_type,
                    "source_id": evidence.source_id,
                    "at": evidence.at.isoformat(),
                }
                events.record(session, recorder.event(referral_id, "referral.came-too-late", **data))
    return met
