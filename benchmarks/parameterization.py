"""Options of a benchmark that say how the posterior depends on λ."""

import json


def add_options(parser):
    parser.add_argument("--parameterization", default="optimal_response")
    parser.add_argument("--parameterization-arguments", type=json.loads, default={}, help="as JSON")


def make(args):
    """The parameterization that options say."""
    from cvhn_tf import parameterizations

    return type(parameterizations.get(args.parameterization))(**args.parameterization_arguments)


def as_options(args):
    """The same options for another process."""
    return [
        f"--parameterization={args.parameterization}",
        f"--parameterization-arguments={json.dumps(args.parameterization_arguments)}",
    ]
