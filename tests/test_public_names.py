"""The public names, and what `import minamo` costs."""

import inspect
import subprocess
import sys

import minamo

PUBLIC = [
    "VAE",
    "Batch",
    "Dataset",
    "Draw",
    "Evidence",
    "LatentVariableModel",
    "Measure",
    "MinamoError",
    "fast_cpu",
    "load",
]


def test_the_public_names_are_these_and_all_are_documented():
    assert sorted(minamo.__all__) == sorted(PUBLIC)
    for name in PUBLIC:
        assert inspect.getdoc(getattr(minamo, name)), name
    assert set(PUBLIC) <= set(dir(minamo))


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(minamo, "VEA")


def test_help_does_not_wait_for_torch():
    """`import minamo` and the command line's help load neither torch nor scikit-learn."""
    heavy = "{'torch', 'sklearn', 'pyarrow', 'matplotlib', 'numpy'}"
    code = f"import sys, minamo.cli.main as m; m.run(['fit', '--help']); sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_every_option_of_fit_is_a_parameter_of_vae():
    from minamo.cli.fit import fit

    others = {"source", "output", "config", "refit", "resume", "tracker"}
    # A run begins with an empty folder: there is no fitted model to go on from.
    assert set(inspect.signature(fit).parameters) - others == set(minamo.VAE().get_params()) - {"warm_start"}
