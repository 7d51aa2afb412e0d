"""Login, logout and the change of one's password."""

from dataclasses import replace
from functools import partial
from typing import cast
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    Response,
    current_app,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response as AnyResponse

from portal.access import queries, service, throttle
from portal.access.forms import LoginForm, PasswordForm
from portal.access.passwords import Passwords
from portal.access.queries import Credentials
from portal.access.throttle import Attempt
from portal.errors import TooManyRequests
from portal.web.context import actor, current_person, found_person, newest, runtime
from portal.web.login import give_cookie, prepare_session, take_cookie
from portal.web.permissions import everybody, public

blueprint = Blueprint("access", __name__)

_WRONG = "Login or password is wrong."


@blueprint.get("/login")
@public
def log_in() -> AnyResponse:
    if found_person() is not None:
        return redirect(local_target(request.args.get("next")), 303)
    return make_response(render_template("login.html", form=LoginForm()))


@blueprint.post("/login")
@public
def try_to_log_in() -> AnyResponse:
    form = LoginForm()
    if not form.validate():
        return make_response(render_template("login.html", form=form), 422)
    login, password = service.normal_login(form.login.data or ""), form.password.data or ""
    try:
        checked = _check(login, password)
    except TooManyRequests as refused:
        response = _refused(form, refused.reason, 429)
        response.headers["Retry-After"] = str(refused.retry_after)
        return response
    token, begun = prepare_session()
    now = runtime().clock()
    if checked is None or not runtime().transact(
        partial(service.log_in, checked=checked, begun=begun, now=now)
    ):
        return _refused(form, _WRONG, 422)
    response = make_response(redirect(local_target(request.args.get("next")), 303))
    give_cookie(response, token)
    return response


@blueprint.post("/logout")
@public
def log_out() -> AnyResponse:
    person = found_person()
    if person is not None:
        end = partial(
            service.log_out,
            session_id=person.session_id,
            person_id=person.id,
            actor=actor(),
            now=runtime().clock(),
        )
        runtime().transact(end)
    response = make_response(redirect(url_for("access.log_in"), 303))
    take_cookie(response)
    flash("You are logged out.")
    return response


@blueprint.get("/password")
@everybody
def show_password() -> str:
    return render_template("access/password.html", form=PasswordForm())


@blueprint.post("/password")
@everybody
def change_password() -> AnyResponse:
    form = PasswordForm()
    checked = None
    if form.validate() and form.is_usable_for(current_person().login):
        checked = _check(current_person().login, form.present.data or "")
        if checked is None:
            form.present.errors = ["This is not your present password."]
    if checked is None:
        return make_response(render_template("access/password.html", form=form), 422)
    token, begun = prepare_session()
    change = partial(
        service.change_password,
        checked=checked,
        password_hash=_passwords().hash(form.password.data or ""),
        begun=begun,
        actor=actor(),
        now=runtime().clock(),
    )
    runtime().transact(change)
    response = make_response(redirect("/", 303))
    give_cookie(response, token)
    flash("Your password is changed. All your other sessions have ended.", "success")
    return response


def local_target(target: str | None) -> str:
    """Return the address that was asked for if it lies within the portal, else that of the start."""
    if not target or not target.startswith("/") or target.startswith("//"):
        return "/"
    parts = urlsplit(target)
    odd = "\\" in target or not target.isprintable()
    return "/" if parts.scheme or parts.netloc or odd else target


def _check(login: str, password: str) -> Credentials | None:
    """Return the credentials that a password proves; None, after it is recorded, when it proves none.

    Raises TooManyRequests. The password is checked outside of any transaction: it takes long on purpose.
    """
    now, transact = runtime().clock(), runtime().transact
    attempt = Attempt(
        throttle.network_of(request.remote_addr or ""), runtime().cipher.blind_index(login), now
    )
    attempt_id = transact(partial(throttle.begin_attempt, attempt=attempt))
    try:
        with newest() as session:
            throttle.judge_attempt(session, attempt_id, attempt)
            known = queries.find_credentials(session, login)
    except TooManyRequests:
        transact(partial(throttle.drop_attempt, attempt_id=attempt_id))
        raise
    proved = _passwords().matches(known.password_hash if known else None, password)
    if known is None or not proved or not known.active:
        transact(partial(service.record_failed_login, person=known, now=now))
        return None
    transact(partial(throttle.forget_failures, attempt=attempt))
    return _with_newest_hash(known, password)


def _with_newest_hash(known: Credentials, password: str) -> Credentials:
    """Hash a proved password anew when today's parameters are others."""
    if not _passwords().is_outdated(known.password_hash):
        return known
    newest_hash = _passwords().hash(password)
    runtime().transact(partial(service.replace_password_hash, checked=known, password_hash=newest_hash))
    return replace(known, password_hash=newest_hash)


def _refused(form: LoginForm, reason: str, status: int) -> Response:
    form.form_errors.append(reason)
    return make_response(render_template("login.html", form=form), status)


def _passwords() -> Passwords:
    return cast(Passwords, current_app.extensions["passwords"])
