"""The forms of login and password."""

from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField
from wtforms.validators import InputRequired, Length

from portal.access.passwords import LONGEST_PASSWORD, check_new_password
from portal.errors import InvalidInput


class LoginForm(FlaskForm):
    """Who somebody is, and how they prove it."""

    login = StringField("Login", [InputRequired("Enter your login."), Length(max=254)])
    password = PasswordField(
        "Password", [InputRequired("Enter your password."), Length(max=LONGEST_PASSWORD)]
    )


class PasswordForm(FlaskForm):
    """A new password, and the present one as the proof that it is its owner who asks."""

    present = PasswordField(
        "Present password", [InputRequired("Enter your present password."), Length(max=LONGEST_PASSWORD)]
    )
    password = PasswordField("New password", [InputRequired("Enter a new password.")])
    again = PasswordField("New password again", [InputRequired("Enter the new password again.")])

    def is_usable_for(self, login: str) -> bool:
        """Tell whether the new password may be that of a login; if not, the fields say why."""
        password = self.password.data or ""
        if self.again.data != password:
            self.again.errors = ["The two are not the same."]
        try:
            check_new_password(password, login)
        except InvalidInput as refused:
            self.password.errors = [refused.reason]
        return not self.errors
