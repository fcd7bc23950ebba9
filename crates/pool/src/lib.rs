//! Decides which virtual address and attributes belong to whom.
