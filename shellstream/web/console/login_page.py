"""The page that asks for a token."""

from twisted.web.template import tags

from .frame import Frame, render


def login_page(frame: Frame, then: str, wrong: str = "") -> bytes:
    """
    The page that asks for a token.

    @param then: where to go after the login, a path of ours.
    @param wrong: why the last token was refused, if one was.
    """
    described = {"aria-describedby": "token-help"}
    if wrong:
        described = {"aria-describedby": "token-error", "aria-invalid": "true"}
    return render(
        frame,
        "Log in · shellstream",
        tags.h1("Log in"),
        tags.form(
            tags.label("Token", for_="token"),
            tags.p(
                "Whoever started this daemon has one.", id="token-help", class_="soft"
            ),
            tags.input(
                type="password",
                name="token",
                id="token",
                required="",
                autofocus="",
                autocomplete="current-password",
                **described,
            ),
            *([tags.p(wrong, id="token-error", class_="error")] if wrong else []),
            tags.input(type="hidden", name="next", value=then),
            tags.button("Log in", type="submit"),
            method="post",
            action=f"{frame.root}login",
        ),
        script="login.js",
        class_="login",
    )
