"""What the benchmarks may be asked for: a number that cannot be measured is refused, and not met in the midst of it."""

import pkgutil
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

import benchmarks

COMMANDS = {
    name: module.main
    for name in (found.name for found in pkgutil.iter_modules(benchmarks.__path__))
    if isinstance(getattr(module := import_module(f"benchmarks.{name}"), "main", None), click.Command)
}


def numbers(command: click.Command) -> list[click.Parameter]:
    return [one for one in command.params if one.type.name.startswith(("integer", "float"))]


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("told", ["0", "-1"])
def test_nothing_and_less_than_nothing_are_refused(name: str, told: str) -> None:
    for option in numbers(COMMANDS[name]):
        context = click.Context(COMMANDS[name])
        with pytest.raises(click.BadParameter, match=r"is not in the range"):
            option.type.convert(told, option, context)


def test_the_person_is_told_which_option_and_what_it_takes() -> None:
    answer = CliRunner().invoke(COMMANDS["load"], ["--rate", "0"])
    assert answer.exit_code == 2
    assert "Invalid value for '--rate'" in answer.output and "x>0" in answer.output


@pytest.mark.parametrize("told", ["nan", "inf"])
def test_what_is_no_number_is_no_rate(told: str) -> None:
    answer = CliRunner().invoke(COMMANDS["load"], ["--rate", told])
    assert answer.exit_code == 2 and "Invalid value for '--rate'" in answer.output


def test_the_benchmarks_are_found_and_so_are_their_numbers() -> None:
    assert {"filtered", "growth", "keywords", "facets", "load"} <= set(COMMANDS)
    assert {option.name for option in numbers(COMMANDS["load"])} >= {"assets", "rate", "requests"}
