"""Which of a dish's photos are typical of it, by their perceptual hashes."""

import numpy as np
import pandas as pd

from dishvl_lib.core.photo_hashes import hamming

TYPICAL_SAMPLE = 512  # photos of a dish that the others are compared with to find the typical ones


def typical_order(photos: pd.DataFrame) -> pd.Series:
    """A rank per photo within its dish, 0 = the one to show first, aligned with `photos` (dish_id,
    phash, sharpness, group_id).

    The half whose hashes lie nearest to the dish's other photos, sharpest first, then the other
    half; the first photo of every group before the second of any. It depends on the dish's photos
    alone, not on the split.
    """
    ranks = pd.Series(0, index=photos.index)
    for _, part in photos.groupby("dish_id", sort=False):
        every = max(1, len(part) // TYPICAL_SAMPLE)
        sample = part.phash.iloc[::every]
        away = hamming(part.phash, sample).mean(axis=1)
        table = part[["image_id", "group_id", "sharpness"]].assign(far=away > np.median(away))
        table = table.sort_values(["far", "sharpness", "image_id"], ascending=[True, False, True])
        table["turn"] = table.groupby("group_id").cumcount()
        in_turns = table.sort_values("turn", kind="stable")
        ranks.loc[in_turns.index] = np.arange(len(part))
    return ranks
