"""To W&B: the workspace and the report of a sweep are looked for by their names, and replaced or made.

Both follow from the sweep's folder and not from what W&B has, and panels have ids made from their content, so that the
same command sends the same bytes again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb.errors import AuthenticationError, Error, UsageError
from wandb.sdk.lib.service.service_connection import WandbApiFailedError

from gsd.errors import GsdError, reason

NO_SUCH_VIEW = "not found in project"  # how wandb-workspaces says that a workspace has not been made yet


def login() -> Any:
    """wandb.Api with the credentials of WANDB_API_KEY or `wandb login`; nobody is asked for any.

    Raises GsdError where there are none, or W&B does not take them, or does not answer.
    """
    # Reports of its own errors would hold up the end of this process where a network never answers
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    wandb.setup(settings=wandb.Settings(silent=True, mode="online"))  # whatever WANDB_MODE says of runs
    try:
        return wandb.Api()
    except UsageError as error:
        raise GsdError(
            "There are no credentials for W&B: set WANDB_API_KEY, or type wandb login; --dry-run needs none."
        ) from error
    except AuthenticationError as error:
        if isinstance(error.__cause__, WandbApiFailedError):
            raise _told(error.__cause__) from error
        raise GsdError(f"The credentials for W&B are of no use: {reason(error)}.") from error


def default_entity(api: Any) -> str:
    """Whose projects are meant where nobody is named. Raises GsdError where W&B knows no such entity."""
    with _sentences():
        entity = api.settings["entity"] or api.default_entity
    if not entity:
        raise GsdError("W&B does not say whose projects these are; give --entity, a user or a team.")
    return str(entity)


def send(api: Any, workspace: ws.Workspace, report: wr.Report) -> dict[str, str]:
    """Save both, in the place of those of the same names; returns what was done -> its address.

    Raises GsdError for a project that does not exist, and where W&B does not answer or refuses.
    """
    with _sentences():
        old_report, old_workspace = _find_report(api, report), _read(ws.Workspace, workspace.url)
        return {
            _verb("workspace", old_workspace): _replace(workspace, old_workspace, WORKSPACE).save().url,
            _verb("report", old_report): _replace(report, old_report, REPORT).save().url,
        }


# What is described here. The rest of a saved one is kept: its id, the comments of a report.
WORKSPACE = ("sections", "settings", "runset_settings")
REPORT = ("description", "blocks", "width")


def _replace(new: Any, old: Any, parts: tuple[str, ...]) -> Any:
    if old is None:
        return new
    for part in parts:
        setattr(old, part, getattr(new, part))
    return old


def _verb(what: str, old: Any) -> str:
    return f"new {what}" if old is None else f"{what} brought up to date"


def _find_report(api: Any, report: wr.Report) -> wr.Report | None:
    try:
        saved = [each for each in api.reports(f"{report.entity}/{report.project}") if each.display_name == report.title]
    except ValueError as error:
        raise GsdError(
            f"W&B has no project {report.entity}/{report.project}, or does not show it to you: log the runs there "
            "first, with logger=wandb, or give --entity and --project."
        ) from error
    return _read(wr.Report, saved[0].url) if saved else None


def _read(kind: Any, url: str) -> Any:
    """The saved workspace or report; None for a workspace that has not been made yet."""
    try:
        return kind.from_url(url)
    except (Error, WandbApiFailedError):
        raise
    except Exception as error:  # of many kinds, where the app has saved what the library does not know
        if NO_SUCH_VIEW in str(error):
            return None
        raise GsdError(
            f"{url} has been changed into what wandb-workspaces cannot read ({reason(error)}); delete it there, and "
            "repeat the command."
        ) from error


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except WandbApiFailedError as error:
        raise _told(error) from error
    except Error as error:
        if isinstance(error.__cause__, WandbApiFailedError):
            raise _told(error.__cause__) from error
        raise GsdError(f"W&B: {reason(error)}.") from error


def _told(error: WandbApiFailedError) -> GsdError:
    """Without a response there was no answer, whatever the library's words for that."""
    host = wandb.setup().settings.base_url
    if error.response is None:
        return GsdError(f"{host} does not answer (WANDB_HTTP_TIMEOUT= waits longer); --dry-run needs no network.")
    return GsdError(f"{host} refuses: {reason(error)}.")
