"""The page of the methods of `POST /rpc`, with their parameters, results and examples."""

from flask import Blueprint, current_app, render_template

from portal.jsonrpc_reference import describe
from portal.web.permissions import everybody
from portal.web.rpc import LARGEST_BODY, error_codes

blueprint = Blueprint("rpc-methods", __name__)


@blueprint.get("/rpc-methods")
@everybody
def show() -> str:
    """Show all methods."""
    entries = [describe(method) for method in current_app.extensions["rpc"]]
    return render_template(
        "referrals/rpc_methods.html", entries=entries, codes=error_codes(), largest_body=LARGEST_BODY
    )
