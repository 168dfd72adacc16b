"""Takes the screenshots of docs/: ``python -m tests.e2e.screenshots FOLDER``.

Embedded Postgres, Mission Control on a free port, 40 pending and 120 decided synthetic requests.
"""

import argparse
import shutil
import tempfile
import uuid
from pathlib import Path

import psycopg2
import psycopg2.extras
from PIL import Image

from radiant_dagster.adapters import migrations, principals, tenants
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.local.postgres import embedded_postgres
from radiant_dagster.mission_control.routes import ENDPOINTS
from tests.conftest import run_sql, with_database
from tests.e2e.browser import browser, log_in
from tests.mission_control import sample
from tests.mission_control.conftest import running

WIDTHS = {1280: 900, 390: 844}
PAGES = {"metrics": "/metrics/reviews", "sessions": "/sessions", "account": "/account"}
COLOURS = 200
EDIT = ("within one week", "within three days")


def prepare(admin_url: str) -> tuple[str, str]:
    """Fill a database; returns the URL of a reviewer's process and a reviewer's key."""
    run_sql(
        admin_url,
        "create role radiant login noinherit password 'radiant'",
        "create role radiant_reviewer login noinherit password 'reviewer'",
        "create database shots",
    )
    owner_url = with_database(admin_url, "shots")
    migrations.migrate(
        owner_url,
        logins={
            "radiant": migrations.LOGIN_ROLES,
            "radiant_reviewer": migrations.REVIEW_LOGIN_ROLES,
        },
    )
    tenant_id = uuid.uuid4()
    worker = Database(with_database(admin_url, "shots", "radiant:radiant"))
    tenants.create_tenant(worker, tenant_id, "acme", "Acme Clinic")
    worker.close()
    connection = psycopg2.connect(owner_url, cursor_factory=psycopg2.extras.RealDictCursor)
    with connection, connection.cursor() as cursor:
        sample.fill(cursor, tenant_id)
    connection.close()
    review_url = with_database(admin_url, "shots", "radiant_reviewer:reviewer")
    api = Database(review_url, tenant_role="radiant_api")
    with api.tenant_transaction(tenant_id) as cursor:
        person = principals.create_principal(
            cursor, tenant_id, uuid.uuid4(), name="dr-lee", kind="person",
            roles=frozenset({"reviewer", "privacy"}), actor="setup",
        )  # fmt: skip
        key = principals.create_key(cursor, person, uuid.uuid4(), actor="setup").key.text
    api.close()
    return review_url, key


def small(path: Path) -> None:
    """Store a picture with a palette; pages have few colours."""
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT)
    reduced.save(path, optimize=True)


def take(folder: Path, url: str, key: str) -> None:
    """Take every picture."""
    with browser() as chromium:
        for width, height in WIDTHS.items():
            for scheme in ("light", "dark"):
                context = chromium.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme
                )
                page = log_in(context, url, key)

                def shoot(name: str, page=page, end=f"{width}-{scheme}.png") -> None:
                    page.wait_for_timeout(400)
                    page.screenshot(path=folder / f"{name}-{end}")
                    small(folder / f"{name}-{end}")

                shoot("inbox")
                page.click("#inbox tbody tr:first-child .what a")
                shoot("review")
                page.click("#claim button")
                page.click("#modify summary")
                page.fill("#edited", page.input_value("#edited").replace(*EDIT))
                page.locator("#decide").scroll_into_view_if_needed()
                shoot("edit")
                page.click("#release button")
                page.on("dialog", lambda dialog: dialog.accept())  # leaving with an edit
                for name, path in PAGES.items():
                    page.goto(url + path)
                    shoot(name)
                page.click(".top nav a:nth-child(2)")
                page.click(".list tbody tr:first-child .what a")
                shoot("session")
                context.close()


def main() -> None:
    """Serve, and take the pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="radiant-shots-"))
    home.chmod(0o755)
    try:
        with embedded_postgres(home / "home", durable=False) as admin_url:
            review_url, key = prepare(admin_url)
            settings = Settings.load(
                {"RADIANT_HOME": str(home), "RADIANT_REVIEW_DATABASE_URL": review_url}
            )
            with running(settings, ENDPOINTS) as site:
                take(folder, site.url, key)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
