"""The built-in head: a generated human head with the 52 ARKit shapes, and eight people made of it."""

from talker_cli.head.assemble import build_head
from talker_cli.head.people import PEOPLE, Person, Shape

__all__ = ["PEOPLE", "Person", "Shape", "build_head"]
