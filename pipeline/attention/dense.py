"""Attention masks as booleans, one for each pair of query and key; for SDPA and for small sizes."""

import torch


def dense_mask(visible_until: torch.Tensor, window: int | None = None) -> torch.Tensor:
    """Whether a query may see a key: booleans of shape (rows, 1, n, n), queries before keys.

    visible_until: (rows, n), of packed and padded rows; window: tokens that a layer sees, itself
    included, as `sliding_window` of a model's config.
    """
    positions = torch.arange(visible_until.shape[-1], device=visible_until.device)
    queries, keys = positions[:, None], positions[None, :]
    mask = (keys <= queries) & (queries < visible_until[:, None, :])
    if window is not None:
        mask &= queries - keys < window
    return mask[:, None]
