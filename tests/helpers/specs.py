"""Reading of what W&B would be sent."""

from gsd.tools.dashboard.content import content
from gsd.tools.dashboard.views import report, spec, workspace


def sent(folder, metric=None):
    """The specification of a sweep's dashboard, as --dry-run prints it."""
    found = content(folder, metric)
    return spec(workspace(found, "me", "gsd"), report(found, "me", "gsd"))


def sections(spec):
    """Of the workspace: title -> panels."""
    found = spec["workspace"]["spec"]["section"]["panelBankConfig"]["sections"]
    return {each["name"]: each["panels"] for each in found}


def chapters(spec):
    """Of the report: title -> (panels, its set of runs)."""
    found, title = {}, None
    for block in spec["report"]["spec"]["blocks"]:
        if block["type"] == "heading":
            title = block["children"][0]["text"]
        elif block["type"] == "panel-grid":
            meta = block["metadata"]
            (runs,) = meta["runSets"]
            found[title] = (meta["panelBankSectionConfig"]["panels"], runs)
    return found


def panels(spec):
    """All of both."""
    return [panel for each in sections(spec).values() for panel in each] + [
        panel for each, _ in chapters(spec).values() for panel in each
    ]


def of_kind(panels, kind):
    """Their configurations."""
    return [panel["config"] for panel in panels if panel["viewType"] == kind]


LINES, BARS, MEDIA = "Run History Line Plot", "Bar Chart", "Media Browser"
