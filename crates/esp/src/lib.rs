//! Seals and opens ESP packets, selects SAs, guards against replay.
