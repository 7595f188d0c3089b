"""The built-in head: a generated human head with the 52 ARKit shapes, and people made of it."""

from talker_cli.head.assemble import build_head
from talker_cli.head.people import PEOPLE, STAND_INS, Person
from talker_cli.head.shape import Shape

__all__ = ["PEOPLE", "STAND_INS", "Person", "Shape", "build_head"]
