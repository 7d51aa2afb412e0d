"""The ceiling: a bare Flask view with one indexed query, served as the portal is."""

from __future__ import annotations

import os

from flask import Flask, Response, jsonify, request
from sqlalchemy import create_engine, text

_QUERY = text("SELECT id, referrer_user_id, user_id FROM referral WHERE id = :id")


def create_app() -> Flask:
    """Make the application on the database of the environment."""
    app = Flask(__name__)
    engine = create_engine(os.environ["DATABASE_WRITER_URL"], pool_size=20, max_overflow=20)

    @app.post("/referral")
    def show() -> Response:
        asked = request.get_json()
        with engine.connect() as connection:
            row = connection.execute(_QUERY, {"id": asked["id"]}).one()
        return jsonify({"id": row.id, "referrer_user_id": row.referrer_user_id, "user_id": row.user_id})

    return app
