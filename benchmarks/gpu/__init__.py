"""Questions that need a GPU; each module also runs without one, on little data, and says so."""
