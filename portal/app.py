"""The web application: what it is made of, and in which order a request passes through it."""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from portal.access import views as access
from portal.access.passwords import Passwords
from portal.orders import api as orders_api
from portal.orders import (
    views_documents,
    views_exceptions,
    views_order,
    views_orders,
    views_push,
    views_waiting,
)
from portal.overview import views as overview
from portal.referrals import views_attention, views_attention_pushes, views_referrals, views_rpc
from portal.referrals.experiments import views as views_experiments
from portal.referrals.invitations import views as views_link
from portal.referrals.progress import views as views_user
from portal.referrals.progress import views_actions as views_user_actions
from portal.referrals.rpc import build_methods
from portal.referrals.schemes import views as views_schemes
from portal.referrals.schemes import views_changes as views_scheme_changes
from portal.referrals.schemes import views_conditions, views_rewards, views_try_on_history
from portal.runtime import Runtime, build_runtime
from portal.search import views as search
from portal.settings import Settings
from portal.web import bodies, csrf, errors, headers, health, htmx, login, navigation, permissions, tracing
from portal.web.converters import IdConverter, NumberConverter, TextConverter
from portal.web.rpc import RpcEndpoint

PAGES = (
    overview,
    views_orders,
    views_order,
    views_push,
    views_documents,
    views_exceptions,
    views_waiting,
    views_link,
    views_experiments,
    views_referrals,
    views_attention,
    views_attention_pushes,
    views_user,
    views_user_actions,
    views_schemes,
    views_scheme_changes,
    views_try_on_history,
    views_rewards,
    views_conditions,
    views_rpc,
    search,
)


def create_app(settings: Settings, passwords: Passwords | None = None) -> Flask:
    """Make the application; nothing is connected before the first request."""
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SESSION_COOKIE_NAME="__Host-state" if settings.cookie_secure else "state",
        SESSION_COOKIE_SECURE=settings.cookie_secure,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.extensions["waybill"] = build_runtime(settings)
    app.extensions["passwords"] = passwords or Passwords()
    app.url_map.converters |= {"id": IdConverter, "number": NumberConverter, "text": TextConverter}
    # An order number may hold two slashes in a row.
    app.url_map.merge_slashes = False
    runtime: Runtime = app.extensions["waybill"]
    app.extensions["rpc"] = build_methods(runtime)
    app.wsgi_app = RpcEndpoint(app.wsgi_app, runtime, app.extensions["rpc"])  # type: ignore[method-assign]
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=settings.trusted_proxies, x_proto=settings.trusted_proxies
        )

    errors.answer_errors(app)
    headers.set_headers(app)
    htmx.mark_variants(app)
    # In this order before each request: its id, its size, who asks, whether they may, whether they meant it.
    tracing.trace(app)
    bodies.check_bodies(app)
    login.load_login(app)
    permissions.enforce(app)
    protection = csrf.protect(app)
    navigation.offer_navigation(app)

    app.register_blueprint(access.blueprint)
    for views in PAGES:
        app.register_blueprint(views.blueprint)
    app.register_blueprint(orders_api.blueprint)
    # Its clients show a key with each call, which no page of others can make a browser send.
    protection.exempt(orders_api.blueprint)
    health.watch_health(app)
    return app
