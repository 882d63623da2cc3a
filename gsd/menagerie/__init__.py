"""The embedded world: creatures of coloured ellipsoids, a ray tracer that renders them, and banks of their views."""

from gsd.menagerie.bank import Bank, Views, bank_views, build_bank
from gsd.menagerie.creature import Creature, find, load
from gsd.menagerie.ellipsoids import Ellipsoids
from gsd.menagerie.tracer import trace

__all__ = ["Bank", "Creature", "Ellipsoids", "Views", "bank_views", "build_bank", "find", "load", "trace"]
