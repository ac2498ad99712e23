"""How the work of `train` would be shared out between devices, as far as the environment tells."""

import json


def choose_strategy(environment, gpus: int) -> str:
    """The strategy that `auto` picks.

    Args:
        environment: Environment variables, of which `TF_CONFIG` counts.
        gpus: Number of GPUs of this machine.

    Returns:
        `"multiworker"` where `TF_CONFIG` names several workers, `"mirrored"` where there are several GPUs, or
        `"none"`.

    Raises:
        ValueError: If `TF_CONFIG` cannot be read.
    """
    text = environment.get("TF_CONFIG", "")
    try:
        cluster = (json.loads(text) if text else {}).get("cluster", {})
        workers = sum(len(cluster.get(job, ())) for job in ("chief", "worker"))
    except (ValueError, AttributeError, TypeError):
        raise ValueError(f"Expected `TF_CONFIG` to be the JSON of a cluster. Received: TF_CONFIG={text}") from None
    if workers > 1:
        return "multiworker"
    return "mirrored" if gpus > 1 else "none"
