"""Annotate a catalogue against a server, as a process that can be killed: catalogue, photos,
base_url, journal, answers [run, budget, dishes].
"""

import sys
from pathlib import Path

from dishvl_lib.annotation import annotate
from dishvl_lib.core import records
from dishvl_lib.endpoints import client
from dishvl_lib.endpoints.errors import EndpointError

CONCURRENCY = 16
TIMEOUT_S = 2.0


def ask(catalogue, photos, base_url, journal, budget=1e9, dishes=None, run="r"):
    """The answers; prices of 1 per million tokens."""
    table = records.read_table(catalogue).astype({"typical": int})
    given = {
        "name": "toy",
        "base_url": base_url,
        "model": "m",
        "price_input": 1.0,
        "price_output": 1.0,
        "concurrency": CONCURRENCY,
        "timeout_s": TIMEOUT_S,
        "max_tokens": 300,
    }
    return annotate.ask_dishes(
        table.head(dishes or len(table)),
        photos,
        client.connect([given]),
        journal,
        run_name=run,
        budget={"USD": budget},
        pace=0.05,
    )


if __name__ == "__main__":
    catalogue, photos, base_url, journal, answers, *limits = sys.argv[1:]
    run, budget, dishes = limits or ("r", 1e9, 0)
    try:
        rows = ask(catalogue, photos, base_url, journal, float(budget), int(dishes), run)
    except EndpointError as error:
        sys.exit(str(error))
    records.write_jsonl(Path(answers), rows)
