"""JSON-RPC: a user invites people by mail."""

from functools import partial
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy.orm import Session

from portal.access.queries import client_id_of
from portal.crypto import new_link_token
from portal.jsonrpc import Caller, Example, Method, Params, Result
from portal.referrals.invitations.answered_requests import LONGEST_KEY, find_answer, keep_answer
from portal.referrals.invitations.service import Answer, Post, Request, invite
from portal.referrals.schemes.queries_active import active_scheme_of
from portal.referrals.schemes.rpc_views import Id

MOST_ADDRESSES = 100

# Longer than any address that mail can be sent to: what is wrong with it is said address by address.
GivenAddress = Annotated[str, Field(max_length=1_000)]


class SendReferralEmail(Params):
    """Whom a user invites; without `product` and `scheme_id` the only active scheme is meant."""

    user_id: Annotated[Id, Field(description="Who invites.")]
    emails: Annotated[list[GivenAddress], Field(min_length=1, max_length=MOST_ADDRESSES)]
    idempotency_key: Annotated[str, Field(min_length=1, max_length=LONGEST_KEY)] | None = None
    product: str | None = None
    scheme_id: Id | None = None
    own_address: GivenAddress | None = Field(
        default=None, description="The inviting user's own address, where the caller knows it."
    )


class InvitedAddress(Result):
    """What became of one address: invited, or the code and the reason why it was not."""

    email: str
    invited: bool
    invitation_id: str | None = None
    code: str | None = None
    reason: str | None = None


class SentInvitations(Result):
    """One entry for each address, in the order given."""

    results: list[InvitedAddress]


def send_referral_email(caller: Caller, params: SendReferralEmail) -> SentInvitations:
    """Invite people by mail, each by a link of their own. Each address is answered by itself.

    Refusals have the codes address-invalid, own-address, already-signed-up, recipient-complained,
    already-invited, daily-limit and no-active-scheme. The same idempotency key with the same parameters gives
    the same answer and sends nothing; with other parameters it is an error.
    """
    return caller.runtime.transact(partial(_send, caller=caller, params=params))


def methods() -> list[Method]:
    """Give the methods of invitations."""
    example = Example(
        params={"user_id": 41, "emails": ["ana@example.com", "no address"], "idempotency_key": "7c1f"},
        result={
            "results": [
                {
                    "email": "ana@example.com",
                    "invited": True,
                    "invitation_id": "5f0c8f2e-95a4-4f0e-8d0c-6a4f6f1d8f10",
                    "code": None,
                    "reason": None,
                },
                {
                    "email": "no address",
                    "invited": False,
                    "invitation_id": None,
                    "code": "address-invalid",
                    "reason": "This is no address that mail can be sent to.",
                },
            ]
        },
    )
    return [
        Method(
            "referrals.sendreferralemail", SendReferralEmail, SentInvitations, send_referral_email, example
        )
    ]


def _send(session: Session, caller: Caller, params: SendReferralEmail) -> SentInvitations:
    key = params.idempotency_key
    if key is None:
        return _results(params, _invite(session, caller, params))
    client_id = client_id_of(session, caller.actor.name)
    # Keyed, because it covers addresses.
    asked = params.model_dump_json(exclude={"idempotency_key"})
    request_hash = caller.runtime.cipher.blind_index(f"sendreferralemail {asked}")
    kept = find_answer(session, client_id, key, request_hash)
    if kept is None:
        kept = {"results": _invite(session, caller, params)}
        keep_answer(session, client_id, key, request_hash, kept, caller.runtime.clock())
    return _results(params, kept["results"])


def _invite(session: Session, caller: Caller, params: SendReferralEmail) -> list[dict[str, Any]]:
    """Invite, and return what became of each address without naming it."""
    runtime = caller.runtime
    scheme = active_scheme_of(session, product=params.product, scheme_id=params.scheme_id)
    request = Request(params.user_id, params.emails, scheme.scheme_id if scheme else None, params.own_address)
    post = Post(runtime.cipher, runtime.settings.invitations_per_day, runtime.new_id, new_link_token)
    answers = invite(session, request, post, actor=caller.actor, now=runtime.clock())
    return [_nameless(answer) for answer in answers]


def _nameless(answer: Answer) -> dict[str, Any]:
    refusal = answer.refusal
    return {
        "invited": refusal is None,
        "invitation_id": answer.invitation,
        "code": refusal.code if refusal else None,
        "reason": refusal.reason if refusal else None,
    }


def _results(params: SendReferralEmail, nameless: list[dict[str, Any]]) -> SentInvitations:
    named = zip(params.emails, nameless, strict=True)
    return SentInvitations(results=[InvitedAddress(email=email, **rest) for email, rest in named])
