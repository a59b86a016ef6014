"""Errors name arguments as Python does; the command line shows them as flags."""

import pytest

import lorae

BAD = {
    "n": (["sample", "-n", "0"], lambda run: lorae.sample(run, "0"), "n: got '0', expected a whole number"),
    "sampler": (["sample", "--sampler", "x"], lambda run: lorae.sample(run, sampler="x"), "sampler: got 'x', expected"),
    "steps": (["interpolate", "--steps", "1"], lambda run: lorae.interpolate(run, steps="1"), "steps: got '1'"),
    "tolerance": (["spectrum", "--tolerance", "2"], lambda run: lorae.spectrum(run, tolerance="2"), "tolerance: got"),
    "fit_on": (["sample", "--fit-on", "x"], lambda run: lorae.sample(run, fit_on="x"), "fit_on: got 'x', expected"),
}


@pytest.mark.parametrize("argument", BAD)
def test_the_origin_of_a_value_is_an_argument_in_python_and_a_flag_on_the_command_line(argument, trained, run_cli):
    (command, *options), call, expected = BAD[argument]
    with pytest.raises(lorae.LoraeError) as caught:
        call(trained)
    assert str(caught.value).startswith(expected)
    assert str(caught.value).endswith(f"(from argument {argument})")
    code, printed, errors = run_cli(command, trained.path, *options)
    assert (code, printed) == (2, "")
    assert errors.startswith(f"lorae: {expected}")
    assert errors.endswith(f"(from --{argument.replace('_', '-')})\n")
