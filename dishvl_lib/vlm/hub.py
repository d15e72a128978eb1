"""The hub from which a model is downloaded: whether it can be reached, asked once and briefly.

Left to themselves the hub's own retries take more than a minute before they say that a name does
not resolve. A download that moves is never cut: only the first word is waited for.
"""

import os
import urllib.error
import urllib.request

from huggingface_hub import constants, try_to_load_from_cache

CONNECT_S = 8.0
REMEDY = (
    "set HF_ENDPOINT to a mirror's address, take modelscope:NAME/MODEL, or download the model's "
    "folder by other means and give its path (docs/offline.md)"
)


class HubError(ValueError):
    """A model that is on no disk here, while the hub cannot be reached."""


def unreachable() -> str:
    """Why the hub cannot be reached; '' when it answers, whatever it says."""
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=CONNECT_S):
            return ""
    except urllib.error.HTTPError:
        return ""
    except urllib.error.URLError as error:
        return f"{constants.ENDPOINT} cannot be reached ({error.reason})"
    except TimeoutError:
        return ""  # connected, and slow to answer: no reason to give up
    except (OSError, ValueError) as error:
        return f"{constants.ENDPOINT} cannot be reached ({error})"


def prepare(model_id: str) -> None:
    """Raises `HubError` within seconds for a model that would have to come from a hub which cannot
    be reached. One that lies in the cache is then taken from there, without asking again.
    """
    if constants.HF_HUB_OFFLINE:
        return
    problem = unreachable()
    if not problem:
        return
    if not isinstance(try_to_load_from_cache(model_id, "config.json"), str):
        raise HubError(f"{model_id}: {problem}; {REMEDY}")
    print(f"note: {problem}; {model_id} is taken from the cache of earlier downloads")
    constants.HF_HUB_OFFLINE = True
    os.environ["HF_HUB_OFFLINE"] = "1"  # for the training process, which this one starts
